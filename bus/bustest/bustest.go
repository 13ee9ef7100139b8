// Package bustest is the contract of bus.Bus as a test suite. Each test states one
// rule of that package's documentation; an implementation is done when it passes.
//
//	func TestBus(t *testing.T) {
//		bustest.Run(t, bustest.Harness{Open: func(t *testing.T) bus.Bus { return memory.New(memory.Config{}) }})
//	}
package bustest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack/bus"
)

// Harness makes the buses under test.
type Harness struct {
	// Open makes a bus with an empty store. The suite closes it.
	Open func(t *testing.T) bus.Bus

	// Reopen closes b and opens the same store again; nil for a bus that is not durable.
	Reopen func(t *testing.T, b bus.Bus) bus.Bus

	// AckWait is after how long the store under the bus would hand out a held message
	// again if nobody kept it; 0: never. Keep it short for the suite.
	AckWait time.Duration
}

// patience bounds how long the suite waits for what must happen.
const patience = 15 * time.Second

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, tt := range []struct {
		name string
		f    func(*testing.T, Harness)
	}{
		{"every group gets everything in order", everything},
		{"declaring again changes nothing and names what is gone", declareAgain},
		{"attaching leaves what it does not name", attach},
		{"a group that is declared later gets nothing old", laterGroup},
		{"a message without a number of events is refused", needsEvents},
		{"a topic that is not declared is refused", undeclared},
		{"the window bounds messages", windowMessages},
		{"the window bounds bytes", windowBytes},
		{"a message larger than the window comes alone", oversized},
		{"what is held stays held", longHold},
		{"nack brings a message again at once and lets others pass", nack},
		{"the end of the context leaves held messages to their holder", contextEnd},
		{"closing a subscriber gives back at once what it held", giveBack},
		{"stats count messages, events and bytes", stats},
		{"cumulative counts grow by each message", cumulative},
		{"a full topic refuses and takes again once there is room", full},
		{"a topic without groups keeps its messages", keeps},
		{"a topic without groups is read in order and messages are removed from it", readAndRemove},
		{"a topic with groups is not read", readOnlyLogs},
		{"usage counts what a topic holds", usage},
		{"what is too old is removed and counted", expires},
		{"payload, id and metadata arrive as they were", intact},
		{"many publishers, groups and nacks lose nothing", concurrent},
		{"a closed bus refuses", closed},
		{"a durable bus keeps what is stored", durable},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.f(t, h) })
	}
}

// Topic is the topic of most tests.
const topic = "events"

func everything(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a", "b"}})
	publish(t, b, numbered(5)...)
	ra := subscribe(t, b, "a", bus.Window{})
	publish(t, b, numbered(10)[5:]...)
	same(t, ra.take(10), numbered(10))
	same(t, subscribe(t, b, "b", bus.Window{}).take(10), numbered(10))
	ra.none(50 * time.Millisecond)
}

func declareAgain(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a", "b"}}, bus.Topic{Name: "other", Groups: []string{"x"}})
	publish(t, b, "m0", "m1")
	if removed := declare(t, b, bus.Topic{Name: topic, Groups: []string{"a", "b"}}, bus.Topic{Name: "other", Groups: []string{"x"}}); len(removed) != 0 {
		t.Errorf("removed %v", removed)
	}
	removed := declare(t, b, bus.Topic{Name: topic, Groups: []string{"a"}})
	if len(removed) != 2 || (removed[0] != bus.Group{Topic: topic, Group: "b"} && removed[1] != bus.Group{Topic: topic, Group: "b"}) {
		t.Errorf("removed %v, want the group b and the topic other", removed)
	}
	same(t, subscribe(t, b, "a", bus.Window{}).take(2), []string{"m0", "m1"})
	if _, err := b.Subscriber("b", bus.Window{}).Subscribe(t.Context(), topic); err == nil {
		t.Error("a group that was removed can be subscribed")
	}
}

func laterGroup(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}})
	publish(t, b, "old")
	declare(t, b, bus.Topic{Name: topic, Groups: []string{"a", "late"}})
	publish(t, b, "new")
	same(t, subscribe(t, b, "late", bus.Window{}).take(1), []string{"new"})
	same(t, subscribe(t, b, "a", bus.Window{}).take(2), []string{"old", "new"})
}

