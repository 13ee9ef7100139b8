package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// lasting is a memory bus that outlives its pipelines, as a directory does.
type lasting struct {
	bus.Bus
	deaf atomic.Bool // to the ledger: what a process does not live to store
}

func newStore() *lasting                        { return &lasting{Bus: memory.New(memory.Config{})} }
func (*lasting) Durable() bool                  { return true }
func (*lasting) Close() error                   { return nil }
func (k *lasting) Publisher() message.Publisher { return storePublisher{k.Bus.Publisher(), k} }

type storePublisher struct {
	message.Publisher
	k *lasting
}

func (p storePublisher) Publish(topic string, m ...*message.Message) error {
	if topic == pipeline.TopicState && p.k.deaf.Load() {
		return errors.New("died")
	}
	return p.Publisher.Publish(topic, m...)
}

// run runs a pipeline on b until f returns; a crash leaves no word of it since.
func runOn(t *testing.T, b *lasting, cfg pipeline.Config, f func(r *running)) pipeline.Ledger {
	t.Helper()
	cfg.Bus = b
	p, err := pipeline.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := &running{Pipeline: p, t: t, bus: b}
	f(r)
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
	b.deaf.Store(false)
	for _, row := range p.Ledger().Sinks {
		r.row(row.Sink)
	}
	return p.Ledger()
}

func TestLedgerIsExactAcrossCleanRestarts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newStore()
		down := newSwitched(sidetrack.RetryAfter(errors.New("status 429"), time.Hour))
		mixed := newBackend(func(u sidetrack.Unit) error {
			if has(u, "bad") {
				return sidetrack.Permanent(errors.New("no"))
			}
			return nil
		})
		cfg := pipeline.Config{
			Intake: []sidetrack.Processor{sidetrack.ProcessorFunc(func(_ context.Context, e *sidetrack.Event) error {
				if e.Name == "dropped" {
					return sidetrack.Drop("test")
				}
				return nil
			})},
			Sinks: []pipeline.SinkConfig{
				sinkOf("down", down.backend),
				{Name: "mixed", Sink: sidetrack.WriterSink(mixed), When: func(e *sidetrack.Event) bool { return e.Name != "filtered" }},
			},
		}
		var first pipeline.Ledger
		for round := range 3 {
			began := time.Now()
			l := runOn(t, b, cfg, func(r *running) {
				r.emit(event("a"), event("bad"), event("filtered"), event("dropped"))
				if err := r.Emit(t.Context(), &sidetrack.Event{Name: "", Consent: sidetrack.GrantAll("x")}); err == nil {
					t.Error("an invalid event is taken")
				}
				time.Sleep(time.Minute)
			})
			n := int64(round + 1)
			if round == 0 {
				first = l
				if l.Since.Before(began) {
					t.Errorf("since %s", l.Since)
				}
			}
			if !l.Since.Equal(first.Since) || l.Received != 5*n || l.Accepted != 3*n || l.Dropped["test"] != n || l.Refused[sidetrack.ReasonInvalid] != n || l.Crashes != 0 {
				t.Errorf("round %d: intake %s", round, asJSON(l))
			}
			d, m := l.Sinks[0], l.Sinks[1]
			if d.Accepted != 3*n || d.Pending != 3*n || d.Uncertain+d.Repeated+d.Carried != 0 {
				t.Errorf("round %d: %s", round, asJSON(d))
			}
			if m.Accepted != 3*n || m.Delivered != n || m.Dead[sidetrack.ReasonRejected] != n || m.Filtered[sidetrack.ReasonWhen] != n || m.Pending != 0 || m.Uncertain+m.Repeated != 0 {
				t.Errorf("round %d: %s", round, asJSON(m))
			}
		}
		// What is done without running counts, too.
		cfg.Bus = b
		p, err := pipeline.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := p.Ledger(); got.Received != 15 {
			t.Errorf("opened only: %s", asJSON(got))
		}
		if res, err := p.Replay(t.Context(), pipeline.DeadFilter{Limit: 2}, pipeline.DeadOptions{}); err != nil || res.Events != 2 {
			t.Errorf("%+v, %v", res, err)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		// A sink that comes later has nothing to do with what was before.
		cfg.Sinks = append(cfg.Sinks, sinkOf("late", newBackend(nil)))
		down.up.Store(true)
		l := runOn(t, b, cfg, func(r *running) {
			r.emit(event("a"))
			r.drain(time.Hour)
		})
		if row := l.Sinks[0]; row.Delivered != 10 || row.Uncertain+row.Repeated != 0 {
			t.Errorf("what was parked: %s", asJSON(row))
		}
		if row := l.Sinks[1]; row.Replayed != 2 || row.Dead[sidetrack.ReasonRejected] != 5 || row.Uncertain+row.Repeated != 0 {
			t.Errorf("what was replayed: %s", asJSON(row))
		}
		if row := l.Sinks[2]; row.Accepted != 1 || row.Delivered != 1 {
			t.Errorf("late: %s", asJSON(row))
		}
	})
}

