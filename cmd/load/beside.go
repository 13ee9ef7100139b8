package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// company is the sinks of one run: healthy ones, which are measured, and others that fall sick beside them.
type company struct {
	healthy    int
	troubles   []string // of each of the others
	maxBacklog int64    // of each of the others, in events; 0: no limit of its own
}

// well is the same company with nobody sick.
func (c company) well() company {
	well := company{healthy: c.healthy, maxBacklog: c.maxBacklog}
	for range c.troubles {
		well.troubles = append(well.troubles, "none")
	}
	return well
}

// outcome is what one run showed. What is measured is the time while the others are sick.
type outcome struct {
	Accepted int64         `json:"accepted"` // events, in all
	P99      time.Duration `json:"p99"`      // of the collector's answers

	// Of the healthy sinks together.
	Rate    float64       `json:"rate"` // events a second that each got
	LagP50  time.Duration `json:"lag_p50"`
	LagP99  time.Duration `json:"lag_p99"`
	Repeats int64         `json:"repeats"` // in all
	Expired int64         `json:"expired"` // in all

	Others []other     `json:"others"`
	Memory []memoryUse `json:"memory"`
}

// other is one of the sinks that were sick.
type other struct {
	Trouble string        `json:"trouble"`
	Backlog int64         `json:"backlog"` // events, when it was healed
	Drained time.Duration `json:"drained"` // from then until it had everything
	Repeats int64         `json:"repeats"`
	Expired int64         `json:"expired"`
}

// memoryUse is what the server process used at one moment.
type memoryUse struct {
	At      time.Duration `json:"at"`      // since the others fell sick
	Backlog int64         `json:"backlog"` // events, of the sink that is furthest behind
	RSS     int64         `json:"rss"`     // bytes
	Live    int64         `json:"live"`    // bytes that the last collection of garbage found in use
}

// warmUp is how long all are well before.
const warmUp = 2 * time.Second

// trial is one server process with its backends.
type trial struct {
	company
	o        options
	child    *child
	backends []*backend // the healthy ones first
	names    []string
}

// beside offers a fixed rate of events to a company that falls sick after a while and is healed in the end. It fails when a
// request is not answered 2xx, or an event does not arrive in the end at every sink that did not let it expire.
func beside(ctx context.Context, c company, o options) (out outcome, err error) {
	r, err := startTrial(ctx, c, o)
	if err != nil {
		return out, err
	}
	defer r.stop()
	loadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := tally{latency: new(histogram)}
	ended := make(chan struct{})
	go func() {
		offer(loadCtx, r.child.addr, 16, o.rate, numbered(), &t)
		close(ended)
	}()
	sleep(ctx, warmUp)
	if err := r.measure(ctx, &out); err != nil {
		return out, err
	}
	cancel()
	<-ended
	out.P99, out.Accepted = t.latency.quantile(0.99), t.ok.Load()
	if t.refused.Load()+t.failed.Load() > 0 {
		return out, fmt.Errorf("%d requests were refused, %d failed", t.refused.Load(), t.failed.Load())
	}
	return out, r.heal(ctx, &out)
}

func startTrial(ctx context.Context, c company, o options) (*trial, error) {
	r := &trial{company: c, o: o}
	lags := new(histogram)
	var sinks []httpSink
	for i := range c.healthy + len(c.troubles) {
		b := newBackend(lags)
		s := httpSink{Name: fmt.Sprintf("healthy%d", i+1), URL: b.URL}
		if i >= c.healthy {
			s.Name, s.MaxBacklog = fmt.Sprintf("sick%d", i-c.healthy+1), c.maxBacklog
		}
		r.backends, r.names, sinks = append(r.backends, b), append(r.names, s.Name), append(sinks, s)
	}
	var err error
	if r.child, err = startChild(ctx, "always:none", o, sinks...); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

func (r *trial) stop() {
	if r.child != nil {
		r.child.stop()
	}
	for _, b := range r.backends {
		b.Close()
	}
}

// delivered is how many events the healthy backends have, in all.
func (r *trial) delivered() (n int64) {
	for _, b := range r.backends[:r.healthy] {
		n += b.distinct.Load()
	}
	return n
}

// measure makes the others sick and watches for as long as they are.
func (r *trial) measure(ctx context.Context, out *outcome) error {
	lags := new(histogram)
	for i, b := range r.backends {
		if i < r.healthy {
			b.lags.Store(lags)
		} else {
			b.fallSick(r.troubles[i-r.healthy])
		}
	}
	before, began := r.delivered(), time.Now()
	for end := began.Add(r.o.sickFor()); ctx.Err() == nil; {
		said, err := r.child.report()
		if err != nil {
			return err
		}
		out.Memory = append(out.Memory, memoryUse{time.Since(began), said.Pending, said.RSS, said.Live})
		rest := time.Until(end)
		if rest <= 0 {
			break
		}
		sleep(ctx, min(rest, time.Second))
	}
	out.Rate = float64(r.delivered()-before) / time.Since(began).Seconds() / float64(r.healthy)
	out.LagP50, out.LagP99 = lags.quantile(0.5), lags.quantile(0.99)
	return ctx.Err()
}

// heal makes everybody well and waits until everything has arrived everywhere.
func (r *trial) heal(ctx context.Context, out *outcome) error {
	said, err := r.child.report()
	if err != nil {
		return err
	}
	healed := time.Now()
	for i, b := range r.backends[r.healthy:] {
		out.Others = append(out.Others, other{Trouble: r.troubles[i], Backlog: said.Sinks[r.names[r.healthy+i]].Pending})
		if err := b.heal(r.troubles[i]); err != nil {
			return err
		}
	}
	for deadline := healed.Add(3 * time.Minute); ; sleep(ctx, 20*time.Millisecond) {
		if said, err = r.child.report(); err != nil {
			return err
		}
		missing := r.settled(said, out, time.Since(healed))
		if missing == nil {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return errors.Join(missing, ctx.Err())
		}
	}
}

// settled notes what has ended at each sink, and returns what is missing.
func (r *trial) settled(said report, out *outcome, since time.Duration) (missing error) {
	out.Repeats, out.Expired = 0, 0
	for i, b := range r.backends {
		row := said.Sinks[r.names[i]]
		if i < r.healthy {
			out.Repeats += b.repeats.Load()
			out.Expired += row.Expired
		}
		if n := b.distinct.Load() + row.Expired; n < out.Accepted || row.Pending > 0 {
			missing = errors.Join(missing, fmt.Errorf("%s: %d of %d events arrived or expired, %d are pending", r.names[i], n, out.Accepted, row.Pending))
			continue
		}
		if i >= r.healthy {
			o := &out.Others[i-r.healthy]
			if o.Drained == 0 {
				o.Drained = since
			}
			o.Repeats, o.Expired = b.repeats.Load(), row.Expired
		}
	}
	return missing
}
