// Command sidetrack is server-side tracking as one program: it collects events over
// HTTP or from access logs, decides what may leave, stores them durably and delivers
// them to analytics backends, by one configuration file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/sidetrack-go/sidetrack/config"
)

// Exit codes, as the help text documents them.
const (
	exitOK     = 0
	exitFailed = 1 // it was tried and did not work
	exitUsage  = 2 // the command line or the configuration is wrong: trying again will not help
	exitBehind = 3 // run has stopped in order, and events wait on the bus for the next start
)

const description = `Server-side tracking: events in, consent and privacy applied, delivered to any analytics backend.

Try it with "sidetrack demo". Then "sidetrack init" writes a configuration, "sidetrack test" runs its tests, "sidetrack explain" shows
what would happen to an event, and "sidetrack run" runs it. "sidetrack COMMAND --help" has examples.

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 stopped in order while events wait on the bus.`

type commands struct {
	Demo       demoCommand       `cmd:"" help:"Try sidetrack without a configuration: a collector that shows what each sink would send."`
	Init       initCommand       `cmd:"" help:"Write a commented configuration file to begin with."`
	Validate   validateCommand   `cmd:"" help:"Check a configuration file, all of it, without starting anything."`
	Test       testCommand       `cmd:"" help:"Run the tests of configuration files."`
	Explain    explainCommand    `cmd:"" help:"Show what would happen to an event: every change and every request, without sending."`
	Send       sendCommand       `cmd:"" help:"Deliver an event now and show what the backends answer."`
	Lint       lintCommand       `cmd:"" help:"Check events against the rules of a backend, offline."`
	Run        runCommand        `cmd:"" help:"Run the pipeline of a configuration file until interrupted."`
	Import     importCommand     `cmd:"" help:"Read access logs into the sinks and account for every line."`
	Dead       deadCommand       `cmd:"" help:"List, show, replay and drop events that could not be delivered."`
	Ledger     ledgerCommand     `cmd:"" help:"Show where every event ended, of the running process or of the last one."`
	Forget     forgetCommand     `cmd:"" help:"Erase a visitor: what waits, dead letters, files; and say what cannot be reached."`
	Components componentsCommand `cmd:"" help:"List what a configuration can be composed of, and the keys of each."`
	DDL        ddlCommand        `cmd:"" name:"ddl" help:"Print the statements that make the tables of sinks."`
	Schema     schemaCommand     `cmd:"" help:"Print the JSON Schema of configuration files, for editors."`
	Completion completionCommand `cmd:"" help:"Print a script for the completion of a shell."`
	Version    versionCommand    `cmd:"" help:"Print the version."`

	Log logging `embed:"" prefix:"log-"`
}

// app is what commands see of the world.
type app struct {
	in       io.Reader
	out, err io.Writer
	log      logging
}

// usageError is a mistake of the caller that a retry cannot mend.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() {
	os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func execute(args []string, in io.Reader, out, errOut io.Writer) int {
	var cli commands
	exited := exitOK - 1
	parser, err := kong.New(&cli,
		kong.Name("sidetrack"),
		kong.Description(description),
		kong.Writers(out, errOut),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.UsageOnError(),
	)
	if err != nil {
		fmt.Fprintln(errOut, "sidetrack:", err)
		return exitFailed
	}
	if len(args) > 0 && args[0] == completeWord {
		complete(parser.Model, args[1:], out)
		return exitOK
	}
	kctx, err := parser.Parse(args)
	switch {
	case exited >= 0: // --help printed itself
		return exited
	case err != nil:
		fmt.Fprintf(errOut, "sidetrack: %v\nRun \"sidetrack --help\" for what there is.\n", err)
		return exitUsage
	}
	a := &app{in: in, out: out, err: errOut, log: cli.Log}
	return a.report(kctx.Run(a))
}

// report prints an error and returns the exit code that it means.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	if printed, ok := errors.AsType[printedError](err); ok {
		return printed.code
	}
	if invalid, ok := errors.AsType[*config.Error](err); ok {
		fmt.Fprintln(a.err, invalid)
		fmt.Fprintln(a.err, count(len(invalid.Problems), "problem"))
		return exitUsage
	}
	fmt.Fprintln(a.err, "sidetrack:", err)
	if behind, ok := errors.AsType[behindError](err); ok && behind.kept {
		return exitBehind
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// interruptible returns a context that ends at the first SIGINT or SIGTERM. A second
// one ends the process at once. The caller stops it when the run is over.
func (a *app) interruptible() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for first := true; ; first = false {
			select {
			case <-over:
				return
			case <-signals:
			}
			if !first {
				fmt.Fprintln(a.err, "sidetrack: second signal: ending at once")
				os.Exit(exitFailed)
			}
			cancel()
		}
	}()
	return ctx, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(over)
		cancel()
	})
}

// count writes "1 line" and "2 lines".
func count[N int | int64](n N, what string) string { return plural(n, what, what+"s") }

// plural writes "1 reply" and "2 replies".
func plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
