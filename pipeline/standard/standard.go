// Package standard is sidetrack with everything built in: the registry of all
// components, and a pipeline that is safe without being told.
package standard

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/processors"
)

// Option changes what Start adds to a configuration.
type Option func(*options)

type options struct{ without []string }

// Without leaves a safe intake processor out: "consent" or "anonymize_ip". The
// configuration then has to answer for what it does.
func Without(name string) Option {
	return func(o *options) { o.without = append(o.without, name) }
}

// Start makes a pipeline and starts it. The caller closes it.
//
// Without a bus it gets one in memory, which loses what is not delivered when the
// process dies. Intake is safe: unless cfg.Intake has its own or Without says otherwise,
// consent is resolved before the processors of cfg.Intake (unknown counts as denied,
// Sec-GPC is honoured), and addresses are cut to 24 and 48 bits after them.
//
// ctx bounds starting alone. When Start fails it has closed the bus of cfg.
func Start(ctx context.Context, cfg pipeline.Config, opts ...Option) (*pipeline.Pipeline, error) {
	if err := safeIntake(&cfg, opts); err != nil {
		return nil, err
	}
	if cfg.Bus == nil {
		cfg.Bus = memory.New(memory.Config{})
	}
	p, err := pipeline.New(cfg)
	if err != nil {
		return nil, errors.Join(err, cfg.Bus.Close())
	}
	if err := p.Start(ctx); err != nil {
		return nil, errors.Join(err, p.Close(ctx))
	}
	return p, nil
}

func safeIntake(cfg *pipeline.Config, opts []Option) error {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	for _, name := range o.without {
		if name != "consent" && name != "anonymize_ip" {
			return fmt.Errorf("standard: without %q: only consent and anonymize_ip are added by themselves", name)
		}
	}
	consent, err := processors.NewConsent(processors.ConsentDefaults())
	if err != nil {
		return fmt.Errorf("standard: consent: %w", err)
	}
	anonymize, err := processors.NewAnonymizeIP(processors.AnonymizeIPDefaults())
	if err != nil {
		return fmt.Errorf("standard: anonymize_ip: %w", err)
	}
	intake := slices.Clone(cfg.Intake)
	if !has(intake, consent) && !slices.Contains(o.without, "consent") {
		intake = slices.Insert(intake, 0, consent)
	}
	if !has(intake, anonymize) && !slices.Contains(o.without, "anonymize_ip") {
		intake = append(intake, anonymize)
	}
	cfg.Intake = intake
	return nil
}

// has reports whether list has a processor of the same kind as p, whatever its configuration.
func has(list []sidetrack.Processor, p sidetrack.Processor) bool {
	return slices.ContainsFunc(list, func(q sidetrack.Processor) bool { return reflect.TypeOf(q) == reflect.TypeOf(p) })
}
