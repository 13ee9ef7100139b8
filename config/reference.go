package config

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// Reference returns the reference of configuration files as Markdown. It is made of the same types that files are decoded into.
func Reference(reg *sidetrack.Registry, c Comments) []byte {
	r := &reference{comments: c}
	r.line("# Configuration\n")
	r.line("<!-- Generated from the doc comments of the configuration types: go generate ./... -->\n")
	r.line("One YAML file composes a pipeline. `sidetrack init` writes one to begin with, `sidetrack validate` checks it, `sidetrack test` runs its")
	r.line("tests, `sidetrack schema` prints its JSON Schema for editors, and `sidetrack explain` shows what would happen to an event.\n")
	r.line("- Every key and value is checked. All problems are reported at once, each with its line and what to do.")
	r.line("- Keys that begin with `x-` are free: a place for anchors (`x-common: &common {…}`), which `*common` and `<<: *common` bring in.")
	r.line("- `${NAME}` and `${NAME:-default}` in a value stand for environment variables, `$${` for a literal `${`. They are replaced after the file is parsed: a variable cannot add keys.")
	r.line("- A duration is a number with a unit: `500ms`, `5s`, `10m`, `72h`, `30d`. A size likewise: `512KiB`, `100MB`, `8GB`.")
	r.line("- A component without settings can be written as its name alone: `- bots`.\n")

	r.heading(2, "The file")
	var f file
	options := r.describe(reflect.TypeOf(f), reflect.Value{})
	for _, name := range components {
		kind := "mapping of sections"
		if name == "intake" || name == "processors" || name == "tests" {
			kind = "list of sections"
		}
		options = append(options, option{name: name, doc: sectionDocs[name], enum: []string{kind}, required: name == "sinks"})
	}
	r.table(options)

	r.heading(2, "Sites")
	r.typ(reflect.TypeFor[Site]())
	r.heading(2, "Sinks: the engine's keys")
	r.table(append(r.describe(reflect.TypeFor[Sink](), reflect.Value{}),
		option{name: "when", doc: "when is a condition for the sink to take an event. Default: always.", enum: []string{"[condition](#conditions)"}},
		option{name: "processors", doc: "processors for this sink alone, on its own copy of the event.", enum: []string{"list of [processors](#processors)"}},
	))
	r.heading(2, "Conditions")
	r.line("One vocabulary serves `exclude`, `when` on a sink or a processor, and `matches` in a test.\n")
	r.typ(matcherType)
	r.heading(2, "Tests")
	r.line("```yaml\nsinks:\n  archive: {stdout: {}, needs: []}\n\ntests:\n  - name: no address leaves\n    event: {name: page_view, page: {url: \"https://shop.example/\"}}\n    request: {ip: 203.0.113.77, headers: {Sec-GPC: \"1\"}}\n    matches: {consent: {ad_storage: denied}}\n    expect:\n      intake: accepted\n      archive: {delivered: {contains: [page_view], lacks: [203.0.113.77]}}\n```\n")
	r.typ(reflect.TypeFor[test]())
	r.line(fmt.Sprintf("An event ends at a sink as `%s`, and in intake as `%s`.\n", strings.Join(sinkColumns, "`, `"), strings.Join(intakeColumns, "`, `")))

	titles := map[string]string{"source": "Sources", "decoder": "Decoders", "processor": "Processors", "sink": "Sinks"}
	intro := map[string]string{
		"source":    "",
		"decoder":   "Wire protocols of the `http` source, below its key `decoders`. Beside its own keys each has `at`: a path prefix (`/ua`), a host (`t.example`) or both, where its paths are moved to.\n",
		"processor": "A processor has `when` beside its type: a [condition](#conditions) for it to run.\n",
		"sink":      "",
	}
	kind := ""
	for _, x := range Components(reg, c) {
		if x.Kind != kind {
			kind = x.Kind
			title := titles[kind]
			if kind == "sink" {
				title = "Sink types"
			}
			r.heading(2, title)
			if intro[kind] != "" {
				r.line(intro[kind])
			}
		}
		r.heading(3, x.Kind+" `"+x.Name+"`")
		r.line(x.Summary + ".")
		if x.IntakeOnly {
			r.line("In `intake` only: it needs the request.")
		}
		if len(x.Paths) > 0 {
			r.line("Served at `" + strings.Join(x.Paths, "`, `") + "`.")
		}
		r.line("")
		v := reflect.ValueOf(x.config).Elem()
		if v.Kind() == reflect.Struct {
			options := r.describe(v.Type(), v)
			if own := slices.DeleteFunc(slices.Clone(options), func(o option) bool { return o.owner == matcherType }); len(own) < len(options) {
				r.line("The keys of a [condition](#conditions), and:\n")
				options = own
			}
			r.table(options)
		}
	}
	return append(bytes.TrimRight(r.Bytes(), "\n"), '\n')
}

