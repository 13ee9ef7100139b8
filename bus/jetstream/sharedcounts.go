package jetstream

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// saveEvery bounds how often a process writes a topic's counts to a cluster.
const saveEvery = 250 * time.Millisecond

// sharedCounts keeps the counts of a cluster's topic in a stream of their own,
// the newest per topic. They are written a few times a second without waiting,
// so that after a crash the counts of an empty topic may be a moment old.
//
// Its user, who has the topic's turn, calls one method at a time.
type sharedCounts struct {
	nc            *nats.Conn
	js            jetstream.JetStream
	stream, topic string

	saved time.Time
	late  mark // not written yet
}

func (c *sharedCounts) load(seq uint64) (mark, bool) {
	if c.late.seq == seq && seq > 0 {
		return c.late, true
	}
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	s, err := c.js.Stream(ctx, c.stream)
	if err != nil {
		return mark{seq: seq}, seq == 0
	}
	raw, err := s.GetLastMsgForSubject(ctx, c.subject())
	if err != nil || len(raw.Data) != slotSize {
		return mark{seq: seq}, seq == 0
	}
	m, ok := decodeSlot(raw.Data)
	exact := ok && m.seq == seq || seq == 0
	m.seq = seq
	return m, exact
}

func (c *sharedCounts) save(m mark) {
	c.late = m
	if now := time.Now(); now.Sub(c.saved) >= saveEvery {
		c.saved = now
		c.write()
	}
}

func (c *sharedCounts) write() {
	if b := encodeSlot(c.late); c.late.seq > 0 && c.nc.IsConnected() {
		_ = c.nc.Publish(c.subject(), b[:])
	}
}

func (c *sharedCounts) close() error {
	c.write()
	return nil
}

func (c *sharedCounts) subject() string { return c.stream + "." + c.topic }
