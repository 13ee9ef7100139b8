package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack/pipeline"
)

// printExplanation prints the way of one event for a person.
func printExplanation(w io.Writer, x pipeline.Explanation) {
	printSteps(w, "intake", x.Intake)
	if x.Refused != "" {
		fmt.Fprintf(w, "refused: %s\n", x.Refused)
	}
	if x.Dropped != "" {
		fmt.Fprintf(w, "dropped in intake: %s\n", x.Dropped)
	}
	fmt.Fprintf(w, "event\n%s\n", indent(string(x.Event), "  "))
	printSteps(w, "processors", x.Processors)
	for _, s := range x.Sinks {
		printSink(w, s)
	}
}

func printSteps(w io.Writer, title string, steps []pipeline.Step) {
	if len(steps) == 0 {
		return
	}
	fmt.Fprintln(w, title)
	for _, s := range steps {
		outcome := ""
		switch {
		case s.Error != "":
			outcome = ": failed: " + s.Error
		case s.Drop != "":
			outcome = ": drops the event: " + string(s.Drop)
		case len(s.Changes) == 0:
			outcome = ": no change"
		}
		fmt.Fprintf(w, "  %s%s\n", s.Processor, outcome)
		for _, c := range s.Changes {
			switch {
			case c.Before == nil:
				fmt.Fprintf(w, "    + %s: %s\n", c.Field, value(c.After))
			case c.After == nil:
				fmt.Fprintf(w, "    - %s: %s\n", c.Field, value(c.Before))
			default:
				fmt.Fprintf(w, "    ~ %s: %s -> %s\n", c.Field, value(c.Before), value(c.After))
			}
		}
	}
}

// printSink prints what a sink would send, or why it would not.
func printSink(w io.Writer, s pipeline.SinkExplanation) {
	switch s.Column {
	case pipeline.Delivered:
		verb := "send"
		if s.Request == nil {
			verb = "write"
		}
		fmt.Fprintf(w, "sink %s would %s\n", s.Sink, verb)
	case pipeline.Withheld:
		fmt.Fprintf(w, "sink %s would send nothing: %s\n", s.Sink, consentHint(s.Missing))
	default:
		fmt.Fprintf(w, "sink %s would send nothing: %s, %s\n", s.Sink, s.Column, s.Reason)
	}
	if s.Error != "" {
		fmt.Fprintf(w, "  %s\n", s.Error)
	}
	for _, n := range s.Notes {
		fmt.Fprintf(w, "  note: %s\n", n)
	}
	for _, step := range s.Processors {
		printSteps(w, "  own processor", []pipeline.Step{step})
	}
	if r := s.Request; r != nil {
		fmt.Fprintf(w, "  %s %s\n", r.Method, r.URL)
		for _, k := range slices.Sorted(maps.Keys(r.Header)) {
			fmt.Fprintf(w, "  %s: %s\n", k, strings.Join(r.Header[k], ", "))
		}
		if r.Body != "" {
			fmt.Fprintf(w, "\n%s\n", indent(r.Body, "  "))
		}
	}
	if s.Output != "" {
		fmt.Fprintf(w, "%s\n", indent(strings.TrimRight(s.Output, "\n"), "  "))
	}
}

func value(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(b)
}

// indent formats JSON, or leaves text as it is, with a margin.
func indent(s, margin string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(s), margin, "  ") == nil {
		return margin + b.String()
	}
	return margin + strings.ReplaceAll(s, "\n", "\n"+margin)
}
