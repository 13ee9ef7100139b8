package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack/pipeline"
)

type ddlCommand struct {
	configFlag
	Sink []string `placeholder:"NAME" help:"Only of this sink. Can be given many times. Default: all." completion:"sinks"`
}

// Help is the longer text of --help.
func (ddlCommand) Help() string {
	return `Prints the statements that make the tables which sinks write to, with the names that the configuration gives them, for whoever
may make tables in the database. The sinks themselves need not be allowed to. Nothing is opened or sent.

  sidetrack ddl | clickhouse-client --multiquery
  sidetrack ddl --sink own > events.sql`
}

// Run implements the command.
func (c *ddlCommand) Run(a *app) (err error) {
	cfg, err := c.load(a, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cfg.Close()) }()
	sinks := cfg.Pipeline.Sinks
	for _, name := range c.Sink {
		if !slices.ContainsFunc(sinks, func(s pipeline.SinkConfig) bool { return s.Name == name }) {
			return usageError{fmt.Errorf("there is no sink %q in %s", name, cfg.Name)}
		}
	}
	printed := 0
	for _, s := range sinks {
		statements := s.Sink.Spec().DDL
		if statements == "" || len(c.Sink) > 0 && !slices.Contains(c.Sink, s.Name) {
			continue
		}
		if printed++; printed > 1 {
			statements = "\n" + statements
		}
		if _, err := io.WriteString(a.out, strings.TrimRight(statements, "\n")+"\n"); err != nil {
			return err
		}
	}
	if printed == 0 {
		return usageError{errors.New("no sink needs a table")}
	}
	return nil
}
