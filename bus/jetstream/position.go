package jetstream

import "sync"

// mark is a place in a topic: a sequence number of its stream, and what was
// published up to and including it.
type mark struct {
	seq           uint64
	events, bytes int64
}

// weight is what one message carries.
type weight struct{ events, bytes int64 }

// before returns the mark in front of a message of weight w that ends at m.
func (m mark) before(w weight) mark {
	return mark{m.seq - 1, m.events - w.events, m.bytes - w.bytes}
}

// amount is a number of messages and what they carry.
type amount struct{ messages, events, bytes int64 }

func (a *amount) add(w weight) {
	a.messages++
	a.events += w.events
	a.bytes += w.bytes
}

func (a *amount) sub(w weight) {
	a.messages--
	a.events -= w.events
	a.bytes -= w.bytes
	if a.messages <= 0 {
		*a = amount{}
	}
	a.events, a.bytes = max(a.events, 0), max(a.bytes, 0)
}

// arrival says what to do with a message the store has handed out.
type arrival int

const (
	fresh          arrival = iota // hand it out
	alreadyHeld                   // somebody has it; only the way to settle it is new
	alreadySettled                // its settlement got lost; repeat it
)

// position accounts for one group on one topic. All messages that were stored
// for the group are in exactly one of four places: not arrived yet (behind
// high), open, old, or settled or expired. The first is the difference of two
// cumulative counts, so a backlog of any size costs nothing.
//
// It is safe for concurrent use.
type position struct {
	mu sync.Mutex

	// high is the last message that has arrived or is known to have expired.
	high mark

	// open has every message that has arrived and is not settled. The value
	// tells whether somebody holds it; otherwise it is on its way back.
	open map[uint64]*openMessage

	// old is what a previous process had received and not settled: the store
	// will hand it out again. It is an estimate until it has.
	old amount

	// settled remembers the last settled messages, so that a lost settlement
	// does not become a repeated delivery.
	settled recent

	expired     int64 // events
	redelivered int64 // messages
}

type openMessage struct {
	weight
	held bool
}

func newPosition(high mark, old amount) *position {
	return &position{high: high, old: old, open: make(map[uint64]*openMessage)}
}

// arrive enters a message that ends at m. With gaps, sequence numbers that are
// missing in front of it are counted as expired: in an Interest stream nothing
// else removes a message that this group has not settled.
func (p *position) arrive(m mark, w weight, again, gaps bool) arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.open[m.seq]; o != nil {
		if o.held {
			return alreadyHeld
		}
		o.held = true
		p.redelivered++
		return fresh
	}
	switch {
	case m.seq > p.high.seq:
		if b := m.before(w); gaps && b.seq > p.high.seq {
			p.expired += max(b.events-p.high.events, 0)
		}
		p.high = m
	case p.settled.has(m.seq):
		return alreadySettled
	default:
		p.old.sub(w)
	}
	p.open[m.seq] = &openMessage{weight: w, held: true}
	if again {
		p.redelivered++
	}
	return fresh
}

// settle takes a message out of the account.
func (p *position) settle(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, seq)
	p.settled.add(seq)
}

// hasSettled reports whether the message was settled in this process, not too long ago.
func (p *position) hasSettled(seq uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settled.has(seq)
}

// giveBack notes that nobody holds the message any more. A message that was
// never handed out does not count as redelivered later.
func (p *position) giveBack(seq uint64, handedOut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.open[seq]; o != nil {
		o.held = false
		if !handedOut {
			p.redelivered--
		}
	}
}

// expire notes that the store has nothing in front of first any more. Messages
// that somebody holds are left to their holder.
func (p *position) expire(first mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for seq, o := range p.open {
		if seq <= first.seq && !o.held {
			p.expired += o.events
			delete(p.open, seq)
		}
	}
	if first.seq > p.high.seq {
		p.expired += max(first.events-p.high.events, 0) + p.old.events
		p.high, p.old = first, amount{}
	}
}

// confirm corrects the estimate of old: the store waits for at most unsettled
// messages to be settled.
func (p *position) confirm(unsettled int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.old.messages > 0 && unsettled <= int64(len(p.open)) {
		p.old = amount{}
	}
}

// counted returns the events up to what has arrived.
func (p *position) counted() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.high.events
}

// inFlight estimates what n unsettled messages carry by those that are open here.
func (p *position) inFlight(n int64) amount {
	p.mu.Lock()
	defer p.mu.Unlock()
	var open amount
	for _, o := range p.open {
		open.add(o.weight)
	}
	if open.messages == 0 {
		return amount{n, n, 0}
	}
	return amount{n, open.events * n / open.messages, open.bytes * n / open.messages}
}

func (p *position) hasOld() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.old.messages > 0
}

// pending sums up what is not settled when last is the end of the topic.
func (p *position) pending(last mark) (a amount, expired, redelivered int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a = p.old
	for _, o := range p.open {
		a.add(o.weight)
	}
	if last.seq > p.high.seq {
		a.messages += int64(last.seq - p.high.seq)
		a.events += max(last.events-p.high.events, 0)
		a.bytes += max(last.bytes-p.high.bytes, 0)
	}
	return a, p.expired, p.redelivered
}

// recent is a set of the last few thousand numbers added to it.
type recent struct {
	ring []uint64
	next int
	set  map[uint64]struct{}
}

const recentSize = 4096

func (r *recent) add(n uint64) {
	if r.set == nil {
		r.set = make(map[uint64]struct{})
	}
	if _, ok := r.set[n]; ok {
		return
	}
	if len(r.ring) < recentSize {
		r.ring = append(r.ring, n)
	} else {
		delete(r.set, r.ring[r.next])
		r.ring[r.next] = n
		r.next = (r.next + 1) % recentSize
	}
	r.set[n] = struct{}{}
}

func (r *recent) has(n uint64) bool {
	_, ok := r.set[n]
	return ok
}
