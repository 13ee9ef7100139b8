package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// kept is a bus that outlives a pipeline, as a durable one does.
type kept struct{ bus.Bus }

func (kept) Durable() bool { return true }
func (kept) Close() error  { return nil }

// TestCleanStopRepeatsNothing stops a sink that has delivered one event of each message and
// keeps failing with the others. The next one delivers those, and only those.
func TestCleanStopRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := kept{memory.New(memory.Config{})}
		well := false
		back := newBackend(func(u sidetrack.Unit) error {
			if !well && !has(u, "a0") && !has(u, "b0") {
				return errors.New("not now")
			}
			return nil
		})
		run := func(emit ...[]*sidetrack.Event) pipeline.Ledger {
			p, err := pipeline.New(pipeline.Config{Bus: b, Sinks: []pipeline.SinkConfig{{
				Name: "s", Sink: sidetrack.WriterSink(back), Delivery: pipeline.Delivery{Breaker: pipeline.Breaker{Failures: 1000}},
			}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, events := range emit {
				if err := p.Emit(t.Context(), events...); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(10 * time.Second)
			if err := p.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			return p.Ledger()
		}
		run(events("a", 300), events("b", 300), events("c", 3))
		if got := back.delivered(); len(got) != 2 {
			t.Fatalf("%d events delivered while the backend takes two", len(got))
		}
		well = true
		l := run().Sinks[0]
		got := back.delivered()
		if len(got) != 603 || l.Accepted != 603 || l.Delivered != 603 || l.Pending+l.Repeated+l.Uncertain != 0 {
			t.Errorf("%d events delivered, want 603; ledger %+v", len(got), l)
		}
		for name, n := range got {
			if n != 1 {
				t.Errorf("%s was delivered %d times", name, n)
			}
		}
		if err := b.Bus.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Close lets a sink that delivers go on for a while, and waits for none that does not.
func TestCleanStopDrainsWhatDelivers(t *testing.T) {
	for name, tt := range map[string]struct {
		sick    error
		atLeast time.Duration
		atMost  time.Duration
		pending int64
	}{
		"a slow one":      {nil, 2 * time.Second, 3 * time.Second, 0},
		"a parked one":    {sidetrack.RetryAfter(errors.New("429"), time.Hour), 2 * time.Second, 3 * time.Second, 20},
		"a failing one":   {errors.New("500"), 2 * time.Second, 3 * time.Second, 20},
		"a very slow one": {errSlow, 5 * time.Second, 11 * time.Second, 18},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slow := newBackend(func(sidetrack.Unit) error { time.Sleep(100 * time.Millisecond); return nil })
				other := newBackend(func(sidetrack.Unit) error {
					if tt.sick == errSlow {
						time.Sleep(3 * time.Second)
						return nil
					}
					return tt.sick
				})
				p, err := pipeline.New(pipeline.Config{Bus: kept{memory.New(memory.Config{})}, DrainTimeout: 10 * time.Second,
					Sinks: []pipeline.SinkConfig{sinkOf("slow", slow), sinkOf("other", other)}})
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := p.Emit(t.Context(), events("e", 20)...); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				began := time.Now()
				if err := p.Close(context.Background()); err != nil {
					t.Fatal(err)
				}
				took := time.Since(began)
				l := p.Ledger()
				if l.Sinks[0].Pending != 0 || l.Sinks[1].Pending != tt.pending || took < tt.atLeast || took > tt.atMost {
					t.Errorf("closed after %s, pending %d and %d", took, l.Sinks[0].Pending, l.Sinks[1].Pending)
				}
			})
		})
	}
}

var errSlow = errors.New("slow")
