// Package doctest compiles and checks the snippets of the documents.
package doctest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/pipeline/standard"
)

var block = regexp.MustCompile("(?ms)^```(go|yaml)\n(.*?)^```")

// documents returns the Markdown files of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"../../*.md", "../../docs/*.md"} {
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
	snippets := 0
	for _, doc := range documents(t) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllStringSubmatch(string(text), -1) {
			snippets++
			switch m[1] {
			case "yaml":
				data := strings.ReplaceAll(m[2], "path: data/", "path: "+t.TempDir()+"/")
				cfg, err := config.Parse(doc, []byte(data), standard.Registry(), func(string) (string, bool) { return "value", true })
				if err != nil {
					t.Errorf("%s: %v", doc, err)
					continue
				}
				if err := cfg.Close(); err != nil {
					t.Error(err)
				}
			case "go":
				compile(t, doc, m[2])
			}
		}
	}
	if snippets < 2 {
		t.Errorf("only %d snippets found", snippets)
	}
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
