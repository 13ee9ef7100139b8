package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

func sinkOf(name string, b *backend, opts ...sidetrack.SinkOption) pipeline.SinkConfig {
	return pipeline.SinkConfig{Name: name, Sink: sidetrack.WriterSink(b, opts...)}
}

func TestDeliversEverythingOnceAndBalances(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(nil)
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("a", b, sidetrack.MaxEvents(7), sidetrack.Concurrency(3))}})
		for i := range 50 {
			r.emit(events(fmt.Sprintf("e%d_", i), 9)...)
		}
		r.drain(time.Minute)
		got := b.delivered()
		if len(got) != 450 {
			t.Errorf("delivered %d different events, want 450", len(got))
		}
		for name, n := range got {
			if n != 1 {
				t.Errorf("%s delivered %d times", name, n)
			}
		}
		for _, u := range b.units {
			if len(u) > 7 {
				t.Errorf("unit of %d events, MaxEvents is 7", len(u))
			}
		}
		if row := r.row("a"); row.Delivered != 450 || row.Pending != 0 {
			t.Errorf("row %+v", row)
		}
	})
}

func TestUnitsFormAcrossMessagesAndByGroup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := make(chan struct{})
		b := newBackend(func(u sidetrack.Unit) error {
			if has(u, "first") {
				<-first
			}
			return nil
		})
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("a", b, sidetrack.MaxEvents(10),
			sidetrack.GroupBy(func(e *sidetrack.Event) string { return e.Visitor.ClientID }))}})
		r.emit(event("first"))
		synctest.Wait()
		for i := range 12 { // twelve messages of two visitors, while the only attempt is under way
			e := event(fmt.Sprintf("n%d", i))
			e.Visitor.ClientID = string(rune('a' + i%2))
			r.emit(e)
		}
		synctest.Wait()
		close(first)
		r.drain(time.Minute)
		want := [][]string{{"first"}, {"n0", "n2", "n4", "n6", "n8", "n10"}, {"n1", "n3", "n5", "n7", "n9", "n11"}}
		if got := asJSON(b.units); got != asJSON(want) {
			t.Errorf("units %s, want %s", got, asJSON(want))
		}
	})
}

func TestRejectedUnitIsHalvedUntilOneEventIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(func(u sidetrack.Unit) error {
			if has(u, "e13") {
				return sidetrack.Permanent(errors.New("status 400: bad e13"))
			}
			return nil
		})
		w := watch(memory.New(memory.Config{}))
		r := start(t, pipeline.Config{Bus: w, Sinks: []pipeline.SinkConfig{sinkOf("a", b, sidetrack.MaxEvents(25))}})
		r.emit(events("e", 25)...)
		r.drain(time.Minute)
		row := r.row("a")
		if row.Delivered != 24 || row.Dead[sidetrack.ReasonRejected] != 1 {
			t.Errorf("row %+v", row)
		}
		dead := w.dead()
		if len(dead) != 1 || len(dead[0].Events) != 1 || !strings.Contains(string(dead[0].Events[0]), `"e13"`) ||
			dead[0].Reason != sidetrack.ReasonRejected || !strings.Contains(dead[0].Error, "bad e13") || dead[0].Sink != "a" {
			t.Errorf("dead letters %s", asJSON(dead))
		}
		if n := b.attempts(); n > 12 {
			t.Errorf("%d attempts to isolate one of 25", n)
		}
	})
}

func TestBreakerParksTheSinkAndNothingIsLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		healthy := newBackend(nil)
		recovered := time.Now().Add(10 * time.Minute)
		sick := newBackend(func(sidetrack.Unit) error {
			if time.Now().Before(recovered) {
				return errors.New("status 500")
			}
			return nil
		})
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("sick", sick), sinkOf("healthy", healthy)}})
		for i := range 60 {
			r.emit(events(fmt.Sprintf("e%d_", i), 10)...)
			time.Sleep(time.Second)
		}
		if row := r.row("healthy"); row.Delivered != 600 {
			t.Errorf("healthy sink: %+v", row)
		}
		if row := r.row("sick"); row.Pending != 600 || row.State != "breaker open" {
			t.Errorf("sick sink: %+v", row)
		}
		// Five failures open the breaker; then one probe each 30 s.
		if n := sick.attempts(); n > 5+3 {
			t.Errorf("%d attempts in a minute against an open breaker", n)
		}
		r.drain(15 * time.Minute)
		if row := r.row("sick"); row.Delivered != 600 || row.State != "ok" {
			t.Errorf("sick sink afterwards: %+v", row)
		}
		if n := len(sick.delivered()); n != 600 {
			t.Errorf("sick backend got %d", n)
		}
	})
}

