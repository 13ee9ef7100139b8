// Package gendocs makes the files that are generated from the doc comments of configuration types: what
// `sidetrack schema` and `sidetrack components` say of each key, and the reference docs/config.md.
package gendocs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/pipeline/standard/full"
)

// Root finds the directory of the module from the current one.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return "", errors.New("no go.mod above the current directory")
	}
}

// Generate returns the generated files by their path below the module's directory.
func Generate(root string) (map[string][]byte, error) {
	reg := full.Registry()
	comments, err := collect(root, config.Types(reg))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(comments); err != nil {
		return nil, err
	}
	return map[string][]byte{
		"config/comments.json": b.Bytes(),
		"docs/config.md":       config.Reference(reg, comments),
	}, nil
}

// collect reads the comments of types, of the functions that make components of them, and of their packages.
func collect(root string, types []reflect.Type) (config.Comments, error) {
	out := config.Comments{Packages: map[string]string{}, Types: map[string]config.TypeComment{}, Makers: map[string]string{}}
	packages := map[string][]*ast.File{}
	for _, t := range types {
		pkg := config.PackageKey(t.PkgPath())
		dir := filepath.Join(root, filepath.FromSlash(pkg))
		if pkg == "sidetrack" {
			dir = root
		}
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) || t.Name() == "" {
			continue // of another module
		}
		if packages[pkg] == nil {
			files, err := parse(dir)
			if err != nil {
				return out, err
			}
			packages[pkg] = files
			for _, f := range files {
				if f.Doc != nil {
					out.Packages[pkg] = strings.TrimSpace(f.Doc.Text())
				}
			}
		}
		describe(&out, packages[pkg], config.TypeKey(t), t.Name())
	}
	return out, nil
}

func parse(dir string) ([]*ast.File, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	fset := token.NewFileSet()
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", name, err)
		}
		if !slices.ContainsFunc(f.Comments, ignored) {
			files = append(files, f)
		}
	}
	return files, nil
}

// ignored reports whether a comment keeps a file out of the package.
func ignored(g *ast.CommentGroup) bool {
	return slices.ContainsFunc(g.List, func(c *ast.Comment) bool { return c.Text == "//go:build ignore" })
}

func describe(out *config.Comments, files []*ast.File, key, name string) {
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					ts, ok := spec.(*ast.TypeSpec)
					if !ok || ts.Name.Name != name {
						continue
					}
					doc := ts.Doc
					if doc == nil {
						doc = d.Doc
					}
					out.Types[key] = config.TypeComment{Doc: text(doc), Fields: fields(ts)}
				}
			case *ast.FuncDecl:
				if makes(d, name) && (out.Makers[key] == "" || d.Name.Name == "New") {
					out.Makers[key] = text(d.Doc)
				}
			}
		}
	}
}

func fields(ts *ast.TypeSpec) map[string]string {
	st, ok := ts.Type.(*ast.StructType)
	if !ok {
		return nil
	}
	out := map[string]string{}
	for _, f := range st.Fields.List {
		doc := f.Doc
		if doc == nil {
			doc = f.Comment
		}
		if f.Tag == nil || reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("yaml") == "-" {
			continue
		}
		for _, n := range f.Names {
			if s := text(doc); s != "" {
				out[n.Name] = s
			}
		}
	}
	return out
}

// makes reports whether d is a constructor: New…(config) (component, error).
func makes(d *ast.FuncDecl, config string) bool {
	if d.Recv != nil || !strings.HasPrefix(d.Name.Name, "New") || len(d.Type.Params.List) != 1 || d.Type.Results == nil || len(d.Type.Results.List) != 2 {
		return false
	}
	id, ok := d.Type.Params.List[0].Type.(*ast.Ident)
	return ok && id.Name == config
}

func text(g *ast.CommentGroup) string {
	if g == nil {
		return ""
	}
	return strings.Join(strings.Fields(g.Text()), " ")
}
