package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

type deadCommand struct {
	Ls     deadLsCommand     `cmd:"" help:"List dead letters."`
	Show   deadShowCommand   `cmd:"" help:"Show dead letters as a whole, with their events."`
	Replay deadReplayCommand `cmd:"" help:"Give dead letters back to the sink at which they died, and to no other."`
	Drop   deadDropCommand   `cmd:"" help:"Delete dead letters for good."`
}

// Help is the longer text of --help.
func (deadCommand) Help() string {
	return `Works on the running process through its data directory, or on the store itself when none runs.

  sidetrack dead ls --sink ga --since 24h
  sidetrack dead replay --reason rejected --dry-run
  sidetrack dead drop --name scroll --until 2026-01-31`
}

// deadFlags choose events in dead letters.
type deadFlags struct {
	configFlag
	Sink   []string `placeholder:"NAME" help:"Only of these sinks."`
	Site   []string `placeholder:"NAME" help:"Only events of these sites."`
	Since  moment   `placeholder:"WHEN" help:"Only what died since: a duration ago such as 24h or 7d, a date, or a time as in RFC 3339."`
	Until  moment   `placeholder:"WHEN" help:"Only what died before."`
	Reason []string `placeholder:"REASON" help:"Only with these reasons, such as rejected, unbuildable or max_age."`
	Name   []string `placeholder:"NAME" help:"Only events with these names."`
	Limit  int      `placeholder:"N" help:"At most so many letters, the oldest first. Default: all."`
	Output string   `enum:"text,json" default:"text" help:"Format of the output: ${enum}."`
}

func (f deadFlags) filter(now time.Time) (pipeline.DeadFilter, error) {
	out := pipeline.DeadFilter{Sinks: f.Sink, Sites: f.Site, Names: f.Name, Since: f.Since.at(now), Until: f.Until.at(now), Limit: f.Limit}
	for _, r := range f.Reason {
		out.Reasons = append(out.Reasons, sidetrack.Reason(r))
	}
	if f.Limit < 0 {
		return out, usageError{errors.New("--limit must not be negative")}
	}
	return out, nil
}

// none reports whether the flags choose everything.
func (f deadFlags) none() bool {
	return len(f.Sink)+len(f.Site)+len(f.Reason)+len(f.Name) == 0 && f.Since == (moment{}) && f.Until == (moment{}) && f.Limit == 0
}

// moment is a time, or a duration before now.
type moment struct {
	time time.Time
	ago  time.Duration
}

// UnmarshalText reads 24h, 7d, 2026-01-31 or 2026-01-31T12:00:00Z.
func (m *moment) UnmarshalText(text []byte) error {
	s := string(text)
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			*m = moment{time: t}
			return nil
		}
	}
	var days int
	if rest, ok := strings.CutSuffix(s, "d"); ok {
		if _, err := fmt.Sscanf(rest, "%d", &days); err == nil && days > 0 && days < 100_000 && fmt.Sprint(days) == rest {
			*m = moment{ago: time.Duration(days) * 24 * time.Hour}
			return nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is no time: write 24h, 7d, 2026-01-31 or 2026-01-31T12:00:00Z", s)
	}
	*m = moment{ago: d}
	return nil
}

func (m moment) at(now time.Time) time.Time {
	if m.ago > 0 {
		return now.Add(-m.ago)
	}
	return m.time
}

type deadLsCommand struct{ deadFlags }

// Help is the longer text of --help.
func (deadLsCommand) Help() string {
	return `The oldest first, one a line, with the reason.

  sidetrack dead ls
  sidetrack dead ls --sink google --since 24h --output json`
}

// Run implements the command.
func (c *deadLsCommand) Run(a *app) error {
	f, err := c.filter(time.Now())
	if err != nil {
		return err
	}
	return c.each(a, f, func() (func(pipeline.StoredLetter) error, func()) {
		if c.Output == "json" {
			enc := json.NewEncoder(a.out)
			return func(l pipeline.StoredLetter) error { return enc.Encode(l) }, func() {}
		}
		t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		letters, events := 0, 0
		fmt.Fprintln(t, "ID\tDIED\tSINK\tREASON\tSTATUS\tATTEMPTS\tEVENTS\tERROR")
		return func(l pipeline.StoredLetter) error {
				letters++
				events += max(1, len(l.Events))
				status := "-"
				if l.Status > 0 {
					status = fmt.Sprint(l.Status)
				}
				_, err := fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", l.ID, l.Last.UTC().Format(time.RFC3339), l.Sink, l.Reason, status, l.Attempts, names(l), cmp.Or(clip(l.Error, 80), "-"))
				return err
			}, func() {
				_ = t.Flush()
				fmt.Fprintf(a.out, "%s, %s\n", count(letters, "letter"), count(events, "event"))
			}
	})
}

// names lists the names of a letter's events, each once.
func names(l pipeline.StoredLetter) string {
	if l.Raw != "" {
		return "(unreadable)"
	}
	counts := map[string]int{}
	for _, line := range l.Events {
		var e struct {
			Name string `json:"name"`
		}
		_ = json.Unmarshal(line, &e)
		counts[e.Name]++
	}
	var out []string
	for _, n := range slices.Sorted(maps.Keys(counts)) {
		if counts[n] > 1 {
			out = append(out, fmt.Sprintf("%d× %s", counts[n], clip(n, 40)))
		} else {
			out = append(out, clip(n, 40))
		}
	}
	return clip(strings.Join(out, ", "), 80)
}