type reference struct {
	bytes.Buffer
	comments Comments
}

func (r *reference) line(s string) { r.WriteString(s + "\n") }

func (r *reference) heading(level int, title string) {
	r.line(strings.Repeat("#", level) + " " + title + "\n")
}

func (r *reference) describe(t reflect.Type, v reflect.Value) []option {
	return (&describer{comments: r.comments}).options(t, v)
}

func (r *reference) typ(t reflect.Type) { r.table(r.describe(t, reflect.Value{})) }

// table prints keys with those of sections below them.
func (r *reference) table(options []option) {
	keys := flatten(nil, options, "")
	if len(keys) == 0 {
		r.line("No settings.\n")
		return
	}
	r.line("| key | value | default | |")
	r.line("|---|---|---|---|")
	for _, k := range keys {
		kind, def := k.Kind, k.Default
		switch {
		case k.Values != nil:
			kind = "`" + strings.Join(k.Values, "`, `") + "`"
		case kind == kindCondition:
			kind = "[condition](#conditions)"
		}
		if slices.Contains(k.Values, def) || !strings.Contains(def, " ") && strings.ContainsAny(def, "0123456789/_") || def == "true" {
			def = "`" + def + "`"
		}
		doc := k.Doc
		last := k.Name[strings.LastIndexByte(k.Name, '.')+1:]
		if rest, ok := strings.CutPrefix(doc, last); ok {
			doc = "`" + last + "`" + rest
		}
		doc = markdown(doc)
		if k.IntakeOnly {
			doc += " In `intake` only."
		}
		if k.Required {
			doc += " **Required.**"
		}
		r.line(fmt.Sprintf("| `%s` | %s | %s | %s |", k.Name, kind, def, doc))
	}
	r.line("")
}

// Key is one key of a component's configuration.
type Key struct {
	Name       string   `json:"name"` // with the sections it is in: rotate.size
	Kind       string   `json:"kind"` // of its value
	Values     []string `json:"values,omitempty"`
	Default    string   `json:"default,omitempty"`
	Doc        string   `json:"doc"`
	Required   bool     `json:"required,omitempty"`
	IntakeOnly bool     `json:"intake_only,omitempty"`
}

const kindCondition = "condition"

// flatten appends keys with those of sections below them.
func flatten(keys []Key, options []option, prefix string) []Key {
	for _, o := range options {
		k := Key{Name: prefix + o.name, Doc: o.doc, Required: o.required, IntakeOnly: o.intake, Default: o.defaultText()}
		switch {
		case o.typ == nil:
			k.Kind = o.enum[0]
		case o.again || o.typ == reflect.PointerTo(matcherType):
			k.Kind, o.sub = kindCondition, nil
		default:
			k.Kind = kindOf(o.typ)
			for _, v := range o.enum {
				if v != "" {
					k.Values = append(k.Values, v)
				}
			}
		}
		if k.IntakeOnly {
			k.Doc = strings.TrimSuffix(k.Doc, " Needs the request: intake only.")
		}
		if m := statedDefault.FindStringSubmatch(k.Doc); m != nil && k.Default == "" {
			k.Doc, k.Default = strings.TrimSuffix(k.Doc, m[0]), m[1]
		}
		keys = append(keys, k)
		inner := k.Name + "."
		if strings.HasPrefix(k.Kind, "list") {
			inner = k.Name + "[]."
		}
		keys = flatten(keys, o.sub, inner)
	}
	return keys
}

// statedDefault is how comments state what an absent key means.
var statedDefault = regexp.MustCompile(` ?Default: ((?:[^.]|\.\S)*)\.$`)

// markdown keeps a comment from being read as markup outside of its code.
func markdown(s string) string {
	parts := strings.Split(s, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.NewReplacer("<", "&lt;", "|", `\|`, "*", `\*`, "_", `\_`).Replace(parts[i])
	}
	return strings.Join(parts, "`")
}
