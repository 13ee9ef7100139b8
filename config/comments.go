package config

import (
	_ "embed"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/sidetrack-go/sidetrack"
)

//go:generate go run ../internal/gendocs/cmd

// Comments are the documentation comments of the types that configurations are decoded into, by import
// path and name: "sinks/ga.Config" for what is in this module, the full path for the rest.
type Comments struct {
	Packages map[string]string      `json:"packages"` // by import path
	Types    map[string]TypeComment `json:"types"`
	Makers   map[string]string      `json:"makers"` // of the function that makes a component, by its configuration
}

// TypeComment is the comment of one type and of its fields by their Go names.
type TypeComment struct {
	Doc    string            `json:"doc,omitempty"`
	Fields map[string]string `json:"fields,omitempty"`
}

//go:embed comments.json
var builtin []byte

// BuiltinComments returns the comments of everything in this module. They are the same for all callers: do
// not change them.
var BuiltinComments = sync.OnceValue(func() Comments {
	var c Comments
	_ = json.Unmarshal(builtin, &c) // a test holds it against the sources
	return c
})

const module = "github.com/sidetrack-go/sidetrack"

// TypeKey is the key of a type in Comments.
func TypeKey(t reflect.Type) string { return PackageKey(t.PkgPath()) + "." + t.Name() }

// PackageKey is the key of an import path in Comments.
func PackageKey(path string) string {
	if path == module {
		return "sidetrack"
	}
	return strings.TrimPrefix(path, module+"/")
}

// field returns the comment of a field, which begins with the field's name, as one that begins with the key.
func (c Comments) field(owner reflect.Type, f reflect.StructField, key string) string {
	doc := oneLine(c.Types[TypeKey(owner)].Fields[f.Name])
	if rest, ok := strings.CutPrefix(doc, f.Name); ok && (rest == "" || strings.ContainsRune(" ;,.", rune(rest[0]))) {
		return key + rest
	}
	return doc
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Component is one entry of a registry, for lists.
type Component struct {
	Kind       string   `json:"kind"` // source, decoder, processor or sink
	Name       string   `json:"name"`
	Summary    string   `json:"summary"`
	IntakeOnly bool     `json:"intake_only,omitempty"`
	Paths      []string `json:"paths,omitempty"` // of a decoder
	Keys       []Key    `json:"keys,omitempty"`

	config any
}

// Components lists what a registry holds: sources, decoders, processors, sinks, each by name.
func Components(reg *sidetrack.Registry, c Comments) []Component {
	var out []Component
	for _, f := range reg.Sources() {
		out = append(out, Component{Kind: "source", Name: f.Name, config: f.Config()})
	}
	for _, f := range reg.Decoders() {
		out = append(out, Component{Kind: "decoder", Name: f.Name, Paths: f.Paths, config: f.Config()})
	}
	for _, f := range reg.Processors() {
		out = append(out, Component{Kind: "processor", Name: f.Name, IntakeOnly: f.IntakeOnly, config: f.Config()})
	}
	for _, f := range reg.Sinks() {
		out = append(out, Component{Kind: "sink", Name: f.Name, config: f.Config()})
	}
	for i := range out {
		v := reflect.ValueOf(out[i].config).Elem()
		out[i].Summary = c.summary(v.Type())
		if v.Kind() == reflect.Struct {
			out[i].Keys = flatten(nil, (&describer{comments: c}).options(v.Type(), v), "")
		}
	}
	return out
}

var (
	makes       = regexp.MustCompile(`^New\w* (?:makes|returns) `)
	madeThat    = regexp.MustCompile(`^(?:the|a|an) (?:source|decoder|processor|sink) that `)
	onlyTheKind = regexp.MustCompile(`^(?:the|a|an) (?:source|decoder|processor|sink)(?: and .*)?$`)
	packageName = regexp.MustCompile(`^Package \w+ `)
)

// summary says in one sentence what the component with this configuration does, from the comment of the function
// that makes it, or of its package.
func (c Comments) summary(config reflect.Type) string {
	made := sentence(c.Makers[TypeKey(config)])
	if rest := makes.ReplaceAllString(made, ""); rest != made && !onlyTheKind.MatchString(rest) {
		return upper(madeThat.ReplaceAllString(rest, ""))
	}
	return upper(packageName.ReplaceAllString(sentence(c.Packages[PackageKey(config.PkgPath())]), ""))
}

// sentence returns the first sentence without its stop.
func sentence(s string) string {
	s = oneLine(s)
	for i := range s {
		if s[i] == '.' && (i+1 == len(s) || s[i+1] == ' ') && !strings.HasSuffix(s[:i], "e.g") && !strings.HasSuffix(s[:i], "i.e") {
			return s[:i]
		}
	}
	return s
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// Undocumented names the keys and components that comments say nothing of.
func Undocumented(reg *sidetrack.Registry, c Comments) []string {
	var out []string
	for _, t := range Types(reg) {
		for _, o := range (&describer{comments: c}).options(t, reflect.Value{}) {
			if o.doc == "" {
				out = append(out, "key "+o.name+" of "+TypeKey(t))
			}
		}
	}
	for _, x := range Components(reg, c) {
		if len(strings.Fields(x.Summary)) < 2 {
			out = append(out, x.Kind+" "+x.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
