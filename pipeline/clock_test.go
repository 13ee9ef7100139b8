package pipeline_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// TestClockJumps moves the wall clock by an hour while events wait for their next attempt, in the
// window and on the retry topic, and across a restart. Nothing is lost, expires or waits for the hour; an age is
// what the wall clock says.
func TestClockJumps(t *testing.T) {
	for name, c := range map[string]struct {
		jump    time.Duration
		maxAge  time.Duration
		expires bool
	}{
		"forward":               {jump: time.Hour},
		"back":                  {jump: -time.Hour},
		"back by a year":        {jump: -365 * 24 * time.Hour},
		"forward past max_age":  {jump: time.Hour, maxAge: 30 * time.Minute, expires: true},
		"forward under max_age": {jump: time.Hour, maxAge: 90 * time.Minute},
	} {
		for _, restart := range []bool{false, true} {
			if restart {
				name += ", restarted"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := kept{memory.New(memory.Config{})}
					defer func() { _ = b.Bus.Close() }()
					const start = 10 * 365 * 24 * time.Hour // the bubble's clock begins in 2000
					var offset atomic.Int64
					var well atomic.Bool
					back := newBackend(func(u sidetrack.Unit) error {
						if !well.Load() && (has(u, "poison") || has(u, "late")) {
							return errors.New("not now")
						}
						return nil
					})
					open := func() *pipeline.Pipeline {
						p, err := pipeline.New(pipeline.Config{
							Bus: b, Now: func() time.Time { return time.Now().Add(start + time.Duration(offset.Load())) },
							Sinks: []pipeline.SinkConfig{{Name: "s", Sink: sidetrack.WriterSink(back), Delivery: pipeline.Delivery{MaxAge: c.maxAge}}},
						})
						if err != nil {
							t.Fatal(err)
						}
						if err := p.Start(t.Context()); err != nil {
							t.Fatal(err)
						}
						return p
					}
					p := open()
					emit := func(name string) {
						if err := p.Emit(t.Context(), event(name)); err != nil {
							t.Error(err)
						}
					}
					emit("poison")
					for range 100 { // until it is on the retry topic
						emit("good")
						time.Sleep(time.Second)
					}
					emit("late")
					time.Sleep(time.Second)
					offset.Store(int64(c.jump))
					if restart {
						if err := p.Close(context.Background()); err != nil {
							t.Fatal(err)
						}
						p = open()
					}
					well.Store(true)
					emit("after")
					time.Sleep(3 * time.Minute)
					want, expired := 103, int64(0)
					if c.expires {
						want, expired = 101, 2
					}
					if err := p.Close(context.Background()); err != nil {
						t.Fatal(err)
					}
					row := p.Ledger().Sinks[0]
					got := back.delivered()
					n := 0
					for _, k := range got {
						n += k
					}
					if n != want || total(row.Expired) != expired || row.Pending != 0 || got["after"] != 1 {
						t.Errorf("delivered %v; %+v", got, row)
					}
				})
			})
		}
	}
}
