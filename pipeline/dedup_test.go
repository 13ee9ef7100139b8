package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// identified is an event with a client's message id.
func identified(name, message string) *sidetrack.Event {
	e := event(name)
	e.MessageID = message
	return e
}

// duplicates returns how many events the ledger counts as such, having checked that it balances.
func duplicates(t *testing.T, r *running) int64 {
	t.Helper()
	l := r.Ledger()
	sum := l.Accepted
	for _, n := range l.Dropped {
		sum += n
	}
	for _, n := range l.Refused {
		sum += n
	}
	if sum != l.Received {
		t.Errorf("ledger does not balance: %+v", l)
	}
	return l.Dropped[sidetrack.ReasonDuplicate]
}

// observed notes drops by index.
type observed map[int]sidetrack.Reason

func (o observed) Dropped(i int, r sidetrack.Reason) { o[i] = r }

func TestDuplicatesAreOneEvent(t *testing.T) {
	purchase := func(name, tx string) *sidetrack.Event {
		e := event(name)
		e.Ecommerce = &sidetrack.Ecommerce{TransactionID: tx}
		return e
	}
	id := uuid.MustParse("018f0000-0000-7000-8000-000000000001")
	withID := func() *sidetrack.Event { e := event("i"); e.ID = id; return e }
	at := func(site string, e *sidetrack.Event) *sidetrack.Event { e.Site = site; return e }
	for name, tt := range map[string]struct {
		cfg    pipeline.Dedup
		events []*sidetrack.Event
		stored int64
	}{
		"message id":         {pipeline.Dedup{}, []*sidetrack.Event{identified("a", "1"), identified("b", "1"), identified("c", "2")}, 2},
		"message id by site": {pipeline.Dedup{}, []*sidetrack.Event{at("x", identified("a", "1")), at("y", identified("b", "1"))}, 2},
		"id":                 {pipeline.Dedup{}, []*sidetrack.Event{withID(), withID()}, 1},
		"no id":              {pipeline.Dedup{}, []*sidetrack.Event{event("a"), event("a")}, 2},
		"off":                {pipeline.Dedup{Off: true}, []*sidetrack.Event{identified("a", "1"), identified("b", "1")}, 2},
		"transactions": {pipeline.Dedup{Transactions: true}, []*sidetrack.Event{
			purchase("purchase", "T1"), purchase("purchase", "T1"), purchase("purchase", "T2"), at("x", purchase("purchase", "T1")),
			purchase("refund", "T1"), purchase("refund", "T1"), purchase("purchase", ""), purchase("purchase", ""),
		}, 7},
		"transactions not asked for": {pipeline.Dedup{}, []*sidetrack.Event{purchase("purchase", "T1"), purchase("purchase", "T1")}, 2},
	} {
		for _, together := range []bool{true, false} {
			t.Run(fmt.Sprint(name, together), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					b := newBackend(nil)
					r := start(t, pipeline.Config{Dedup: tt.cfg, Sinks: []pipeline.SinkConfig{sinkOf("a", b)}})
					var copies []*sidetrack.Event
					for _, e := range tt.events {
						copies = append(copies, e.Clone())
					}
					if together {
						r.emit(copies...)
					} else {
						for _, e := range copies {
							r.emit(e)
						}
					}
					r.drain(time.Minute)
					if l := r.Ledger(); l.Accepted != tt.stored || duplicates(t, r) != int64(len(tt.events))-tt.stored || r.row("a").Delivered != tt.stored {
						t.Errorf("%+v", l)
					}
				})
			})
		}
	}
}

