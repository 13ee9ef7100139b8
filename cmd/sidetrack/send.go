package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

type sendCommand struct {
	configFlag
	eventFlags
	Sink []string `placeholder:"NAME" help:"Only to this sink. Can be given many times. Default: to all." completion:"sinks"`
	outputFlag
}

// Help is the longer text of --help.
func (sendCommand) Help() string {
	return `Delivers each event now, with one attempt for each sink and nothing stored, and shows the answer: to try a configuration
and its credentials out. Consent, conditions and exclusions hold as always.

Exit code 0 when every sink that may have the event took it, and every sink named by --sink did; else 1.

  sidetrack send --event '{"name":"page_view","consent":{"analytics_storage":"granted"},"visitor":{"client_id":"1.2"}}'
  sidetrack send purchase.json --sink google
  sidetrack send purchase.json --output json`
}

// Run implements the command.
func (c *sendCommand) Run(a *app) error {
	p, err := still(a, c.configFlag, a.log.logger(a.err))
	if err != nil {
		return err
	}
	defer p.Close(context.Background())
	ctx, stop := a.interruptible()
	defer stop()
	if err := knownSinks(p, c.Sink); err != nil {
		return err
	}
	failed := false
	err = c.events(a, func(n int, e *sidetrack.Event) error {
		x := p.Deliver(ctx, e, c.Sink...)
		failed = !c.arrived(x) || failed
		if c.json() {
			return printJSON(a.out, x)
		}
		if n > 1 {
			fmt.Fprintln(a.out)
		}
		c.print(a.out, x)
		return ctx.Err()
	})
	if err == nil && failed {
		return printedError{exitFailed}
	}
	return err
}

// arrived reports whether the event got to every sink that it was meant for.
func (c *sendCommand) arrived(x pipeline.Explanation) bool {
	delivered := 0
	for _, s := range x.Sinks {
		switch {
		case s.Answer != nil && s.Answer.Outcome == sidetrack.Delivered.String():
			delivered++
		case s.Answer != nil, slices.Contains(c.Sink, s.Sink), len(c.Sink) == 0 && s.Column == pipeline.Dead:
			return false
		}
	}
	return delivered > 0
}

func (c *sendCommand) print(w io.Writer, x pipeline.Explanation) {
	switch {
	case x.Refused != "":
		fmt.Fprintf(w, "refused in intake: %s\n", x.Refused)
	case x.Dropped != "":
		fmt.Fprintf(w, "dropped in intake: %s\n", x.Dropped)
	}
	for _, s := range x.Sinks {
		answer := s.Answer
		switch {
		case answer == nil && len(c.Sink) > 0 && !slices.Contains(c.Sink, s.Sink):
			continue
		case answer == nil:
			printSink(w, s)
			continue
		}
		fmt.Fprintf(w, "sink %s: %s", s.Sink, answer.Outcome)
		if answer.Status != 0 {
			fmt.Fprintf(w, ", status %d", answer.Status)
		}
		fmt.Fprintf(w, ", %s\n", answer.Took.Round(time.Millisecond/10))
		if r := s.Request; r != nil {
			fmt.Fprintf(w, "  %s %s\n", r.Method, r.URL)
		}
		if answer.Error != "" {
			fmt.Fprintf(w, "  %s\n", answer.Error)
		}
		if body := strings.TrimSpace(answer.Body); body != "" {
			fmt.Fprintln(w, indent(body, "  "))
		}
	}
}
