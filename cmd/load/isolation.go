package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// isolation offers a fixed load to a sink beside a healthy one and beside a sick one, in interleaved
// pairs: its rate must not suffer. Afterwards the sick backend is healed and gets everything.
func isolation(ctx context.Context, o options) error {
	if o.rate == 0 {
		o.rate = 2000
	}
	var missed []error
	for _, trouble := range strings.Split(o.trouble, ",") {
		missed = append(missed, pairs(ctx, trouble, 0, o))
	}
	return o.verdict(errors.Join(missed...))
}

// deadSink is the same with a backend that is down for the whole run, where the collector must not get
// slower either; and, in a second run, with a backlog that is bounded: then that sink expires
// events, and no other one.
func deadSink(ctx context.Context, o options) error {
	if o.rate == 0 {
		o.rate = 2000
	}
	err := pairs(ctx, "error", 2, o)
	limited, runErr := beside(ctx, "error+limit", o)
	if runErr != nil {
		return errors.Join(err, runErr)
	}
	fmt.Printf("backlog bounded to %d events: %d of %d expired at the sick sink, %d at the other one; the rest arrived after healing\n",
		limitedBacklog, limited.expired, limited.accepted, limited.othersExpired)
	if limited.expired == 0 || limited.othersExpired > 0 {
		err = errors.Join(err, errors.New("a bounded backlog does not expire events of its sink, and only of it"))
	}
	return o.verdict(err)
}

func (o options) verdict(err error) error {
	if o.check {
		return err
	}
	return nil
}

// besides is what a run beside another sink showed.
type besides struct {
	rate          float64 // events a second, of the counting sink
	p99           time.Duration
	rssBefore     int64 // at the beginning of the measurement
	rssAfter      int64
	accepted      int64
	backlog       int64 // of the sick sink, when it was healed
	drained       time.Duration
	expired       int64
	othersExpired int64
}

// pairs fails when the rate drops by more than a tenth, or the collector's p99 grows by
// more than the factor slower; 0: by any.
func pairs(ctx context.Context, trouble string, slower float64, o options) error {
	var rates, latencies, growth []float64
	for round := range o.rounds {
		base, err := beside(ctx, "none", o)
		if err != nil {
			return fmt.Errorf("beside a healthy sink: %w", err)
		}
		ill, err := beside(ctx, trouble, o)
		if err != nil {
			return fmt.Errorf("beside a sink with trouble %s: %w", trouble, err)
		}
		rates = append(rates, ill.rate/base.rate)
		latencies = append(latencies, float64(ill.p99)/float64(base.p99))
		growth = append(growth, float64(ill.rssAfter-ill.rssBefore)/(1<<20))
		fmt.Printf("%-6s pair %d: %6.0f events/s, p99 %s beside a healthy sink; %6.0f, %s beside a sick one, RSS %d -> %d MB; backlog of %d events drained %s after healing\n",
			trouble, round+1, base.rate, base.p99, ill.rate, ill.p99, ill.rssBefore>>20, ill.rssAfter>>20, ill.backlog, ill.drained.Round(100*time.Millisecond))
	}
	fmt.Printf("%-6s medians of %d: rate ratio %.3f (target 0.90 or more), p99 ratio %.2f, RSS growth %.0f MB\n",
		trouble, o.rounds, median(rates), median(latencies), median(growth))
	if median(rates) < 0.9 || slower > 0 && median(latencies) > slower {
		return fmt.Errorf("a sink that is sick by %s slows others", trouble)
	}
	return nil
}

// beside runs the counting sink beside one with a trouble and heals that one in the end.
func beside(ctx context.Context, trouble string, o options) (b besides, err error) {
	c, err := startChild(ctx, "always:"+trouble, o)
	if err != nil {
		return b, err
	}
	defer c.stop()
	loadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := tally{latency: new(histogram)}
	ended := make(chan struct{})
	go func() {
		offer(loadCtx, c.addr, 16, o.rate, numbered(), &t)
		close(ended)
	}()
	sleep(ctx, 2*time.Second)
	before, err := c.report()
	if err != nil {
		return b, err
	}
	began := time.Now()
	sleep(ctx, o.seconds)
	after, err := c.report()
	if err != nil {
		return b, err
	}
	b.rate = float64(after.Delivered-before.Delivered) / time.Since(began).Seconds()
	b.rssBefore, b.rssAfter = before.RSS, after.RSS
	cancel()
	<-ended
	b.p99, b.accepted = t.latency.quantile(0.99), t.ok.Load()
	if t.refused.Load() > 0 {
		return b, fmt.Errorf("%d requests were refused", t.refused.Load())
	}
	if err := settle(ctx, c, b.accepted); err != nil {
		return b, err
	}
	healed := time.Now()
	if r, err := c.report(); err != nil {
		return b, err
	} else if b.backlog = r.Sick.Pending; c.heal() != nil {
		return b, errors.New("the server process ended")
	}
	for deadline := time.Now().Add(2 * time.Minute); ; sleep(ctx, 20*time.Millisecond) {
		r, err := c.report()
		if err != nil {
			return b, err
		}
		if r.Sick.Pending == 0 && r.Sick.Taken+r.Sick.Expired >= b.accepted {
			b.drained, b.expired, b.othersExpired = time.Since(healed), r.Sick.Expired, r.Expired
			return b, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return b, fmt.Errorf("after healing %d of %d events arrived, %d expired, %d are pending", r.Sick.Taken, b.accepted, r.Sick.Expired, r.Sick.Pending)
		}
	}
}