func TestLedgerAfterACrashSaysWhatIsUncertain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newStore()
		up := newBackend(nil)
		down := newSwitched(sidetrack.RetryAfter(errors.New("status 429"), time.Hour))
		cfg := pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("up", up), sinkOf("down", down.backend)}}
		runOn(t, b, cfg, func(r *running) {
			r.emit(events("a", 10)...)
			time.Sleep(10 * time.Second) // the ledger is stored
			b.deaf.Store(true)
			r.emit(events("b", 7)...)
			time.Sleep(10 * time.Second)
		})
		died := time.Now()
		l := runOn(t, b, cfg, func(r *running) {
			l := r.Ledger()
			if l.Accepted != 17 || l.Received != 17 || l.Crashes != 1 || l.Unsure.After(died.Add(-10*time.Second)) || l.Unsure.Before(died.Add(-20*time.Second)) {
				t.Errorf("intake %s", asJSON(l))
			}
			if row := r.row("up"); row.Delivered != 10 || row.Uncertain != 7 || row.Pending != 0 {
				t.Errorf("%s", asJSON(row))
			}
			if row := r.row("down"); row.Pending != 17 || row.Uncertain != 0 {
				t.Errorf("%s", asJSON(row))
			}
			down.up.Store(true)
			r.emit(event("c"))
			r.drain(2 * time.Hour)
		})
		if row := l.Sinks[0]; row.Delivered != 11 || row.Uncertain != 7 {
			t.Errorf("%s", asJSON(row))
		}
		if l = runOn(t, b, cfg, func(*running) {}); l.Crashes != 1 || l.Sinks[0].Uncertain != 7 || l.Sinks[1].Delivered != 18 {
			t.Errorf("the next start: %s", asJSON(l))
		}
	})
}

func TestLedgerOfAnotherStoreBeginsAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		one, two := newStore(), newStore()
		cfg := pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("a", newBackend(nil))}}
		runOn(t, one, cfg, func(r *running) { r.emit(events("a", 10)...); r.drain(time.Minute) })
		// The ledger of one store in another, as after restoring half a backup.
		if _, err := two.Declare(t.Context(), bus.Topic{Name: pipeline.TopicState}); err != nil {
			t.Fatal(err)
		}
		for rec, err := range one.Read(t.Context(), pipeline.TopicState, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if err := two.Bus.Publisher().Publish(pipeline.TopicState, rec.Message); err != nil {
				t.Fatal(err)
			}
		}
		l := runOn(t, two, cfg, func(r *running) { r.emit(event("b")); r.drain(time.Minute) })
		if l.Received != 1 || l.Sinks[0].Delivered != 1 || l.Sinks[0].Uncertain+l.Sinks[0].Repeated != 0 {
			t.Errorf("%s", asJSON(l))
		}
	})
}

func TestOneLedgerIsStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newStore()
		cfg := pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("a", newBackend(nil))}}
		runOn(t, b, cfg, func(r *running) {
			for range 20 {
				r.emit(event("e"))
				time.Sleep(6 * time.Second)
			}
			synctest.Wait()
		})
		if u, err := b.Usage(t.Context(), pipeline.TopicState); err != nil || u.Messages != 1 {
			t.Errorf("%+v, %v", u, err)
		}
	})
}

func TestReasonsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var n atomic.Int64
		r := start(t, pipeline.Config{
			Intake: []sidetrack.Processor{sidetrack.ProcessorFunc(func(context.Context, *sidetrack.Event) error {
				return sidetrack.Drop(sidetrack.Reason(fmt.Sprint("made up ", n.Add(1))))
			})},
			Sinks: []pipeline.SinkConfig{sinkOf("a", newBackend(nil))},
		})
		for range 1000 {
			r.emit(event("e"))
		}
		l := r.Ledger()
		if len(l.Dropped) > 300 || total(l.Dropped) != 1000 || l.Dropped[sidetrack.ReasonOther] < 700 {
			t.Errorf("%d reasons, %d dropped, %d others", len(l.Dropped), total(l.Dropped), l.Dropped[sidetrack.ReasonOther])
		}
	})
}
