package main

import (
	"fmt"
	"log/slog"
	"strings"
)

type validateCommand struct {
	configFlag
}

// Help is the longer text of --help.
func (validateCommand) Help() string {
	return `Reads the file exactly as "run" does and reports every problem with its place. Nothing is opened, sent or stored.

  sidetrack validate
  sidetrack validate -c shop.yaml`
}

// Run implements the command.
func (c *validateCommand) Run(a *app) error {
	cfg, err := c.load(a, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	p := cfg.Pipeline
	parts := []string{
		count(len(p.Sites), "site"), count(len(p.Sources), "source"), count(len(p.Intake), "intake processor"),
		count(len(p.Processors), "processor"), count(len(p.Sinks), "sink"), count(len(cfg.Tests), "test"),
	}
	fmt.Fprintf(a.out, "%s is valid: %s, bus %s\n", cfg.Name, strings.Join(parts, ", "), cfg.Bus)
	return cfg.Close()
}
