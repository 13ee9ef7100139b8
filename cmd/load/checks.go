package main

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// speed compares the buses with a handler that does nothing.
func speed(ctx context.Context, o options) error {
	targets := map[string]float64{"always": 0.30, "interval": 0.45, "memory": 0.55}
	variants := []string{"bare", "memory", "interval", "always"}
	rates, cpu, rss := map[string][]float64{}, map[string][]float64{}, map[string]int64{}
	for round := range o.rounds {
		for _, v := range variants {
			rate, perMillion, mem, err := measure(ctx, v, o)
			if err != nil {
				return fmt.Errorf("%s: %w", v, err)
			}
			rates[v] = append(rates[v], rate)
			cpu[v] = append(cpu[v], perMillion)
			rss[v] = max(rss[v], mem)
			fmt.Printf("round %d  %-9s %8.0f requests/s  %5.1f s CPU per million  %4d MB\n", round+1, v, rate, perMillion, mem>>20)
		}
	}
	fmt.Printf("\nmedian of %d, %d connections\n", o.rounds, o.conns)
	var missed error
	for _, v := range variants {
		var ratios []float64
		for i := range rates[v] {
			ratios = append(ratios, rates[v][i]/rates["bare"][i])
		}
		fmt.Printf("%-9s %8.0f requests/s  ratio %.2f (target %.2f)  %5.1f s CPU per million  RSS %d MB\n",
			v, median(rates[v]), median(ratios), targets[v], median(cpu[v]), rss[v]>>20)
		if median(ratios) < targets[v] {
			missed = fmt.Errorf("%s is below its target", v)
		}
	}
	if o.check {
		return missed
	}
	return nil
}

func measure(ctx context.Context, variant string, o options) (rate, cpuPerMillion float64, rss int64, err error) {
	c, err := startChild(ctx, variant, o)
	if err != nil {
		return 0, 0, 0, err
	}
	defer c.stop()
	loadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	var t tally
	ended := make(chan struct{})
	go func() {
		flood(loadCtx, c.addr, o.conns, &t)
		close(ended)
	}()
	sleep(ctx, time.Second) // warm up
	before, err := c.report()
	if err != nil {
		return 0, 0, 0, err
	}
	n, began := t.ok.Load(), time.Now()
	sleep(ctx, o.seconds)
	n, took := t.ok.Load()-n, time.Since(began)
	after, err := c.report()
	if err != nil {
		return 0, 0, 0, err
	}
	cancel()
	<-ended
	if t.refused.Load()+t.failed.Load() > 0 {
		fmt.Printf("          %s: %d refused, %d failed\n", variant, t.refused.Load(), t.failed.Load())
	}
	if variant != "bare" {
		if err := settle(ctx, c, t.ok.Load()); err != nil {
			return 0, 0, 0, err
		}
	}
	return float64(n) / took.Seconds(), (after.CPU - before.CPU).Seconds() / float64(n) * 1e6, after.RSS, nil
}

// settle waits until a server has delivered n events.
func settle(ctx context.Context, c *child, n int64) error {
	for deadline := time.Now().Add(30 * time.Second); ; sleep(ctx, 20*time.Millisecond) {
		r, err := c.report()
		if err != nil {
			return err
		}
		if r.Delivered >= n {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("%d of %d events delivered", r.Delivered, n)
		}
	}
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// numbered returns requests whose events are all different. It is safe for concurrent use.
func numbered() func() []byte {
	var n atomic.Int64
	return func() []byte { return []byte(requestText(body(n.Add(1)))) }
}

// lag sends single events at a fixed rate to a backend of 100 ms that takes 25 a request.
func lag(ctx context.Context, o options) error {
	if o.rate == 0 {
		o.rate = 1000
	}
	c, err := startChild(ctx, "always:slow", o)
	if err != nil {
		return err
	}
	defer c.stop()
	loadCtx, cancel := context.WithTimeout(ctx, o.seconds)
	defer cancel()
	var t tally
	offer(loadCtx, c.addr, 16, o.rate, numbered(), &t)
	if err := settle(ctx, c, t.ok.Load()); err != nil {
		return err
	}
	r, err := c.report()
	if err != nil {
		return err
	}
	fmt.Printf("%d events at %d/s into a backend of 100 ms: lag p50 %s, p99 %s, max %s (target: under 1 s)\n", t.ok.Load(), o.rate, r.LagP50, r.LagP99, r.LagMax)
	if o.check && r.LagP99 >= time.Second {
		return fmt.Errorf("p99 of the lag is %s", r.LagP99)
	}
	return nil
}

// memoryCheck watches resident memory while a stalled sink's backlog grows.
func memoryCheck(ctx context.Context, o options) error {
	if o.rate == 0 {
		o.rate = 4000
	}
	stalled := newBackend(new(histogram))
	defer stalled.Close()
	stalled.fallSick("hang")
	c, err := startChild(ctx, "always:none", o, httpSink{Name: "stalled", URL: stalled.URL})
	if err != nil {
		return err
	}
	defer c.stop()
	loadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	var t tally
	ended := make(chan struct{})
	go func() {
		offer(loadCtx, c.addr, 16, o.rate, numbered(), &t)
		close(ended)
	}()
	var worst int64
	for range 10 {
		sleep(ctx, o.seconds/5)
		r, err := c.report()
		if err != nil {
			return err
		}
		worst = max(worst, r.RSS)
		fmt.Printf("backlog %8d events  RSS %3d MB, in use %3d MB\n", r.Pending, r.RSS>>20, r.Live>>20)
	}
	cancel()
	<-ended
	fmt.Printf("highest RSS %d MB (target ≤ 96 MB)\n", worst>>20)
	if o.check && worst > 96<<20 {
		return fmt.Errorf("RSS reached %d MB", worst>>20)
	}
	return nil
}
