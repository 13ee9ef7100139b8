package pipeline

import (
	"context"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack"
)

// admit takes a message into the window: every event in it is settled at once or
// becomes an item of a unit. retried says that it comes from the retry topic: it is one unit
// that failed, the rest of messages that a clean stop found settled in part, or a replay.
func (w *window) admit(m *message.Message, retried bool) {
	if w.settled.has(m.UUID) {
		m.Ack() // its ack was lost on the way; the events are accounted for
		return
	}
	if en := w.held[m.UUID]; en != nil {
		en.msg = m // handed out again while being worked on: settle the newer one
		return
	}
	b := w.s.p.batches.get(m)
	en := &entry{msg: m, size: len(m.Payload), total: len(b.events) + len(b.bad)}
	m.Payload = nil // a window that is held for long would hold it twice
	if retried {
		en.since = fromMillis(m.Metadata[metaReplayed])
	}
	if en.left = en.total; en.left == 0 {
		m.Ack()
		return
	}
	w.held[m.UUID] = en
	var stubborn *unit
	_, failed := m.Metadata[metaAttempt]
	isolated := retried && failed
	if isolated {
		stubborn = w.isolatedUnit(m)
	}
	for _, v := range b.events {
		it := item{event: v.event, line: v.line, from: en}
		key, ok := w.gate(&it, v)
		switch {
		case !ok:
		case isolated:
			stubborn.items = append(stubborn.items, it)
		default:
			w.former.add(it, key)
		}
	}
	for _, bad := range b.bad {
		w.bury(&unit{
			items:     []item{{event: &sidetrack.Event{}, line: bad.line, from: en}},
			firstFail: time.Now(),
			lastErr:   bad.err,
			dead:      &verdictDead{reason: sidetrack.ReasonUndecodable, raw: bad.line},
		})
	}
	if stubborn != nil && len(stubborn.items) > 0 {
		w.later.add(stubborn)
	}
}

// isolatedUnit reads the history of a message on the retry topic.
func (w *window) isolatedUnit(m *message.Message) *unit {
	attempts, err := strconv.Atoi(m.Metadata[metaAttempt])
	if err != nil || attempts < 0 {
		attempts = 1
	}
	wait := fromMillis(m.Metadata[metaNotBefore]).Sub(w.s.p.cfg.Now())
	if most, err := strconv.ParseInt(m.Metadata[metaWait], 10, 64); err == nil { // the clock may have been put back
		wait = min(wait, time.Duration(most)*time.Millisecond)
	}
	return &unit{
		attempts:  attempts,
		due:       time.Now().Add(max(0, wait)),
		firstFail: fromMillis(m.Metadata[metaFirstFail]),
		isolated:  true,
		suspect:   true,
	}
}

// gate decides whether the sink gets the event: everything between the shared processors and
// the units. When ok is false the event is settled, or on its way to the dead letters.
func (w *window) gate(it *item, v verdict) (key string, ok bool) {
	e, column, reason, err := w.s.admits(context.Background(), v)
	if column != "" {
		if column == Dead {
			w.bury(&unit{items: []item{*it}, firstFail: time.Now(), lastErr: w.s.redact(err), dead: &verdictDead{reason: reason}})
		} else {
			w.end(*it, column, reason, err)
		}
		return "", false
	}
	it.event = e
	if w.s.spec.GroupBy != nil {
		if key, err = w.s.groupKey(e); err != nil {
			w.bury(&unit{items: []item{*it}, firstFail: time.Now(), lastErr: err, dead: &verdictDead{reason: sidetrack.ReasonUnbuildable}})
			return "", false
		}
	}
	return key, true
}

func (s *sink) groupKey(e *sidetrack.Event) (key string, err error) {
	defer recoverTo(&err)
	return s.spec.GroupBy(e), nil
}

// admits takes an event through the sink's site, condition, sample, consent gate and own
// processors. An empty column means that the sink gets the returned event, which is a copy
// when the sink has processors of its own.
func (s *sink) admits(ctx context.Context, v verdict) (_ *sidetrack.Event, c Column, r sidetrack.Reason, err error) {
	defer func() {
		if p := recover(); p != nil {
			c, r, err = Dead, sidetrack.ReasonProcessor, &panicError{p}
		}
	}()
	e := v.event
	switch {
	case v.err != nil:
		return e, Dead, v.reason, v.err
	case v.reason != "":
		return e, Dropped, v.reason, nil
	case !s.takesSite(e):
		return e, Filtered, sidetrack.ReasonSite, nil
	case s.cfg.When != nil && !s.cfg.When(e):
		return e, Filtered, sidetrack.ReasonWhen, nil
	case !s.sampled(e):
		return e, Filtered, sidetrack.ReasonSample, nil
	case !e.Consent.Allows(s.spec.Needs...):
		return e, Withheld, sidetrack.ReasonConsent, nil
	case s.p.suppressed.covers(e):
		return e, Withheld, sidetrack.ReasonSuppressed, nil
	}
	if len(s.cfg.Processors) > 0 {
		e = e.Clone()
		reason, err := runProcessors(ctx, s.cfg.Processors, e)
		switch {
		case err != nil:
			return e, Dead, reason, err
		case reason != "":
			return e, Dropped, reason, nil
		case !e.Consent.Allows(s.spec.Needs...):
			return e, Withheld, sidetrack.ReasonConsent, nil
		}
	}
	return e, "", "", nil
}

// sampled reports whether e is in the sink's share of visitors. A visitor is in it
// or not as a whole, whichever events come; an event without a client id counts by itself.
func (s *sink) sampled(e *sidetrack.Event) bool {
	if s.cfg.Sample == 0 || s.cfg.Sample == 1 {
		return true
	}
	h := fnv.New64a()
	if e.Visitor.ClientID != "" {
		_, _ = h.Write([]byte(e.Visitor.ClientID))
	} else {
		_, _ = h.Write(e.ID[:])
	}
	x := h.Sum64() // FNV's upper bits move little between similar ids: mix them
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11)/(1<<53) < s.cfg.Sample
}
