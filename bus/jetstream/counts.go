package jetstream

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// counts remembers the cumulative counts at the end of a topic, for the time
// when the topic is empty and has no last message to read them from.
type counts interface {
	// load returns the mark at seq, and whether it is known exactly. When it
	// is not, the largest counts that are known come back.
	load(seq uint64) (mark, bool)

	// save is called before a message is stored that would end at m.
	save(m mark)

	close() error
}

// countFile keeps the counts in a file of two slots that are written in turn.
// The slot is written before the message: whether a process dies before or
// after the message is stored, one of the two slots belongs to the end of the
// stream. No fsync: the page cache survives the process, and after a power
// failure the last message of a topic that is not empty tells.
type countFile struct{ f *os.File }

// slotSize is seq, events, bytes and a checksum, 8 bytes each.
const slotSize = 32

func openCountFile(dir, topic string) (*countFile, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, topic), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &countFile{f}, nil
}

func (c *countFile) load(seq uint64) (mark, bool) {
	best := mark{seq: seq}
	var b [2 * slotSize]byte
	if n, err := c.f.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) || n == 0 {
		return best, seq == 0
	}
	for _, s := range [][]byte{b[:slotSize], b[slotSize:]} {
		m, ok := decodeSlot(s)
		if !ok {
			continue
		}
		if m.seq == seq {
			return m, true
		}
		best.events, best.bytes = max(best.events, m.events), max(best.bytes, m.bytes)
	}
	return best, seq == 0
}

// newest returns the last mark that was saved, the zero mark when none can be read.
func (c *countFile) newest() (m mark) {
	var b [2 * slotSize]byte
	if n, _ := c.f.ReadAt(b[:], 0); n < len(b) {
		return m
	}
	for _, s := range [][]byte{b[:slotSize], b[slotSize:]} {
		if slot, ok := decodeSlot(s); ok && slot.seq > m.seq {
			m = slot
		}
	}
	return m
}

// save ignores errors: on a full disk the old slots stay, and the message is
// about to be refused anyway.
func (c *countFile) save(m mark) {
	b := encodeSlot(m)
	_, _ = c.f.WriteAt(b[:], int64(m.seq%2)*slotSize)
}

func (c *countFile) close() error { return c.f.Close() }

func encodeSlot(m mark) (b [slotSize]byte) {
	binary.LittleEndian.PutUint64(b[0:], m.seq)
	binary.LittleEndian.PutUint64(b[8:], uint64(m.events))
	binary.LittleEndian.PutUint64(b[16:], uint64(m.bytes))
	binary.LittleEndian.PutUint64(b[24:], 1<<32|uint64(crc32.ChecksumIEEE(b[:24])))
	return b
}

func decodeSlot(b []byte) (mark, bool) {
	if binary.LittleEndian.Uint64(b[24:]) != 1<<32|uint64(crc32.ChecksumIEEE(b[:24])) {
		return mark{}, false
	}
	return mark{
		seq:    binary.LittleEndian.Uint64(b[0:]),
		events: int64(binary.LittleEndian.Uint64(b[8:])),
		bytes:  int64(binary.LittleEndian.Uint64(b[16:])),
	}, true
}

// removeCountFile forgets a topic that is gone.
func removeCountFile(dir, topic string) { _ = os.Remove(filepath.Join(dir, topic)) }