// TestARefusedEventDoesNotPoisonItsRetry: what was not stored is no duplicate later on.
func TestARefusedEventDoesNotPoisonItsRetry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := watch(memory.New(memory.Config{}))
		refuse, drop := true, true
		intake := sidetrack.ProcessorFunc(func(_ context.Context, e *sidetrack.Event) error {
			switch {
			case e.Name == "refuse" && refuse:
				return errors.New("failed")
			case e.Name == "drop" && drop:
				return sidetrack.Drop("test")
			}
			return nil
		})
		r := start(t, pipeline.Config{Bus: w, Intake: []sidetrack.Processor{intake}, Sinks: []pipeline.SinkConfig{sinkOf("a", newBackend(nil))}})
		w.setFail(fmt.Errorf("test: %w", bus.ErrUnavailable))
		if err := r.Emit(t.Context(), identified("e", "1")); !errors.Is(err, sidetrack.ErrUnavailable) {
			t.Fatal(err)
		}
		w.setFail(nil)
		if r.Emit(t.Context(), identified("refuse", "2")) == nil {
			t.Fatal("not refused")
		}
		r.emit(identified("drop", "3"))
		refuse, drop = false, false
		r.emit(identified("e", "1"), identified("refuse", "2"), identified("drop", "3"))
		o := observed{}
		if err := r.Emit(sidetrack.ObserveDrops(t.Context(), o), identified("e", "1"), event("x"), identified("drop", "3")); err != nil {
			t.Fatal(err)
		}
		if len(o) != 2 || o[0] != sidetrack.ReasonDuplicate || o[2] != sidetrack.ReasonDuplicate {
			t.Errorf("observed %v", o)
		}
		r.drain(time.Minute)
		if l := r.Ledger(); l.Accepted != 4 || duplicates(t, r) != 2 {
			t.Errorf("%+v", l)
		}
	})
}

// TestDuplicatesShareTheFateOfTheFirst: nobody is told of success before the event is stored.
func TestDuplicatesShareTheFateOfTheFirst(t *testing.T) {
	for _, fails := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			slow := &slowBus{watch(memory.New(memory.Config{})), make(chan struct{})}
			if fails {
				slow.setFail(fmt.Errorf("test: %w", bus.ErrUnavailable))
			}
			var mu sync.Mutex
			fates := map[pipeline.Column]int{}
			r := start(t, pipeline.Config{Bus: slow, Sinks: []pipeline.SinkConfig{sinkOf("a", newBackend(nil))}, Observe: func(_ context.Context, f pipeline.Fate) {
				mu.Lock()
				defer mu.Unlock()
				if f.Sink == "" && f.Event.MessageID == "1" {
					fates[f.Column]++
				}
			}})
			results := make(chan error, 10)
			for range 3 {
				go func() { results <- r.Emit(t.Context(), identified("e", "1"), identified("f", "1")) }()
			}
			time.Sleep(time.Second)
			if err := r.Enqueue(identified("g", "1")); err != nil {
				t.Error(err)
			}
			if len(results) > 0 {
				t.Fatal("answered before anything was stored")
			}
			close(slow.hold)
			for range 3 {
				if err := <-results; fails != errors.Is(err, sidetrack.ErrUnavailable) {
					t.Errorf("fails: %v, emit: %v", fails, err)
				}
			}
			r.drain(time.Minute)
			l := r.Ledger()
			if fails && (l.Refused[sidetrack.ReasonUnavailable] != 7 || fates[pipeline.Refused] != 6) || !fails && (l.Accepted != 1 || duplicates(t, r) != 6 || fates[pipeline.Dropped] != 6) {
				t.Errorf("fails: %v, %+v, %v", fails, l, fates)
			}
		})
	}
}

// TestAFullQueueReleasesItsIDs: an event refused for want of room is taken when it comes again.
func TestAFullQueueReleasesItsIDs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := &slowBus{watch(memory.New(memory.Config{})), make(chan struct{})}
		r := start(t, pipeline.Config{Bus: slow, QueueEvents: 1, Sinks: []pipeline.SinkConfig{sinkOf("a", newBackend(nil))}})
		if err := r.Enqueue(event("fills")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		err := r.Emit(t.Context(), identified("e", "1"), identified("f", "1"))
		refused, ok := errors.AsType[*sidetrack.RefusedError](err)
		if !ok || len(refused.Refused) != 2 || !errors.Is(err, sidetrack.ErrOverloaded) {
			t.Fatalf("%v", err)
		}
		close(slow.hold)
		time.Sleep(time.Second)
		r.emit(identified("e", "1"))
		r.drain(time.Minute)
		if l := r.Ledger(); l.Accepted != 2 || duplicates(t, r) != 0 {
			t.Errorf("%+v", l)
		}
	})
}

func TestIDsAreForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, pipeline.Config{Dedup: pipeline.Dedup{Window: time.Minute, IDs: 10}, Sinks: []pipeline.SinkConfig{sinkOf("a", newBackend(nil))}})
		again := func(message string) bool {
			before := duplicates(t, r)
			r.emit(identified("e", message))
			return duplicates(t, r) > before
		}
		again("1")
		time.Sleep(59 * time.Second)
		if !again("1") {
			t.Error("forgotten within the window")
		}
		time.Sleep(2 * time.Minute)
		if again("1") {
			t.Error("remembered for more than twice the window")
		}
		for i := range 5 { // half of the ids
			again(fmt.Sprint("more", i))
		}
		if !again("1") {
			t.Error("forgotten although there is room")
		}
		for i := range 10 {
			again(fmt.Sprint("others", i))
		}
		if again("1") {
			t.Error("remembered beyond the bound")
		}
		r.drain(time.Hour)
	})
}

// flakyBus fails publishes as told.
type flakyBus struct {
	*watched
	fails func() bool
}

func (f flakyBus) Publisher() message.Publisher {
	return flakyPublisher{f.watched.Publisher(), f.fails}
}

type flakyPublisher struct {
	message.Publisher
	fails func() bool
}

func (p flakyPublisher) Publish(topic string, m ...*message.Message) error {
	if p.fails() {
		return fmt.Errorf("test: %w", bus.ErrUnavailable)
	}
	return p.Publisher.Publish(topic, m...)
}

// TestDuplicatesProperty: clients that send the same few ids at once and repeat until they are told of success
// leave exactly one stored event for each id, whatever storage does in between.
func TestDuplicatesProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		failures := rapid.SliceOfN(rapid.Bool(), 0, 40).Draw(rt, "failures")
		clients := rapid.IntRange(1, 6).Draw(rt, "clients")
		batches := rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(0, 4), 1, 4), 1, 5).Draw(rt, "batches")
		bubble(t, func(t *testing.T) {
			var mu sync.Mutex
			fails := func() bool {
				mu.Lock()
				defer mu.Unlock()
				if len(failures) == 0 {
					return false
				}
				f := failures[0]
				failures = failures[1:]
				return f
			}
			b := newBackend(nil)
			r := start(t, pipeline.Config{Bus: flakyBus{watch(memory.New(memory.Config{})), fails}, Sinks: []pipeline.SinkConfig{sinkOf("a", b)}})
			ids := map[int]bool{}
			var sending sync.WaitGroup
			for range clients {
				for _, batch := range batches {
					for _, id := range batch {
						ids[id] = true
					}
					sending.Go(func() {
						for range 100 {
							var events []*sidetrack.Event
							for _, id := range batch {
								events = append(events, identified(fmt.Sprint("e", id), fmt.Sprint(id)))
							}
							if r.Emit(t.Context(), events...) == nil {
								return
							}
						}
						t.Error("never stored")
					})
				}
			}
			sending.Wait()
			r.drain(time.Minute)
			if got := b.delivered(); len(got) != len(ids) || slices.ContainsFunc(values(got), func(n int) bool { return n != 1 }) {
				rt.Errorf("delivered %v for %v", got, ids)
			}
			duplicates(t, r)
		})
	})
}

func values(m map[string]int) (out []int) {
	for _, n := range m {
		out = append(out, n)
	}
	return out
}