func needsEvents(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}})
	m := msg("x", 1)
	delete(m.Metadata, bus.MetaEvents)
	if err := b.Publisher().Publish(topic, m); err == nil {
		t.Error("taken")
	}
}

func undeclared(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}})
	if err := b.Publisher().Publish("nowhere", msg("x", 1)); err == nil {
		t.Error("published to a topic that does not exist")
	}
	if _, err := b.Subscriber("a", bus.Window{}).Subscribe(t.Context(), "nowhere"); err == nil {
		t.Error("subscribed to a topic that does not exist")
	}
	if _, err := b.Stats(t.Context(), topic, "nobody"); err == nil {
		t.Error("stats of a group that does not exist")
	}
}

func windowMessages(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}})
	publish(t, b, numbered(8)...)
	r := subscribe(t, b, "a", bus.Window{Messages: 3, Bytes: 1 << 20})
	held := []*message.Message{r.next(), r.next(), r.next()}
	r.none(100 * time.Millisecond)
	held[1].Ack()
	if m := r.next(); string(m.Payload) != "m003" {
		t.Errorf("%q after room was made", m.Payload)
	}
	r.none(50 * time.Millisecond)
}

func windowBytes(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}})
	kilobyte := string(make([]byte, 1000))
	publish(t, b, kilobyte, kilobyte, kilobyte, kilobyte)
	r := subscribe(t, b, "a", bus.Window{Messages: 100, Bytes: 2500})
	first, _ := r.next(), r.next()
	r.none(100 * time.Millisecond)
	first.Ack()
	r.next()
	r.none(50 * time.Millisecond)
}

func oversized(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}})
	publish(t, b, "small", string(make([]byte, 5000)), "after")
	r := subscribe(t, b, "a", bus.Window{Messages: 100, Bytes: 2000})
	small := r.next()
	r.none(100 * time.Millisecond)
	small.Ack()
	large := r.next()
	if len(large.Payload) != 5000 {
		t.Fatalf("%d bytes", len(large.Payload))
	}
	r.none(100 * time.Millisecond)
	large.Ack()
	same(t, r.take(1), []string{"after"})
}

func longHold(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}})
	publish(t, b, "held", "other")
	r := subscribe(t, b, "a", bus.Window{})
	held := r.next()
	same(t, r.take(1), []string{"other"})
	r.none(max(50*time.Millisecond, 3*h.AckWait))
	held.Ack()
	eventually(t, "nothing pending", func() bool { return statsOf(t, b, "a").Pending == 0 })
	if s := statsOf(t, b, "a"); s.Redelivered != 0 {
		t.Errorf("redelivered %d", s.Redelivered)
	}
}

func nack(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}})
	publish(t, b, "n", "x", "y")
	r := subscribe(t, b, "a", bus.Window{})
	first := r.next()
	first.Nack()
	began := time.Now()
	got := map[string]int{}
	for range 3 {
		m := r.next()
		got[string(m.Payload)]++
		m.Ack()
	}
	if fmt.Sprint(got) != "map[n:1 x:1 y:1]" {
		t.Errorf("got %v", got)
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("the nacked message came after %s", d)
	}
	eventually(t, "one redelivery counted, nothing pending", func() bool { s := statsOf(t, b, "a"); return s.Redelivered == 1 && s.Pending == 0 })
}

func contextEnd(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}})
	publish(t, b, numbered(3)...)
	r := subscribe(t, b, "a", bus.Window{Messages: 2})
	one, two := r.next(), r.next()
	r.cancel()
	select {
	case _, ok := <-r.ch:
		if ok {
			t.Error("a message was handed out after the end of the context")
		}
	case <-time.After(patience):
		t.Fatal("the channel stays open")
	}
	if one.Context().Err() != nil {
		t.Error("the context of a held message ended with the subscription")
	}
	one.Ack()
	two.Ack()
	eventually(t, "two settled", func() bool { return statsOf(t, b, "a").Pending == 1 })
	r.close()
	same(t, subscribe(t, b, "a", bus.Window{}).take(1), []string{"m002"})
}

