package pipeline

import (
	"cmp"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
)

// Dedup makes one event of what is sent twice: a retry whose first answer got lost, or a purchase that the
// browser and the server both report. An event is recognized by the id it has from its client, or by one derived
// from the site and the client's message id. Events without either are never taken for duplicates.
//
// The ids are kept in memory. After a restart, between machines and beyond the bounds a duplicate is stored again,
// with the same id: backends that know the id still see one event.
type Dedup struct {
	// Off stores duplicates like everything else.
	Off bool
	// Window is how long an id is remembered, at least, and at most twice as long. Zero: 1 h.
	Window time.Duration
	// IDs that are remembered, at most; the oldest half goes when there are more. Each takes about 25
	// bytes. Zero: 200,000.
	IDs int
	// Transactions makes purchases of one site with the same transaction id duplicates, whoever
	// reports them. The first one stays.
	Transactions bool
}

func (d *Dedup) complete() error {
	if d.Window < 0 || d.IDs < 0 {
		return errors.New("pipeline: config: dedup: window and ids must not be negative")
	}
	d.Window = cmp.Or(d.Window, time.Hour)
	d.IDs = cmp.Or(d.IDs, 200_000)
	return nil
}

// dedup knows the ids of events that are being stored and of those stored lately.
//
// An id is stored only when the bus has the event. While it is on its way, further events with
// the id follow it: they are duplicates when it is stored and refused when it is refused, so that nobody is
// told of success before there is any, and a failure leaves nothing behind that would stop a retry.
type dedup struct {
	window time.Duration
	half   int

	mu     sync.Mutex
	claims map[uuid.UUID]*claim
	recent map[uuid.UUID]struct{} // stored since began
	older  map[uuid.UUID]struct{} // stored in the period before
	began  time.Time
}

// claim is an event that is being stored.
type claim struct {
	id        uuid.UUID
	followers []follower
}

// follower is an event with the id of another one that is being stored.
type follower struct {
	wait  *waiter          // nil: nobody waits
	index int              // in the arguments of Emit
	event *sidetrack.Event // for observers; nil when there are none
}

func newDedup(cfg Dedup) *dedup {
	if cfg.Off {
		return nil
	}
	return &dedup{
		window: cfg.Window, half: max(1, cfg.IDs/2),
		claims: map[uuid.UUID]*claim{}, recent: map[uuid.UUID]struct{}{}, older: map[uuid.UUID]struct{}{},
	}
}

// stored reports whether an event with that id was stored lately.
func (d *dedup) stored(id uuid.UUID, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.has(id, now)
}

func (d *dedup) has(id uuid.UUID, now time.Time) bool {
	d.turn(now)
	if _, ok := d.recent[id]; ok {
		return true
	}
	_, ok := d.older[id]
	return ok
}

// turn begins a new period when the last one is over by its time or count.
func (d *dedup) turn(now time.Time) {
	age := now.Sub(d.began)
	if age < d.window && len(d.recent) < d.half {
		return
	}
	d.recent, d.older = d.older, d.recent
	clear(d.recent)
	if age >= 2*d.window {
		clear(d.older)
	}
	d.began = now
}

// claim takes the id of e for the caller, who stores e and settles the claim. Without a claim e is a
// duplicate: of one that is stored, or, when follows is true, of one that is being stored. It then
// settles in wait.
func (d *dedup) claim(e *sidetrack.Event, now time.Time, f follower) (c *claim, follows bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.has(e.ID, now) {
		return nil, false
	}
	if first := d.claims[e.ID]; first != nil {
		if w := f.wait; w != nil {
			w.mu.Lock()
			w.left, w.follows = w.left+1, true
			w.mu.Unlock()
		}
		first.followers = append(first.followers, f)
		return nil, true
	}
	c = &claim{id: e.ID}
	d.claims[c.id] = c
	return c, false
}

// settle ends a claim and returns who followed it.
func (d *dedup) settle(c *claim, stored bool, now time.Time) []follower {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.claims, c.id)
	if stored {
		d.turn(now)
		d.recent[c.id] = struct{}{}
	}
	return c.followers
}

// settleClaim ends the claim of an event, if it has one, and settles the events that followed it. err says that
// it was not stored.
func (p *Pipeline) settleClaim(c *claim, reason sidetrack.Reason, err error) {
	if c == nil {
		return
	}
	fate := Fate{Column: Refused, Reason: reason, Err: err}
	if err == nil {
		fate = Fate{Column: Dropped, Reason: sidetrack.ReasonDuplicate}
	}
	for _, f := range p.dedup.settle(c, err == nil, time.Now()) {
		p.tally.add(fate.Column, fate.Reason, 1)
		if f.event != nil {
			fate.Event = f.event
			p.observe(fate)
		}
		switch {
		case f.wait == nil:
		case err == nil:
			f.wait.repeated(f.index)
		default:
			f.wait.settle(f.index, reason, err)
		}
	}
}

// identify gives e the id that its client's ids mean, and reports whether there is any.
func (p *Pipeline) identify(e *sidetrack.Event) bool {
	switch {
	case p.cfg.Dedup.Transactions && e.Name == sidetrack.Purchase && e.Ecommerce != nil && e.Ecommerce.TransactionID != "":
		e.ID = derivedID("transaction", e.Site, e.Ecommerce.TransactionID)
	case e.ID != uuid.Nil:
	case e.MessageID != "":
		e.ID = derivedID(e.Site, e.MessageID)
	}
	return e.ID != uuid.Nil
}
