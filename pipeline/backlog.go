package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
)

// backlogShare is how much of the bus a sink without a limit of its own may fill.
const backlogShare = 0.85

// How often a sink's backlog is looked at: while it is small, and from half of its limit on.
const (
	backlogEvery = time.Second
	backlogSoon  = 100 * time.Millisecond
)

// relief tells a sink's loop how much of its backlog has to go, the zero value that it is
// within its limit.
type relief struct{ bytes, events int64 }

// checkRetention refuses a limit that the bus would never let a backlog reach.
func (s *sink) checkRetention(ctx context.Context) error {
	u, err := s.p.cfg.Bus.Usage(ctx, TopicEvents)
	if err != nil {
		return fmt.Errorf("retention of the bus: %w", err)
	}
	if limit := s.cfg.Delivery.MaxBacklogBytes; u.MaxBytes > 0 && limit > u.MaxBytes {
		return fmt.Errorf("max_backlog is %d bytes, and the bus keeps %d bytes of events: lower it, or raise max_bytes of the bus", limit, u.MaxBytes)
	}
	return nil
}

// watchBacklog keeps an eye on what waits for the sink: what the bus itself removed by age,
// and how much of the rest has to go.
func (s *sink) watchBacklog(ctx context.Context) {
	timer := time.NewTimer(backlogEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if !s.p.cfg.Bus.Exclusive() { // others may have added to the list
			if err := s.p.loadSuppressions(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("the suppression list cannot be read", "error", err)
			}
		}
		fill, r, err := s.backlog(ctx)
		if err == nil {
			s.reconcile(s.waiting.Load())
		} else if ctx.Err() == nil {
			s.log.Debug("the backlog is not known", "error", err)
		}
		if r != (relief{}) || err == nil && fill < 0.9 && s.over.Load() {
			s.over.Store(r != (relief{}))
			select {
			case s.relief <- r:
			case <-ctx.Done():
				return
			}
		}
		if fill > 0.5 {
			timer.Reset(backlogSoon)
		} else {
			timer.Reset(backlogEvery)
		}
	}
}

// backlog reads what waits for the sink: as a share of its limit, and what is too much.
func (s *sink) backlog(ctx context.Context) (fill float64, r relief, err error) {
	b := s.p.cfg.Bus
	st, err := b.Stats(ctx, TopicEvents, s.name)
	if err != nil {
		return 0, r, err
	}
	retry, err := b.Stats(ctx, TopicRetry(s.name), s.name)
	if err != nil {
		return 0, r, err
	}
	if n := st.Expired + retry.Expired; n > s.lost.Swap(n) {
		s.log.Warn("events expired on the bus before this sink could deliver them", "expired", n)
	}
	s.waiting.Store(st.PendingEvents + retry.PendingEvents)
	s.backlogBytes.Store(st.PendingBytes + retry.PendingBytes)
	d := &s.cfg.Delivery
	check := func(pending, limit int64) (too int64) {
		if limit <= 0 {
			return 0
		}
		fill = max(fill, float64(pending)/float64(limit))
		if pending <= limit {
			return 0
		}
		return pending - limit + limit/20 // a little more, so that it is not one event at a time
	}
	r.bytes = check(st.PendingBytes, d.MaxBacklogBytes)
	r.events = check(st.PendingEvents, d.MaxBacklogEvents)
	if d.MaxBacklogBytes > 0 || st.StoredBytes == 0 {
		return fill, r, nil
	}
	u, err := b.Usage(ctx, TopicEvents)
	if err != nil {
		return fill, r, err
	}
	before := fill
	if too := check(st.StoredBytes, int64(backlogShare*float64(u.MaxBytes))); too > 0 {
		if s.spared(ctx, st) {
			return before, r, nil
		}
		r.bytes = max(r.bytes, int64(float64(too)*float64(st.PendingBytes)/float64(st.StoredBytes)))
	}
	return fill, r, nil
}

// How long a commit to a full bus waits for sinks over their limit, in all and for one round of them.
const (
	roomWithin = time.Second
	roomRound  = 100 * time.Millisecond
	roomPause  = 2 * time.Millisecond
)

// publishFull is for a message that the bus had no room for. If that is because of sinks over their limit,
// which a burst may have taken there between two looks of theirs, it is theirs to make room now, and
// nobody is refused. full is the bus's error.
func (p *Pipeline) publishFull(pub message.Publisher, m *message.Message, full error) error {
	for end := time.Now().Add(roomWithin); time.Now().Before(end); {
		if !p.relieveAll() {
			return full
		}
		for round := time.Now().Add(roomRound); time.Now().Before(round); time.Sleep(roomPause) {
			if err := pub.Publish(TopicEvents, m); !errors.Is(err, bus.ErrFull) {
				return err
			}
		}
	}
	return full
}

