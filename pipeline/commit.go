package pipeline

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
)

// commit is the group commit: it publishes whatever is queued as one message, and
// while that is being stored the next batch gathers. There is no linger timer: a
// lone event waits for nobody, and under load batches grow by themselves.
func (p *Pipeline) commit() {
	defer close(p.committed)
	pub := p.cfg.Bus.Publisher()
	var state logState
	var batch []*encoded
	for {
		// Let everybody who is about to queue an event do so first: where storing takes no
		// time, nothing else would make batches grow under load.
		runtime.Gosched()
		p.gather(len(batch))
		var ok bool
		if batch, ok = p.queue.take(batch[:0]); !ok {
			return
		}
		m := p.message(batch)
		err := pub.Publish(TopicEvents, m)
		if errors.Is(err, bus.ErrFull) {
			err = p.publishFull(pub, m, err)
		}
		reason := sidetrack.ReasonUnavailable
		if err != nil {
			if errors.Is(err, bus.ErrFull) {
				reason = sidetrack.ReasonOverloaded
			}
			err = fmt.Errorf("%w: %w", sidetrack.ErrUnavailable, err)
			p.batches.forget(m.UUID) // the events are their owners' again
			p.tally.add(Refused, reason, int64(len(batch)))
		} else {
			p.tally.add(Accepted, "", int64(len(batch)))
		}
		state.report(p.log, err, "storing events fails: they are refused until it works again", "storing events works again")
		p.queue.committed(batch)
		for _, it := range batch {
			p.settleClaim(it.claim, reason, err)
			if it.wait != nil {
				it.wait.settle(it.index, reason, err)
			}
			p.queue.release(it)
		}
	}
}

// gather waits a moment for more events where the last commit had many and few are queued: those that
// got their answer together are about to come again together, and one commit for all of them costs
// half of two. It does not wait for anybody while the load is low.
func (p *Pipeline) gather(last int) {
	const rounds, pause = 4, 50 * time.Microsecond
	for range rounds {
		if last < 8 || p.queue.waiting() >= min(last/2, maxBatchEvents/2) {
			return
		}
		time.Sleep(pause)
	}
}

// message makes the message of a batch. Where it can, it spares the sinks decoding it.
func (p *Pipeline) message(items []*encoded) *message.Message {
	size, exact := 0, true
	for _, it := range items {
		size += len(it.json) + 1
		exact = exact && it.event != nil
	}
	payload := make([]byte, 0, size)
	for _, it := range items {
		payload = append(append(payload, it.json...), '\n')
	}
	m := newMessage(payload, len(items), contentTypeEvents)
	if exact {
		p.batches.put(m, items)
	}
	return m
}

// logState logs a condition when it begins, when its text changes, and when it ends: not at every event.
type logState struct {
	last  string
	since time.Time
	count int
}

type logger interface {
	Error(msg string, args ...any)
	Info(msg string, args ...any)
}

func (s *logState) report(log logger, err error, bad, good string, args ...any) {
	switch {
	case err == nil && s.last == "":
	case err == nil:
		log.Info(good, append(args, "failures", s.count, "after", time.Since(s.since).Round(time.Millisecond))...)
		*s = logState{}
	default:
		if s.last == "" {
			s.since = time.Now()
		}
		s.count++
		if text := err.Error(); text != s.last {
			s.last = text
			log.Error(bad, append(args, "error", text)...)
		}
	}
}
