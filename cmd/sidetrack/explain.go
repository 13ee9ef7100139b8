package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

type explainCommand struct {
	configFlag
	Event     string `placeholder:"JSON" help:"The event, in sidetrack's JSON form."`
	File      string `arg:"" optional:"" help:"File with events, - or nothing for standard input."`
	IP        string `name:"ip" placeholder:"ADDRESS" help:"Address of the visitor, for what intake does with it."`
	UserAgent string `placeholder:"TEXT" help:"User agent of the request, for what intake does with it."`
	Output    string `enum:"text,json" default:"text" help:"Format: ${enum}."`
}

// Help is the longer text of --help.
func (explainCommand) Help() string {
	return `Takes each event the way of a real one, without storing or sending anything. Secrets are masked.

  sidetrack explain --event '{"name":"page_view","page":{"url":"https://shop.example/"}}'
  sidetrack explain events.ndjson --output json`
}

// Run implements the command.
func (c *explainCommand) Run(a *app) error {
	log := a.log.logger(a.err)
	cfg, err := c.load(a, log)
	if err != nil {
		return err
	}
	cfg.Pipeline.Bus = memory.New(memory.Config{})
	cfg.Pipeline.Sources = nil
	p, err := pipeline.New(cfg.Pipeline)
	if err != nil {
		return errors.Join(err, cfg.Close())
	}
	defer p.Close(context.Background())
	in, err := c.open(a)
	if err != nil {
		return err
	}
	defer in.Close()
	d := json.NewDecoder(in)
	for n := 1; ; n++ {
		var raw json.RawMessage
		switch err := d.Decode(&raw); {
		case err == io.EOF && n > 1:
			return nil
		case err == io.EOF:
			return usageError{errors.New("no event given: use --event, a file or standard input")}
		case err != nil:
			return usageError{fmt.Errorf("event %d is not JSON: %w", n, err)}
		}
		e := new(sidetrack.Event)
		if err := json.Unmarshal(raw, e); err != nil {
			return usageError{fmt.Errorf("event %d: %w", n, err)}
		}
		if err := c.origin(e); err != nil {
			return err
		}
		if n > 1 && c.Output == "text" {
			fmt.Fprintln(a.out)
		}
		if err := c.print(a.out, p.Explain(context.Background(), e)); err != nil {
			return err
		}
	}
}

func (c *explainCommand) open(a *app) (io.ReadCloser, error) {
	switch {
	case c.Event != "" && c.File != "":
		return nil, usageError{errors.New("give --event or a file, not both")}
	case c.Event != "":
		return io.NopCloser(strings.NewReader(c.Event)), nil
	case c.File == "" || c.File == "-":
		return io.NopCloser(a.in), nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, usageError{err}
	}
	return f, nil
}

func (c *explainCommand) origin(e *sidetrack.Event) error {
	var ip netip.Addr
	if c.IP != "" {
		var err error
		if ip, err = netip.ParseAddr(c.IP); err != nil {
			return usageError{fmt.Errorf("--ip: %q is not an address", c.IP)}
		}
	}
	if c.UserAgent != "" && e.Device.UserAgent == "" {
		e.Device.UserAgent = c.UserAgent
	}
	r := &http.Request{Header: http.Header{}}
	if e.Device.UserAgent != "" {
		r.Header.Set("User-Agent", e.Device.UserAgent)
	}
	e.SetOrigin(sidetrack.NewOrigin(ip, r))
	return nil
}

func (c *explainCommand) print(w io.Writer, x pipeline.Explanation) error {
	if c.Output == "json" {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(x)
	}
	printExplanation(w, x)
	return nil
}
