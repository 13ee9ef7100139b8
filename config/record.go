package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// key is one key of a struct.
type key struct {
	name     string
	required bool
	enum     []string // the only values, where a tag such as enum:"drop,mark" says so
	index    []int
}

// keysOf lists the keys of a struct type in the order of its fields.
func keysOf(t reflect.Type) []key {
	var out []key
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || (!f.IsExported() && !f.Anonymous):
		case strings.Contains(options, "inline") && f.Type.Kind() == reflect.Struct:
			for _, k := range keysOf(f.Type) {
				k.index = append([]int{i}, k.index...)
				out = append(out, k)
			}
		case name != "" && f.IsExported():
			out = append(out, key{name, strings.Contains(options, "required"), enumOf(f), []int{i}})
		}
	}
	return out
}

func names(keys []key) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.name
	}
	return out
}

// free reports whether a key belongs to the author of the file: a place for anchors.
func free(key string) bool { return strings.HasPrefix(key, "x-") }

func (d *decoder) record(n *node, v reflect.Value, path string) bool {
	if !d.isMapping(n, path) {
		return false
	}
	return d.fields(n, n.fields, v, path, n.beside)
}

// fields fills a struct from some fields of n, then asks its Validate method, if it has
// one. Keys in beside are allowed and left alone.
func (d *decoder) fields(n *node, fields []field, v reflect.Value, path string, beside []string) bool {
	keys := keysOf(v.Type())
	byName := make(map[string]key, len(keys))
	for _, k := range keys {
		byName[k.name] = k
	}
	good, present := true, make(map[string]bool, len(fields))
	for _, f := range fields {
		k, ok := byName[f.key]
		switch {
		case ok:
			present[f.key] = true
			good = d.decode(f.value, v.FieldByIndex(k.index), join(path, f.key)) && d.oneOf(k.enum, f.value, v.FieldByIndex(k.index), join(path, f.key)) && good
		case !free(f.key):
			d.add(Problem{Position: f.pos, Path: path, Message: "unknown key " + quote(f.key),
				Hint: suggestion(f.key, "keys here", append(names(keys), beside...))})
			good = false
		}
	}
	for _, k := range keys {
		if k.required && !present[k.name] {
			d.at(n, path, "key "+quote(k.name)+" is missing", "add it: "+k.name+": …")
			good = false
		}
	}
	if checked, ok := v.Interface().(interface{ Validate() error }); ok {
		if err := checked.Validate(); err != nil {
			d.component(n, path, err)
			return false
		}
	}
	return good
}

// oneOf reports a text that is none of the values its key admits.
func (d *decoder) oneOf(values []string, n *node, v reflect.Value, path string) bool {
	if values == nil || v.Kind() != reflect.String || slices.Contains(values, v.String()) {
		return true
	}
	return d.bad(n, path, "is not one of the values here", suggestion(v.String(), "values", slices.DeleteFunc(slices.Clone(values), func(s string) bool { return s == "" })))
}

// secretKeys lists the keys of a registry's components whose values are secrets by their type, or lists
// or maps of secrets.
func secretKeys(reg *sidetrack.Registry) []string {
	var out []string
	seen := make(map[reflect.Type]bool)
	var visit func(t reflect.Type)
	visit = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || seen[t] {
			return
		}
		seen[t] = true
		for _, k := range keysOf(t) {
			field := t.FieldByIndex(k.index).Type
			held := field
			for held.Kind() == reflect.Pointer || held.Kind() == reflect.Slice || held.Kind() == reflect.Map {
				held = held.Elem()
			}
			if held == secretType {
				out = append(out, k.name)
			}
			visit(field)
		}
	}
	for _, config := range configs(reg) {
		visit(reflect.TypeOf(config))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// configs returns a configuration of every component, with its defaults.
func configs(reg *sidetrack.Registry) []any {
	var out []any
	for _, f := range reg.Sources() {
		out = append(out, f.Config())
	}
	for _, f := range reg.Decoders() {
		out = append(out, f.Config())
	}
	for _, f := range reg.Processors() {
		out = append(out, f.Config())
	}
	for _, f := range reg.Sinks() {
		out = append(out, f.Config())
	}
	return out
}
