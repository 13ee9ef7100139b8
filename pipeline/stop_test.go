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
		if len(got) != 603 || l.Carried != 601 || l.Pending != 0 {
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