func giveBack(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}})
	publish(t, b, numbered(4)...)
	r := subscribe(t, b, "a", bus.Window{})
	for range 3 {
		r.next()
	}
	r.next().Ack()
	began := time.Now()
	r.close()
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("closing took %s", d)
	}
	again := subscribe(t, b, "a", bus.Window{})
	got := map[string]bool{}
	for _, p := range again.take(3) {
		got[p] = true
	}
	if len(got) != 3 || got["m003"] {
		t.Errorf("given back %v", got)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("came again after %s", d)
	}
	again.none(50 * time.Millisecond)
}

func stats(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a", "b"}})
	counted := func(group string) bus.Stats {
		s := statsOf(t, b, group)
		s.StoredBytes = 0 // differs between stores
		return s
	}
	for i := range 4 {
		if err := b.Publisher().Publish(topic, msg(string(make([]byte, 100)), 10+i)); err != nil {
			t.Fatal(err)
		}
	}
	want := bus.Stats{Pending: 4, PendingEvents: 46, PendingBytes: 400}
	if s := counted("a"); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	r := subscribe(t, b, "a", bus.Window{})
	one, two := r.next(), r.next()
	if s := counted("a"); s != want {
		t.Errorf("with two handed out: %+v, want %+v", s, want)
	}
	two.Ack() // out of order
	eventually(t, "one settled", func() bool {
		return counted("a") == bus.Stats{Pending: 3, PendingEvents: 35, PendingBytes: 300}
	})
	one.Ack()
	r.take(2)
	eventually(t, "all settled", func() bool { return counted("a") == bus.Stats{} })
	if s := counted("b"); s != want {
		t.Errorf("the other group: %+v, want %+v", s, want)
	}
}

func cumulative(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}})
	for i := range 3 {
		if err := b.Publisher().Publish(topic, msg("12345", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	r := subscribe(t, b, "a", bus.Window{})
	for i, want := range []string{"1 5", "3 10", "6 15"} {
		m := r.next()
		if got := m.Metadata.Get(bus.MetaCumEvents) + " " + m.Metadata.Get(bus.MetaCumBytes); got != want {
			t.Errorf("message %d: %s, want %s", i, got, want)
		}
		m.Ack()
	}
}

func full(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}, MaxBytes: 1 << 20})
	block := string(make([]byte, 100_000))
	stored := 0
	var err error
	for ; stored < 50; stored++ {
		if err = b.Publisher().Publish(topic, msg(block, 1)); err != nil {
			break
		}
	}
	if !errors.Is(err, bus.ErrFull) {
		t.Fatalf("after %d blocks: %v, want ErrFull", stored, err)
	}
	if stored < 5 || stored > 11 {
		t.Errorf("%d blocks of 100 kB in 1 MiB", stored)
	}
	r := subscribe(t, b, "a", bus.Window{})
	r.take(stored)
	eventually(t, "room again", func() bool { return b.Publisher().Publish(topic, msg("again", 1)) == nil })
	if m := r.next(); string(m.Payload) != "again" {
		t.Errorf("%.10q", m.Payload)
	}
}

func keeps(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, MaxBytes: 1 << 20})
	block := string(make([]byte, 300_000))
	var err error
	n := 0
	for ; n < 10 && err == nil; n++ {
		err = b.Publisher().Publish(topic, msg(block, 1))
	}
	if !errors.Is(err, bus.ErrFull) || n < 3 {
		t.Errorf("after %d blocks: %v, want ErrFull: nothing may be discarded", n, err)
	}
}

func expires(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}, MaxAge: time.Second})
	for range 2 {
		if err := b.Publisher().Publish(topic, msg("old", 5)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "10 events expired", func() bool { s := statsOf(t, b, "a"); return s.Expired == 10 && s.Pending == 0 })
	publish(t, b, "new")
	same(t, subscribe(t, b, "a", bus.Window{}).take(1), []string{"new"})
}