// clip makes text fit for one cell of a table.
func clip(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

type deadShowCommand struct {
	configFlag
	IDs []uint64 `arg:"" name:"id" help:"Numbers of the letters, from \"dead ls\"."`
}

// Help is the longer text of --help.
func (deadShowCommand) Help() string {
	return `As JSON, with each event and what the backend last said.

  sidetrack dead ls
  sidetrack dead show 17 18`
}

// Run implements the command.
func (c *deadShowCommand) Run(a *app) error {
	missing := map[uint64]bool{}
	for _, id := range c.IDs {
		missing[id] = true
	}
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	err := c.each(a, pipeline.DeadFilter{IDs: c.IDs}, func() (func(pipeline.StoredLetter) error, func()) {
		return func(l pipeline.StoredLetter) error {
			delete(missing, l.ID)
			return enc.Encode(l)
		}, func() {}
	})
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("no dead letter has the number %v", slices.Sorted(maps.Keys(missing)))
	}
	return err
}

// each calls the function that begin returns for every letter.
func (c configFlag) each(a *app, f pipeline.DeadFilter, begin func() (each func(pipeline.StoredLetter) error, end func())) error {
	ctx, stop := a.interruptible()
	defer stop()
	p, done, err := c.control(ctx, a)
	if err != nil {
		return err
	}
	each, end := begin()
	for l, lerr := range p.DeadLetters(ctx, f) {
		if err = lerr; err == nil {
			err = each(l)
		}
		if err != nil {
			break
		}
	}
	end()
	return errors.Join(err, done())
}

type deadReplayCommand struct {
	deadFlags
	DryRun bool `help:"Only say what would be done."`
}

// Help is the longer text of --help.
func (deadReplayCommand) Help() string {
	return `Events keep their ids. An event that its backend no longer takes, because of its age, stays a dead letter.
It may be interrupted and repeated: what is left is done then. A crash can repeat up to 500 events at the sink.

  sidetrack dead replay --sink google --since 24h
  sidetrack dead replay --reason rejected --dry-run`
}

// Run implements the command.
func (c *deadReplayCommand) Run(a *app) error {
	return c.work(a, "replayed", c.DryRun, func(ctx context.Context, p control, f pipeline.DeadFilter, o pipeline.DeadOptions) (pipeline.DeadResult, error) {
		return p.Replay(ctx, f, o)
	})
}

type deadDropCommand struct {
	deadFlags
	DryRun bool `help:"Only say what would be done."`
	All    bool `help:"Drop everything: needed when nothing else chooses."`
}

// Help is the longer text of --help.
func (deadDropCommand) Help() string {
	return `They are gone for good.

  sidetrack dead drop --name scroll --until 2026-01-31 --dry-run
  sidetrack dead drop --sink google --reason max_age`
}

// Run implements the command.
func (c *deadDropCommand) Run(a *app) error {
	if c.none() && !c.All && !c.DryRun {
		return usageError{errors.New("nothing says which dead letters to drop: use --sink, --reason, --until and the like, or --all")}
	}
	return c.work(a, "dropped", c.DryRun, func(ctx context.Context, p control, f pipeline.DeadFilter, o pipeline.DeadOptions) (pipeline.DeadResult, error) {
		return p.DropDead(ctx, f, o)
	})
}

func (c deadFlags) work(a *app, verb string, dryRun bool, do func(context.Context, control, pipeline.DeadFilter, pipeline.DeadOptions) (pipeline.DeadResult, error)) error {
	f, err := c.filter(time.Now())
	if err != nil {
		return err
	}
	ctx, stop := a.interruptible()
	defer stop()
	p, done, err := c.control(ctx, a)
	if err != nil {
		return err
	}
	progress, end := deadBar(a.err, verb)
	res, err := do(ctx, p, f, pipeline.DeadOptions{DryRun: dryRun, Progress: progress})
	end()
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted: repeat the command for the rest")
	}
	if c.Output == "json" {
		err = errors.Join(err, json.NewEncoder(a.out).Encode(struct {
			DryRun bool `json:"dry_run,omitempty"`
			pipeline.DeadResult
		}{dryRun, res}))
	} else {
		printDeadResult(a.out, verb, dryRun, res)
	}
	return errors.Join(err, done())
}

func printDeadResult(w io.Writer, verb string, dryRun bool, res pipeline.DeadResult) {
	if dryRun {
		verb = "would be " + verb
	}
	fmt.Fprintf(w, "%s in %s %s\n", count(res.Events, "event"), count(res.Letters, "letter"), verb)
	for _, s := range slices.Sorted(maps.Keys(res.Sinks)) {
		fmt.Fprintf(w, "  %-20s %10d\n", s, res.Sinks[s])
	}
	for _, r := range slices.SortedFunc(maps.Keys(res.Refused), func(a, b sidetrack.Reason) int {
		return cmp.Or(cmp.Compare(res.Refused[b], res.Refused[a]), cmp.Compare(a, b))
	}) {
		fmt.Fprintf(w, "refused, %-11s %10d  %s\n", r, res.Refused[r], refusals[r])
	}
}

// refusals say what a refusal of a replay means.
var refusals = map[sidetrack.Reason]string{
	sidetrack.ReasonMaxAge:      "the backend takes no events that old",
	sidetrack.ReasonNoSink:      "the sink is not configured any more",
	sidetrack.ReasonUndecodable: "it is no event that this version can read",
}

// deadBar shows progress where standard error is a terminal.
func deadBar(w io.Writer, verb string) (progress func(pipeline.DeadProgress), end func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, func() {}
	}
	b := progressbar.NewOptions64(-1, progressbar.OptionSetWriter(f), progressbar.OptionShowCount(),
		progressbar.OptionSetDescription("letters"), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	return func(p pipeline.DeadProgress) {
		if p.Total > 0 {
			b.ChangeMax64(p.Total)
		}
		b.Describe(fmt.Sprintf("letters, %d events %s", p.Done, verb))
		_ = b.Set64(p.Seen)
	}, func() { _ = b.Finish() }
}
