package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// isolation offers a fixed load to a sink beside a healthy one and beside a sick one, in interleaved
// pairs: neither its rate nor its lag may suffer. Afterwards the sick backend is healed and gets everything.
func isolation(ctx context.Context, o options) error {
	o.rate = orDefault(o.rate, 2000)
	var missed []error
	for _, trouble := range strings.Split(o.trouble, ",") {
		if _, ok := troubles[trouble]; !ok {
			return fmt.Errorf("no trouble %q", trouble)
		}
		list, err := pairs(ctx, "isolation "+trouble, company{healthy: 1, troubles: []string{trouble}}, o)
		if err != nil {
			return err
		}
		missed = append(missed, list.undisturbed())
	}
	return o.verdict(errors.Join(missed...))
}

// fanout is the same with ten sinks of which three are sick at the same time, each in its own way.
func fanout(ctx context.Context, o options) error {
	o.rate = orDefault(o.rate, 1000)
	list, err := pairs(ctx, "fanout", company{healthy: 7, troubles: []string{"slow", "refuse", "throttle"}}, o)
	if err != nil {
		return err
	}
	return o.verdict(errors.Join(list.undisturbed(), list.once()))
}

// deadSink is isolation from a backend that is down for the whole run, where memory must not grow with what waits
// for it; and, in a second run, with a backlog that is bounded: then that sink expires events, and no other one.
func deadSink(ctx context.Context, o options) error {
	o.rate = orDefault(o.rate, 2000)
	list, err := pairs(ctx, "dead", company{healthy: 1, troubles: []string{"error"}}, o)
	if err != nil {
		return err
	}
	short := o
	short.sick = 0
	limited, err := beside(ctx, company{healthy: 1, troubles: []string{"error"}, maxBacklog: limitedBacklog}, short)
	if err != nil {
		return err
	}
	expired := limited.Others[0].Expired
	fmt.Printf("backlog bounded to %d events: %d of %d expired at the sick sink, %d at the other one; the rest arrived after healing\n",
		limitedBacklog, expired, limited.Accepted, limited.Expired)
	missed := errors.Join(list.undisturbed(), list.flat())
	if expired == 0 || limited.Expired > 0 {
		missed = errors.Join(missed, errors.New("a bounded backlog does not expire events of its sink, and only of it"))
	}
	return o.verdict(missed)
}

// limitedBacklog is how many events may wait for a sick sink whose backlog is bounded.
const limitedBacklog = 2000

func orDefault(v, otherwise int) int {
	if v == 0 {
		return otherwise
	}
	return v
}

// sickFor is how long the others are sick.
func (o options) sickFor() time.Duration {
	if o.sick == 0 {
		return o.seconds
	}
	return o.sick
}

func (o options) verdict(err error) error {
	if o.check {
		return err
	}
	return nil
}

// pairs runs the company well and sick in turn. With a file of records, what comes back are all pairs in it of
// the same check.
func pairs(ctx context.Context, check string, c company, o options) (pairList, error) {
	var list pairList
	for round := range o.rounds {
		base, err := beside(ctx, c.well(), o)
		if err != nil {
			return nil, fmt.Errorf("%s: all well: %w", check, err)
		}
		ill, err := beside(ctx, c, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", check, err)
		}
		p := pair{Check: check, Rate: o.rate, Sick: o.sickFor(), Base: base, Ill: ill}
		fmt.Printf("%s, pair %d\n%s", check, round+1, p)
		if o.record != "" {
			if err := p.append(o.record); err != nil {
				return nil, err
			}
		}
		list = append(list, p)
	}
	if o.record != "" {
		var err error
		if list, err = recorded(o.record, check, o); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no pairs", check)
	}
	fmt.Print(list)
	return list, nil
}

type pairList []pair

// of is the median of a figure.
func (l pairList) of(figure func(pair) float64) float64 {
	var all []float64
	for _, p := range l {
		all = append(all, figure(p))
	}
	return median(all)
}

// backlog is what waited for the first of the sick.
func (l pairList) backlog() float64 {
	return l.of(func(p pair) float64 { return float64(p.Ill.Others[0].Backlog) })
}

// Bounds of what healthy sinks and visitors may notice. One that waited for a sick neighbour would notice seconds: below these times
// a ratio says more about the machine.
const (
	leastRate    = 0.9
	mostSlower   = 2.0
	noticedLag   = time.Second
	noticedReply = time.Second // a disk that stalls for some hundred milliseconds is nobody's neighbour
)

// undisturbed fails when the healthy sinks got less or later, or the collector answered later.
func (l pairList) undisturbed() error {
	var missed []error
	if r := l.of(pair.rate); r < leastRate {
		missed = append(missed, fmt.Errorf("%s: healthy sinks get %.3f of their rate", l[0].Check, r))
	}
	if r, lag := l.of(pair.lagP99), l.of(func(p pair) float64 { return float64(p.Ill.LagP99) }); r > mostSlower && time.Duration(lag) > noticedLag {
		missed = append(missed, fmt.Errorf("%s: the p99 of their lag is %.1f times as long, %s", l[0].Check, r, time.Duration(lag)))
	}
	if r, reply := l.of(pair.p99), l.of(func(p pair) float64 { return float64(p.Ill.P99) }); r > mostSlower && time.Duration(reply) > noticedReply {
		missed = append(missed, fmt.Errorf("%s: the p99 of the collector is %.1f times as long, %s", l[0].Check, r, time.Duration(reply)))
	}
	return errors.Join(missed...)
}

// once fails when a healthy sink got an event twice. That each got every event is checked by each run.
func (l pairList) once() error {
	for _, p := range l {
		if n := p.Ill.Repeats; n > 0 {
			return fmt.Errorf("%s: %d events were repeated at healthy sinks", p.Check, n)
		}
	}
	return nil
}

// Bounds of memory beside a sink that is down: what 100,000 events of backlog may take of what is in use, and what the process
// may take more than beside a healthy sink: a full window, and what the collector of garbage allows itself for that. What is in use in one
// run comes and goes by some MB: the first bound finds 170 bytes an event. TestABacklogTakesNoMemory of the bus is finer.
const (
	mostPer100k = 16 << 20
	mostMore    = 32 << 20
)

// flat fails when memory grows with the backlog.
func (l pairList) flat() error {
	if backlog := l.backlog(); backlog < enoughBacklog {
		return fmt.Errorf("%s: a backlog of %.0f events says nothing about memory: take %d or more", l[0].Check, backlog, enoughBacklog)
	}
	if per := l.of(func(p pair) float64 { return p.growth(live) }); per > mostPer100k {
		return fmt.Errorf("%s: 100,000 events of backlog take %.1f MB", l[0].Check, per/(1<<20))
	}
	if more := l.of(func(p pair) float64 { return highest(p.Ill.Memory, rss) - highest(p.Base.Memory, rss) }); more > mostMore {
		return fmt.Errorf("%s: RSS is %.0f MB more than beside a healthy sink", l[0].Check, more/(1<<20))
	}
	return nil
}

// enoughBacklog is many windows, and more files of the store than it keeps in memory.
const enoughBacklog = 50_000
