package bustest

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack/bus"
)

func open(t *testing.T, h Harness, topics ...bus.Topic) bus.Bus {
	t.Helper()
	b := h.Open(t)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	declare(t, b, topics...)
	return b
}

func declare(t *testing.T, b bus.Bus, topics ...bus.Topic) []bus.Group {
	t.Helper()
	removed, err := b.Declare(t.Context(), topics...)
	if err != nil {
		t.Fatalf("declare: %v", err)
	}
	return removed
}

func msg(payload string, events int) *message.Message {
	m := message.NewMessage(watermill.NewUUID(), []byte(payload))
	m.Metadata.Set(bus.MetaEvents, strconv.Itoa(events))
	return m
}

func publish(t *testing.T, b bus.Bus, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		if err := b.Publisher().Publish(topic, msg(p, 1)); err != nil {
			t.Fatalf("publish %q: %v", p, err)
		}
	}
}

func numbered(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("m%03d", i)
	}
	return out
}

// reader is a subscription.
type reader struct {
	t      *testing.T
	sub    message.Subscriber
	ch     <-chan *message.Message
	cancel context.CancelFunc
}

func subscribe(t *testing.T, b bus.Bus, group string, w bus.Window) *reader {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &reader{t: t, sub: b.Subscriber(group, w), cancel: cancel}
	var err error
	if r.ch, err = r.sub.Subscribe(ctx, topic); err != nil {
		cancel()
		t.Fatalf("subscribe %s: %v", group, err)
	}
	t.Cleanup(r.close)
	return r
}

func (r *reader) close() {
	r.cancel()
	if err := r.sub.Close(); err != nil {
		r.t.Errorf("close subscriber: %v", err)
	}
}

// next returns the next message.
func (r *reader) next() *message.Message {
	r.t.Helper()
	select {
	case m, ok := <-r.ch:
		if !ok {
			r.t.Fatal("the channel is closed")
		}
		return m
	case <-time.After(patience):
		r.t.Fatalf("no message within %s", patience)
	}
	return nil
}

// none checks that nothing comes for a while.
func (r *reader) none(d time.Duration) {
	r.t.Helper()
	select {
	case m, ok := <-r.ch:
		if ok {
			r.t.Fatalf("unexpected message %q", m.Payload)
		}
	case <-time.After(d):
	}
}

// take acks the next n messages and returns their payloads.
func (r *reader) take(n int) []string {
	r.t.Helper()
	var out []string
	for range n {
		m := r.next()
		out = append(out, string(m.Payload))
		m.Ack()
	}
	return out
}

// eventually waits for a condition; settlements may take a moment to count.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

func statsOf(t *testing.T, b bus.Bus, group string) bus.Stats {
	t.Helper()
	s, err := b.Stats(t.Context(), topic, group)
	if err != nil {
		t.Fatalf("stats: %v", err)
	}
	return s
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}
