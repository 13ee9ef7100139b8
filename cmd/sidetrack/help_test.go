package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// Every command, however deep, says in its help what it does and how it is called, and its flags say what they are for.
func TestHelp(t *testing.T) {
	parser, err := kong.New(&commands{}, kong.Name("sidetrack"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	var visit func(n *kong.Node, path []string)
	visit = func(n *kong.Node, path []string) {
		for _, child := range n.Children {
			if child.Hidden {
				continue
			}
			path := append(path[:len(path):len(path)], child.Name)
			name := strings.Join(path, " ")
			var out, errOut bytes.Buffer
			if code := execute(append(path, "--help"), strings.NewReader(""), &out, &errOut); code != exitOK || errOut.Len() > 0 {
				t.Errorf("%s --help: exit code %d, %s", name, code, errOut.String())
			}
			if child.Help == "" || !strings.HasSuffix(child.Help, ".") {
				t.Errorf("%s: help %q", name, child.Help)
			}
			if len(child.Children) == 0 {
				checked++
				if !strings.Contains(out.String(), "\n    sidetrack "+name) {
					t.Errorf("%s --help has no example:\n%s", name, out.String())
				}
			}
			for _, f := range child.Flags {
				if f.Help == "" {
					t.Errorf("%s --%s has no help", name, f.Name)
				}
			}
			for _, p := range child.Positional {
				if p.Help == "" {
					t.Errorf("%s %s has no help", name, p.Name)
				}
			}
			visit(child, path)
		}
	}
	visit(parser.Model.Node, nil)
	if checked < 13 {
		t.Errorf("only %d commands found", checked)
	}
}

// Commands whose result a program may want have the same flag for it.
func TestOutputFlag(t *testing.T) {
	parser, err := kong.New(&commands{}, kong.Name("sidetrack"))
	if err != nil {
		t.Fatal(err)
	}
	without := map[string]bool{"demo": true, "init": true, "run": true, "schema": true, "completion": true, "show": true, "ddl": true} // no result, JSON anyway, or text for another program
	for _, n := range parser.Model.Leaves(true) {
		found := false
		for _, f := range n.Flags {
			if f.Name == "output" {
				found = true
				if f.Enum != "text,json" {
					t.Errorf("%s --output is one of %s", n.Path(), f.Enum)
				}
			}
		}
		if found == without[n.Name] {
			t.Errorf("%s: has --output: %v", n.Path(), found)
		}
	}
}
