package pipeline

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/sites"
)

// Emit runs intake on the events in the caller's goroutine and waits until those that
// stay are stored. See sidetrack.Emitter for the contract.
func (p *Pipeline) Emit(ctx context.Context, events ...*sidetrack.Event) error {
	return p.emit(ctx, "", events)
}

func (p *Pipeline) emit(ctx context.Context, source string, events []*sidetrack.Event) error {
	w := &waiter{}
	items := p.accept(ctx, source, events, w, true)
	done := w.wait(len(items))
	if err := p.push(items); err != nil {
		p.refuseItems(items, w, err)
	}
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("pipeline: emit: waiting for storage: %w", ctx.Err())
		}
	}
	if len(w.duplicates) > 0 {
		if o := sidetrack.DropObserverOf(ctx); o != nil {
			for _, i := range w.duplicates {
				o.Dropped(i, sidetrack.ReasonDuplicate)
			}
		}
	}
	return w.result()
}

// Enqueue runs intake on the events in the caller's goroutine and leaves the rest to the
// background. It never waits; a full queue refuses all of them.
func (p *Pipeline) Enqueue(events ...*sidetrack.Event) error {
	w := &waiter{}
	items := p.accept(context.Background(), "", events, w, false)
	if err := p.push(items); err != nil {
		p.refuseItems(items, w, err)
	}
	return w.result()
}

func (p *Pipeline) push(items []*encoded) error {
	if len(items) == 0 {
		return nil
	}
	return p.queue.push(items)
}

func (p *Pipeline) refuseItems(items []*encoded, w *waiter, err error) {
	reason := sidetrack.ReasonOverloaded
	if errors.Is(err, sidetrack.ErrClosed) {
		reason = sidetrack.ReasonClosed
	}
	p.tally.add(Refused, reason, int64(len(items)))
	for _, it := range items {
		p.settleClaim(it.claim, reason, err)
		w.settle(it.index, reason, err)
		p.queue.release(it)
	}
}

func (w *waiter) result() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.refused) == 0 {
		return nil
	}
	slices.SortFunc(w.refused, func(a, b sidetrack.Refusal) int { return a.Index - b.Index })
	return &sidetrack.RefusedError{Refused: w.refused}
}

// accept takes each event through intake. What is left is encoded and refers to w when the caller waits;
// drops and refusals are counted, the latter also noted in w.
func (p *Pipeline) accept(ctx context.Context, source string, events []*sidetrack.Event, w *waiter, waits bool) []*encoded {
	p.received.Add(int64(len(events)))
	items := make([]*encoded, 0, len(events))
	waiting := w
	if !waits {
		waiting = nil
	}
	for i, e := range events {
		it := p.queue.get()
		reason, err := p.intakeOne(ctx, source, e, it)
		e.SetOrigin(nil)
		if reason == "" && it.known {
			f := follower{wait: waiting, index: i}
			if p.cfg.Observe != nil {
				f.event = e.Clone()
			}
			var follows bool
			if it.claim, follows = p.dedup.claim(e, time.Now(), f); follows {
				p.queue.release(it)
				continue // it settles with the other one
			}
			if it.claim == nil {
				reason = sidetrack.ReasonDuplicate
			}
		}
		switch {
		case err != nil:
			p.tally.add(Refused, reason, 1)
			w.mu.Lock()
			w.refused = append(w.refused, sidetrack.Refusal{Index: i, Reason: reason, Err: err})
			w.mu.Unlock()
			p.observe(Fate{Event: e, Column: Refused, Reason: reason, Err: err})
			p.queue.release(it)
		case reason != "":
			p.tally.add(Dropped, reason, 1)
			if o := sidetrack.DropObserverOf(ctx); o != nil {
				o.Dropped(i, reason)
			}
			p.observe(Fate{Event: e, Column: Dropped, Reason: reason})
			p.queue.release(it)
		default:
			it.wait, it.index = waiting, i
			items = append(items, it)
			p.observe(Fate{Event: e, Column: Accepted})
		}
	}
	return items
}

