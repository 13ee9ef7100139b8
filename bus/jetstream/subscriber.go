package jetstream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sidetrack-go/sidetrack/bus"
)

const (
	// pullWait is how long one request for messages stays at the server.
	pullWait = 20 * time.Second
	// pullBeat is how often the server says that it still has it. Two missing
	// ones make the subscription ask anew.
	pullBeat = 2 * time.Second
	// pullPause separates attempts while the store is away.
	pullPause = 100 * time.Millisecond
)

// subscriber implements message.Subscriber for one group.
type subscriber struct {
	b      *Bus
	group  string
	window bus.Window

	mu     sync.Mutex
	closed bool
	subs   []*subscription
}

func newSubscriber(b *Bus, group string, window bus.Window) *subscriber {
	s := &subscriber{b: b, group: group, window: window}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subscribers[s] = struct{}{}
	return s
}

// Subscribe hands out the group's messages until ctx ends or the subscriber or
// the bus is closed. A group that has a live subscription already is refused.
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	sub, err := s.subscribe(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("jetstream: subscribe %s to %s: %w", s.group, topic, err)
	}
	return sub.out, nil
}

func (s *subscriber) subscribe(ctx context.Context, topic string) (*subscription, error) {
	c, err := s.b.cursor(topic, s.group)
	if err != nil {
		return nil, err
	}
	if err := s.b.widen(ctx, c, s.window.Messages); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, bus.ErrClosed
	}
	sub := &subscription{
		c: c, window: s.window,
		out:   make(chan *message.Message),
		more:  make(chan struct{}, 1),
		quit:  make(chan struct{}),
		ended: make(chan struct{}),
		gone:  make(chan struct{}),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live != nil {
		return nil, fmt.Errorf("the group has a subscriber already")
	}
	c.live = sub
	s.subs = append(s.subs, sub)
	go sub.run(ctx)
	return sub, nil
}

// widen makes the server's limit of unsettled messages that of the window.
func (b *Bus) widen(ctx context.Context, c *cursor, messages int) error {
	consumer, err := b.js.Consumer(ctx, c.topic.stream, c.group)
	if err != nil {
		return err
	}
	cfg := consumer.CachedInfo().Config
	if cfg.MaxAckPending == messages {
		return nil
	}
	cfg.MaxAckPending = messages
	_, err = b.js.UpdateConsumer(ctx, c.topic.stream, cfg)
	return err
}

// Close ends the subscriptions and gives back what they hold, at once.
func (s *subscriber) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for _, sub := range s.subs {
		sub.end()
		<-sub.ended
		sub.c.giveBackAll()
		close(sub.gone)
		sub.watching.Wait()
	}
	s.subs = nil
	s.b.flush()
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	delete(s.b.subscribers, s)
	return nil
}

// subscription is one call of Subscribe.
type subscription struct {
	c      *cursor
	window bus.Window
	out    chan *message.Message
	more   chan struct{} // room in the window

	quitOnce sync.Once
	quit     chan struct{} // closed by end
	ended    chan struct{} // closed when out is
	gone     chan struct{} // closed when what was held is given back
	watching sync.WaitGroup

	consumer jetstream.Consumer // the loop's; nil: ask for it

	mu     sync.Mutex
	cancel context.CancelFunc // of the request that is at the server
}

func (s *subscription) end() { s.quitOnce.Do(func() { close(s.quit) }) }

func (s *subscription) poke() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// again ends the request that is at the server, so that a new one is made.
func (s *subscription) again() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
}

