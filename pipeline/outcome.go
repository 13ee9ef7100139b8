package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
)

// settle takes the end of an attempt, or of a write to the bus, into the window.
func (w *window) settle(r result) {
	if r.kind != resultAttempt {
		w.aside--
		w.written(r)
		return
	}
	w.inFlight--
	u, now, err := r.unit, time.Now(), r.answer.err
	u.status = r.answer.status
	if len(r.answer.out) > 0 {
		if u = w.leaveOut(u, r.answer.out, now); u == nil {
			r.done(errNoVerdict)
			return
		}
	}
	class, after := sidetrack.ClassOf(err)
	canceled := errors.Is(err, context.Canceled) && w.attempts.Err() != nil
	_, isUnclear := errors.AsType[*sidetrack.UnclearError](err)
	partial, isPartial := errors.AsType[*sidetrack.PartialError](err)
	switch {
	case err == nil:
		r.done(nil)
		w.note(r.answer.notes)
		w.delivered(u, now)
	case canceled:
		r.done(errNoVerdict) // a shutdown: the bus keeps it
		w.now = append(w.now, u)
	case errors.Is(err, errUnbuildable), errors.Is(err, errTooLarge):
		r.done(errNoVerdict)
		w.failed(u, err, now)
		w.isolate(u, sidetrack.ReasonUnbuildable)
	case isPartial:
		r.done(nil)
		w.note(r.answer.notes)
		w.partial(u, partial, now)
	case isUnclear:
		r.done(nil)
		w.failed(u, err, now)
		u.dead = &verdictDead{reason: sidetrack.ReasonUnclear}
		w.bury(u)
	case class == sidetrack.Rejected:
		r.done(nil) // the backend is well, the unit is not
		w.failed(u, err, now)
		w.isolate(u, sidetrack.ReasonRejected)
	case class == sidetrack.Throttled:
		r.done(errNoVerdict)
		w.refused(u, conditionThrottled, after, err, now)
	case class == sidetrack.Misconfigured:
		r.done(errNoVerdict)
		w.refused(u, conditionMisconfigured, misconfiguredPause, err, now)
	default:
		w.failed(u, err, now)
		if u.suspect = u.suspect || w.succeeded.After(u.firstFail); u.suspect {
			r.done(errNoVerdict)
		} else {
			r.done(err)
		}
		w.retry(u, now)
	}
}

// leaveOut settles the events that the generator left out and returns the others, nil when
// there are none.
func (w *window) leaveOut(u *unit, out map[int]error, now time.Time) *unit {
	for i := range u.items {
		if out[i] == nil {
			continue
		}
		one := u.only(func(j int) bool { return i == j })
		w.failed(one, w.s.redact(out[i]), now)
		w.isolate(one, sidetrack.ReasonUnbuildable)
	}
	rest := u.only(func(i int) bool { return out[i] == nil })
	if len(rest.items) == 0 {
		return nil
	}
	return rest
}

// note counts what a request that arrived does not say as its events did.
func (w *window) note(notes []sidetrack.Note) {
	for _, n := range notes {
		w.s.tally.add(noted, n.Rule, 1)
	}
}

func (w *window) failed(u *unit, err error, now time.Time) {
	u.attempts++
	u.lastErr = err
	if u.firstFail.IsZero() {
		u.firstFail = now
	}
}

func (w *window) delivered(u *unit, now time.Time) {
	if s := w.s; s.condition.Load() != conditionOK {
		s.condition.Store(conditionOK)
		w.later.release(now)
	}
	w.log.report(w.s.log, nil, "", "delivering works again")
	w.s.failing.Store(false)
	w.succeeded, w.probing, w.pauses = now, false, 0
	w.s.tally.add(Delivered, "", int64(len(u.items)))
	for i := range u.items {
		w.s.observe(u.items[i].event, Delivered, "", nil)
		w.leave(u.items[i])
	}
}

// misconfiguredPause is how often a sink with wrong credentials or address is tried.
const misconfiguredPause = time.Minute

