package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/pipeline/standard/full"
)

// configFlag names the configuration file.
type configFlag struct {
	Config string `short:"c" default:"sidetrack.yaml" placeholder:"FILE" help:"Configuration file, - for standard input. Default: ${default}." completion:"files"`
}

// load is the one way by which every command reads a configuration.
func (c configFlag) load(a *app, log *slog.Logger) (*config.Config, error) {
	cfg, err := config.Load(c.Config, full.Registry(), config.WithLogger(log))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usageError{fmt.Errorf("there is no %s: name a file with --config, write one with \"sidetrack init\", or try \"sidetrack demo\", which needs none", c.Config)}
	case err != nil:
		return nil, err
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintf(a.err, "%s: warning: %s\n    %s\n", cfg.Name, w.Message, w.Hint)
	}
	return cfg, nil
}
