package config

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sidetrack-go/sidetrack"
)

// schemaOf compiles the schema of a registry.
func schemaOf(t *testing.T, reg *sidetrack.Registry) *jsonschema.Schema {
	t.Helper()
	data, err := Schema(reg, BuiltinComments())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tree is a file as an editor sees it: anchors resolved, variables not replaced.
func tree(n *node) any {
	switch n.kind {
	case list:
		out := []any{}
		for _, i := range n.items {
			out = append(out, tree(i))
		}
		return out
	case mapping:
		out := map[string]any{}
		for _, f := range n.fields {
			out[f.key] = tree(f.value)
		}
		return out
	case scalar:
		switch n.plain {
		case isBool:
			return n.text == "true"
		case isInt, isFloat:
			if _, err := strconv.ParseFloat(n.text, 64); err == nil {
				return json.Number(n.text)
			}
		}
		return n.text
	}
	return nil
}

// onlyTheLoaderKnows are the broken files that the schema lets pass, with what it cannot know.
var onlyTheLoaderKnows = map[string]string{
	"admin-listen":          "the form of an address",
	"aliases":               "anchors are resolved before the schema sees the file",
	"merge":                 "merge keys likewise",
	"duplicate-key":         "duplicates are gone likewise",
	"second-document":       "one document is looked at",
	"backlog":               "how much the bus keeps",
	"bus-too-small":         "how much the rest takes",
	"any-values":            "the range of numbers that have no type",
	"component-panics":      "what a component says of its values",
	"component-reveals":     "what a component says of its values",
	"component-says-no":     "what a component says of its values",
	"intake-without":        "what is added by itself",
	"nested-by-indentation": "how deep is deep",
	"sites-share":           "who else has a value",
	"unknown-site":          "which names exist",
	"variables":             "the environment",
}

func TestSchema(t *testing.T) {
	s := schemaOf(t, registry(new(made)))
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(tree(read(data, new(problems)))); err != nil {
		t.Errorf("full.yaml: %v", err)
	}
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var passed []string
	rejected := 0
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		root := read(data, new(problems))
		if root == nil {
			continue // no YAML at all
		}
		if s.Validate(tree(root)) == nil {
			passed = append(passed, strings.TrimSuffix(filepath.Base(path), ".yaml"))
		} else {
			rejected++
		}
	}
	var want []string
	for name := range onlyTheLoaderKnows {
		want = append(want, name)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, passed); diff != "" {
		t.Errorf("broken files that the schema lets pass:\n%s", diff)
	}
	if rejected < 40 {
		t.Errorf("only %d broken files are rejected", rejected)
	}
	t.Logf("%d broken files rejected, %d that only the loader can judge", rejected, len(passed))
}

// The schema must not be stricter than the loader: an editor that marks what is right teaches people to ignore it. Nor
// much laxer in the form of single values.
func TestSchemaAgreesWithTheLoader(t *testing.T) {
	s := schemaOf(t, registry(new(made)))
	values := map[string][]string{
		"timeout":    {"5s", "1.5s", "1d12h", "30d", "500ms", "0", "0s", "1h30m", "'72h'", "'${NUMBER}s'", "'${UNSET:-5s}'", "5", "fast", "-3h", "5 s", "[5s]", "1w"},
		"limit":      {"5", "'5'", "512KiB", "1.5MB", "8 GB", "8gb", "100b", "0", "'${NUMBER}'", "-1", "many", "8GiBs", "1e3"},
		"ratio":      {"0.5", "1", "'0.5'", "-0.5", "1e-3", "'${NUMBER}'", ".nan", "half", "[1]"},
		"level":      {"1", "-1", "'1'", "+1", "'${NUMBER}'", "1.5", "x", "true"},
		"ports":      {"[80]", "['80']", "[]", "['${NUMBER}']", "", "[-1]", "[x]", "80"},
		"dry":        {"true", "false", "'true'", "yes", "1", "[]"},
		"minimum":    {"19.99", "'19.99'", "5", "-1.5", "1,99", "x"},
		"maybe":      {"3", "", "'${NUMBER}'", "x"},
		"extra":      {"{a: 1, b: [x], c: {d: ~}}", "{}", "[]", "x"},
		"names":      {"{a: b, c: 1}", "{a: [b]}", "x"},
		"rotate":     {"{size: 5, keep: 1}", "", "{}", "{x-mine: 1}", "{size: x}", "{sise: 1}", "3"},
		"endpoint":   {"https://a.example", "5", "true", "", "[x]", "{}"},
		"api_secret": {"classified", "12345", "[a]"},
	}
	for key, list := range values {
		for _, v := range list {
			parent := "id: G-1, "
			yaml := "sources: {web: {http: {listen: ':1'}}}\nsinks:\n  ga:\n    ga4: {" + parent + key + ": " + v + "}\n"
			if key == "timeout" {
				yaml = "sources: {web: {http: {listen: ':1', timeout: " + v + "}}}\nsinks: {ga: {ga4: {id: G-1}}}\n"
			}
			root := read([]byte(yaml), new(problems))
			if root == nil {
				t.Errorf("%s is not YAML", yaml)
				continue
			}
			c, loaded := Parse("x", []byte(yaml), registry(new(made)), env)
			if c != nil {
				_ = c.Close()
			}
			if fits := s.Validate(tree(root)); (fits == nil) != (loaded == nil) {
				t.Errorf("%s: %s\nthe loader says %v\nthe schema says %v", key, v, loaded, fits)
			}
		}
	}
	for share, good := range map[string]bool{"10%": true, "0.1": true, "'0.1'": true, "100 %": true, "1": true, "0": false, "2": false, "ten": false, "-1": false} {
		yaml := "sources: {web: {http: {listen: ':1'}}}\nsinks: {ga: {ga4: {id: G-1}, sample: " + share + "}}\n"
		_, loaded := Parse("x", []byte(yaml), registry(new(made)), env)
		if fits := s.Validate(tree(read([]byte(yaml), new(problems)))); (fits == nil) != good || (loaded == nil) != good {
			t.Errorf("sample: %s: the loader says %v, the schema says %v", share, loaded, fits)
		}
	}
}
