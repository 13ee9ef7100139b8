package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

type ledgerCommand struct {
	configFlag
	Output string `enum:"text,json" default:"text" help:"Format of the output: ${enum}."`
}

// Help is the longer text of --help.
func (ledgerCommand) Help() string {
	return `received = accepted + dropped + refused, and for each sink
accepted + replayed = delivered + dropped + filtered + withheld + dead + expired + pending

It is exact across clean restarts. After a crash, events of its last seconds may have come again (repeated, on the
left side) or have ended in a way that was not written down (uncertain, on the right side).

  sidetrack ledger
  sidetrack ledger --output json`
}

// Run implements the command.
func (c *ledgerCommand) Run(a *app) error {
	ctx, stop := a.interruptible()
	defer stop()
	p, done, err := c.control(ctx, a)
	if err != nil {
		return err
	}
	l, err := p.Ledger(ctx)
	switch {
	case err != nil:
	case c.Output == "json":
		err = json.NewEncoder(a.out).Encode(l)
	default:
		printLedger(a.out, l)
	}
	return errors.Join(err, done())
}

// printLedger prints where every event ended, with the reasons.
func printLedger(w io.Writer, l pipeline.Ledger) {
	row := func(depth int, name string, n int64) {
		fmt.Fprintf(w, "%-34s %10d\n", strings.Repeat("  ", depth)+name, n)
	}
	rows := func(name string, by map[sidetrack.Reason]int64) {
		var sum int64
		for _, n := range by {
			sum += n
		}
		if sum == 0 {
			return
		}
		row(1, name, sum)
		reasons := slices.SortedFunc(maps.Keys(by), func(a, b sidetrack.Reason) int {
			return cmp.Or(cmp.Compare(by[b], by[a]), cmp.Compare(a, b))
		})
		for _, r := range reasons {
			row(2, string(r), by[r])
		}
	}
	row(0, "received", l.Received)
	row(1, "accepted", l.Accepted)
	rows("dropped", l.Dropped)
	rows("refused", l.Refused)
	if l.Crashes > 0 {
		row(1, "crashes", int64(l.Crashes))
		fmt.Fprintf(w, "    what was dropped or refused right after %s is not counted\n", l.Unsure.UTC().Format(time.RFC3339))
	}
	for _, s := range l.Sinks {
		fmt.Fprintln(w)
		row(0, "sink "+s.Sink, s.Accepted)
		if s.Replayed > 0 {
			row(1, "replayed, in addition", s.Replayed)
		}
		row(1, "delivered", s.Delivered)
		rows("dropped", s.Dropped)
		rows("filtered", s.Filtered)
		rows("withheld", s.Withheld)
		rows("dead", s.Dead)
		rows("expired", s.Expired)
		rows("noted", s.Noted)
		if s.Repeated > 0 {
			row(1, "repeated by a crash, in addition", s.Repeated)
		}
		if s.Uncertain > 0 {
			row(1, "uncertain", s.Uncertain)
		}
		if s.Pending > 0 {
			row(1, "pending", s.Pending)
		}
		if s.RateWait > 0 {
			fmt.Fprintf(w, "    held to its rate for %s since the start\n", s.RateWait.Round(time.Millisecond))
		}
	}
}
