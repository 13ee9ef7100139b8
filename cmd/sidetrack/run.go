package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sidetrack-go/sidetrack/internal/memlimit"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/admin"
)

type runCommand struct {
	configFlag
}

// Help is the longer text of --help.
func (runCommand) Help() string {
	return `Runs until SIGINT or SIGTERM, then finishes what is in flight; a second signal ends it at once. The exit code says whether anything
stayed behind: 0 all delivered, 3 some waits on the bus.
What was not delivered stays on the bus and is delivered after the next start.
It also ends when every source has ended by itself, such as an access log, and all is delivered.

  sidetrack run
  sidetrack run -c shop.yaml --log-format json`
}

// Run implements the command.
func (c *runCommand) Run(a *app) error {
	log := a.log.logger(a.err)
	cfg, err := c.load(a, log)
	if err != nil {
		return err
	}
	ctx, stop := a.interruptible()
	defer stop()
	bus, err := cfg.OpenBus(ctx, log)
	if err != nil {
		return errors.Join(fmt.Errorf("open the bus: %w", err), cfg.Close())
	}
	cfg.Pipeline.Bus = bus
	watch, err := listenAdmin(cfg)
	if err != nil {
		return errors.Join(err, cfg.Close(), bus.Close())
	}
	defer watch.close()
	memlimit.Apply(ctx, len(cfg.Pipeline.Sinks))
	p, err := start(ctx, cfg.Pipeline)
	if err != nil {
		return err
	}
	watch.serve(p, log)
	if e := cfg.Bus.Embedded; e != nil {
		stopAdmin, err := admin.Serve(e.DataDir, p, log)
		if err != nil {
			log.Warn("commands such as dead and ledger cannot reach this process", "error", err)
		} else {
			defer stopAdmin()
		}
	}
	log.Info("running", "config", cfg.Name, "bus", cfg.Bus.String(), "sources", len(cfg.Pipeline.Sources), "sinks", len(cfg.Pipeline.Sinks))
	ended := p.SourcesDone()
	if len(cfg.Pipeline.Sources) == 0 {
		ended = nil
	}
	select {
	case <-ctx.Done():
		log.Info("stopping: finishing what is in flight")
	case <-ended:
		if err = p.SourceErr(); err == nil {
			log.Info("all sources have ended: delivering the rest")
			err = p.Drain(ctx)
		}
		if errors.Is(err, context.Canceled) {
			err = nil
		}
	}
	err = errors.Join(err, p.Close(context.Background()))
	l := p.Ledger()
	log.Info("stopped", "received", l.Received, "accepted", l.Accepted)
	for _, s := range l.Sinks {
		log.Info("sink", "name", s.Sink, "accepted", s.Accepted, "delivered", s.Delivered, "pending", s.Pending)
	}
	if behind := leftBehind(l, cfg.Bus.Memory == nil); err == nil && behind.deliveries > 0 {
		return behind
	}
	return err
}

// behindError says that a run ended with deliveries to come.
type behindError struct {
	deliveries int64
	sinks      []string
	kept       bool // on a durable bus
}

func (e behindError) Error() string {
	where := "waiting on the bus for the next start"
	if !e.kept {
		where = "lost with the memory of this process"
	}
	return fmt.Sprintf("stopped with %s to %s %s", plural(e.deliveries, "delivery", "deliveries"), strings.Join(e.sinks, ", "), where)
}

func leftBehind(l pipeline.Ledger, kept bool) behindError {
	e := behindError{kept: kept}
	for _, s := range l.Sinks {
		if s.Pending > 0 {
			e.deliveries += s.Pending
			e.sinks = append(e.sinks, s.Sink)
		}
	}
	return e
}

// start makes a pipeline and starts it; on failure everything of cfg is closed.
func start(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error) {
	p, err := pipeline.New(cfg)
	if err != nil {
		return nil, errors.Join(err, cfg.Bus.Close())
	}
	if err := p.Start(ctx); err != nil {
		return nil, errors.Join(err, p.Close(context.Background()))
	}
	return p, nil
}
