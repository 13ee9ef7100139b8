package pipeline

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/sony/gobreaker/v2"

	"github.com/sidetrack-go/sidetrack"
)

// window is the state of one sink's loop: the messages it holds, the units made of
// their events, and what is in flight. Only the loop's goroutine touches it; attempts
// and writes to the bus run in goroutines of their own and report through results.
type window struct {
	s      *sink
	former *former
	now    []*unit // to be attempted before anything else: halves of a split unit
	later  waiting

	inFlight int // attempts
	aside    int // dead letters and retries being written to the bus
	results  chan result

	shedding shedding
	swept    time.Time // when sweep looked last

	pauseUntil time.Time // throttled or misconfigured
	slowUntil  time.Time // over the rate; zero: not
	probing    bool      // after a pause one attempt at a time, until one succeeds
	pauses     int       // in a row
	succeeded  time.Time // last success

	held    map[string]*entry // by message id
	settled recent            // ids of messages acked lately

	attempts context.Context
	cancel   context.CancelFunc // of attempts
	unsub    context.CancelFunc
	timer    *time.Timer
	log      logState
	said     map[sidetrack.Reason]*saidDead
}

// result is the end of an attempt or, when kind says so, of a write to the bus.
type result struct {
	kind   resultKind
	unit   *unit
	at     time.Time   // when the attempt began
	answer answer      // of an attempt
	err    error       // of a write to the bus
	done   func(error) // tells the breaker
}

type resultKind uint8

const (
	resultAttempt resultKind = iota
	resultBuried
	resultShelved
)

func newWindow(s *sink, unsub context.CancelFunc) *window {
	ctx, cancel := context.WithCancel(context.Background())
	return &window{
		s:        s,
		former:   newFormer(s.spec, s.cfg.Delivery.Rate),
		results:  make(chan result, s.cfg.Delivery.Concurrency),
		held:     map[string]*entry{},
		said:     map[sidetrack.Reason]*saidDead{},
		settled:  recent{limit: 2 * s.cfg.Delivery.Window.Messages},
		attempts: ctx,
		cancel:   cancel,
		unsub:    unsub,
		timer:    time.NewTimer(time.Hour),
	}
}

// run is the loop. It ends by stop alone; a subscriber that closes its channel by
// itself leaves the loop to finish what it holds.
func (w *window) run(fresh, stubborn <-chan *message.Message) {
	defer w.cancel()
	defer w.timer.Stop()
	for {
		w.dispatch(time.Now())
		select {
		case m, ok := <-fresh:
			if !ok {
				fresh = nil
				continue
			}
			w.admit(m, false)
		case m, ok := <-stubborn:
			if !ok {
				stubborn = nil
				continue
			}
			w.admit(m, true)
		case r := <-w.results:
			w.settle(r)
		case r := <-w.s.relief:
			w.relieve(r)
		case <-w.timer.C:
		case deadline := <-w.s.stopping:
			w.finish(deadline)
			return
		}
	}
}

// dispatch starts attempts as far as concurrency, pauses and the breaker allow, and
// sets the timer for what becomes possible later.
func (w *window) dispatch(now time.Time) {
	if w.shedding.left != (relief{}) {
		w.shed()
	}
	w.sweep(now)
	limit := w.s.cfg.Delivery.Concurrency
	if w.probing {
		limit = 1
	}
	var slow time.Time
	for w.inFlight < limit && !now.Before(w.pauseUntil) {
		if len(w.now) == 0 && w.former.count > 0 && !w.later.due(now) {
			if wait := w.s.room(now); wait > 0 {
				slow = now.Add(wait)
				break
			}
		}
		u := w.next(now)
		if u == nil {
			break
		}
		if u.dead != nil {
			w.bury(u)
			continue
		}
		at := w.s.p.cfg.Now()
		if u = w.expire(u, at); u == nil {
			continue
		}
		if u = w.withhold(u); u == nil {
			continue
		}
		u = w.splitAge(u, at)
		wait, giveBack := w.s.allow(u, now)
		if wait > 0 {
			slow = now.Add(wait)
			w.now = append([]*unit{u}, w.now...)
			break
		}
		done, err := w.s.breaker.Allow()
		if err != nil {
			giveBack()
			w.now = append([]*unit{u}, w.now...)
			break
		}
		w.launch(u, now, at, done)
	}
	w.slow(slow, now)
	w.arm(now)
}

// next chooses the unit to attempt: units of healthy events first where the breaker
// wants a probe, and at every other probe after a pause, else the oldest first.
func (w *window) next(now time.Time) *unit {
	if len(w.now) > 0 {
		u := w.now[0]
		w.now[0] = nil
		w.now = w.now[1:]
		return u
	}
	if w.former.count > 0 && (w.s.breaker.State() == gobreaker.StateHalfOpen || w.probing && w.pauses%2 == 0) {
		return w.former.next()
	}
	if u := w.later.ready(now); u != nil {
		return u
	}
	return w.former.next()
}

// launch attempts u. at is the wall clock's now.
func (w *window) launch(u *unit, now, at time.Time, done func(error)) {
	u.identify(w.s.space)
	w.inFlight++
	view := u.view(at)
	go func() {
		began := time.Now()
		a := w.s.attempt(w.attempts, view)
		if observe := w.s.p.cfg.ObserveAttempt; observe != nil {
			observe(Attempt{Sink: w.s.name, Outcome: a.outcome(), Status: a.status, Events: len(view.Events), Took: time.Since(began)})
		}
		w.results <- result{unit: u, at: now, answer: a, done: done}
	}()
}