// run asks for as many messages as fit, and hands them out.
func (s *subscription) run(ctx context.Context) {
	defer close(s.ended)
	defer close(s.out)
	defer func() {
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		s.c.live = nil
	}()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-s.quit:
		case <-s.c.b.ctx.Done():
		case <-ctx.Done():
		}
		stop()
	}()
	average := int64(16 << 10)
	for ctx.Err() == nil {
		messages, bytes := s.c.room(s.window.Messages, s.window.Bytes)
		if messages <= 0 || bytes <= 0 {
			select {
			case <-s.more:
			case <-ctx.Done():
			}
			continue
		}
		// The server counts messages; the bytes are kept to by asking for no more
		// messages than will fit if they are like the last ones.
		n := int(min(int64(messages), max(1, bytes/max(1, average))))
		got, size, err := s.pull(ctx, n)
		if got > 0 {
			average = (average + size/int64(got)) / 2
		}
		if err != nil && ctx.Err() == nil {
			select {
			case <-time.After(pullPause):
			case <-ctx.Done():
			}
		}
	}
}

// pull makes one request for at most n messages and hands them out as they come.
func (s *subscription) pull(ctx context.Context, n int) (got int, size int64, err error) {
	c := s.c
	pullCtx, cancel := context.WithTimeout(ctx, pullWait)
	defer cancel()
	s.mu.Lock()
	s.cancel = cancel
	s.mu.Unlock()
	if !c.b.nc.IsConnected() {
		return 0, 0, errServerDown
	}
	if s.consumer == nil {
		if s.consumer, err = c.b.js.Consumer(pullCtx, c.topic.stream, c.group); err != nil {
			return 0, 0, err
		}
	}
	defer func() {
		if err != nil {
			s.consumer = nil
		}
	}()
	batch, err := s.consumer.Fetch(n, jetstream.FetchContext(pullCtx), jetstream.FetchHeartbeat(pullBeat))
	if err != nil {
		return 0, 0, err
	}
	for m := range batch.Messages() {
		got++
		size += int64(len(m.Data()))
		s.take(ctx, m)
	}
	if err := batch.Error(); err != nil && pullCtx.Err() == nil {
		return got, size, err
	}
	return got, size, nil
}

// take hands out one message, unless it is only the repetition of one that is held or settled.
func (s *subscription) take(ctx context.Context, m jetstream.Msg) {
	c := s.c
	meta, err := m.Metadata()
	if err != nil {
		c.b.log.Error("message without metadata from the store", "topic", c.topic.name, "error", err)
		return
	}
	w, end, ok := weigh(m.Headers(), m.Data(), meta.Sequence.Stream)
	if !ok { // published by something else: one event, wherever it stands
		w, end = weight{1, int64(len(m.Data()))}, mark{seq: meta.Sequence.Stream, events: c.pos.counted()}
	}
	switch c.pos.arrive(end, w, meta.NumDelivered > 1, c.b.node != nil && ok) {
	case alreadyHeld:
		c.replace(meta.Sequence.Stream, way(m.Reply()))
		return
	case alreadySettled:
		c.answer(way(m.Reply()), answerAck)
		return
	}
	h := &held{seq: meta.Sequence.Stream, bytes: w.bytes, msg: decode(m.Headers(), m.Data()), way: way(m.Reply())}
	// The end of the subscription is no reason to stop work on what is held.
	msgCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h.msg.SetContext(msgCtx)
	h.done = cancel
	for ctx.Err() == nil {
		if messages, bytes := c.room(s.window.Messages, s.window.Bytes); messages > 0 && bytes >= h.bytes || c.empty() {
			break
		}
		c.answer(way(m.Reply()), answerProgress)
		select {
		case <-s.more:
		case <-time.After(c.b.ackWait / 3):
		case <-ctx.Done():
		}
	}
	c.keep(h)
	select {
	case s.out <- h.msg:
		s.watching.Go(func() { s.watch(h) })
	case <-ctx.Done():
		c.giveBack(h, false)
	}
}

// watch waits for the answer to h. One goroutine per held message is what
// message.Message leaves: it has a channel for each answer, and no callback.
func (s *subscription) watch(h *held) {
	select {
	case <-h.msg.Acked():
	case <-h.msg.Nacked():
	case <-s.gone:
		return
	}
	s.c.settle(h)
}
