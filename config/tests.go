package config

import (
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/eventkeys"
	"github.com/sidetrack-go/sidetrack/internal/match"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// Test is one expectation of what happens to an event. `sidetrack test` runs it.
type Test struct {
	Position
	Name    string
	Event   *sidetrack.Event
	Request Request
	Matches func(*sidetrack.Event) bool // nil: anything
	Expect  []Expectation               // in the order of the file
}

// Expectation is where an event ends: at a sink, or in intake when Sink is "".
type Expectation struct {
	Position
	Sink     string
	Column   pipeline.Column
	Reason   sidetrack.Reason // "" where any will do
	Contains []string         // texts that what is sent contains
	Lacks    []string         // texts that it does not
}

// test is one entry of tests.
type test struct {
	// Name says in a few words what is tested.
	Name string `yaml:"name"`
	// Event in its JSON form, as a source would make it.
	Event map[string]any `yaml:"event"`
	// Request is what intake sees of the request that brought the event.
	Request Request `yaml:"request"`
	// Matches is a condition that holds for the event after the shared processors.
	Matches *match.Matcher `yaml:"matches"`
	// Expect says for each sink, and for intake, where the event ends: a column (delivered), a column with its reason
	// ({withheld: consent}), or delivered with texts that the request contains or lacks ({delivered: {lacks: [203.0.113]}}).
	Expect map[string]any `yaml:"expect"`
}

// Request is what intake sees of the request of a test's event.
type Request struct {
	// IP is the full address of the visitor.
	IP netip.Addr `yaml:"ip"`
	// Host that the request was sent to.
	Host string `yaml:"host"`
	// Headers of the request, such as Sec-GPC.
	Headers map[string]string `yaml:"headers"`
	// Cookies of the request, by name.
	Cookies map[string]string `yaml:"cookies"`
}

// intakeKey stands for intake among the sinks of a test's expectations.
const intakeKey = "intake"

var (
	sinkColumns   = []string{"delivered", "dropped", "filtered", "withheld", "dead"}
	intakeColumns = []string{"accepted", "dropped", "refused"}
	testKeys      = names(keysOf(reflect.TypeFor[test]()))
)

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
			b.at(item, path, "is "+item.kind.String()+", want a mapping", "keys here: "+strings.Join(testKeys, ", "))
			continue
		}
		t := Test{Position: item.pos}
		for _, f := range item.fields {
			at := join(path, f.key)
			switch {
			case f.key == "name":
				t.Name, _ = b.scalar(f.value, at, "a text")
			case f.key == "event":
				t.Event = b.event(f.value, at)
			case f.key == "request":
				b.decode(f.value, reflect.ValueOf(&t.Request).Elem(), at)
			case f.key == "matches":
				t.Matches = b.when(f.value, at, false)
			case f.key == "expect":
				t.Expect = b.expectations(f.value, at)
			case !free(f.key):
				b.add(Problem{Position: f.pos, Path: path, Message: "unknown key " + quote(f.key),
					Hint: suggestion(f.key, "keys here", testKeys)})
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
	b.unknownEventKeys(n, eventkeys.Tree(), path)
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
		x := Expectation{Position: f.value.pos, Sink: f.key}
		columns := sinkColumns
		if f.key == intakeKey {
			x.Sink, columns = "", intakeColumns
		}
		column := f.value
		if f.value.kind == mapping && len(f.value.fields) == 1 {
			only := f.value.fields[0]
			column = &node{kind: scalar, text: only.key, pos: only.pos}
			at := join(p, only.key)
			if only.value.kind == mapping && only.key == string(pipeline.Delivered) {
				var sent sent
				if !b.decode(only.value, reflect.ValueOf(&sent).Elem(), at) {
					continue
				}
				x.Contains, x.Lacks = sent.Contains, sent.Lacks
			} else {
				reason, ok := b.scalar(only.value, at, "a reason")
				if !ok {
					continue
				}
				x.Reason = sidetrack.Reason(reason)
			}
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

// sent is what a test expects of the text of a request, or of what a writer writes.
type sent struct {
	// Contains are texts that must be in it.
	Contains []string `yaml:"contains"`
	// Lacks are texts that must not be in it.
	Lacks []string `yaml:"lacks"`
}
