package stdout

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

func TestContract(t *testing.T) {
	for _, format := range []string{"pretty", "ndjson"} {
		t.Run(format, func(t *testing.T) {
			sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(Config{Format: format, Out: io.Discard}) })
		})
	}
}

func TestPrettyCannotSteerTheTerminal(t *testing.T) {
	var out bytes.Buffer
	s, err := New(Config{Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	e := &sidetrack.Event{Name: "a\x1b[2Jb", Page: sidetrack.Page{URL: "https://x/\u009b", Title: "t\r\nforged line"}, Params: map[string]any{"k": "\x1b]0;"}}
	if err := s.Spec().Writer.Write(context.Background(), sidetrack.Unit{Events: []*sidetrack.Event{e}}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\r\u009b") || strings.Contains(out.String(), "\nforged") {
		t.Errorf("%q", out.String())
	}
}

func TestNDJSONIsTheEventFormat(t *testing.T) {
	var out bytes.Buffer
	s, err := New(Config{Format: "ndjson", Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	events := sinktest.Samples()
	if err := s.Spec().Writer.Write(context.Background(), sidetrack.Unit{Events: events}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(events) {
		t.Fatalf("%d lines for %d events", len(lines), len(events))
	}
	for i, line := range lines {
		if e, err := sidetrack.ParseEvent(line); err != nil || e.ID != events[i].ID {
			t.Errorf("line %d: %v", i, err)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("pipe closed") }

func TestErrors(t *testing.T) {
	if _, err := New(Config{Format: "xml"}); err == nil {
		t.Error("unknown format accepted")
	}
	s, err := New(Config{Out: broken{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Spec().Writer.Write(context.Background(), sidetrack.Unit{Events: sinktest.Samples()}); err == nil {
		t.Error("a failed write is delivered")
	}
}