// pause stops the whole sink for a while, after which one attempt at a time probes. after 0: the
// engine's own backoff.
func (w *window) pause(condition string, after time.Duration, err error, now time.Time) {
	if now.Before(w.pauseUntil) && w.s.condition.Load() == condition && now.Add(after).Before(w.pauseUntil) {
		return // another attempt of the same moment has said so already
	}
	w.pauses++
	if after <= 0 {
		after = w.s.cfg.Delivery.pause(w.pauses)
	}
	w.pauseUntil, w.probing = now.Add(after), true
	w.s.condition.Store(condition)
	switch condition {
	case conditionMisconfigured:
		w.log.report(w.s.log, err, "the backend refuses this sink: check its address and credentials; events wait on the bus", "")
	default:
		w.s.log.Info("the backend asks to wait: events wait on the bus", "for", after)
	}
}

// refused pauses the sink because of an answer that speaks of the sink and not of the unit, which
// is kept. Where others have been taken since the unit was first answered like that, it is the unit
// after all: it goes the way of those that fail, and the sink goes on.
func (w *window) refused(u *unit, condition string, after time.Duration, err error, now time.Time) {
	w.failed(u, err, now)
	if u.suspect || w.succeeded.After(u.firstFail) {
		u.suspect = true
		w.retryAfter(u, after, now)
		return
	}
	w.pause(condition, after, err, now)
	u.due = w.pauseUntil
	w.later.add(u)
}

// retry decides when and how a unit that failed is attempted again.
func (w *window) retry(u *unit, now time.Time) { w.retryAfter(u, 0, now) }

// retryAfter is retry for a unit that is to wait for some time at least.
func (w *window) retryAfter(u *unit, after time.Duration, now time.Time) {
	d := &w.s.cfg.Delivery
	w.s.failing.Store(true)
	w.log.report(w.s.log, u.lastErr, "delivering fails: it is tried again", "", "attempt", u.attempts, "events", len(u.items))
	switch {
	case len(u.items) > 1 && u.suspect && u.attempts >= splitAfter:
		w.split(u)
		return
	case len(u.items) > 1 && u.attempts >= 2*splitAfter:
		w.split(u)
		return
	case u.isolated:
		u.due = now.Add(max(d.pause(u.attempts), d.Isolate, after))
		w.shelve(u)
		return
	case u.suspect && now.Sub(u.firstFail) > d.Isolate && w.succeeded.After(u.firstFail):
		u.due = now.Add(max(d.pause(u.attempts), after))
		w.s.log.Warn("one unit keeps failing while others succeed: moved to the retry topic",
			"event", u.items[0].event.ID, "attempts", u.attempts, "error", u.lastErr)
		w.shelve(u)
		return
	}
	u.due = now.Add(max(d.pause(u.attempts), after))
	w.later.add(u)
}

// splitAfter is how many failures of a unit of several events show that one of
// its events may be to blame, given that other units succeed; twice as many when
// none was seen to.
const splitAfter = 3

// split replaces a unit by its halves, which have one failure to go until they are split again.
func (w *window) split(u *unit) {
	a, b := u.halves()
	a.attempts, b.attempts = splitAfter-1, splitAfter-1
	w.now = append(w.now, a, b)
}

// isolate finds the events of a unit that can never be delivered: by halves, until
// one event is left, which becomes a dead letter unless the generator drops it on purpose.
func (w *window) isolate(u *unit, reason sidetrack.Reason) {
	if len(u.items) > 1 {
		a, b := u.halves()
		w.now = append(w.now, a, b)
		return
	}
	if why, ok := sidetrack.DropReason(u.lastErr); ok {
		w.end(u.items[0], Dropped, why, nil)
		return
	}
	u.dead = &verdictDead{reason: reason}
	w.bury(u)
}

