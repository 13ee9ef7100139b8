package memory

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack/bus"
)

type subscriber struct {
	bus    *Bus
	group  string
	window bus.Window

	mu     sync.Mutex // before Bus.mu
	closed bool
	subs   []*subscription
}

// Subscribe hands out the group's messages until ctx ends or the subscriber or
// the bus is closed. A group that has a live subscription already is refused.
func (s *subscriber) Subscribe(ctx context.Context, topicName string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("memory: subscribe: %w", bus.ErrClosed)
	}
	b := s.bus
	b.mu.RLock() // Close must not pass between the look at closed and running.Go
	defer b.mu.RUnlock()
	if b.closed {
		return nil, fmt.Errorf("memory: subscribe: %w", bus.ErrClosed)
	}
	t := b.topics[topicName]
	if t == nil {
		return nil, fmt.Errorf("memory: subscribe: topic %q %w", topicName, errUndeclared)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[s.group]
	if g == nil {
		return nil, fmt.Errorf("memory: subscribe: group %q of topic %q %w", s.group, topicName, errUndeclared)
	}
	if g.live != nil {
		return nil, fmt.Errorf("memory: subscribe: group %q of topic %q has a subscriber already", s.group, topicName)
	}
	sub := &subscription{
		group:  g,
		window: s.window,
		out:    make(chan *message.Message),
		more:   make(chan struct{}, 1),
		quit:   make(chan struct{}),
		ended:  make(chan struct{}),
		gone:   make(chan struct{}),
		holds:  map[*hold]struct{}{},
	}
	g.live = sub
	g.subs[sub] = struct{}{}
	s.subs = append(s.subs, sub)
	b.running.Go(func() { sub.run(ctx, b) })
	return sub.out, nil
}

// Close ends the subscriptions and gives back what they hold, at once.
func (s *subscriber) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, sub := range s.subs {
		sub.end()
		<-sub.ended
		sub.giveBack()
	}
	s.subs = nil
	return nil
}

// subscription is one call of Subscribe.
type subscription struct {
	group  *group
	window bus.Window
	out    chan *message.Message
	more   chan struct{} // something to look at: messages, or room in the window

	quitOnce sync.Once
	quit     chan struct{} // closed by end
	ended    chan struct{} // closed when out is
	gone     chan struct{} // closed when the holds are given back

	// The mu of the group's topic guards these.
	holds map[*hold]struct{}
	bytes int64 // payload bytes in them
}

// hold is a message in somebody's hands.
type hold struct {
	ticket *ticket
	msg    *message.Message
	cancel context.CancelFunc
}

func (s *subscription) end() { s.quitOnce.Do(func() { close(s.quit) }) }

func (s *subscription) poke() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// run hands messages out, one after the other.
func (s *subscription) run(ctx context.Context, b *Bus) {
	g := s.group
	defer close(s.ended)
	defer close(s.out)
	defer func() {
		g.topic.mu.Lock()
		defer g.topic.mu.Unlock()
		g.live = nil
	}()
	for {
		select { // none of these may lose against a waiting receiver
		case <-ctx.Done():
			return
		case <-s.quit:
			return
		case <-b.quit:
			return
		default:
		}
		h := s.take(ctx)
		if h == nil {
			select {
			case <-s.more:
			case <-ctx.Done():
			case <-s.quit:
			case <-b.quit:
			}
			continue
		}
		select {
		case s.out <- h.msg:
			s.handed(h)
			b.running.Go(func() { s.watch(h, b.quit) })
		case <-ctx.Done():
			s.withdraw(h)
		case <-s.quit:
			s.withdraw(h)
		case <-b.quit:
			s.withdraw(h)
		}
	}
}

// take prepares the next message that fits into the window.
func (s *subscription) take(ctx context.Context) *hold {
	t := s.group.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	tk := s.group.take(time.Now(), func(e *entry) bool {
		return len(s.holds) == 0 || len(s.holds) < s.window.Messages && s.bytes+e.bytes() <= s.window.Bytes
	})
	if tk == nil {
		return nil
	}
	h := &hold{ticket: tk, msg: message.NewMessage(tk.entry.uuid, tk.entry.payload)}
	h.msg.Metadata = maps.Clone(tk.entry.metadata)
	// The end of the subscription is no reason to stop work on what is held.
	ctx, h.cancel = context.WithCancel(context.WithoutCancel(ctx))
	h.msg.SetContext(ctx)
	s.holds[h] = struct{}{}
	s.bytes += tk.entry.bytes()
	return h
}

// handed notes that somebody received h.
func (s *subscription) handed(h *hold) {
	t := s.group.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.ticket.handed++; h.ticket.handed > 1 {
		s.group.stats.Redelivered++
	}
}

// withdraw takes back what nobody received.
func (s *subscription) withdraw(h *hold) {
	t := s.group.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	s.drop(h)
	s.group.release([]*ticket{h.ticket}, false)
}

// watch waits for the settlement of h. One goroutine per held message is what
// message.Message leaves: it has a channel for each answer, and no callback.
func (s *subscription) watch(h *hold, closed <-chan struct{}) {
	select {
	case <-h.msg.Acked():
	case <-h.msg.Nacked():
	case <-s.gone:
	case <-closed:
		h.cancel()
		return
	}
	t := s.group.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	s.settle(h)
}

// settle applies the answer to h, if there is one. Its topic's mu is held.
func (s *subscription) settle(h *hold) {
	if _, ok := s.holds[h]; !ok {
		return
	}
	g := s.group
	select {
	case <-h.msg.Acked():
		s.drop(h)
		if g.open[h.ticket.entry] == h.ticket {
			g.settle(h.ticket.entry)
		}
	case <-h.msg.Nacked():
		s.drop(h)
		g.release([]*ticket{h.ticket}, true)
	default:
	}
}

// sweep applies all answers that have come. Its topic's mu is held.
func (s *subscription) sweep() {
	for h := range s.holds {
		s.settle(h)
	}
}

// drop ends a hold and makes room in the window. Its topic's mu is held.
func (s *subscription) drop(h *hold) {
	delete(s.holds, h)
	s.bytes -= h.ticket.entry.bytes()
	h.cancel()
	s.poke()
}

// giveBack returns what is not settled to the group. The subscription has ended.
func (s *subscription) giveBack() {
	g := s.group
	g.topic.mu.Lock()
	defer g.topic.mu.Unlock()
	s.sweep()
	var tickets []*ticket
	for h := range s.holds {
		s.drop(h)
		tickets = append(tickets, h.ticket)
	}
	delete(g.subs, s)
	g.release(tickets, false)
	close(s.gone)
}