func TestOnePoisonousPayloadDoesNotStopTheRest(t *testing.T) {
	for _, size := range []int{1, 25} {
		t.Run(fmt.Sprintf("units of %d", size), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				healed := time.Now().Add(20 * time.Minute)
				b := newBackend(func(u sidetrack.Unit) error {
					if has(u, "poison") && time.Now().Before(healed) {
						return errors.New("status 500")
					}
					return nil
				})
				w := watch(memory.New(memory.Config{}))
				r := start(t, pipeline.Config{Bus: w, Sinks: []pipeline.SinkConfig{sinkOf("a", b, sidetrack.MaxEvents(size), sidetrack.Concurrency(4))}})
				r.emit(append(events("first", 20), event("poison"))...)
				for i := range 5 * 60 {
					r.emit(event(fmt.Sprintf("e%d", i)))
					time.Sleep(time.Second)
				}
				if row := r.row("a"); row.Delivered != 320 || row.Pending != 1 {
					t.Errorf("while poison fails: %+v", row)
				}
				if w.published(pipeline.TopicRetry("a")) == 0 {
					t.Error("poison is still in the window after five minutes")
				}
				for name, at := range b.at {
					var i int64
					if _, err := fmt.Sscanf(name, "e%d", &i); err == nil && at-i*1000 > 31_000 {
						t.Errorf("%s arrived %d ms late", name, at-i*1000)
					}
				}
				r.drain(time.Hour)
				if row := r.row("a"); row.Delivered != 321 {
					t.Errorf("after healing: %+v", row)
				}
			})
		})
	}
}

func TestThrottledSinkWaitsAsAsked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var n atomic.Int64
		b := newBackend(func(sidetrack.Unit) error {
			if n.Add(1) == 3 {
				return sidetrack.RetryAfter(errors.New("status 429"), 2*time.Minute)
			}
			return nil
		})
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("a", b)}})
		r.emit(events("e", 5)...)
		synctest.Wait()
		if row := r.row("a"); row.Delivered != 2 || row.State != "throttled" {
			t.Errorf("%+v", row)
		}
		time.Sleep(119 * time.Second)
		if b.attempts() != 3 {
			t.Errorf("%d attempts before the time was over", b.attempts())
		}
		r.drain(2 * time.Second)
		if row := r.row("a"); row.Delivered != 5 || row.State != "ok" {
			t.Errorf("%+v", row)
		}
	})
}

func TestMisconfiguredSinkKeepsEverythingAndSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fixed := time.Now().Add(time.Hour)
		b := newBackend(func(sidetrack.Unit) error {
			if time.Now().Before(fixed) {
				return sidetrack.Misconfiguration(errors.New("status 401"))
			}
			return nil
		})
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("a", b)}})
		r.emit(events("e", 100)...)
		time.Sleep(59 * time.Minute)
		if row := r.row("a"); row.Pending != 100 || row.State != "misconfigured" || total(row.Dead) != 0 {
			t.Errorf("%+v", row)
		}
		if n := b.attempts(); n > 61 {
			t.Errorf("%d attempts in an hour", n)
		}
		if !strings.Contains(r.log.String(), "check its address and credentials") {
			t.Error("the log does not say what to do")
		}
		r.drain(time.Hour)
		if row := r.row("a"); row.Delivered != 100 {
			t.Errorf("%+v", row)
		}
	})
}

func TestPartialFailuresAreTreatedOneByOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var calls atomic.Int64
		b := newBackend(func(u sidetrack.Unit) error {
			if calls.Add(1) > 1 {
				return nil
			}
			return &sidetrack.PartialError{Failed: map[int]error{
				1:  sidetrack.Permanent(errors.New("bad")),
				3:  errors.New("later"),
				99: errors.New("no such index"),
			}}
		})
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("a", b, sidetrack.MaxEvents(5))}})
		r.emit(events("e", 5)...)
		r.drain(time.Minute)
		if row := r.row("a"); row.Delivered != 4 || row.Dead[sidetrack.ReasonRejected] != 1 {
			t.Errorf("%+v", row)
		}
		if got := b.delivered(); got["e1"] != 0 || got["e3"] != 1 || got["e0"] != 1 {
			t.Errorf("delivered %v", got)
		}
	})
}

func TestHangingAttemptIsCutOffAndRetried(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var calls atomic.Int64
		s := sidetrack.WriterSink(writerFunc(func(ctx context.Context, _ sidetrack.Unit) error {
			if calls.Add(1) == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}))
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{{Name: "a", Sink: s, Delivery: pipeline.Delivery{Timeout: 3 * time.Second}}}})
		r.emit(event("e"))
		began := time.Now()
		r.drain(time.Minute)
		if d := time.Since(began); d < 3*time.Second || d > 6*time.Second {
			t.Errorf("delivered after %s", d)
		}
	})
}

type writerFunc func(context.Context, sidetrack.Unit) error

func (f writerFunc) Write(ctx context.Context, u sidetrack.Unit) error { return f(ctx, u) }

func TestPanickingSinkCostsItselfAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		healthy := newBackend(nil)
		generator := sidetrack.GeneratorFunc(func(u sidetrack.Unit) (*sidetrack.Request, error) { panic("203.0.113.77") })
		w := watch(memory.New(memory.Config{}))
		r := start(t, pipeline.Config{Bus: w, Sinks: []pipeline.SinkConfig{
			{Name: "bad", Sink: sidetrack.HTTPSink(generator, sidetrack.MaxEvents(4))},
			{Name: "worse", Sink: sidetrack.WriterSink(healthy, sidetrack.GroupBy(func(*sidetrack.Event) string { panic("group") }))},
			sinkOf("good", healthy),
		}})
		r.emit(events("e", 4)...)
		r.drain(time.Minute)
		if row := r.row("bad"); row.Dead[sidetrack.ReasonUnbuildable] != 4 {
			t.Errorf("%+v", row)
		}
		if row := r.row("worse"); row.Dead[sidetrack.ReasonUnbuildable] != 4 {
			t.Errorf("%+v", row)
		}
		if row := r.row("good"); row.Delivered != 4 {
			t.Errorf("%+v", row)
		}
		if s := asJSON(w.dead()) + r.log.String(); strings.Contains(s, "203.0.113.77") {
			t.Error("the panic's value was kept")
		}
	})
}

func TestExpiryCountsFromReceiptAndFromEventTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(func(sidetrack.Unit) error { return errors.New("down") })
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{
			{Name: "age", Sink: sidetrack.WriterSink(b), Delivery: pipeline.Delivery{MaxAge: time.Hour}},
			{Name: "own", Sink: sidetrack.WriterSink(newBackend(nil), sidetrack.MaxAge(72*time.Hour))},
		}})
		time.Sleep(200 * time.Hour) // the fake clock starts with the year 2000
		late := event("late")
		late.Time = time.Now().Add(-100 * time.Hour)
		r.emit(event("e"), late)
		synctest.Wait()
		if row := r.row("own"); row.Delivered != 1 || row.Expired[sidetrack.ReasonMaxAge] != 1 {
			t.Errorf("own window: %+v", row)
		}
		r.drain(2 * time.Hour)
		if row := r.row("age"); row.Expired[sidetrack.ReasonMaxAge] != 2 {
			t.Errorf("max_age: %+v", row)
		}
	})
}

func TestUnitKeepsItsIDAcrossAttempts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var ids []string
		var attempts []int
		b := newBackend(func(u sidetrack.Unit) error {
			ids, attempts = append(ids, u.ID.String()), append(attempts, u.Attempt)
			if len(ids) < 3 {
				return errors.New("again")
			}
			return nil
		})
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("a", b, sidetrack.MaxEvents(2))}})
		r.emit(events("e", 2)...)
		r.drain(time.Minute)
		if ids[0] != ids[1] || ids[1] != ids[2] || asJSON(attempts) != "[1,2,3]" {
			t.Errorf("ids %v, attempts %v", ids, attempts)
		}
	})
}

func TestDeadLetterThatCannotBeStoredKeepsItsEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := watch(memory.New(memory.Config{}))
		b := newBackend(func(sidetrack.Unit) error {
			w.setFail(errors.New("disk full"))
			return sidetrack.Permanent(errors.New("bad"))
		})
		r := start(t, pipeline.Config{Bus: w, Sinks: []pipeline.SinkConfig{sinkOf("a", b)}})
		r.emit(event("e"))
		time.Sleep(time.Minute)
		if row := r.row("a"); row.Pending != 1 || total(row.Dead) != 0 {
			t.Errorf("settled without being stored: %+v", row)
		}
		w.setFail(nil)
		r.drain(time.Minute)
		if row := r.row("a"); row.Dead[sidetrack.ReasonRejected] != 1 || len(w.dead()) != 1 {
			t.Errorf("%+v", row)
		}
		if b.attempts() != 1 {
			t.Errorf("attempted %d times although the verdict was final", b.attempts())
		}
	})
}

func TestCloseFinishesWhatIsInFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(func(sidetrack.Unit) error { time.Sleep(2 * time.Second); return nil })
		p, err := pipeline.New(pipeline.Config{Bus: memory.New(memory.Config{}), Sinks: []pipeline.SinkConfig{sinkOf("a", b, sidetrack.MaxEvents(5))}})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.Enqueue(events("e", 12)...); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(b.delivered()); n != 12 {
			t.Errorf("%d of 12 delivered by Close on a bus that does not keep them", n)
		}
		if err := p.Emit(t.Context(), event("late")); !errors.Is(err, sidetrack.ErrClosed) {
			t.Errorf("emit after close: %v", err)
		}
	})
}

func TestCloseEndsInTimeWhenABackendHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		deaf := writerFunc(func(context.Context, sidetrack.Unit) error { <-release; return nil })
		p, err := pipeline.New(pipeline.Config{
			Bus:          memory.New(memory.Config{}),
			DrainTimeout: 5 * time.Second,
			Sinks:        []pipeline.SinkConfig{{Name: "a", Sink: sidetrack.WriterSink(deaf)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.Emit(t.Context(), event("e")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > 7*time.Second {
			t.Errorf("close took %s", d)
		}
	})
}
