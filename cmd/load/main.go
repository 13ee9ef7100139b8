// Command load measures sidetrack end to end on the machine it runs on: servers and
// generator are separate processes, variants are interleaved, and what counts are
// the ratios within one run.
//
//	go run ./cmd/load speed       requests a second of each bus against a bare handler
//	go run ./cmd/load isolation   what a sick sink costs the other one, and that it gets everything once it is well
//	go run ./cmd/load fanout      the same with ten sinks of which three are sick at the same time
//	go run ./cmd/load dead        what one that is down costs in memory; then with a bounded backlog
//	go run ./cmd/load lag         how late events are behind a slow backend
//	go run ./cmd/load memory      resident memory while a backlog grows
//	go run ./cmd/load abuse       what good clients notice of bad ones
//	go run ./cmd/load chaos       a million events, four failing sinks, ten restarts: what became of each event
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/sidetrack-go/sidetrack/internal/chaos"
)

// options are shared by all checks.
type options struct {
	seconds time.Duration
	rounds  int
	conns   int
	rate    int
	check   bool
	profile string // directory
	idle    int    // abuse: connections that do nothing
	slow    int    // abuse: connections that send a byte at a time

	trouble          string
	sick             time.Duration
	record           string // file
	events, restarts int
	seed             uint64
}

func main() {
	chaos.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say what to measure: speed, isolation, fanout, dead, lag, memory, abuse or chaos")
	}
	var o options
	fs := flag.NewFlagSet(args[0], flag.ContinueOnError)
	fs.DurationVar(&o.seconds, "time", 5*time.Second, "how long each measurement lasts")
	fs.IntVar(&o.rounds, "rounds", 3, "measurements of each variant; the median counts")
	fs.IntVar(&o.conns, "conns", 64, "keep-alive connections")
	fs.IntVar(&o.rate, "rate", 0, "requests a second; 0: the check's own default")
	fs.BoolVar(&o.check, "check", false, "fail when a target is missed")
	fs.StringVar(&o.profile, "profile", "", "directory for profiles of the servers' CPU and heap")
	fs.StringVar(&o.trouble, "trouble", "error,hang,reset,late", "isolation: what the other sink suffers from; also slow, throttle and refuse")
	fs.DurationVar(&o.sick, "sick", 0, "isolation, fanout, dead: how long the others are sick; 0: -time")
	fs.StringVar(&o.record, "record", "", "isolation, fanout, dead: file to which pairs are added; the medians are of all in it. -rounds 0 shows them")
	fs.IntVar(&o.events, "events", 1_000_000, "chaos: events to get accepted")
	fs.IntVar(&o.restarts, "restarts", 10, "chaos: restarts in the middle of it")
	fs.Uint64Var(&o.seed, "seed", 0, "chaos: of everything random; 0: a random one")
	fs.IntVar(&o.idle, "idle", 10_000, "abuse: connections that do nothing")
	fs.IntVar(&o.slow, "slow", 200, "abuse: connections that send a byte at a time")
	addr := fs.String("addr", "", "attack: whom (used by the tool itself)")
	variant := fs.String("variant", "", "serve: which server (used by the tool itself)")
	dir := fs.String("dir", "", "serve: data directory (used by the tool itself)")
	list := fs.String("sinks", "null", "serve: its HTTP sinks as JSON (used by the tool itself)")
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "serve":
		var sinks []httpSink
		if err := json.Unmarshal([]byte(*list), &sinks); err != nil {
			return err
		}
		return serve(ctx, *variant, *dir, o.profile, sinks)
	case "abuse":
		return abuse(ctx, o)
	case "attack":
		return attack(ctx, *addr, o.idle, o.slow)
	case "speed":
		return speed(ctx, o)
	case "isolation":
		return isolation(ctx, o)
	case "fanout":
		return fanout(ctx, o)
	case "dead":
		return deadSink(ctx, o)
	case "lag":
		return lag(ctx, o)
	case "memory":
		return memoryCheck(ctx, o)
	case "chaos":
		return conserve(ctx, o)
	}
	return fmt.Errorf("%q is no measurement: speed, isolation, fanout, dead, lag, memory, abuse or chaos", args[0])
}
