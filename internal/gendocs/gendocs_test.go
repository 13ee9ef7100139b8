package gendocs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/pipeline/standard/full"
)

func TestGeneratedFilesAreFresh(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := Generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is stale: run\n\n\tgo generate ./...\n\nand commit what it changes. %v\n%s", name, err, cmp.Diff(string(got), string(want)))
		}
	}
}

// Every key and every component that is built in says what it is for.
func TestEverythingIsDocumented(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	reg := full.Registry()
	comments, err := collect(root, config.Types(reg))
	if err != nil {
		t.Fatal(err)
	}
	for _, missing := range config.Undocumented(reg, comments) {
		t.Errorf("%s has no doc comment, which is what the schema, the reference and `sidetrack components` show", missing)
	}
}
