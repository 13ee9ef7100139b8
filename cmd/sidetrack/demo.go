package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/standard"
	"github.com/sidetrack-go/sidetrack/processors"
	"github.com/sidetrack-go/sidetrack/sinks/file"
	"github.com/sidetrack-go/sidetrack/sinks/ga"
	"github.com/sidetrack-go/sidetrack/sinks/stdout"
	"github.com/sidetrack-go/sidetrack/sources"
)

type demoCommand struct {
	Listen   string        `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where the collector listens. Default: ${default}."`
	Dir      string        `placeholder:"DIR" help:"Directory of the bus and of events.ndjson. Default: a temporary one, removed at the end."`
	Duration time.Duration `placeholder:"TIME" help:"End by itself after this time. Default: run until interrupted."`
}

// Help is the longer text of --help.
func (demoCommand) Help() string {
	return `Needs no configuration. Events are kept on a durable bus and go to this terminal, to a file, and to Google Analytics 4 as
a dry run: the exact request is shown, nothing is sent to Google.

  sidetrack demo
  sidetrack demo --listen 127.0.0.1:9090 --dir ./demo`
}

// Run implements the command.
func (c *demoCommand) Run(a *app) error {
	ctx, stop := a.interruptible()
	defer stop()
	dir := c.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "sidetrack-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	d := &demo{out: a.out, started: make(chan struct{}), path: filepath.Join(dir, "events.ndjson")}
	cfg, err := d.compose(a, c.Listen)
	if err != nil {
		return err
	}
	log := a.log.logger(a.err)
	cfg.Logger = log
	composition := config.Config{Bus: config.EmbeddedIn(filepath.Join(dir, "bus")), Pipeline: cfg}
	if cfg.Bus, err = composition.OpenBus(ctx, log); err != nil {
		return errors.Join(fmt.Errorf("open the bus: %w", err), composition.Close())
	}
	p, err := standard.Start(ctx, cfg)
	if err != nil {
		return err
	}
	d.pipeline = p
	close(d.started)
	if c.Duration > 0 { // counted from here: starting takes what it takes
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	select {
	case <-ctx.Done():
	case <-p.SourcesDone():
		if err := p.SourceErr(); err != nil {
			return errors.Join(fmt.Errorf("%w: choose another address with --listen", err), p.Close(context.Background()))
		}
	}
	settle, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	if drained := p.Drain(settle); drained != nil {
		log.Warn("the ledger is not complete", "error", drained)
	}
	err = errors.Join(err, p.Close(context.Background()))
	fmt.Fprintln(d, "\nThe ledger: where every event ended.")
	printLedger(d, p.Ledger())
	return err
}

// settleTime is how long the end of a demo waits so that its ledger is complete.
const settleTime = 2 * time.Second

// demo prints what happens to events, one at a time.
type demo struct {
	mu   sync.Mutex
	out  io.Writer
	path string

	started  chan struct{} // closed when pipeline is set
	pipeline *pipeline.Pipeline
}

// Write writes all of b before anybody else writes.
func (d *demo) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(b)
}

func (d *demo) compose(a *app, listen string) (pipeline.Config, error) {
	var cfg pipeline.Config
	web := sources.DefaultHTTPConfig()
	web.Listen, web.OnListen = listen, d.greet
	web.Logger = a.log.logger(a.err)
	src, err := sources.NewHTTP(web)
	if err != nil {
		return cfg, usageError{err}
	}
	terminal, err := stdout.New(stdout.Config{Out: d})
	if err != nil {
		return cfg, err
	}
	fc := file.Defaults()
	fc.Path = d.path
	archive, err := file.New(fc)
	if err != nil {
		return cfg, err
	}
	google, err := ga.New(ga.Config{MeasurementID: "G-DEMO123456", APISecret: sidetrack.NewSecret("demo-api-secret")})
	if err != nil {
		return cfg, err
	}
	visitor, err := processors.NewVisitor(processors.VisitorDefaults())
	if err != nil {
		return cfg, err
	}
	own := []sidetrack.Purpose{} // the owner's own copies need no consent
	return pipeline.Config{
		Sources: []pipeline.SourceConfig{{Name: "web", Source: src}},
		Intake:  []sidetrack.Processor{visitor},
		Sinks: []pipeline.SinkConfig{
			{Name: "stdout", Sink: terminal, Needs: own, NeedsSet: true},
			{Name: "file", Sink: archive, Needs: own, NeedsSet: true},
			{Name: "ga4", Sink: google},
		},
		Client:  &http.Client{Transport: dryRun{}},
		Observe: d.observe,
	}, nil
}

// dryRun answers as Google does and sends nothing.
type dryRun struct{}

func (dryRun) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	return &http.Response{StatusCode: http.StatusNoContent, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

func (d *demo) greet(addr net.Addr) {
	fmt.Fprintf(d, `The collector listens on http://%[1]s. Send it a page view of a visitor who agreed to analytics:

  curl -i http://%[1]s/collect -H 'Content-Type: application/json' -d '{
    "name": "page_view",
    "page": {"url": "https://shop.example/boots", "title": "Boots"},
    "visitor": {"client_id": "1234567890.1700000000"},
    "consent": {"analytics_storage": "granted"}
  }'

Leave "consent" out and see what changes. Events are also written to %[2]s
Google Analytics is a dry run: requests are shown, not sent. Stop with Ctrl-C.
`, addr, d.path)
}

// observe prints, for every event that comes in, what each sink will do with it.
func (d *demo) observe(ctx context.Context, f pipeline.Fate) {
	var b strings.Builder
	switch {
	case f.Sink != "":
		return
	case f.Column == pipeline.Dropped:
		fmt.Fprintf(&b, "\n%s was dropped in intake: %s\n", f.Event.Name, f.Reason)
	case f.Column == pipeline.Refused:
		fmt.Fprintf(&b, "\n%s was refused: %v\n", cmp.Or(f.Event.Name, "an event"), f.Err)
	default:
		fmt.Fprintf(&b, "\n%s %s was accepted\n", f.Event.Name, f.Event.ID)
		<-d.started
		for _, s := range d.pipeline.Preview(ctx, f.Event) {
			switch {
			case s.Sink == "stdout":
				b.WriteString("sink stdout prints it here\n")
			case s.Sink == "file":
				fmt.Fprintf(&b, "sink file appends a line to %s\n", d.path)
			default:
				printSink(&b, s)
				if s.Column == pipeline.Withheld {
					b.WriteString("  add to the event: \"consent\": {\"analytics_storage\": \"granted\"}\n")
				}
			}
		}
	}
	_, _ = d.Write([]byte(b.String()))
}
