package pipeline

import (
	"container/heap"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/sidetrack-go/sidetrack/bus"
)

// retryMaxBytes bounds the retry topic of one sink.
const retryMaxBytes = 64 << 20

// retryWindow bounds how many isolated units wait in memory for their next attempt.
var retryWindow = bus.Window{Messages: 256, Bytes: 2 << 20}

// waiting holds units until they are due, soonest first.
type waiting []*unit

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].due.Before(w[j].due) }
func (w waiting) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }
func (w *waiting) Push(x any)        { *w = append(*w, x.(*unit)) }
func (w *waiting) Pop() any {
	old := *w
	u := old[len(old)-1]
	old[len(old)-1] = nil
	*w = old[:len(old)-1]
	return u
}

func (w *waiting) add(u *unit) { heap.Push(w, u) }

// due reports whether a unit is ready.
func (w waiting) due(now time.Time) bool { return len(w) > 0 && !w[0].due.After(now) }

// ready takes the unit that has waited longest past its time; nil when none is due.
func (w *waiting) ready(now time.Time) *unit {
	if !w.due(now) {
		return nil
	}
	return heap.Pop(w).(*unit)
}

// takeOldest takes the unit that failed first, of those that shed may end; nil when there is none.
func (w *waiting) takeOldest() *unit {
	best := -1
	for i, u := range *w {
		if u.dead == nil && !u.isolated && (best < 0 || u.firstFail.Before((*w)[best].firstFail)) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	return heap.Remove(w, best).(*unit)
}

// release makes everything due soon, spread a little, once a backend has come back.
func (w *waiting) release(now time.Time) {
	for _, u := range *w {
		if at := now.Add(rand.N(time.Second)); u.due.After(at) && !u.suspect {
			u.due = at
		}
	}
	heap.Init(w)
}

// pause returns how long to wait after the given number of failures: exponential from
// MinBackoff with jitter, at most MaxBackoff.
func (d *Delivery) pause(failures int) time.Duration {
	b := backoff.ExponentialBackOff{
		InitialInterval:     d.MinBackoff,
		RandomizationFactor: 0.3,
		Multiplier:          2,
		MaxInterval:         d.MaxBackoff,
	}
	b.Reset()
	pause := d.MinBackoff
	for range min(max(1, failures), 40) {
		pause = b.NextBackOff()
	}
	return min(pause, d.MaxBackoff)
}

// shelve stores a unit on the sink's retry topic, to be attempted again not before u.due. Only
// when it returns nil may the unit's messages be acked.
func (s *sink) shelve(u *unit) error {
	var payload []byte
	var since time.Time
	for _, it := range u.items {
		payload = append(append(payload, it.line...), '\n')
		if it.from.since.After(since) {
			since = it.from.since
		}
	}
	m := newMessage(payload, len(u.items), contentTypeEvents)
	m.Metadata[metaAttempt] = strconv.Itoa(u.attempts)
	wait := max(0, time.Until(u.due))
	m.Metadata[metaNotBefore] = millis(s.p.cfg.Now().Add(wait))
	m.Metadata[metaWait] = strconv.FormatInt(wait.Milliseconds(), 10)
	m.Metadata[metaFirstFail] = millis(u.firstFail)
	if !since.IsZero() {
		m.Metadata[metaReplayed] = millis(since)
	}
	return s.p.cfg.Bus.Publisher().Publish(TopicRetry(s.name), m)
}

// handOver moves what is left of messages that are settled in part to the retry topic and acks
// them: given back as they are, they would repeat what was delivered. The loop has ended
// but for this. What cannot be stored is given back after all.
func (w *window) handOver() {
	left := map[*entry][]item{}
	take := func(u *unit) {
		for _, it := range u.items {
			if it.from.left < it.from.total {
				left[it.from] = append(left[it.from], it)
			}
		}
	}
	for _, u := range w.now {
		take(u)
	}
	for _, u := range w.later {
		take(u)
	}
	for u := w.former.next(); u != nil; u = w.former.next() {
		take(u)
	}
	var payload []byte
	var events int
	var since time.Time
	var moved []*entry
	flush := func() bool {
		if len(moved) == 0 {
			return true
		}
		m := newMessage(payload, events, contentTypeEvents)
		if !since.IsZero() {
			m.Metadata[metaReplayed] = millis(since)
		}
		if err := w.s.p.cfg.Bus.Publisher().Publish(TopicRetry(w.s.name), m); err != nil {
			w.s.log.Warn("the rest of messages cannot be stored by itself: some deliveries will be repeated", "error", err)
			return false
		}
		for _, en := range moved {
			w.ack(en)
		}
		payload, events, since, moved = nil, 0, time.Time{}, nil
		return true
	}
	for en, items := range left {
		if len(items) != en.left {
			continue // an attempt was abandoned: nobody knows how it ends
		}
		size := 0
		for _, it := range items {
			size += len(it.line) + 1
		}
		if (events+len(items) > maxBatchEvents || len(payload)+size > maxBatchBytes) && !flush() {
			return
		}
		for _, it := range items {
			payload = append(append(payload, it.line...), '\n')
		}
		events += len(items)
		if en.since.After(since) {
			since = en.since
		}
		moved = append(moved, en)
	}
	flush()
}
