package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// Position is a place in the configuration file, counted from 1. The zero value is no place.
type Position struct {
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
}

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Position
	Path    string `json:"path,omitempty"`   // where in the configuration: "sinks.ga.delivery.timeout"
	Message string `json:"message"`          // what is wrong
	Hint    string `json:"hint,omitempty"`   // what to do; may be empty where the message says it
	Source  string `json:"source,omitempty"` // the line of the file, shortened, with what may be secret masked
	Caret   int    `json:"-"`                // the place in Source, in characters from 1
}

// Error is everything that is wrong with a configuration, in the order of the file.
type Error struct {
	Name     string // of the file
	Problems []Problem
}

// Error prints each problem as name:line:column: path: message, followed by the line
// of the file with a caret under the place, and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.format(e.Name))
	}
	return b.String()
}

func (p Problem) format(name string) string {
	var b strings.Builder
	b.WriteString(name)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	gutter := strings.Repeat(" ", len(strconv.Itoa(p.Line)))
	if p.Source != "" {
		fmt.Fprintf(&b, "\n  %d | %s", p.Line, p.Source)
		fmt.Fprintf(&b, "\n  %s | %s^", gutter, strings.Repeat(" ", p.Caret-1))
	}
	if p.Hint != "" {
		fmt.Fprintf(&b, "\n  %s = %s", gutter, p.Hint)
	}
	return b.String()
}

// problems collects what is wrong. What an anchor brings in at several places is
// reported once.
type problems struct {
	list   []Problem
	parsed bool // the file could be read as YAML
	seen   map[Problem]bool
	mask   masker
}

func (ps *problems) add(p Problem) {
	p.Message = ps.mask.mask(p.Message) // hints are made of what the program knows
	key := p
	key.Path = ""
	if ps.seen[key] {
		return
	}
	if ps.seen == nil {
		ps.seen = make(map[Problem]bool)
	}
	ps.seen[key] = true
	ps.list = append(ps.list, p)
}

func (ps *problems) at(n *node, path, message, hint string) {
	ps.add(Problem{Position: n.pos, Path: path, Message: message, Hint: hint})
}

// component reports an error of a component's constructor: at the field when the
// error names one, else at the component. Joined errors are reported one by one.
func (ps *problems) component(n *node, path string, err error) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range many.Unwrap() {
			ps.component(n, path, one)
		}
		return
	}
	fe, ok := errors.AsType[*sidetrack.FieldError](err)
	if !ok || fe.Field == "" {
		ps.at(n, path, unprefixed(err.Error(), path), "")
		return
	}
	ps.at(n.find(fe.Field), join(path, fe.Field), fe.Problem, "")
}

// unprefixed takes off what the path says already: "sources: http: listen …" at sources.web.http.
func unprefixed(message, path string) string {
	for word := range strings.SplitSeq(path, ".") {
		message = strings.TrimPrefix(message, word+": ")
	}
	return message
}

// err returns nil, or an *Error with the problems in the order of the file. data is its content, keys those
// whose values are secrets.
func (ps *problems) err(name string, data []byte, keys []string) error {
	if len(ps.list) == 0 {
		return nil
	}
	slices.SortStableFunc(ps.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	x := newExcerpts(data, keys, &ps.mask, ps.parsed)
	for i := range ps.list {
		p := &ps.list[i]
		p.Source, p.Caret = x.at(p.Position)
	}
	return &Error{Name: name, Problems: ps.list}
}

// masker hides values that must not be printed.
type masker struct{ pairs map[string]string }

// minMasked keeps short values, such as the port of a listener, from blotting out parts of messages.
const minMasked = 4

func (m *masker) hide(value, as string) {
	if len(value) < minMasked {
		return
	}
	if m.pairs == nil {
		m.pairs = make(map[string]string)
	}
	m.pairs[value] = as
}

func (m *masker) mask(s string) string {
	values := make([]string, 0, len(m.pairs))
	for v := range m.pairs {
		values = append(values, v)
	}
	// Longest first, so that no secret is cut in two by a shorter one inside it.
	slices.SortFunc(values, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
	for _, v := range values {
		s = strings.ReplaceAll(s, v, m.pairs[v])
	}
	return s
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func quote(s string) string { return strconv.Quote(clip(s)) }
