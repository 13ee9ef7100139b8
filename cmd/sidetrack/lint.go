package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/sinks/ga"
)

type lintCommand struct {
	GA4 lintGA4Command `cmd:"" name:"ga4" help:"Check events against Google's rules of the GA4 Measurement Protocol."`
}

type lintGA4Command struct {
	File   string `arg:"" optional:"" help:"File with events, one after another, as the file sink writes them; - or nothing for standard input." completion:"files"`
	Follow bool   `short:"f" help:"Go on reading as the file grows, until interrupted."`
	App    bool   `help:"Check for an app stream. Default: a web stream."`
	Strict bool   `help:"Fail on warnings too."`
	Online bool   `help:"Ask Google's validation server as well. Nothing is recorded there."`
	Server string `default:"https://www.google-analytics.com/debug/mp/collect" placeholder:"URL" help:"Address of the validation server."`
	outputFlag
}

// Help is the longer text of --help.
func (lintGA4Command) Help() string {
	return `Says for each event which of Google's rules it breaks, what the ga4 sink would do about it by default, and what reports would suffer
from. Google itself answers 2xx to anything. Ages are judged at the time an event was received.

Exit code 0 when no event breaks a rule, else 1.

  sidetrack lint ga4 data/events.ndjson
  sidetrack lint ga4 --follow data/events.ndjson
  sidetrack lint ga4 --strict --online < events.ndjson`
}

// finding is one problem of one event.
type finding struct {
	Event    int              `json:"event"` // counted from 1
	Name     string           `json:"name"`
	Severity string           `json:"severity"` // error or warning
	Rule     sidetrack.Reason `json:"rule"`
	Field    string           `json:"field,omitempty"`
	Text     string           `json:"text"`
	Action   ga.Action        `json:"action,omitempty"` // what the ga4 sink would do
}

// Run implements the command.
func (c *lintGA4Command) Run(a *app) error {
	cfg := ga.Config{}
	if c.App {
		cfg.FirebaseAppID = "1:1:android:0" // the validation server checks no ids
	}
	if c.Online {
		cfg.Validate = "strict"
		base, ok := strings.CutSuffix(c.Server, "/debug/mp/collect")
		if u, err := url.Parse(c.Server); !ok || err != nil || u.Host == "" {
			return usageError{errors.New("--server: must be the address of a validation server, which ends in /debug/mp/collect")}
		}
		cfg.Endpoint = base + "/mp/collect"
	}
	checker, err := ga.NewChecker(cfg)
	if err != nil {
		return usageError{err}
	}
	in := io.NopCloser(a.in)
	if c.File != "" && c.File != "-" {
		if in, err = os.Open(c.File); err != nil {
			return usageError{err}
		}
	}
	defer in.Close()
	ctx, stop := a.interruptible()
	defer stop()
	var reader io.Reader = in
	if c.Follow {
		reader = &follower{ctx: ctx, r: in}
	}
	return c.lint(ctx, a, checker, reader)
}

func (c *lintGA4Command) lint(ctx context.Context, a *app, checker *ga.Checker, in io.Reader) error {
	client := &http.Client{Timeout: 10 * time.Second}
	counts := map[string]int{}
	n := 0
	for d := json.NewDecoder(in); ctx.Err() == nil; {
		var raw json.RawMessage
		err := d.Decode(&raw)
		if err == io.EOF {
			break
		} else if err != nil {
			return usageError{fmt.Errorf("event %d is not JSON: %w", n+1, err)}
		}
		n++
		e, at := new(sidetrack.Event), time.Now()
		if err := json.Unmarshal(raw, e); err != nil {
			counts["error"]++
			if err := c.print(a.out, finding{Event: n, Severity: "error", Rule: sidetrack.ReasonInvalid, Text: err.Error()}); err != nil {
				return err
			}
			continue
		}
		if !e.Received.IsZero() {
			at = e.Received
		}
		for _, p := range checker.Check(e, at) {
			f := finding{n, e.Name, "error", p.Rule, p.Field, p.Text, p.Action}
			if p.Warning {
				f.Severity = "warning"
			}
			counts[f.Severity]++
			if err := c.print(a.out, f); err != nil {
				return err
			}
		}
		if !c.Online {
			continue
		}
		found, err := ask(ctx, client, checker, e)
		if err != nil {
			return fmt.Errorf("event %d: %w", n, err)
		}
		for _, g := range found {
			counts["error"]++
			if err := c.print(a.out, finding{n, e.Name, "error", sidetrack.Reason(g.Code), g.Field, "the validation server says: " + g.Text, ""}); err != nil {
				return err
			}
		}
	}
	if n == 0 && !c.Follow {
		return usageError{errors.New("no event given: use a file or standard input")}
	}
	if !c.json() {
		fmt.Fprintf(a.out, "%s, %s, %s\n", count(n, "event"), count(counts["error"], "error"), count(counts["warning"], "warning"))
	}
	if counts["error"] > 0 || c.Strict && counts["warning"] > 0 {
		return printedError{exitFailed}
	}
	return nil
}

func (c *lintGA4Command) print(w io.Writer, f finding) error {
	if c.json() {
		b, err := json.Marshal(f)
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\n", b)
		}
		return err
	}
	does := ""
	switch f.Action {
	case ga.Clip:
		does = "; it is made to fit"
	case ga.Drop:
		does = "; it is left out"
	case ga.Reject:
		does = "; the event is not sent"
	case ga.Keep:
		does = "; it is sent all the same"
	}
	_, err := fmt.Fprintf(w, "event %d %s: %s: %s: %s\n", f.Event, cmp.Or(f.Name, "?"), f.Severity, f.Rule, strings.TrimSpace(f.Field+" "+f.Text)+does)
	return err
}

// ask sends an event to the validation server as it would be sent now, with a time that
// is not too old: the age was judged already.
func ask(ctx context.Context, client *http.Client, checker *ga.Checker, e *sidetrack.Event) ([]ga.Finding, error) {
	own := e.Clone()
	own.Time = time.Time{}
	r, err := checker.Request(own, time.Now())
	if err != nil {
		return nil, nil // nothing would be sent, which Check has said
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	req.Header = r.Header
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("validation server: %w", errors.Unwrap(err)) // without the address
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, sidetrack.MaxResponseBytes))
	if err != nil {
		return nil, fmt.Errorf("validation server: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("validation server: status %d", resp.StatusCode)
	}
	found, err := ga.ReadFindings(body)
	return slices.Clip(found), err
}

// follower reads a file that grows. At its end it waits for more, until ctx ends.
type follower struct {
	ctx context.Context
	r   io.Reader
}

const followPause = 200 * time.Millisecond

func (f *follower) Read(p []byte) (int, error) {
	for {
		n, err := f.r.Read(p)
		if n > 0 || err != io.EOF {
			return n, err
		}
		select {
		case <-f.ctx.Done():
			return 0, io.EOF
		case <-time.After(followPause):
		}
	}
}
