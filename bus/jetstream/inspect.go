package jetstream

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// The server starts on a damaged store without many words: it leaves out a cursor that it cannot
// read, and then removes the messages that only this cursor still had a claim to; and it cuts a file of
// messages off at the first one that it cannot read. The first is found here before the server
// starts, the second by what the bus itself has noted of the end of each topic.

// inspectCursors looks at the files of all cursors below the directory of a server that is not
// running. A position that cannot be read is moved aside: the group gets everything again that is
// still stored. A cursor that cannot be read at all is an error.
func (e *embedded) inspectCursors() error {
	dirs, err := filepath.Glob(filepath.Join(globEscape(e.cfg.DataDir), "jetstream", "*", "streams", "*", "obs", "*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		if stream := filepath.Base(filepath.Dir(filepath.Dir(dir))); strings.HasPrefix(stream, ".") {
			continue // deleted, and the server did not live to remove it
		}
		errs = append(errs, checkCursorConfig(dir))
		state := filepath.Join(dir, "o.dat")
		b, err := os.ReadFile(state)
		if errors.Is(err, os.ErrNotExist) || err == nil && readableCursor(b) {
			continue
		}
		if err == nil {
			err = os.Rename(state, state+".damaged")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("position of a group: %w", err))
			continue
		}
		e.cfg.Logger.Error("the position of a group is damaged: it gets everything again that is still stored", "file", state, "moved_to", state+".damaged")
	}
	return errors.Join(errs...)
}

func checkCursorConfig(dir string) error {
	file := filepath.Join(dir, "meta.inf")
	b, err := os.ReadFile(file)
	if err == nil {
		var v map[string]any
		err = json.Unmarshal(b, &v)
	}
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "meta.sum"))
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s is damaged (%w): starting would drop what waits for group %s; "+
		"restore the file from a backup, or give up what waits by removing the directory %s", file, err, filepath.Base(dir), dir)
}

// readableCursor reports whether b begins like a saved position: magic, version, and four numbers.
func readableCursor(b []byte) bool {
	const magic = 22
	if len(b) < 2 || b[0] != magic || b[1] < 1 || b[1] > 2 {
		// A newer version of the server may write what this one does not know; it says so itself.
		return len(b) >= 2 && b[0] == magic
	}
	b = b[2:]
	for range 4 {
		_, n := binary.Uvarint(b)
		if n <= 0 {
			return false
		}
		b = b[n:]
	}
	return true
}

// globEscape makes a path that stands for itself in a pattern.
func globEscape(path string) string {
	out := make([]byte, 0, len(path))
	for i := range len(path) {
		switch path[i] {
		case '*', '?', '[', '\\':
			out = append(out, '\\')
		}
		out = append(out, path[i])
	}
	return string(out)
}

// inspectEnd compares the end of a topic with what was noted before each message was stored. When
// messages are missing there it says so, and makes all groups begin with what is left: their
// positions may lie behind the new end, or in the middle of what is stored again under old numbers.
func (b *Bus) inspectEnd(ctx context.Context, t *topic, groups []string) error {
	file, ok := t.counts.(*countFile)
	if !ok {
		return nil
	}
	end, noted := t.last(), file.newest()
	if noted.seq == 0 || end.seq+1 >= noted.seq { // the newest one may have been noted and not stored
		return nil
	}
	dir := filepath.Join(b.node.cfg.DataDir, "jetstream")
	b.log.Error("files of the store are damaged: messages are lost at the end of a topic",
		"stream", t.stream, "dir", dir, "lost_messages", noted.seq-end.seq, "lost_events", max(noted.events-end.events, 0), // the last one may not have been answered
		"way_out", "what could be read goes on; to get the lost events, restore the directory from a backup and start again")
	s, err := b.js.Stream(ctx, t.stream)
	if err != nil {
		return err
	}
	state := s.CachedInfo().State
	first := state.FirstSeq
	if state.Msgs == 0 {
		// Sequence numbers begin again where they were, counts do not.
		t.setLast(mark{end.seq, max(end.events, noted.events), max(end.bytes, noted.bytes)})
		first = state.LastSeq + 1
	}
	for _, g := range groups {
		_, err := b.js.ResetConsumerToSequence(ctx, t.stream, g, first)
		if errors.Is(err, jetstream.ErrConsumerInvalidReset) {
			continue // the group begins behind it
		}
		if err != nil {
			return fmt.Errorf("group %s: reset: %w", g, err)
		}
	}
	return nil
}
