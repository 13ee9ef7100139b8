// Package doctest compiles, runs and checks the snippets of the documents.
//
// A block is marked by its language: go is a whole program that compiles; yaml is a whole configuration that is valid,
// by the loader and by the JSON Schema, and whose tests pass. A name behind the language (```yaml sidetrack.yaml) keeps the
// block as a file for the console blocks further down in the same document, in which lines that begin with "$ " are run and the
// others are what comes out; a line of … stands for any lines, … in a line for any text, and times and ids
// differ at each run.
package doctest

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/pipeline/standard/full"
)

var update = flag.Bool("update", false, "write what the commands of console blocks print into the documents")

var block = regexp.MustCompile("(?ms)^```(go|yaml|json|console)(?: (\\S+))?\n(.*?)^```")

// documents returns the Markdown files of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/*/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, files...)
	}
	if len(out) < 3 {
		t.Fatalf("documents %v", out)
	}
	return out
}

func TestSnippets(t *testing.T) {
	schema := schema(t)
	command := build(t)
	snippets := 0
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for _, m := range block.FindAllStringSubmatch(string(text), -1) {
			snippets++
			language, name, source := m[1], m[2], m[3]
			if name != "" {
				if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), []byte(source), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			switch language {
			case "yaml":
				configuration(t, doc, source, schema)
			case "go":
				compile(t, doc, source)
			case "json":
				if !json.Valid([]byte(source)) {
					t.Errorf("%s: not JSON:\n%s", doc, source)
				}
			case "console":
				if fresh := console(t, doc, dir, command, source); fresh != source {
					text = bytes.Replace(text, []byte(source), []byte(fresh), 1)
					if err := os.WriteFile(doc, text, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	if snippets < 2 {
		t.Errorf("only %d snippets found", snippets)
	}
}

// docs/processors.md has a section for each processor that is built in.
func TestEveryProcessorIsDescribed(t *testing.T) {
	text, err := os.ReadFile("../../docs/processors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range full.Registry().Processors() {
		if !strings.Contains(string(text), "\n## `"+f.Name+"`") {
			t.Errorf("docs/processors.md has no section about %s", f.Name)
		}
	}
}

// The configurations of the examples are valid, and their tests pass.
func TestExampleConfigurations(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/*.yaml")
	if err != nil || len(files) < 1 {
		t.Fatal(files, err)
	}
	schema := schema(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(file, "/customsink/") {
			continue // names a sink of its own, and has a test of its own
		}
		configuration(t, file, string(text), schema)
	}
}

// schema compiles the JSON Schema of the standard registry.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	data, err := config.Schema(full.Registry(), config.BuiltinComments())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", parsed); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// environment has a value for every variable that sounds like a secret, and no other.
func environment(name string) (string, bool) {
	secret := regexp.MustCompile("SECRET|KEY|TOKEN|PASSWORD|DSN").MatchString(name)
	return "0123456789abcdef0123456789abcdef", secret // as good as any, and some have to be hexadecimal
}

// configuration checks a configuration by the loader, its own tests, and the schema.
func configuration(t *testing.T, doc, source string, schema *jsonschema.Schema) {
	t.Helper()
	data := strings.ReplaceAll(source, "path: data/", "path: "+t.TempDir()+"/")
	cfg, err := config.Parse(filepath.Base(doc), []byte(data), full.Registry(), environment)
	if err != nil {
		t.Errorf("%s: %v", doc, err)
		return
	}
	results, err := cfg.RunTests(t.Context())
	if err != nil {
		t.Error(err)
	}
	for _, r := range results {
		for _, f := range r.Failures {
			t.Errorf("%s: test %q: %s: %s", doc, r.Name, f.Path, f.Message)
		}
	}
	if err := cfg.Close(); err != nil {
		t.Error(err)
	}
	var tree any
	if err := yaml.Unmarshal([]byte(source), &tree); err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(instance); err != nil {
		t.Errorf("%s: the schema rejects a configuration that is valid: %v\n%s", doc, err, source)
	}
}

// build makes the command that console blocks call.
func build(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "sidetrack"), "../../cmd/sidetrack").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// console runs the commands of a block, each up to the next, and compares what they print. With -update it
// returns the block with what they print now.
func console(t *testing.T, doc, dir, bin, source string) (fresh string) {
	t.Helper()
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash to run console blocks with")
	}
	for part := range strings.SplitSeq("\n"+source, "\n$ ") {
		line, want, _ := strings.Cut(part, "\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		cmd := exec.CommandContext(ctx, shell, "-c", line)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "GA4_API_SECRET=a-value-for-tests")
		out, err := cmd.CombinedOutput()
		cancel()
		if _, exited := err.(*exec.ExitError); err != nil && !exited {
			t.Fatalf("%s: %s: %v", doc, line, err)
		}
		if !like(string(out), want) {
			if *update {
				source = strings.Replace(source, strings.Trim(want, "\n"), elide(strings.Trim(string(out), "\n"), strings.Trim(want, "\n")), 1)
				continue
			}
			t.Errorf("%s: $ %s\nprints\n%s\nthe document says\n%s\n\ngo test ./internal/doctest -update writes it into the document", doc, line, out, want)
		}
	}
	return source
}

// elide leaves out of text what was left out of old.
func elide(text, old string) string {
	lines := strings.Split(text, "\n")
	before := strings.Split(old, "\n")
	for i, l := range before {
		head, _, inside := strings.Cut(l, "…")
		switch {
		case !inside:
		case strings.TrimSpace(l) != "…":
			for j := range lines {
				if strings.HasPrefix(lines[j], head) {
					lines[j] = l
				}
			}
		case i > 0 && i < len(before)-1:
			from := slices.Index(lines, before[i-1])
			to := slices.Index(lines, before[i+1])
			if from >= 0 && to > from {
				lines = slices.Concat(lines[:from+1], []string{l}, lines[to:])
			}
		}
	}
	return strings.Join(lines, "\n")
}

// changing matches what is different at each run: times as numbers, and ids.
var changing = regexp.MustCompile(`\b(?:1\d{9}|1\d{12}|1\d{15}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b`)

// like reports whether text is pattern, in which … stands for any text, and a line of it for any lines.
func like(text, pattern string) bool {
	text, pattern = changing.ReplaceAllString(text, "0"), changing.ReplaceAllString(pattern, "0")
	quoted := regexp.QuoteMeta(strings.Trim(pattern, "\n"))
	quoted = regexp.MustCompile(`(?m)^\s*…\s*$`).ReplaceAllString(quoted, "(?s:.*)")
	quoted = strings.ReplaceAll(quoted, "…", ".*")
	return regexp.MustCompile("^" + quoted + "$").MatchString(strings.Trim(text, "\n"))
}

// compile builds a program inside the module, so that its imports are this checkout's.
func compile(t *testing.T, doc, source string) {
	t.Helper()
	dir, err := os.MkdirTemp(".", "_snippet-") // the underscore hides it from ./... of tests beside this one
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "vet", "./"+dir).CombinedOutput(); err != nil {
		t.Errorf("%s: a Go snippet does not compile:\n%s", doc, out)
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s: %s", doc, m[1])
			}
		}
	}
}

// Tests that a document names must exist.
func TestNamedTestsExist(t *testing.T) {
	names := regexp.MustCompile("`(Test[A-Za-z]+)`")
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range names.FindAllStringSubmatch(string(text), -1) {
			if out, err := exec.Command("grep", "-rqE", "--include=*_test.go", "^func "+m[1]+`\(`, "../..").CombinedOutput(); err != nil {
				t.Errorf("%s names %s, which does not exist %s", doc, m[1], out)
			}
		}
	}
}
