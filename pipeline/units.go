package pipeline

import (
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
)

// entry is a message held by a sink's window. It is acked when left reaches zero.
type entry struct {
	msg   *message.Message // its payload aside, of which the events have what they need
	size  int              // bytes of the payload
	total int              // events in it
	left  int              // of them, not settled yet
	since time.Time        // from when the age of its events counts: the last replay; zero: from their receipt
}

// item is one event on its way to a backend.
type item struct {
	event *sidetrack.Event
	line  string // as stored: what a retry or dead letter keeps, so that a replay takes the same way
	from  *entry
}

// unit is what one request carries, with its history.
type unit struct {
	items     []item
	id        uuid.UUID
	attempts  int       // that failed
	firstFail time.Time // zero: none failed
	due       time.Time // not before; zero: at once
	suspect   bool      // it fails while others succeed: its failures say nothing about the backend
	isolated  bool      // came from the retry topic
	dead      *verdictDead
	gate      uint64 // version of the suppression list that it was checked against
	status    int
	lastErr   error
}

// verdictDead is decided but not yet stored as a dead letter.
type verdictDead struct {
	reason  sidetrack.Reason
	raw     string // a line that is no event
	expired bool   // it expires where it cannot be stored
}

// events returns the unit's events; the slice is fresh.
func (u *unit) events() []*sidetrack.Event {
	out := make([]*sidetrack.Event, len(u.items))
	for i := range u.items {
		out[i] = u.items[i].event
	}
	return out
}

// identify derives the id from the ordered event ids, so that the same unit has
// the same id on each attempt and after a restart.
func (u *unit) identify(space uuid.UUID) {
	ids := make([]byte, 0, 16*len(u.items))
	for i := range u.items {
		ids = append(ids, u.items[i].event.ID[:]...)
	}
	u.id = uuid.NewSHA1(space, ids)
}

// halves splits a unit of several events. Both halves keep its history.
func (u *unit) halves() (a, b *unit) {
	x, y := *u, *u
	n := len(u.items) / 2
	x.items, y.items = u.items[:n:n], u.items[n:]
	x.id, y.id = uuid.Nil, uuid.Nil
	x.due, y.due = time.Time{}, time.Time{}
	return &x, &y
}

// only returns the items that pick chooses as a unit with the same history.
func (u *unit) only(pick func(i int) bool) *unit {
	x := *u
	x.items, x.id = nil, uuid.Nil
	for i, it := range u.items {
		if pick(i) {
			x.items = append(x.items, it)
		}
	}
	return &x
}

// former gathers items into units: only events with the same group key share one,
// groups take turns in the order in which their first waiting event came.
type former struct {
	groupBy func(*sidetrack.Event) string
	size    int

	single fifo[item] // when everything shares one group
	groups map[string]*fifo[item]
	turn   fifo[string]
	count  int
}

func newFormer(spec sidetrack.SinkSpec, rate Rate) *former {
	f := &former{groupBy: spec.GroupBy, size: spec.MaxEvents, groups: map[string]*fifo[item]{}}
	if rate.Events {
		f.size = min(f.size, rate.Burst)
	}
	return f
}

func (f *former) add(it item, key string) {
	f.count++
	if f.groupBy == nil {
		f.single.push(it)
		return
	}
	g := f.groups[key]
	if g == nil {
		g = &fifo[item]{}
		f.groups[key] = g
		f.turn.push(key)
	}
	g.push(it)
}

// next takes the next unit; nil when nothing waits.
func (f *former) next() *unit {
	if f.count == 0 {
		return nil
	}
	g, key := &f.single, ""
	if f.groupBy != nil {
		key = f.turn.pop()
		g = f.groups[key]
	}
	n := min(g.len(), f.size)
	u := &unit{items: make([]item, n)}
	for i := range u.items {
		u.items[i] = g.pop()
	}
	f.count -= n
	if f.groupBy != nil {
		if g.len() > 0 {
			f.turn.push(key)
		} else {
			delete(f.groups, key)
		}
	}
	return u
}

// takeOld takes items off the front of the queues while they are old, in units of at most size.
func (f *former) takeOld(old func(*item) bool, size int) (units []*unit) {
	take := func(q *fifo[item]) {
		for q.len() > 0 && old(q.front()) {
			if n := len(units); n == 0 || len(units[n-1].items) >= size {
				units = append(units, &unit{})
			}
			u := units[len(units)-1]
			u.items = append(u.items, q.pop())
			f.count--
		}
	}
	if f.groupBy == nil {
		take(&f.single)
		return units
	}
	for range f.turn.len() {
		key := f.turn.pop()
		if take(f.groups[key]); f.groups[key].len() > 0 {
			f.turn.push(key)
		} else {
			delete(f.groups, key)
		}
	}
	return units
}

// fifo is a queue on a slice that gives its room back when it runs empty.
type fifo[T any] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) front() *T { return &q.items[q.head] }

func (q *fifo[T]) push(v T) { q.items = append(q.items, v) }

func (q *fifo[T]) pop() T {
	var zero T
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	switch {
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
		if cap(q.items) > 4096 {
			q.items = nil
		}
	case q.head > 1024 && q.head*2 > len(q.items):
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return v
}
