package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sidetrack-go/sidetrack/pipeline"
)

type forgetCommand struct {
	configFlag
	ClientID string `placeholder:"ID" help:"Client id of the visitor, as it is in events."`
	UserID   string `placeholder:"ID" help:"User id, as it is in events."`
	Output   string `enum:"text,json" default:"text" help:"Format of the output: ${enum}."`
}

// Help is the longer text of --help.
func (forgetCommand) Help() string {
	return `Events of the person that wait are withheld from every sink, dead letters and files of file sinks are rewritten
without them, and what cannot be reached is named. It works on the running process, or on the store when none runs.

  sidetrack forget --client-id 1234567890.1700000000
  sidetrack forget --user-id u-77 --output json`
}

// Run implements the command.
func (c *forgetCommand) Run(a *app) error {
	person := pipeline.Person{ClientID: c.ClientID, UserID: c.UserID}
	if person == (pipeline.Person{}) {
		return usageError{errors.New("name somebody: --client-id, --user-id or both")}
	}
	ctx, stop := a.interruptible()
	defer stop()
	p, done, err := c.control(ctx, a)
	if err != nil {
		return err
	}
	forgotten, err := p.Forget(ctx, person)
	if c.Output == "json" {
		err = errors.Join(err, json.NewEncoder(a.out).Encode(forgotten))
	} else {
		printForgotten(a.out, forgotten)
	}
	if err != nil {
		err = fmt.Errorf("not everything was done, repeat the command: %w", err)
	}
	return errors.Join(err, done())
}

func printForgotten(w io.Writer, f pipeline.Forgotten) {
	if len(f.Sinks) == 0 {
		return
	}
	fmt.Fprintf(w, "withheld from every sink until %s, what waits on the bus included\n", f.Until.Format(time.RFC3339))
	fmt.Fprintf(w, "erased from dead letters: %s\n", count(f.DeadLetters, "event"))
	for _, s := range f.Sinks {
		switch {
		case s.Reached:
			fmt.Fprintf(w, "erased from sink %s: %s\n", s.Sink, count(s.Erased, "event"))
		case s.Error != "":
			fmt.Fprintf(w, "NOT erased from sink %s: %s\n", s.Sink, s.Error)
		default:
			fmt.Fprintf(w, "out of reach: what sink %s delivered before; its backend has to delete it\n", s.Sink)
		}
	}
	fmt.Fprintln(w, "out of reach: copies made of files and of the data directory, such as backups")
}