// intakeOne completes one event, runs the intake processors and encodes it into it.
// A reason with a nil error is a drop.
func (p *Pipeline) intakeOne(ctx context.Context, source string, e *sidetrack.Event, it *encoded) (sidetrack.Reason, error) {
	p.complete(source, e, p.cfg.Now())
	if p.dedup != nil && p.identify(e) {
		// A look before the processors, so that a duplicate does not count in the visitor's session.
		if p.dedup.stored(e.ID, time.Now()) {
			return sidetrack.ReasonDuplicate, nil
		}
		it.known = true
	}
	if reason, err := runProcessors(ctx, p.cfg.Intake, e); reason != "" {
		return reason, err
	}
	if reason := p.takers(e); reason != "" {
		return reason, nil
	}
	if err := p.seal(e); err != nil {
		if _, ok := errors.AsType[*sidetrack.FieldError](err); ok {
			return sidetrack.ReasonInvalid, err
		}
		return sidetrack.ReasonProcessor, err
	}
	var exact bool
	var err error
	if it.json, exact, err = e.AppendExact(it.json[:0]); err != nil {
		return sidetrack.ReasonInvalid, err
	}
	if it.event = nil; exact {
		it.event = e
	}
	if len(it.json) > sidetrack.MaxEventBytes {
		return sidetrack.ReasonTooLarge, &sidetrack.FieldError{
			Problem: fmt.Sprintf("event is %d bytes, at most %d are taken", len(it.json), sidetrack.MaxEventBytes),
		}
	}
	return "", nil
}

// seal gives e its id and checks it: the last steps before it is stored. An event whose client sent a
// message id gets an id derived from it, so that a repeat gets the same; others a new UUIDv7.
func (p *Pipeline) seal(e *sidetrack.Event) error {
	if !p.identify(e) {
		id, err := p.ids.next()
		if err != nil {
			return fmt.Errorf("pipeline: event id: %w", err)
		}
		e.ID = id
	}
	return e.Validate(e.Received)
}

// ids makes the ids of events that have none from their clients. The random part of many is read at once.
type ids struct {
	mu     sync.Mutex
	random *bufio.Reader
}

func newIDs() *ids { return &ids{random: bufio.NewReader(rand.Reader)} }

func (g *ids) next() (uuid.UUID, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return uuid.NewV7FromReader(g.random)
}

// complete fills what the engine knows better than any source.
func (p *Pipeline) complete(source string, e *sidetrack.Event, now time.Time) {
	if e.Received.IsZero() {
		e.Received = now
	}
	if e.Time.IsZero() {
		e.Time = e.Received
	}
	// As they are read back.
	e.Received, e.Time = e.Received.UTC().Round(0), e.Time.UTC().Round(0)
	if source != "" {
		e.Source = source
	}
	if e.Site == "" && p.sites != nil { // by the page's host, else by the host the request went to
		if e.Site = p.sites.ByHost(sites.HostOf(e.Page.URL)); e.Site == "" {
			e.Site = p.sites.ByHost(e.Origin().Host())
		}
	}
}

// takers returns why no sink could ever take e, "" when one may. Only what shared
// processors cannot change is asked here: the site and the consent.
func (p *Pipeline) takers(e *sidetrack.Event) sidetrack.Reason {
	reason := sidetrack.ReasonNoSink
	for _, s := range p.sinks {
		switch {
		case !s.takesSite(e):
		case !e.Consent.Allows(s.spec.Needs...):
			reason = sidetrack.ReasonConsent
		default:
			return ""
		}
	}
	return reason
}

// idSpace is the namespace of ids derived from a client's message id.
func idSpace() uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/sidetrack-go/sidetrack#message"))
}

// derivedID is the id of what has these parts, always the same.
func derivedID(parts ...string) uuid.UUID {
	return uuid.NewSHA1(idSpace(), []byte(strings.Join(parts, "\x00")))
}

// runProcessors runs list in order. reason is "" when the event stays; err is set
// when a processor failed, which refuses the event.
func runProcessors(ctx context.Context, list []sidetrack.Processor, e *sidetrack.Event) (sidetrack.Reason, error) {
	for _, pr := range list {
		if err := runProcessor(ctx, pr, e); err != nil {
			if reason, ok := sidetrack.DropReason(err); ok {
				return reason, nil
			}
			return sidetrack.ReasonProcessor, fmt.Errorf("pipeline: processor %T: %w", pr, err)
		}
	}
	return "", nil
}

func runProcessor(ctx context.Context, pr sidetrack.Processor, e *sidetrack.Event) (err error) {
	defer recoverTo(&err)
	return pr.Process(ctx, e)
}

// Count adds n things that a source saw and that are no events for the reason given, such as
// page views of the site's own people.
func (p *Pipeline) Count(reason sidetrack.Reason, n int) {
	p.received.Add(int64(n))
	p.tally.add(Dropped, reason, int64(n))
}

// sourceEmitter is what a Source of this pipeline emits into: it names the source
// and lets it report what it left out itself.
type sourceEmitter struct {
	p    *Pipeline
	name string
}

func (s sourceEmitter) Emit(ctx context.Context, events ...*sidetrack.Event) error {
	return s.p.emit(ctx, s.name, events)
}

func (s sourceEmitter) Count(reason sidetrack.Reason, n int) { s.p.Count(reason, n) }