// partial settles the events that were taken and treats each failure by its own class.
func (w *window) partial(u *unit, p *sidetrack.PartialError, now time.Time) {
	failed := maps.Clone(p.Failed)
	maps.DeleteFunc(failed, func(i int, err error) bool { return err == nil || i < 0 || i >= len(u.items) })
	ok := u.only(func(i int) bool { return failed[i] == nil })
	if len(ok.items) > 0 {
		w.delivered(ok, now)
	}
	for _, i := range slices.Sorted(maps.Keys(failed)) {
		one := u.only(func(j int) bool { return i == j })
		err := w.s.redact(failed[i])
		class, after := sidetrack.ClassOf(failed[i])
		switch class {
		case sidetrack.Rejected:
			w.failed(one, err, now)
			w.isolate(one, sidetrack.ReasonRejected)
		case sidetrack.Throttled:
			one.suspect = one.suspect || len(ok.items) > 0 // the backend takes others: it is this one that waits
			w.refused(one, conditionThrottled, after, err, now)
		case sidetrack.Misconfigured:
			one.suspect = one.suspect || len(ok.items) > 0
			w.refused(one, conditionMisconfigured, misconfiguredPause, err, now)
		default:
			w.failed(one, err, now)
			one.suspect = true
			w.retry(one, now)
		}
	}
}

// bury stores a dead letter in the background.
func (w *window) bury(u *unit) {
	if u.dead.raw == "" {
		if u = w.withhold(u); u == nil {
			return
		}
	}
	w.aside++
	d := u.deadLetter(w.s.name)
	go func() { w.results <- result{kind: resultBuried, unit: u, err: w.s.p.bury(d)} }()
}

func (w *window) shelve(u *unit) {
	w.aside++
	go func() { w.results <- result{kind: resultShelved, unit: u, err: w.s.shelve(u)} }()
}

// written takes the end of a write to the bus into the window. A failed one is
// tried again later: nothing is let go before it is stored elsewhere.
func (w *window) written(r result) {
	u := r.unit
	full := errors.Is(r.err, bus.ErrFull)
	switch {
	case full && r.kind == resultShelved:
		u.dead = &verdictDead{reason: sidetrack.ReasonMaxBacklog, expired: true}
		w.bury(u)
	case r.err != nil && r.kind == resultBuried && u.dead.expired:
		for _, it := range u.items {
			w.end(it, Expired, u.dead.reason, r.err)
		}
	case r.err != nil:
		w.s.log.Error("a failed unit cannot be stored: it stays queued", "error", r.err)
		u.due = time.Now().Add(w.s.cfg.Delivery.pause(3))
		w.later.add(u)
	case r.kind == resultBuried:
		w.reportDead(u, time.Now())
		for _, it := range u.items {
			w.end(it, Dead, u.dead.reason, u.lastErr)
		}
	default:
		for _, it := range u.items {
			w.leave(it)
		}
	}
}

// reportDead says for each reason that events die, then at most once a minute how many have.
func (w *window) reportDead(u *unit, now time.Time) {
	r := u.dead.reason
	said := w.said[r]
	if said == nil {
		said = &saidDead{}
		w.said[r] = said
	}
	said.events += len(u.items)
	if now.Sub(said.at) < time.Minute {
		return
	}
	w.s.log.Warn("dead letters", "reason", r, "events", said.events, "status", u.status, "error", u.lastErr)
	*said = saidDead{at: now}
}

// saidDead is what was said about dead letters of one reason.
type saidDead struct {
	at     time.Time
	events int // since
}

func (u *unit) deadLetter(sink string) DeadLetter {
	d := DeadLetter{
		Sink:     sink,
		Reason:   u.dead.reason,
		Status:   u.status,
		Attempts: u.attempts,
		First:    u.firstFail.UTC(),
		Last:     time.Now().UTC(),
	}
	if u.lastErr != nil {
		d.Error = u.lastErr.Error()
	}
	if u.dead.raw != "" {
		d.Raw = u.dead.raw
		return d
	}
	for _, it := range u.items {
		d.Events = append(d.Events, json.RawMessage(it.line))
	}
	return d
}
