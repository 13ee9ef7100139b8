// Package sinkrun delivers events through a whole engine to a stand-in of a backend, for the tests of
// sinks: what the contract suite cannot show is how a sink and the engine's retries, halving and dead
// letters play together.
package sinkrun

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// Result is where the events ended: their MessageIDs by column of the ledger, and the errors of those
// that ended badly.
type Result struct {
	Delivered, Dead, Expired []string
	Errors                   map[string]string
}

// Deliver emits events and waits until each has ended. Retries come within milliseconds.
func Deliver(t testing.TB, sink *sidetrack.Sink, events ...*sidetrack.Event) Result {
	t.Helper()
	var mu sync.Mutex
	r := Result{Errors: map[string]string{}}
	p, err := pipeline.New(pipeline.Config{
		Bus: memory.New(memory.Config{}),
		Sinks: []pipeline.SinkConfig{{
			Name: "sink", Sink: sink,
			Delivery: pipeline.Delivery{MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond, Breaker: pipeline.Breaker{Failures: 1000}, Isolate: time.Minute},
		}},
		Observe: func(_ context.Context, f pipeline.Fate) {
			mu.Lock()
			defer mu.Unlock()
			if f.Sink == "" {
				return
			}
			switch f.Column {
			case "delivered":
				r.Delivered = append(r.Delivered, f.Event.MessageID)
			case "dead":
				r.Dead = append(r.Dead, f.Event.MessageID)
			case "expired":
				r.Expired = append(r.Expired, f.Event.MessageID)
			}
			if f.Err != nil {
				r.Errors[f.Event.MessageID] = f.Err.Error()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Emit(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := p.Drain(ctx); err != nil {
		t.Errorf("not all events end: %v", err)
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return r
}
