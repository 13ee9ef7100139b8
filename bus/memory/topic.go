package memory

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sidetrack-go/sidetrack/bus"
)

// entry is one stored message. Only its links and left change after it is stored.
type entry struct {
	seq      uint64
	uuid     string
	metadata map[string]string
	payload  []byte
	events   int64
	at       time.Time

	left       int // groups that have not settled it
	prev, next *entry
}

func (e *entry) bytes() int64 { return int64(len(e.payload)) }

// topic is a log of messages: a linked list, because messages leave it in any order.
type topic struct {
	mu       sync.Mutex
	deleted  bool
	maxBytes int64
	maxAge   time.Duration
	groups   map[string]*group

	head, tail *entry
	young      *entry // the first that expire has not looked at; those before it are held
	used       int64  // bytes, overhead included
	seq        uint64
	cumEvents  int64
	cumBytes   int64
}

// group is a cursor on a topic. Its topic's mu guards it.
type group struct {
	topic  *topic
	cursor *entry             // the first entry never taken; nil when all are
	open   map[*entry]*ticket // taken and not settled
	back   []*ticket          // given back, by seq; they come before cursor
	nacked []*ticket          // in the order of their nacks
	turn   bool               // a nacked ticket goes next, if there is one
	stats  bus.Stats

	live *subscription              // the one that is handed messages
	subs map[*subscription]struct{} // live, and ended ones whose messages may still be settled
}

// ticket is a group's claim to an entry, from the first time it is taken until it is settled.
type ticket struct {
	entry  *entry
	handed int  // times
	held   bool // offered or handed out, and neither nacked nor given back since
}

// declare sets the limits and makes these groups exist, and with prune no others. It returns the
// names of those removed.
func (t *topic) declare(maxBytes int64, maxAge time.Duration, groups []string, prune bool) (removed []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.maxBytes, t.maxAge = maxBytes, maxAge
	for name := range t.groups {
		if prune && !slices.Contains(groups, name) {
			t.removeGroup(name)
			removed = append(removed, name)
		}
	}
	for _, name := range groups {
		if t.groups[name] == nil {
			t.groups[name] = &group{topic: t, open: map[*entry]*ticket{}, subs: map[*subscription]struct{}{}}
		}
	}
	if len(groups) > 0 {
		// What was stored while there was no group has nobody who could settle it.
		for e := t.head; e != nil; {
			next := e.next
			if e.left == 0 {
				t.remove(e)
			}
			e = next
		}
	}
	t.young = t.head // the age may be another one now
	return removed
}

// delete ends the topic and returns the names of its groups.
func (t *topic) delete() (groups []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deleted = true
	for name := range t.groups {
		t.removeGroup(name)
		groups = append(groups, name)
	}
	return groups
}

// removeGroup ends a group and its subscriptions. What it had not settled counts as settled.
func (t *topic) removeGroup(name string) {
	g := t.groups[name]
	delete(t.groups, name)
	for s := range g.subs {
		s.end()
	}
	for _, e := range g.unsettled() {
		g.settle(e)
	}
}

// append stores all entries or none.
func (t *topic) append(now time.Time, entries []*entry) error {
	var need int64
	for _, e := range entries {
		need += overhead + e.bytes()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.deleted {
		return errUndeclared
	}
	if need > t.maxBytes {
		return errors.New("larger than the topic may become")
	}
	t.expire(now)
	if t.used+need > t.maxBytes {
		return bus.ErrFull
	}
	t.used += need
	for _, e := range entries {
		t.seq++
		e.seq = t.seq
		t.cumEvents += e.events
		t.cumBytes += e.bytes()
		e.metadata[bus.MetaCumEvents] = strconv.FormatInt(t.cumEvents, 10)
		e.metadata[bus.MetaCumBytes] = strconv.FormatInt(t.cumBytes, 10)
		e.left = len(t.groups)
		e.prev = t.tail
		if t.tail != nil {
			t.tail.next = e
		} else {
			t.head = e
		}
		t.tail = e
		if t.young == nil {
			t.young = e
		}
		for _, g := range t.groups {
			g.stats.Pending++
			g.stats.PendingEvents += e.events
			g.stats.PendingBytes += e.bytes()
			if g.cursor == nil {
				g.cursor = e
			}
		}
	}
	for _, g := range t.groups {
		g.wake()
	}
	return nil
}

// remove takes an entry out of the log. No group has a claim to it any more.
func (t *topic) remove(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		t.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		t.tail = e.prev
	}
	if t.young == e {
		t.young = e.next
	}
	t.used -= overhead + e.bytes()
}

