package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/admin"
)

// control is a pipeline to work on: of the running process, or opened here.
type control interface {
	admin.Pipeline
	Ledger(ctx context.Context) (pipeline.Ledger, error)
}

// local is a pipeline that this process opened without running it.
type local struct{ *pipeline.Pipeline }

// Ledger implements control.
func (l local) Ledger(context.Context) (pipeline.Ledger, error) { return l.Pipeline.Ledger(), nil }

// control finds the process that runs the configuration or, when there is none, opens its
// store. The caller calls done at the end and reports its error.
func (c configFlag) control(ctx context.Context, a *app) (_ control, done func() error, err error) {
	log := a.log.logger(a.err)
	cfg, err := c.load(a, log)
	if err != nil {
		return nil, nil, err
	}
	if cfg.Bus.Memory != nil {
		return nil, nil, errors.Join(usageError{errors.New("the bus of this configuration is memory: nothing is kept outside of its process")}, cfg.Close())
	}
	if e := cfg.Bus.Embedded; e != nil {
		client, err := admin.Dial(e.DataDir)
		if err == nil {
			return client, cfg.Close, nil
		}
		if !errors.Is(err, admin.ErrNotRunning) {
			return nil, nil, errors.Join(err, cfg.Close())
		}
	}
	bus, err := cfg.OpenBus(ctx, log)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the bus: %w", err), cfg.Close())
	}
	cfg.Pipeline.Bus = bus
	p, err := pipeline.New(cfg.Pipeline)
	if err != nil {
		return nil, nil, errors.Join(err, bus.Close(), cfg.Close())
	}
	closePipeline := func() error { return p.Close(context.Background()) }
	if err := p.Open(ctx); err != nil {
		return nil, nil, errors.Join(err, closePipeline())
	}
	return local{p}, closePipeline, nil
}
