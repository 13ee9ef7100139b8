package main

import (
	"encoding/json"
	"io"
)

// outputFlag chooses between words for people and JSON for programs.
type outputFlag struct {
	Output string `enum:"text,json" default:"text" placeholder:"FORMAT" help:"Format of the result on standard output: ${enum}."`
}

func (f outputFlag) json() bool { return f.Output == "json" }

// printJSON prints v with its structure visible.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printedError ends a command whose result, printed already, says what went wrong.
type printedError struct{ code int }

func (printedError) Error() string { return "see the result" }
