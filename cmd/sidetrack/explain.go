package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

type explainCommand struct {
	configFlag
	eventFlags
	Sink []string `placeholder:"NAME" help:"Only this sink. Can be given many times. Default: all." completion:"sinks"`
	Curl bool     `help:"Print each request as a curl command instead."`
	outputFlag
}

// Help is the longer text of --help.
func (explainCommand) Help() string {
	return `Takes each event the way of a real one, without storing or sending anything: what each processor changes, and
for each sink the exact request, or why it gets none. Secrets are masked.

  sidetrack explain --event '{"name":"page_view","page":{"url":"https://shop.example/"}}'
  sidetrack explain purchase.json --ip 203.0.113.7 --cookie consent=granted --header Sec-GPC:1
  sidetrack explain events.ndjson --output json
  sidetrack explain purchase.json --curl`
}

// Run implements the command.
func (c *explainCommand) Run(a *app) error {
	p, err := still(a, c.configFlag, a.log.logger(a.err))
	if err != nil {
		return err
	}
	defer p.Close(context.Background())
	if err := knownSinks(p, c.Sink); err != nil {
		return err
	}
	return c.events(a, func(n int, e *sidetrack.Event) error {
		x := p.Explain(context.Background(), e)
		if len(c.Sink) > 0 {
			x.Sinks = slices.DeleteFunc(x.Sinks, func(s pipeline.SinkExplanation) bool { return !slices.Contains(c.Sink, s.Sink) })
		}
		switch {
		case c.json():
			return printJSON(a.out, x)
		case c.Curl:
			printCurl(a.out, x)
		default:
			if n > 1 {
				fmt.Fprintln(a.out)
			}
			printExplanation(a.out, x)
		}
		return nil
	})
}