func (t *topic) tooOld(e *entry, now time.Time) bool {
	return t.maxAge > 0 && now.Sub(e.at) >= t.maxAge
}

// expire removes what is too old, except for groups whose subscriber holds it:
// that is decided when it comes back.
func (t *topic) expire(now time.Time) {
	for t.young != nil && t.tooOld(t.young, now) {
		e := t.young
		t.young = e.next
		for _, g := range t.groups {
			if tk := g.open[e]; tk != nil && !tk.held || g.ahead(e) {
				g.expire(e)
			}
		}
		if len(t.groups) == 0 {
			t.remove(e)
		}
	}
}

// ahead reports whether the group has not taken e yet.
func (g *group) ahead(e *entry) bool { return g.cursor != nil && e.seq >= g.cursor.seq }

// expire settles e, which the group will not get (again).
func (g *group) expire(e *entry) {
	g.stats.Expired += e.events
	g.settle(e)
}

// settle ends the group's claim to e.
func (g *group) settle(e *entry) {
	if g.cursor == e {
		g.cursor = e.next
	}
	delete(g.open, e)
	g.stats.Pending--
	g.stats.PendingEvents -= e.events
	g.stats.PendingBytes -= e.bytes()
	if e.left--; e.left == 0 {
		g.topic.remove(e)
	}
}

func (g *group) unsettled() []*entry {
	var all []*entry
	for e := range g.open {
		all = append(all, e)
	}
	for e := g.cursor; e != nil; e = e.next {
		all = append(all, e)
	}
	return all
}

// take returns what is to be handed out next, or nil when there is nothing or it
// does not fit. Nacked messages take turns with the others, so that neither a
// message that is nacked for ever nor a long backlog keeps the rest waiting.
func (g *group) take(now time.Time, fits func(*entry) bool) *ticket {
	g.topic.expire(now)
	g.nacked = g.claimed(g.nacked)
	g.back = g.claimed(g.back)
	var tk *ticket
	switch {
	case len(g.nacked) > 0 && (g.turn || len(g.back) == 0 && g.cursor == nil):
		tk = g.nacked[0]
	case len(g.back) > 0:
		tk = g.back[0]
	case g.cursor != nil:
		tk = &ticket{entry: g.cursor}
	}
	if tk == nil || !fits(tk.entry) {
		return nil
	}
	switch {
	case len(g.nacked) > 0 && tk == g.nacked[0]:
		g.nacked = g.nacked[1:]
		g.turn = false
	case len(g.back) > 0:
		g.back = g.back[1:]
		g.turn = true
	default:
		g.cursor = g.cursor.next
		g.open[tk.entry] = tk
		g.turn = true
	}
	tk.held = true
	return tk
}

// claimed drops tickets that have expired from the front of a queue.
func (g *group) claimed(queue []*ticket) []*ticket {
	for len(queue) > 0 && g.open[queue[0].entry] != queue[0] {
		queue = queue[1:]
	}
	return queue
}

// release ends the hold of tickets: they are handed out again, unless they are too old by now.
func (g *group) release(tickets []*ticket, nacked bool) {
	now := time.Now()
	for _, tk := range tickets {
		switch tk.held = false; {
		case g.open[tk.entry] != tk: // the group was removed
		case g.topic.tooOld(tk.entry, now):
			g.expire(tk.entry)
		case nacked:
			g.nacked = append(g.nacked, tk)
		default:
			g.back = append(g.back, tk)
		}
	}
	if !nacked {
		slices.SortFunc(g.back, func(x, y *ticket) int { return cmp.Compare(x.entry.seq, y.entry.seq) })
	}
	g.wake()
}

func (g *group) wake() {
	if g.live != nil {
		g.live.poke()
	}
}

// sweep applies settlements that their watchers have not seen yet.
func (g *group) sweep() {
	for s := range g.subs {
		s.sweep()
	}
}