func intact(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}})
	m := msg("line\nbreaks \x00 and \xff bytes", 3)
	m.Metadata.Set("own", "ä =:%20\r\n trailing ")
	m.Metadata.Set(bus.MetaContentType, "application/x-ndjson")
	if err := b.Publisher().Publish(topic, m); err != nil {
		t.Fatal(err)
	}
	got := subscribe(t, b, "a", bus.Window{}).next()
	if got.UUID != m.UUID || string(got.Payload) != string(m.Payload) {
		t.Errorf("%s %q", got.UUID, got.Payload)
	}
	for _, k := range []string{"own", bus.MetaContentType, bus.MetaEvents} {
		if got.Metadata.Get(k) != m.Metadata.Get(k) {
			t.Errorf("%s: %q, want %q", k, got.Metadata.Get(k), m.Metadata.Get(k))
		}
	}
}

func concurrent(t *testing.T, h Harness) {
	const publishers, each = 8, 100
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a", "b", "c"}})
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				if err := b.Publisher().Publish(topic, msg(fmt.Sprintf("%d-%d", p, i), 1)); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		})
	}
	for _, g := range []string{"a", "b", "c"} {
		r := subscribe(t, b, g, bus.Window{Messages: 50})
		wg.Go(func() {
			acked := map[string]int{}
			for len(acked) < publishers*each {
				select {
				case m := <-r.ch:
					if rand.N(10) == 0 {
						m.Nack()
						continue
					}
					acked[string(m.Payload)]++
					m.Ack()
				case <-time.After(patience):
					t.Errorf("group %s: %d of %d", g, len(acked), publishers*each)
					return
				}
			}
			for p, n := range acked {
				if n != 1 {
					t.Errorf("group %s: %s settled %d times", g, p, n)
				}
			}
		})
	}
	wg.Wait()
	for _, g := range []string{"a", "b", "c"} {
		eventually(t, "nothing pending", func() bool { return statsOf(t, b, g).Pending == 0 })
	}
}

func closed(t *testing.T, h Harness) {
	b := h.Open(t)
	declare(t, b, bus.Topic{Name: topic, Groups: []string{"a"}})
	publish(t, b, "x")
	sub := b.Subscriber("a", bus.Window{})
	ch, err := sub.Subscribe(context.Background(), topic)
	if err != nil {
		t.Fatal(err)
	}
	<-ch // held and never settled
	done := make(chan error, 2)
	go func() { done <- b.Close(); done <- b.Close() }()
	for range 2 {
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("close: %v", err)
			}
		case <-time.After(patience):
			t.Fatal("Close waits for a holder")
		}
	}
	if err := b.Publisher().Publish(topic, msg("y", 1)); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("publish: %v, want ErrClosed", err)
	}
	if _, err := b.Subscriber("a", bus.Window{}).Subscribe(context.Background(), topic); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("subscribe: %v, want ErrClosed", err)
	}
	select {
	case _, ok := <-ch:
		if ok {
			t.Error("a message after Close")
		}
	case <-time.After(patience):
		t.Error("the channel stays open")
	}
}

func durable(t *testing.T, h Harness) {
	b := h.Open(t)
	if b.Durable() != (h.Reopen != nil) {
		t.Fatalf("Durable is %v", b.Durable())
	}
	declare(t, b, bus.Topic{Name: topic, Groups: []string{"a", "b"}})
	if h.Reopen == nil {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		return
	}
	publish(t, b, numbered(5)...)
	r := subscribe(t, b, "a", bus.Window{})
	same(t, r.take(2), numbered(2))
	r.next() // held at the end
	eventually(t, "two settled", func() bool { return statsOf(t, b, "a").Pending == 3 })
	b = h.Reopen(t, b)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	declare(t, b, bus.Topic{Name: topic, Groups: []string{"a", "b"}})
	if s := statsOf(t, b, "a"); s.Pending != 3 || s.PendingEvents != 3 {
		t.Errorf("after reopening: %+v", s)
	}
	if s := statsOf(t, b, "b"); s.Pending != 5 {
		t.Errorf("the other group after reopening: %+v", s)
	}
	publish(t, b, "m005")
	got := map[string]bool{}
	again := subscribe(t, b, "a", bus.Window{})
	for _, p := range again.take(4) {
		got[p] = true
	}
	if len(got) != 4 || got["m000"] || got["m001"] {
		t.Errorf("after reopening the group got %v", got)
	}
	same(t, subscribe(t, b, "b", bus.Window{}).take(6), numbered(6))
}
