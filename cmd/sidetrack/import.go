package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/standard/full"
	"github.com/sidetrack-go/sidetrack/sources"
)

type importCommand struct {
	Files   []string `arg:"" help:"Access logs, plain or gzipped, globs; - is standard input." completion:"files"`
	Config  string   `short:"c" placeholder:"FILE" help:"Configuration file whose sites, processors and sinks are used. Default: none, a summary." completion:"files"`
	Out     string   `short:"o" placeholder:"FILE" help:"Without a configuration: also write the events to this file." completion:"files"`
	Format  string   `enum:"auto,combined,common,nginx_json" default:"auto" help:"Format of the lines: ${enum}."`
	Host    string   `placeholder:"HOST" help:"Host of the pages, for lines that do not name one."`
	Site    string   `placeholder:"NAME" help:"Site of the events. Default: by the host."`
	Include []string `placeholder:"GLOB" help:"Paths that count as pages whatever their ending says."`
	Consent string   `placeholder:"DECISION" help:"Your decision for events that say nothing of consent: granted (analytics_storage), or a list of purposes. Default: unknown, which counts as denied."`
	outputFlag
}

// Help is the longer text of --help.
func (importCommand) Help() string {
	return `Every line ends in exactly one row of the closing table. Reading a log again gives the same event ids.
The sources and the bus of the configuration are not used, so it does not disturb a running sidetrack.

  sidetrack import access.log.gz
  sidetrack import --host shop.example --consent granted -o events.ndjson access.log
  sidetrack import -c sidetrack.yaml --consent granted /var/log/nginx/access.log*`
}

// summaryConfig is the composition of an import that was given none.
const summaryConfig = `
processors:
  - bots: {action: drop}
sinks:
  summary: {discard: {}}
`

const outSink = "  out: {file: {path: \"${SIDETRACK_IMPORT_OUT}\", rotate: {size: 0}}, needs: []}\n"

// Run implements the command.
func (c *importCommand) Run(a *app) error {
	log := a.log.logger(a.err)
	cfg, err := c.compose(log)
	if err != nil {
		return err
	}
	p, progress, err := c.start(a, cfg, log)
	if err != nil {
		return errors.Join(err, cfg.Close())
	}
	ctx, stop := a.interruptible()
	defer stop()
	select {
	case <-ctx.Done():
	case <-p.SourcesDone():
		err = errors.Join(p.SourceErr(), p.Drain(ctx))
	}
	interrupted := ctx.Err() != nil
	progress()
	err = errors.Join(err, p.Close(context.Background()))
	l := p.Ledger()
	if c.json() {
		err = errors.Join(err, printJSON(a.out, l))
	} else {
		printLedger(a.out, l)
		c.explainConsent(a.out, l)
	}
	if interrupted {
		return errors.New("interrupted: the table shows how far it got; importing again repeats no event, ids stay the same")
	}
	return err
}

func (c *importCommand) compose(log *slog.Logger) (*config.Config, error) {
	reg := full.Registry()
	if c.Config != "" {
		if c.Out != "" {
			return nil, usageError{errors.New("--out goes without --config: give the configuration a file sink")}
		}
		cfg, err := config.Load(c.Config, reg, config.WithLogger(log))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, usageError{err}
		}
		return cfg, err
	}
	sidetrack.AddSink(reg, "discard", nil, func(struct{}) (*sidetrack.Sink, error) {
		return sidetrack.WriterSink(discard{}, sidetrack.MaxEvents(1000)), nil
	})
	text := summaryConfig
	if c.Out != "" {
		text += outSink
	}
	return config.Parse("import", []byte(text), reg, func(string) (string, bool) { return c.Out, true }, config.WithLogger(log))
}

// discard takes everything, so that the ledger shows what would have been delivered.
type discard struct{}

func (discard) Write(context.Context, sidetrack.Unit) error { return nil }

// start runs the composition on a bus in memory with the logs as its only source. The
// function it returns ends the progress bar.
func (c *importCommand) start(a *app, cfg *config.Config, log *slog.Logger) (*pipeline.Pipeline, func(), error) {
	if c.Consent != "" {
		decision, err := stated(c.Consent)
		if err != nil {
			return nil, nil, err
		}
		cfg.Pipeline.Intake = slices.Insert(cfg.Pipeline.Intake, 0, decision)
	}
	onProgress, done := bar(a.err)
	logs, err := sources.NewAccessLog(sources.AccessLogConfig{
		Paths: c.Files, Format: c.Format, Host: c.Host, Site: c.Site, Include: c.Include,
		Reader: a.in, OnProgress: onProgress, Logger: log,
	})
	if err != nil {
		return nil, nil, usageError{err}
	}
	paced := &pacedSource{Source: logs}
	cfg.Pipeline.Sources = []pipeline.SourceConfig{{Name: "import", Source: paced}}
	cfg.Pipeline.Bus = memory.New(memory.Config{MaxBytes: importBusBytes})
	p, err := pipeline.New(cfg.Pipeline)
	if err != nil {
		return nil, nil, errors.Join(err, cfg.Pipeline.Bus.Close())
	}
	paced.ledger = p.Ledger
	return p, done, p.Start(context.Background())
}

// bar shows progress where standard error is a terminal.
func bar(w io.Writer) (onProgress func(sources.Progress), done func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, func() {}
	}
	b := progressbar.NewOptions64(-1, progressbar.OptionSetWriter(f), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription("reading"), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	return func(p sources.Progress) {
		if p.Total > 0 {
			b.ChangeMax64(p.Total)
		}
		_ = b.Set64(p.Read)
	}, func() { _ = b.Finish() }
}

const (
	importBusBytes = 512 << 20
	// maxAhead is how many events reading may be ahead of the slowest sink: a few dozen megabytes.
	maxAhead = 20_000
)

// pacedSource keeps reading from running far ahead of the sinks.
type pacedSource struct {
	sidetrack.Source
	ledger func() pipeline.Ledger
}

// Run implements sidetrack.Source.
func (s *pacedSource) Run(ctx context.Context, out sidetrack.Emitter) error {
	return s.Source.Run(ctx, pacedEmitter{out, s})
}

type pacedEmitter struct {
	sidetrack.Emitter
	*pacedSource
}

// Emit waits until the sinks have caught up, then emits.
func (e pacedEmitter) Emit(ctx context.Context, events ...*sidetrack.Event) error {
	for e.behind() > maxAhead {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return e.Emitter.Emit(ctx, events...)
}

func (e pacedEmitter) behind() (most int64) {
	for _, s := range e.ledger().Sinks {
		most = max(most, s.Pending)
	}
	return most
}

// Count accounts for lines that are no events.
func (e pacedEmitter) Count(reason sidetrack.Reason, n int) {
	if c, ok := e.Emitter.(interface {
		Count(sidetrack.Reason, int)
	}); ok {
		c.Count(reason, n)
	}
}

// explainConsent says why nothing arrived where consent is what was missing.
func (c *importCommand) explainConsent(w io.Writer, l pipeline.Ledger) {
	missing := l.Dropped[sidetrack.ReasonConsent]
	for _, s := range l.Sinks {
		missing = max(missing, s.Withheld[sidetrack.ReasonConsent])
	}
	if missing == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s did not get to a sink for want of consent: an access log says nothing of it, and unknown counts as denied.\n", count(missing, "event"))
	if c.Consent == "" {
		fmt.Fprintln(w, "If you may process these logs without asking each visitor, say so: --consent granted")
	}
}