// relieveAll makes every sink that is over its limit let go, and reports whether one does, or has
// just done so: what it settled leaves the store a moment later.
func (p *Pipeline) relieveAll() (any bool) {
	ctx, cancel := context.WithTimeout(context.Background(), roomRound)
	defer cancel()
	for _, s := range p.sinks {
		_, r, err := s.backlog(ctx)
		if err != nil || r == (relief{}) {
			any = any || s.over.Load()
			continue
		}
		s.over.Store(true)
		select {
		case s.relief <- r:
			any = true
		case <-ctx.Done():
		}
	}
	return any
}

// spared reports whether a sink that fills the bus is only one of all of them, and delivers: then
// more comes in than sinks can take, and what helps is to refuse some of that.
func (s *sink) spared(ctx context.Context, own bus.Stats) bool {
	if s.condition.Load() != conditionOK {
		return false
	}
	for _, other := range s.p.sinks {
		if other == s {
			continue
		}
		st, err := s.p.cfg.Bus.Stats(ctx, TopicEvents, other.name)
		if err == nil && st.PendingBytes < own.PendingBytes/2 {
			return false
		}
	}
	return true
}

// shedding is the state of a loop whose backlog is over its limit.
type shedding struct {
	left relief // still to go
	over bool   // said so
	shed int64  // events since
}

// relieve takes what watchBacklog found.
func (w *window) relieve(r relief) {
	if r == (relief{}) {
		if w.shedding.over {
			w.s.log.Info("the backlog is within its limit again", "expired", w.shedding.shed)
		}
		w.shedding = shedding{}
		return
	}
	if !w.shedding.over {
		w.s.log.Error("the backlog is over its limit: the oldest events expire",
			"bytes_too_many", r.bytes, "events_too_many", r.events, "kept_as_dead_letters", w.s.cfg.Delivery.KeepExpired)
	}
	w.shedding.over = true
	// Messages are counted until their last event has settled; what has settled in them is not there to go.
	for _, en := range w.held {
		if done := en.total - en.left; done > 0 {
			r.events -= int64(done)
			r.bytes -= int64(en.size) * int64(done) / int64(en.total)
		}
	}
	w.shedding.left = relief{max(0, r.bytes), max(0, r.events)}
}

// maxBurying bounds how many expired units wait for being stored as dead letters.
const maxBurying = 64

// shed ends the oldest events that are not in flight until enough have gone. What it lets go
// makes room for the next messages, so that a parked sink fetches only to expire.
func (w *window) shed() {
	left := &w.shedding.left
	for (left.bytes > 0 || left.events > 0) && w.aside < maxBurying {
		u := w.oldest()
		if u == nil {
			return
		}
		for i := range u.items {
			left.bytes -= int64(len(u.items[i].line)) + 1
		}
		left.events -= int64(len(u.items))
		w.shedding.shed += int64(len(u.items))
		w.expireUnit(u, sidetrack.ReasonMaxBacklog)
	}
}

// oldest takes the next unit that may go, nil when there is none. Those of the retry topic, which has a
// limit of its own, and those that are about to be stored elsewhere stay.
func (w *window) oldest() *unit {
	for i, u := range w.now {
		if u.dead == nil && !u.isolated {
			w.now = append(w.now[:i:i], w.now[i+1:]...)
			return u
		}
	}
	if u := w.later.takeOldest(); u != nil {
		return u
	}
	return w.former.next()
}

// expireUnit ends events as expired, or as dead letters where these are wanted.
func (w *window) expireUnit(u *unit, reason sidetrack.Reason) {
	if w.s.cfg.Delivery.KeepExpired {
		if u.firstFail.IsZero() {
			u.firstFail = time.Now()
		}
		u.dead = &verdictDead{reason: reason, expired: true}
		w.bury(u)
		return
	}
	for _, it := range u.items {
		w.end(it, Expired, reason, nil)
	}
}

// sweepEvery is how often a sink that attempts nothing looks for events that are too old.
const sweepEvery = 10 * time.Second

// sweep ends what has become too old while the sink is parked. Attempts look for themselves.
func (w *window) sweep(now time.Time) {
	if now.Sub(w.swept) < sweepEvery {
		return
	}
	w.swept = now
	wall := w.s.p.cfg.Now()
	units := w.now
	w.now = nil
	for _, u := range units {
		if u.dead == nil {
			u = w.expire(u, wall)
		}
		if u != nil {
			w.now = append(w.now, u)
		}
	}
	waiting := w.later
	w.later = nil
	for _, u := range waiting {
		if u.dead == nil {
			u = w.expire(u, wall)
		}
		if u != nil {
			w.later.add(u)
		}
	}
	if old := w.former.takeOld(func(it *item) bool { return w.s.tooOld(it, wall) }, w.s.spec.MaxEvents); len(old) > 0 {
		for _, u := range old {
			w.expireUnit(u, sidetrack.ReasonMaxAge)
		}
	}
}
