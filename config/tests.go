package config

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// Test is one expectation of what happens to an event.
type Test struct {
	Position
	Name   string
	Event  *sidetrack.Event
	Expect []Expectation // in the order of the file
}

// Expectation is where an event ends: at a sink, or in intake when Sink is "".
type Expectation struct {
	Sink   string
	Column pipeline.Column
	Reason sidetrack.Reason // "" where any will do
}

// intakeKey stands for intake among the sinks of a test's expectations.
const intakeKey = "intake"

func (b *builder) tests(n *node) {
	if n == nil || n.kind == null {
		return
	}
	if n.kind != list {
		b.at(n, "tests", "is "+n.kind.String()+", want a list", `begin each test with "- "`)
		return
	}
	for i, item := range n.items {
		path := index("tests", i)
		if item.kind != mapping {
			b.at(item, path, "is "+item.kind.String()+", want a mapping", "keys here: name, event, expect")
			continue
		}
		t := Test{Position: item.pos}
		for _, f := range item.fields {
			switch {
			case f.key == "name":
				t.Name, _ = b.scalar(f.value, join(path, "name"), "a text")
			case f.key == "event":
				t.Event = b.event(f.value, join(path, "event"))
			case f.key == "expect":
				t.Expect = b.expectations(f.value, join(path, "expect"))
			case !free(f.key):
				b.add(Problem{Position: f.pos, Path: path, Message: "unknown key " + quote(f.key),
					Hint: suggestion(f.key, "keys here", []string{"name", "event", "expect"})})
			}
		}
		for _, k := range []string{"name", "event", "expect"} {
			if item.get(k) == nil {
				b.at(item, path, "key "+quote(k)+" is missing", "a test has name, event and expect")
			}
		}
		b.config.Tests = append(b.config.Tests, t)
	}
}

// event reads an event in its documented JSON form, written as YAML.
func (b *builder) event(n *node, path string) *sidetrack.Event {
	if !b.isMapping(n, path) {
		return nil
	}
	before := len(b.list)
	b.unknownEventKeys(n, eventKeys(), path)
	tree, ok := b.any(n, path)
	if !ok || len(b.list) > before {
		return nil
	}
	data, err := json.Marshal(tree)
	if err != nil {
		b.at(n, path, "is not an event", "write it as in the documentation of events: name, page, visitor, consent, …")
		return nil
	}
	e := new(sidetrack.Event)
	if err := json.Unmarshal(data, e); err != nil {
		b.component(n, path, bare(err))
		return nil
	}
	return e
}

// bare takes the wrapping of the decoder off a field's error.
func bare(err error) error {
	if fe, ok := errors.AsType[*sidetrack.FieldError](err); ok {
		return fe
	}
	return err
}

func (b *builder) expectations(n *node, path string) []Expectation {
	if !b.isMapping(n, path) {
		return nil
	}
	known := append([]string{intakeKey}, b.sinkNames...)
	var out []Expectation
	for _, f := range n.fields {
		p := join(path, f.key)
		if free(f.key) {
			continue
		}
		if !slices.Contains(known, f.key) {
			b.add(Problem{Position: f.pos, Path: path, Message: "unknown sink " + quote(f.key), Hint: suggestion(f.key, "sinks", known)})
			continue
		}
		x := Expectation{Sink: f.key}
		columns := []string{"delivered", "dropped", "filtered", "withheld", "dead"}
		if f.key == intakeKey {
			x.Sink, columns = "", []string{"accepted", "dropped", "refused"}
		}
		column := f.value
		if f.value.kind == mapping && len(f.value.fields) == 1 {
			only := f.value.fields[0]
			column = &node{kind: scalar, text: only.key, pos: only.pos}
			reason, ok := b.scalar(only.value, join(p, only.key), "a reason")
			if !ok {
				continue
			}
			x.Reason = sidetrack.Reason(reason)
		}
		if column.kind != scalar || !slices.Contains(columns, column.text) {
			b.at(column, p, "is not where an event can end", suggestion(column.text, "write delivered, or {withheld: consent}; columns", columns))
			continue
		}
		x.Column = pipeline.Column(column.text)
		out = append(out, x)
	}
	return out
}
