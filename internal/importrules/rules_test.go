// Package importrules holds the test of who may import whom, as ARCHITECTURE.md states it.
package importrules

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sidetrack-go/sidetrack"

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
}

// rule says what the packages below one of the paths may import directly. Own packages are named
// from the module's root, "." being the root package itself.
type rule struct {
	paths    []string // exact, or with /... for everything below
	own      []string // own packages, same notation
	foreign  []string // module paths of others; nil: none; "*": any
	linkless []string // module paths that must not be linked at all, directly or not
}

// drivers of databases: only who chooses their sinks links them.
var drivers = []string{"github.com/jackc/"}

// testOnly is what no program links.
var testOnly = []string{"github.com/santhosh-tekuri/", "github.com/google/go-cmp", "pgregory.net/"}

var heavy = []string{"github.com/ThreeDotsLabs/", "github.com/nats-io/", "github.com/sony/gobreaker", "github.com/goccy/go-yaml", "github.com/alecthomas/kong"}

// The first rule whose path matches counts.
var rules = []rule{
	{paths: []string{"."}, foreign: []string{"github.com/google/uuid"}, linkless: heavy},
	{paths: []string{"chi"}, own: []string{".", "sources", "internal/..."}, foreign: []string{"github.com/go-chi/chi/v5"}, linkless: heavy},
	{paths: []string{"sources/...", "processors/...", "sinks/..."}, own: []string{".", "internal/...", "processors/processortest", "sinks/sinktest", "sinks/oauth"}, foreign: []string{"*"}, linkless: heavy},
	{paths: []string{"pipeline"}, own: []string{".", "bus", "internal/..."}, foreign: []string{
		"github.com/google/uuid", "github.com/ThreeDotsLabs/watermill/message", "github.com/sony/gobreaker/v2", "github.com/cenkalti/backoff/v5", "golang.org/x/time/rate",
	}},
	{paths: []string{"pipeline/admin"}, own: []string{".", "pipeline", "internal/..."}},
	{paths: []string{"bus"}, foreign: []string{"github.com/ThreeDotsLabs/watermill/message"}},
	{paths: []string{"bus/..."}, own: []string{"bus", "internal/..."}, foreign: []string{"*"}},
	{paths: []string{"internal/chaos"}, own: []string{".", "bus/...", "pipeline", "sources", "internal/..."}, foreign: []string{"*"}}, // a whole server, for cmd/load and its own tests
	{paths: []string{"internal/sinkrun"}, own: []string{".", "bus/...", "pipeline", "internal/..."}},                                  // an engine for the tests of sinks
	{paths: []string{"internal/gendocs/..."}, own: []string{".", "..."}, foreign: []string{"*"}},                                      // reads the whole registry
	{paths: []string{"internal/..."}, own: []string{".", "internal/..."}, foreign: []string{"*"}, linkless: heavy[:3]},
	{paths: []string{"pipeline/standard", "config", "examples/...", "metrics"}, own: []string{".", "..."}, foreign: []string{"*"}, linkless: slices.Concat(testOnly, drivers)},
	{paths: []string{"pipeline/standard/full", "cmd/..."}, own: []string{".", "..."}, foreign: []string{"*"}, linkless: testOnly},
}

func matches(patterns []string, path string) bool {
	for _, p := range patterns {
		switch {
		case p == path, p == "...":
			return true
		case strings.HasSuffix(p, "/...") && (path == strings.TrimSuffix(p, "/...") || strings.HasPrefix(path, strings.TrimSuffix(p, "..."))):
			return true
		}
	}
	return false
}

func own(path string) (string, bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps,Standard", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		if ee, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, ee.Stderr)
		}
		t.Fatal(err)
	}
	standard := map[string]bool{}
	var packages []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		standard[p.ImportPath] = p.Standard
		packages = append(packages, p)
	}
	checked := 0
	chosen := map[string]bool{} // drivers that full links
	for _, p := range packages {
		path, ok := own(p.ImportPath)
		if !ok {
			continue
		}
		for _, d := range drivers {
			chosen[d] = chosen[d] || path == "pipeline/standard/full" && slices.ContainsFunc(p.Deps, func(dep string) bool { return strings.HasPrefix(dep, d) })
		}
		found := false
		for _, r := range rules {
			if !matches(r.paths, path) {
				continue
			}
			found = true
			checked++
			for _, problem := range r.check(p, standard) {
				t.Errorf("%s: %s", path, problem)
			}
			break
		}
		if !found {
			t.Errorf("%s: no rule says what this package may import: add one", path)
		}
	}
	for d, links := range chosen {
		if !links {
			t.Errorf("pipeline/standard/full does not link %s: the rule about it says nothing", d)
		}
	}
	if checked < 5 {
		t.Errorf("only %d packages checked", checked)
	}
}

func (r rule) check(p pkg, standard map[string]bool) (problems []string) {
	for _, imp := range p.Imports {
		if standard[imp] || imp == "C" {
			continue
		}
		if path, ok := own(imp); ok {
			if !matches(r.own, path) {
				problems = append(problems, "must not import "+path)
			}
			continue
		}
		if !allowed(r.foreign, imp) {
			problems = append(problems, "must not import "+imp)
		}
	}
	for _, dep := range p.Deps {
		for _, l := range r.linkless {
			if strings.HasPrefix(dep, l) {
				problems = append(problems, "must not link "+dep)
			}
		}
	}
	return problems
}

func allowed(foreign []string, imp string) bool {
	for _, f := range foreign {
		if f == "*" || imp == f || strings.HasPrefix(imp, f+"/") {
			return true
		}
	}
	return false
}

func TestARuleCanFail(t *testing.T) {
	r := rule{paths: []string{"sinks/..."}, own: []string{"."}, linkless: heavy}
	p := pkg{
		ImportPath: module + "/sinks/x",
		Imports:    []string{"fmt", module, module + "/pipeline", "example.com/lib"},
		Deps:       []string{"github.com/nats-io/nats.go"},
	}
	got := r.check(p, map[string]bool{"fmt": true})
	want := []string{"must not import pipeline", "must not import example.com/lib", "must not link github.com/nats-io/nats.go"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, want %q", got, want)
	}
}
