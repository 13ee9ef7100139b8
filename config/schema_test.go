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
