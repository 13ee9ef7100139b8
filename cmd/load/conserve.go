package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/internal/chaos"
)

// conserve is the conservation run at any size. It fails when one event is missing.
func conserve(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "sidetrack-chaos-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	if o.rate == 0 {
		o.rate = 10_000
	}
	fmt.Printf("%d events at %d/s, %d restarts, seed %d\n", o.events, o.rate, o.restarts, o.seed)
	report, err := chaos.Run(ctx, chaos.Options{
		Events: o.events, Rate: o.rate, Window: bus.DefaultWindow, Restarts: o.restarts, Seed: o.seed, Dir: dir,
		Log: func(format string, args ...any) { fmt.Printf(format+"\n", args...) },
	})
	if err != nil {
		return err
	}
	fmt.Print(report)
	return report.Err()
}
