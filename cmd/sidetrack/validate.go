package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/sidetrack-go/sidetrack/config"
)

type validateCommand struct {
	configFlag
	outputFlag
}

// Help is the longer text of --help.
func (validateCommand) Help() string {
	return `Reads the file exactly as "run" does and reports every problem with its place and what to do. Nothing is opened, sent or stored.

  sidetrack validate
  sidetrack validate -c shop.yaml
  sidetrack validate --output json`
}

// validation is the result as JSON.
type validation struct {
	File     string           `json:"file"`
	Valid    bool             `json:"valid"`
	Problems []config.Problem `json:"problems"`
	Warnings []config.Problem `json:"warnings,omitempty"`
	Bus      string           `json:"bus,omitempty"`
	Sites    []string         `json:"sites,omitempty"`
	Sources  []string         `json:"sources,omitempty"`
	Sinks    []string         `json:"sinks,omitempty"`
	Tests    int              `json:"tests,omitempty"`
}

// Run implements the command.
func (c *validateCommand) Run(a *app) error {
	quiet := *a
	if c.json() {
		quiet.err = new(strings.Builder) // warnings are part of the result
	}
	cfg, err := c.load(&quiet, slog.New(slog.DiscardHandler))
	if c.json() {
		return c.printJSON(a, cfg, err)
	}
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

func (c *validateCommand) printJSON(a *app, cfg *config.Config, err error) error {
	v := validation{Problems: []config.Problem{}}
	if err != nil {
		invalid, ok := errors.AsType[*config.Error](err)
		if !ok {
			return err
		}
		v.File, v.Problems = invalid.Name, invalid.Problems
		return errors.Join(printJSON(a.out, v), printedError{exitUsage})
	}
	v.File, v.Valid, v.Warnings, v.Bus, v.Tests = cfg.Name, true, cfg.Warnings, cfg.Bus.String(), len(cfg.Tests)
	for _, s := range cfg.Pipeline.Sites {
		v.Sites = append(v.Sites, s.Name)
	}
	for _, s := range cfg.Pipeline.Sources {
		v.Sources = append(v.Sources, s.Name)
	}
	for _, s := range cfg.Pipeline.Sinks {
		v.Sinks = append(v.Sinks, s.Name)
	}
	return errors.Join(printJSON(a.out, v), cfg.Close())
}
