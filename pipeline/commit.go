package pipeline

import (
	"errors"
	"fmt"
	"runtime"
	"time"

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
		var ok bool
		if batch, ok = p.queue.take(batch[:0]); !ok {
			return
		}
		size := 0
		for _, it := range batch {
			size += len(it.json) + 1
		}
		payload := make([]byte, 0, size)
		for _, it := range batch {
			payload = append(append(payload, it.json...), '\n')
		}
		err := pub.Publish(TopicEvents, newMessage(payload, len(batch), contentTypeEvents))
		reason := sidetrack.ReasonUnavailable
		if err != nil {
			if errors.Is(err, bus.ErrFull) {
				reason = sidetrack.ReasonOverloaded
			}
			err = fmt.Errorf("%w: %w", sidetrack.ErrUnavailable, err)
			p.tally.add(Refused, reason, int64(len(batch)))
		} else {
			p.tally.add(Accepted, "", int64(len(batch)))
		}
		state.report(p.log, err, "storing events fails: they are refused until it works again", "storing events works again")
		p.queue.committed(batch)
		for _, it := range batch {
			if it.wait != nil {
				it.wait.settle(it.index, reason, err)
			}
			p.queue.release(it)
		}
	}
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
