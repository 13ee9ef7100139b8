package jetstream

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// sweep removes what every group of a topic has settled, many messages at once.
//
// The last settlement of a message makes the server remove it, for which it writes a record to the
// file that it also appends new messages to, and with SyncAlways waits for the disk: as long as
// storing a message takes. So the last settlement waits here for a moment instead, and one purge up
// to a sequence number stands for all of them. What waits when the process dies is handed
// out again, as are the settlements that the server itself has not written yet.
//
// Only messages whose settlement by every group this process has seen itself are purged, and only
// when nothing else is stored in front of them. Everything else is settled one by one.
//
// It is safe for concurrent use.
type sweep struct {
	b *Bus
	t *topic

	flushing sync.Mutex // held by flush; guards what follows
	gone     uint64     // nothing is stored up to here
	single   map[uint64]struct{}
	asked    time.Time // when the server said last where the stream begins
	stream   jetstream.Stream

	mu     sync.Mutex // guards what follows
	ways   map[uint64][]way
	newest uint64      // was left for the next flush once already
	timer  *time.Timer // nil when it does not run
}

const (
	sweepEvery = 50 * time.Millisecond
	// sweepMost is how many messages wait, at most. It is far below the windows for
	// which settlements wait at all, because they count for them at the server.
	sweepMost  = 256
	sweepLeast = 4 // messages that are worth a purge
	// sweepSingle bounds what is remembered of messages that were settled one by one.
	sweepSingle = 8192
)

func newSweep(b *Bus, t *topic) *sweep {
	return &sweep{b: b, t: t, ways: make(map[uint64][]way), single: make(map[uint64]struct{})}
}

// take leaves the settlement of a message by the group of c to the sweep if it is the last
// one that is missing; otherwise it reports false. The position of c has it already.
func (s *sweep) take(c *cursor, seq uint64, w way) bool {
	if c.live == nil || c.live.window.Messages < 4*sweepMost {
		return false
	}
	for _, p := range *s.t.positions.Load() {
		if p != c.pos && !p.hasSettled(seq) {
			return false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ways[seq] = append(s.ways[seq], w)
	switch {
	case s.timer == nil:
		s.timer = time.AfterFunc(sweepEvery, s.flush)
	case len(s.ways) == sweepMost:
		s.timer.Reset(0)
	}
	return true
}

// flush settles with the server what waits. Of a busy topic the newest message is left: a stream
// that becomes empty starts a new file with the next one.
func (s *sweep) flush() { s.settleWaiting(false) }

// finish is flush that leaves nothing.
func (s *sweep) finish() { s.settleWaiting(true) }

func (s *sweep) settleWaiting(all bool) {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.mu.Lock()
	ways := s.ways
	s.ways = make(map[uint64][]way)
	s.timer = nil
	if last := s.t.last().seq; !all && ways[last] != nil && s.newest != last {
		s.ways[last] = ways[last]
		delete(ways, last)
		s.newest = last
		s.timer = time.AfterFunc(sweepEvery, s.flush)
	}
	s.mu.Unlock()
	s.settle(ways)
}

func (s *sweep) settle(ways map[uint64][]way) {
	if len(ways) == 0 {
		return
	}
	to, n := s.run(ways)
	if n < sweepLeast && len(ways) >= sweepLeast && s.ask() {
		to, n = s.run(ways)
	}
	if n >= sweepLeast && s.purge(to) {
		for seq := range ways {
			if seq <= to {
				delete(ways, seq)
			}
		}
	}
	for seq, list := range ways {
		for _, w := range list {
			_ = s.b.nc.Publish(string(w), answerAck)
		}
		s.single[seq] = struct{}{}
	}
	for s.gone < to {
		s.gone++
		delete(s.single, s.gone)
	}
	if len(s.single) > sweepSingle {
		s.ask()
	}
}

// run returns how far nothing is stored but what is in ways, and how many messages those are.
func (s *sweep) run(ways map[uint64][]way) (to uint64, n int) {
	for to = s.gone; ; to++ {
		if ways[to+1] != nil {
			n++
		} else if _, ok := s.single[to+1]; !ok {
			return to, n
		}
	}
}

// ask learns from the server where the stream begins, once a second at most.
func (s *sweep) ask() bool {
	if time.Since(s.asked) < time.Second {
		return false
	}
	s.asked = time.Now()
	ctx, cancel := context.WithTimeout(s.b.ctx, publishTimeout)
	defer cancel()
	stream, err := s.b.js.Stream(ctx, s.t.stream)
	if err != nil {
		return false
	}
	s.stream = stream
	if first := stream.CachedInfo().State.FirstSeq; first > s.gone+1 {
		s.gone = first - 1
	}
	for seq := range s.single {
		if seq <= s.gone || len(s.single) > sweepSingle { // what is forgotten only makes later purges smaller
			delete(s.single, seq)
		}
	}
	return true
}

// purge removes everything up to to, which is settled.
func (s *sweep) purge(to uint64) bool {
	if !s.b.roomToPurge() {
		return false
	}
	ctx, cancel := context.WithTimeout(s.b.ctx, publishTimeout)
	defer cancel()
	if s.stream == nil {
		var err error
		if s.stream, err = s.b.js.Stream(ctx, s.t.stream); err != nil {
			return false
		}
	}
	return s.stream.Purge(ctx, jetstream.WithPurgeSequence(to+1)) == nil
}
