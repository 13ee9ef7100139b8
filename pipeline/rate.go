package pipeline

import (
	"errors"
	"math"
	"time"

	"golang.org/x/time/rate"

	"github.com/sidetrack-go/sidetrack"
)

// Rate bounds how fast a sink sends. What is over it waits, on the bus for the most part, and holds up no other sink.
// The zero value is no bound.
type Rate struct {
	PerSecond float64 // requests, or units of a writer
	Burst     int     // that may go at once after a pause; zero: what a second allows, and 1 at least
	Events    bool    // PerSecond and Burst count events instead; a unit then has no more of them than Burst
}

func (r Rate) check() error {
	switch {
	case r.PerSecond < 0 || math.IsNaN(r.PerSecond) || math.IsInf(r.PerSecond, 0):
		return errors.New("rate must be a number above 0")
	case r.Burst < 0:
		return errors.New("burst must not be negative")
	case r.PerSecond == 0 && (r.Burst > 0 || r.Events):
		return errors.New("burst needs a rate")
	}
	return nil
}

// complete gives Burst its default. A sink that packs many events into a request gets no smaller ones for it: events have
// its MaxEvents at least.
func (r *Rate) complete(spec sidetrack.SinkSpec) {
	if r.PerSecond == 0 || r.Burst > 0 {
		return
	}
	r.Burst = max(1, int(min(r.PerSecond, 1e6)))
	if r.Events {
		r.Burst = max(r.Burst, spec.MaxEvents)
	}
}

func (r Rate) limiter() *rate.Limiter {
	if r.PerSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(r.PerSecond), r.Burst)
}

// allow takes the unit's share of the rate, or says until when it must wait. giveBack is for an attempt that is not made.
func (s *sink) allow(u *unit, now time.Time) (wait time.Duration, giveBack func()) {
	if s.limiter == nil {
		return 0, func() {}
	}
	n := 1
	if s.cfg.Delivery.Rate.Events {
		n = min(len(u.items), s.cfg.Delivery.Rate.Burst)
	}
	r := s.limiter.ReserveN(now, n)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait, func() { r.CancelAt(now) }
}

// room reports whether a new unit is worth making now. One that is made only when it may go gathers more events meanwhile.
func (s *sink) room(now time.Time) time.Duration {
	if s.limiter == nil || s.cfg.Delivery.Rate.Events {
		return 0
	}
	wait, giveBack := s.allow(nil, now)
	if wait == 0 {
		giveBack()
	}
	return wait
}

// slow notes that nothing goes before until because of the rate, or with zero that something could.
func (w *window) slow(until, now time.Time) {
	w.slowUntil = until
	switch since := w.s.slowSince.Load(); {
	case until.IsZero() && since != 0:
		w.s.slowed.Add(now.UnixNano() - since)
		w.s.slowSince.Store(0)
	case !until.IsZero() && since == 0:
		w.s.slowSince.Store(now.UnixNano())
	}
}

// rateWait is how long the sink has waited for its rate alone.
func (s *sink) rateWait(now time.Time) time.Duration {
	d := s.slowed.Load()
	if since := s.slowSince.Load(); since != 0 {
		d += max(0, now.UnixNano()-since)
	}
	return time.Duration(d)
}
