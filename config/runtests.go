package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// TestResult is how one test of a configuration went.
type TestResult struct {
	Name string `json:"name"`
	Position
	Failures []Problem `json:"failures,omitempty"` // none: it passed

	Explanation pipeline.Explanation `json:"-"` // what happened to the event
}

// NewEvent returns the test's event with its request, for one use.
func (t Test) NewEvent() *sidetrack.Event {
	e := t.Event.Clone()
	r := &http.Request{Header: http.Header{}, Host: t.Request.Host}
	for name, value := range t.Request.Headers {
		r.Header.Set(name, value)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Request.Cookies)) {
		// As browsers send it: consent tools put bytes into cookies that net/http would refuse.
		cookie := name + "=" + t.Request.Cookies[name]
		if line := r.Header.Get("Cookie"); line != "" {
			cookie = line + "; " + cookie
		}
		r.Header.Set("Cookie", cookie)
	}
	if r.Header.Get("User-Agent") == "" && e.Device.UserAgent != "" {
		r.Header.Set("User-Agent", e.Device.UserAgent)
	} else if e.Device.UserAgent == "" {
		e.Device.UserAgent = r.Header.Get("User-Agent")
	}
	e.SetOrigin(sidetrack.NewOrigin(t.Request.IP, r))
	return e
}

// RunTests runs the tests of the file, each on components of its own, so that none can
// depend on another. Nothing is stored or sent. The components of c itself are not used.
func (c *Config) RunTests(ctx context.Context) ([]TestResult, error) {
	out := make([]TestResult, 0, len(c.Tests))
	for i := range c.Tests {
		x, t, err := c.again(ctx, i)
		if err != nil {
			return out, err
		}
		out = append(out, TestResult{Name: t.Name, Position: t.Position, Failures: t.check(x), Explanation: x})
	}
	return out, nil
}

// again makes everything anew and explains the event of test i.
func (c *Config) again(ctx context.Context, i int) (x pipeline.Explanation, t Test, err error) {
	fresh, err := c.parse()
	if err != nil {
		return x, t, err // the file was valid before: the environment or a file beside it has changed
	}
	t = fresh.Tests[i]
	fresh.Pipeline.Sources = nil
	fresh.Pipeline.Bus = memory.New(memory.Config{})
	p, err := pipeline.New(fresh.Pipeline)
	if err != nil {
		return x, t, errors.Join(err, fresh.Close())
	}
	x = p.Explain(ctx, t.NewEvent())
	return x, t, p.Close(ctx)
}

// check compares what happened with what was expected.
func (t Test) check(x pipeline.Explanation) []Problem {
	var out []Problem
	fail := func(at Position, path, message string) {
		out = append(out, Problem{Position: at, Path: path, Message: message})
	}
	for _, want := range t.Expect {
		if want.Sink == "" {
			column, reason, detail := intakeEnd(x)
			if column != want.Column || want.Reason != "" && reason != want.Reason {
				fail(want.Position, intakeKey, fmt.Sprintf("want %s, got %s%s", end(want.Column, want.Reason), end(column, reason), detail))
			}
			continue
		}
		i := slices.IndexFunc(x.Sinks, func(s pipeline.SinkExplanation) bool { return s.Sink == want.Sink })
		if i < 0 {
			column, reason, detail := intakeEnd(x)
			fail(want.Position, want.Sink, fmt.Sprintf("want %s, but intake ended the event: %s%s", end(want.Column, want.Reason), end(column, reason), detail))
			continue
		}
		got := x.Sinks[i]
		if got.Column != want.Column || want.Reason != "" && got.Reason != want.Reason {
			detail := ""
			switch {
			case got.Error != "":
				detail = ": " + got.Error
			case len(got.Missing) > 0:
				detail = ": not granted: " + strings.Join(got.Missing, ", ")
			}
			fail(want.Position, want.Sink, fmt.Sprintf("want %s, got %s%s", end(want.Column, want.Reason), end(got.Column, got.Reason), detail))
			continue
		}
		text := sentText(got)
		for _, s := range want.Contains {
			if !strings.Contains(text, s) {
				fail(want.Position, want.Sink, fmt.Sprintf("what is sent does not contain %q:\n%s", s, text))
			}
		}
		for _, s := range want.Lacks {
			if strings.Contains(text, s) {
				fail(want.Position, want.Sink, fmt.Sprintf("what is sent contains %q:\n%s", s, text))
			}
		}
	}
	if t.Matches != nil {
		switch e := x.Processed; {
		case e == nil:
			fail(t.Position, "matches", "the event did not get through the shared processors")
		case !t.Matches(e):
			b, _ := e.AppendJSON(nil)
			fail(t.Position, "matches", "the condition does not hold for the event after the shared processors:\n"+string(b))
		}
	}
	return out
}

// intakeEnd is where intake left the event.
func intakeEnd(x pipeline.Explanation) (column pipeline.Column, reason sidetrack.Reason, detail string) {
	switch {
	case x.Refused != "":
		return pipeline.Refused, "", ": " + x.Refused
	case x.Dropped != "":
		return pipeline.Dropped, x.Dropped, ""
	}
	return pipeline.Accepted, "", ""
}

func end(c pipeline.Column, r sidetrack.Reason) string {
	if r == "" {
		return string(c)
	}
	return fmt.Sprintf("%s: %s", c, r)
}

// sentText is all that a sink would send, as text.
func sentText(s pipeline.SinkExplanation) string {
	if s.Request == nil {
		return s.Output
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", s.Request.Method, s.Request.URL)
	for _, k := range slices.Sorted(maps.Keys(s.Request.Header)) {
		fmt.Fprintf(&b, "%s: %s\n", k, strings.Join(s.Request.Header[k], ", "))
	}
	b.WriteString("\n" + s.Request.Body)
	return b.String()
}
