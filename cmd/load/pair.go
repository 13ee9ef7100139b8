package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// pair is a run in which all are well and one in which some are sick, one after the other.
type pair struct {
	Check string        `json:"check"`
	Rate  int           `json:"rate"` // events a second offered
	Sick  time.Duration `json:"sick"`
	Base  outcome       `json:"base"`
	Ill   outcome       `json:"ill"`
}

func (p pair) rate() float64   { return p.Ill.Rate / p.Base.Rate }
func (p pair) lagP50() float64 { return float64(p.Ill.LagP50) / float64(p.Base.LagP50) }
func (p pair) lagP99() float64 { return float64(p.Ill.LagP99) / float64(p.Base.LagP99) }
func (p pair) p99() float64    { return float64(p.Ill.P99) / float64(p.Base.P99) }

// growth is by how many bytes a figure grows with each 100,000 events, which all wait for the sick.
func (p pair) growth(figure func(memoryUse) int64) float64 {
	return growth(p.Ill.Memory, figure) / float64(p.Rate) * 100_000
}

// growthWell is the same while nobody is sick and nothing waits.
func (p pair) growthWell(figure func(memoryUse) int64) float64 {
	return growth(p.Base.Memory, figure) / float64(p.Rate) * 100_000
}

func (p pair) String() string {
	var b strings.Builder
	for _, side := range []struct {
		name string
		outcome
	}{{"well", p.Base}, {"sick", p.Ill}} {
		o := side.outcome
		fmt.Fprintf(&b, "  %s: %.0f events/s at each healthy sink, lag p50 %s, p99 %s; collector p99 %s; %d events, %d repeats; RSS at most %.0f MB, in use %.0f MB\n",
			side.name, o.Rate, o.LagP50, o.LagP99, o.P99, o.Accepted, o.Repeats, highest(o.Memory, rss)/(1<<20), highest(o.Memory, live)/(1<<20))
	}
	for _, o := range p.Ill.Others {
		fmt.Fprintf(&b, "  %-8s: backlog of %d events drained %s after healing, %d repeats, %d expired\n",
			o.Trouble, o.Backlog, o.Drained.Round(100*time.Millisecond), o.Repeats, o.Expired)
	}
	return b.String()
}

// String needs at least one pair.
func (l pairList) String() string {
	p := l[0]
	const mb = 1 << 20
	text := fmt.Sprintf("%s, %s at %d events/s, medians of %d: rate ratio %.3f, lag p50 ratio %.2f, p99 ratio %.2f, collector p99 ratio %.2f; RSS at most %.0f MB well, %.0f MB sick\n",
		p.Check, p.Sick, p.Rate, len(l), l.of(pair.rate), l.of(pair.lagP50), l.of(pair.lagP99), l.of(pair.p99),
		l.of(func(p pair) float64 { return highest(p.Base.Memory, rss) })/mb, l.of(func(p pair) float64 { return highest(p.Ill.Memory, rss) })/mb)
	if l.backlog() >= enoughBacklog {
		text += fmt.Sprintf("  with 100,000 events RSS grows by %.1f MB well, %.1f MB sick; what is in use by %.1f MB and %.1f MB\n",
			l.of(func(p pair) float64 { return p.growthWell(rss) })/mb, l.of(func(p pair) float64 { return p.growth(rss) })/mb,
			l.of(func(p pair) float64 { return p.growthWell(live) })/mb, l.of(func(p pair) float64 { return p.growth(live) })/mb)
	}
	return text + "\n"
}

// append adds the pair to a file of records, one a line, so that pairs can be measured one at a time.
func (p pair) append(file string) error {
	line, err := json.Marshal(p)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// recorded returns the pairs of a file that were measured in the same way.
func recorded(file, check string, o options) (list pairList, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var p pair
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if p.Check == check && p.Rate == o.rate && p.Sick == o.sickFor() {
			list = append(list, p)
		}
	}
	return list, lines.Err()
}
