package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// eventFlags are events from the command line, with what intake sees of their request.
type eventFlags struct {
	Event     string   `placeholder:"JSON" help:"The event, in sidetrack's JSON form."`
	File      string   `arg:"" optional:"" help:"File with events, one after another; - or nothing for standard input." completion:"files"`
	IP        string   `name:"ip" placeholder:"ADDRESS" help:"Address of the visitor, for what intake does with it."`
	UserAgent string   `placeholder:"TEXT" help:"User agent of the request."`
	Host      string   `placeholder:"HOST" help:"Host that the request is sent to, which may name the site."`
	Header    []string `sep:"none" placeholder:"NAME:VALUE" help:"Header of the request, such as Sec-GPC:1. Can be given many times."`
	Cookie    []string `sep:"none" placeholder:"NAME=VALUE" help:"Cookie of the request. Can be given many times."`
}

// events calls f for every event that is given.
func (c *eventFlags) events(a *app, f func(n int, e *sidetrack.Event) error) error {
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
		for _, w := range config.EventWarnings(raw) {
			fmt.Fprintf(a.err, "sidetrack: event %d: %s\n", n, w)
		}
		if err := c.origin(e); err != nil {
			return err
		}
		if err := f(n, e); err != nil {
			return err
		}
	}
}

func (c *eventFlags) open(a *app) (io.ReadCloser, error) {
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

// origin attaches the request that the flags describe.
func (c *eventFlags) origin(e *sidetrack.Event) error {
	var ip netip.Addr
	if c.IP != "" {
		var err error
		if ip, err = netip.ParseAddr(c.IP); err != nil {
			return usageError{fmt.Errorf("--ip: %q is not an address", c.IP)}
		}
	}
	r := &http.Request{Header: http.Header{}, Host: c.Host}
	for _, h := range c.Header {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return usageError{fmt.Errorf("--header: %q is not NAME:VALUE", h)}
		}
		r.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	for _, pair := range c.Cookie {
		if !strings.Contains(pair, "=") {
			return usageError{fmt.Errorf("--cookie: %q is not NAME=VALUE", pair)}
		}
	}
	if len(c.Cookie) > 0 {
		r.Header.Set("Cookie", strings.Join(c.Cookie, "; "))
	}
	if e.Device.UserAgent == "" {
		e.Device.UserAgent = c.UserAgent
	}
	if e.Device.UserAgent != "" && r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", e.Device.UserAgent)
	}
	e.SetOrigin(sidetrack.NewOrigin(ip, r))
	return nil
}

// still makes the pipeline of a configuration without its bus and sources: nothing is
// opened, and what is running elsewhere is not disturbed.
func still(a *app, c configFlag, log *slog.Logger) (*pipeline.Pipeline, error) {
	cfg, err := c.load(a, log)
	if err != nil {
		return nil, err
	}
	cfg.Pipeline.Bus = memory.New(memory.Config{})
	cfg.Pipeline.Sources = nil
	p, err := pipeline.New(cfg.Pipeline)
	if err != nil {
		return nil, errors.Join(err, cfg.Close())
	}
	return p, nil
}

// knownSinks reports a name that no sink has.
func knownSinks(p *pipeline.Pipeline, sinks []string) error {
	for _, name := range sinks {
		if !slices.Contains(p.SinkNames(), name) {
			return usageError{fmt.Errorf("--sink: there is no sink %q: there are %s", name, strings.Join(p.SinkNames(), ", "))}
		}
	}
	return nil
}