// arm sets the timer to the next moment at which dispatch could do more.
func (w *window) arm(now time.Time) {
	wake := now.Add(time.Hour)
	if len(w.later) > 0 && w.later[0].due.After(now) {
		wake = w.later[0].due
	}
	if len(w.now)+len(w.later)+w.former.count > 0 {
		if w.s.breaker.State() == gobreaker.StateOpen {
			wake = w.s.opened.Add(w.s.cfg.Delivery.Breaker.Pause + time.Millisecond)
		}
		if w.slowUntil.After(now) {
			wake = w.slowUntil
		}
		if w.pauseUntil.After(now) {
			wake = w.pauseUntil
		}
		if next := w.swept.Add(sweepEvery); next.Before(wake) {
			wake = next
		}
	}
	w.timer.Reset(max(time.Millisecond, wake.Sub(now)))
}

// withhold settles the events of u whose visitors have withdrawn since they passed the gate and returns
// the rest, nil when none is left.
func (w *window) withhold(u *unit) *unit {
	list := &w.s.p.suppressed
	if list.count.Load() == 0 {
		return u
	}
	version := list.version.Load()
	if u.gate == version {
		return u
	}
	u.gate = version
	rest := u.only(func(i int) bool { return !list.covers(u.items[i].event) })
	if len(rest.items) == len(u.items) {
		return u
	}
	for _, it := range u.items {
		if list.covers(it.event) {
			w.end(it, Withheld, sidetrack.ReasonSuppressed, nil)
		}
	}
	if len(rest.items) == 0 {
		return nil
	}
	return rest
}

// splitAge returns the events of u that are of one age with its first, as far as the backend tells ages apart, and puts the
// others first in line. Ages change between attempts, so that each attempt asks anew.
func (w *window) splitAge(u *unit, at time.Time) *unit {
	ages := w.s.spec.SplitAge
	if len(ages) == 0 || len(u.items) < 2 {
		return u
	}
	band := func(i int) (n int) {
		for _, a := range ages {
			if at.Sub(u.items[i].event.Time) >= a {
				n++
			}
		}
		return n
	}
	first := band(0)
	rest := u.only(func(i int) bool { return band(i) != first })
	if len(rest.items) == 0 {
		return u
	}
	w.now = append([]*unit{rest}, w.now...)
	return u.only(func(i int) bool { return band(i) == first })
}

// expire settles the events of u that are too old by the wall clock and returns the rest, nil when
// none is left.
func (w *window) expire(u *unit, now time.Time) *unit {
	n := 0
	for i := range u.items {
		if w.s.tooOld(&u.items[i], now) {
			n++
		}
	}
	if n == 0 {
		return u
	}
	old := u.only(func(i int) bool { return w.s.tooOld(&u.items[i], now) })
	w.expireUnit(old, sidetrack.ReasonMaxAge)
	if n == len(u.items) {
		return nil
	}
	return u.only(func(i int) bool { return !w.s.tooOld(&u.items[i], now) })
}

func (s *sink) tooOld(it *item, now time.Time) bool {
	since := it.from.since
	if since.IsZero() {
		since = it.event.Received
	}
	return now.Sub(since) > s.cfg.Delivery.MaxAge ||
		s.spec.MaxAge > 0 && now.Sub(it.event.Time) > s.spec.MaxAge
}

// end settles one event in a column of the ledger and acks its message with the last one.
func (w *window) end(it item, c Column, r sidetrack.Reason, err error) {
	w.s.tally.add(c, r, 1)
	w.s.observe(it.event, c, r, err)
	w.leave(it)
}

// leave lets go of an event's message, which is acked with its last event.
func (w *window) leave(it item) {
	it.from.left--
	if it.from.left == 0 {
		w.ack(it.from)
	}
}

func (w *window) ack(en *entry) {
	delete(w.held, en.msg.UUID)
	w.settled.add(en.msg.UUID)
	en.msg.Ack()
}

func (s *sink) observe(e *sidetrack.Event, c Column, r sidetrack.Reason, err error) {
	if s.p.cfg.Observe != nil {
		s.p.observe(Fate{Event: e, Sink: s.name, Column: c, Reason: r, Err: err})
	}
}

// finish waits for what is in flight, at most until deadline, and hands over what is left of
// messages that are settled in part. Messages that are still held then are given back by closing
// the subscribers.
func (w *window) finish(deadline time.Time) {
	w.settleFlight(deadline)
	if w.s.p.cfg.Bus.Durable() {
		w.handOver()
	}
}

func (w *window) settleFlight(deadline time.Time) {
	w.unsub()
	grace := time.After(max(0, time.Until(deadline)))
	for w.inFlight+w.aside > 0 {
		select {
		case r := <-w.results:
			w.settle(r)
		case <-grace:
			w.cancel()
			// A component that does not heed its context is left behind.
			last := time.After(lastGrace)
			for w.inFlight+w.aside > 0 {
				select {
				case r := <-w.results:
					w.settle(r)
				case <-last:
					w.s.log.Warn("an attempt did not end when told to: abandoned", "attempts", w.inFlight)
					w.abandon()
					return
				}
			}
		}
	}
}

// lastGrace is how long cancelled attempts get to return.
const lastGrace = time.Second

// abandon lets attempts that may still end later write their results to nowhere.
func (w *window) abandon() {
	n := w.inFlight + w.aside
	go func() {
		for range n {
			<-w.results
		}
	}()
	w.inFlight, w.aside = 0, 0
}

// recent remembers the last ids it was given, up to limit.
type recent struct {
	limit int
	ids   map[string]struct{}
	order fifo[string]
}

func (r *recent) add(id string) {
	if r.ids == nil {
		r.ids = map[string]struct{}{}
	}
	r.ids[id] = struct{}{}
	r.order.push(id)
	if r.order.len() > r.limit {
		delete(r.ids, r.order.pop())
	}
}

func (r *recent) has(id string) bool {
	_, ok := r.ids[id]
	return ok
}
