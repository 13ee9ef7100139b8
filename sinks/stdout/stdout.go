// Package stdout writes events to the terminal: for people, or as lines of JSON for programs.
package stdout

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// Config is the configuration of the stdout sink.
type Config struct {
	// Format is pretty, a few lines for each event, or ndjson, one line of JSON.
	Format string `yaml:"format" enum:"pretty,ndjson"`
	// Out is where to write, standard output when nil. Writes are whole events.
	Out io.Writer `yaml:"-"`
}

// Defaults is pretty.
func Defaults() Config { return Config{Format: "pretty"} }

// New makes the sink. It needs analytics_storage unless its configuration says otherwise.
func New(cfg Config) (*sidetrack.Sink, error) {
	w := &writer{out: cfg.Out, format: appendPretty}
	switch cfg.Format {
	case "pretty", "":
	case "ndjson":
		w.format = appendLine
	default:
		return nil, &sidetrack.FieldError{Field: "format", Problem: fmt.Sprintf("is %q: use pretty or ndjson", cfg.Format)}
	}
	if w.out == nil {
		w.out = os.Stdout
	}
	return sidetrack.WriterSink(w, sidetrack.MaxEvents(100), sidetrack.Preview(w.preview)), nil
}

type writer struct {
	out    io.Writer
	format func([]byte, *sidetrack.Event) ([]byte, error)
}

// Write writes the events it can encode in one call.
func (w *writer) Write(_ context.Context, u sidetrack.Unit) error {
	failed := map[int]error{}
	var b []byte
	for i, e := range u.Events {
		next, err := w.format(b, e)
		if err != nil {
			failed[i] = sidetrack.Permanent(fmt.Errorf("stdout: encode: %w", err))
			continue
		}
		b = next
	}
	if len(b) > 0 {
		if _, err := w.out.Write(b); err != nil {
			return fmt.Errorf("stdout: %w", err)
		}
	}
	if len(failed) > 0 {
		return &sidetrack.PartialError{Failed: failed}
	}
	return nil
}

func (w *writer) preview(u sidetrack.Unit) ([]byte, error) {
	var b []byte
	var err error
	for _, e := range u.Events {
		if b, err = w.format(b, e); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func appendLine(b []byte, e *sidetrack.Event) ([]byte, error) {
	b, err := e.AppendJSON(b)
	return append(b, '\n'), err
}

// appendPretty writes what a person wants to see first, and the rest in one line.
func appendPretty(b []byte, e *sidetrack.Event) ([]byte, error) {
	if _, err := e.AppendJSON(nil); err != nil {
		return b, err
	}
	w := bytes.NewBuffer(b)
	fmt.Fprintf(w, "%s  %s", e.Received.Local().Format("15:04:05.000"), clean(e.Name))
	if e.Page.URL != "" {
		fmt.Fprintf(w, "  %s", clean(e.Page.URL))
	}
	w.WriteByte('\n')
	line := func(label string, parts ...string) {
		parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
		if len(parts) > 0 {
			fmt.Fprintf(w, "  %-9s %s\n", label, clean(strings.Join(parts, "  ")))
		}
	}
	line("page", e.Page.Title, labelled("route", e.Page.Route), labelled("referrer", e.Page.Referrer))
	line("visitor", labelled("client", e.Visitor.ClientID), labelled("user", e.Visitor.UserID), labelled("session", e.Visitor.SessionID))
	line("network", labelled("ip", e.Network.IP), labelled("country", e.Network.Country))
	line("consent", consentText(e.Consent))
	if c := e.Ecommerce; c != nil {
		line("order", labelled("transaction", c.TransactionID), labelled("value", strings.TrimSpace(c.Value.String()+" "+c.Currency)), fmt.Sprintf("%d items", len(c.Items)))
	}
	if len(e.Params) > 0 {
		only := &sidetrack.Event{Params: e.Params}
		if params, err := only.AppendJSON(nil); err == nil {
			line("params", strings.TrimSuffix(strings.TrimPrefix(string(params), `{"v":1,"params":`), "}"))
		}
	}
	line("marks", strings.Join(e.Marks, " "))
	return w.Bytes(), nil
}

func labelled(label, v string) string {
	if v == "" {
		return ""
	}
	return label + "=" + v
}

func consentText(c sidetrack.Consent) string {
	var granted, denied []string
	for _, p := range sidetrack.Purposes() {
		switch c.Get(p) {
		case sidetrack.Granted:
			granted = append(granted, string(p))
		case sidetrack.Denied:
			denied = append(denied, string(p))
		}
	}
	if len(granted)+len(denied) == 0 {
		return "unknown"
	}
	var parts []string
	if len(granted) > 0 {
		parts = append(parts, "granted "+strings.Join(granted, ","))
	}
	if len(denied) > 0 {
		parts = append(parts, "denied "+strings.Join(denied, ","))
	}
	if c.How != "" {
		parts = append(parts, "("+c.How+")")
	}
	return strings.Join(parts, "  ")
}

// clean keeps what a client sent from steering the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return '·'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
