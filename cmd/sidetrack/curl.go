package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sidetrack-go/sidetrack/pipeline"
)

// printCurl prints each request as a command for a shell, with comments for what is none.
func printCurl(w io.Writer, x pipeline.Explanation) {
	switch {
	case x.Refused != "":
		fmt.Fprintf(w, "# refused in intake: %s\n", comment(x.Refused))
	case x.Dropped != "":
		fmt.Fprintf(w, "# dropped in intake: %s\n", x.Dropped)
	}
	for _, s := range x.Sinks {
		r := s.Request
		switch {
		case r == nil && s.Column == pipeline.Delivered:
			fmt.Fprintf(w, "# sink %s sends no request: it writes\n", s.Sink)
		case r == nil:
			fmt.Fprintf(w, "# sink %s sends nothing: %s\n", s.Sink, comment(strings.TrimSpace(fmt.Sprintf("%s %s %s", s.Column, s.Reason, s.Error))))
		case strings.ContainsRune(r.Body, 0) || !utf8.ValidString(r.Body):
			fmt.Fprintf(w, "# sink %s sends what is no text: see --output json\n", s.Sink)
		default:
			fmt.Fprintf(w, "# sink %s\n", s.Sink)
			curl(w, r)
		}
	}
}

// curl prints one command. --globoff, because brackets in a URL mean something to curl.
func curl(w io.Writer, r *pipeline.Preview) {
	fmt.Fprintf(w, "curl --include --globoff --request %s %s", r.Method, quoted(r.URL))
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if r.Compressed && name == "Content-Encoding" {
			continue // the body is the one before compression
		}
		for _, v := range r.Header[name] {
			fmt.Fprintf(w, " \\\n  --header %s", quoted(name+": "+v))
		}
	}
	if r.Body != "" {
		fmt.Fprintf(w, " \\\n  --data-binary %s", quoted(r.Body))
	}
	fmt.Fprintln(w)
}

// quoted makes one word of s for a POSIX shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// comment keeps a text on the line of its comment.
func comment(s string) string { return strings.Join(strings.Fields(s), " ") }
