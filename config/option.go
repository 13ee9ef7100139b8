package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/size"
)

// option is one key of a section, as the schema and the reference tell it.
type option struct {
	name     string
	doc      string
	required bool
	intake   bool     // works where the request is at hand
	enum     []string // the only values
	typ      reflect.Type
	owner    reflect.Type  // the struct that the key is written in
	value    reflect.Value // the default; may be invalid
	sub      []option      // keys of a section, or of each element of a list or mapping of sections
	again    bool          // a section inside itself: sub is left out
}

// describer makes options of types.
type describer struct {
	comments Comments
	bus      bool // leave out what works in intake only
	inside   []reflect.Type
}

// options describes the keys of a struct type. value holds the defaults, or is invalid.
func (d *describer) options(t reflect.Type, value reflect.Value) []option {
	d.inside = append(d.inside, t)
	defer func() { d.inside = d.inside[:len(d.inside)-1] }()
	var out []option
	for _, k := range keysOf(t) {
		f, owner := t.FieldByIndex(k.index), t
		if len(k.index) > 1 {
			owner = t.FieldByIndex(k.index[:len(k.index)-1]).Type
		}
		if d.bus && f.Tag.Get("sidetrack") == "intake" {
			continue
		}
		o := option{
			name: k.name, required: k.required, typ: f.Type, owner: owner, doc: d.comments.field(owner, f, k.name),
			intake: f.Tag.Get("sidetrack") == "intake", enum: enumOf(f),
		}
		if value.IsValid() {
			o.value = value.FieldByIndex(k.index)
		}
		inner := f.Type
		for inner != mountsType && (inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice || inner.Kind() == reflect.Map) {
			inner = inner.Elem()
		}
		if isRecord(inner) {
			if o.again = slices.Contains(d.inside, inner); !o.again {
				var defaults reflect.Value
				if inner == f.Type {
					defaults = o.value
				}
				o.sub = d.options(inner, defaults)
			}
		}
		out = append(out, o)
	}
	return out
}

// enumOf returns the values that a tag such as enum:"drop,mark" admits.
func enumOf(f reflect.StructField) []string {
	tag, ok := f.Tag.Lookup("enum")
	if !ok {
		return nil
	}
	return strings.Split(tag, ",")
}

// isScalar reports whether a type is written as a single value.
func isScalar(t reflect.Type) bool {
	switch t {
	case durationType, moneyType, purposeType, stateType:
		return true
	}
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		return true
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Pointer, reflect.Interface:
		return false
	}
	return true
}

// kindOf names the kind of a value for people.
func kindOf(t reflect.Type) string {
	switch t {
	case durationType:
		return "duration"
	case moneyType:
		return "amount"
	case purposeType:
		return "purpose"
	case stateType:
		return "state of consent"
	case secretType:
		return "secret"
	case reflect.TypeFor[size.Bytes]():
		return "size"
	case reflect.TypeFor[Share]():
		return "share"
	case reflect.TypeFor[Rate]():
		return "rate"
	case mountsType:
		return "decoders"
	}
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		return "text"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem())
	case reflect.Slice:
		return "list of " + plural(kindOf(t.Elem()))
	case reflect.Map:
		return "mapping to " + plural(kindOf(t.Elem()))
	case reflect.Struct:
		return "section"
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Interface:
		return "any value"
	}
	return "whole number"
}

func plural(s string) string {
	switch {
	case s == "state of consent":
		return "states of consent"
	case s == "true or false" || strings.HasPrefix(s, "any"):
		return s
	}
	if first, rest, ok := strings.Cut(s, " "); ok && (first == "list" || first == "mapping") {
		return first + "s " + rest
	}
	return s + "s"
}

// defaultText is the default of a single value or a list of them as YAML, "" where there is none.
func (o option) defaultText() string {
	v := o.value
	if !v.IsValid() || v.IsZero() {
		return ""
	}
	switch x := v.Interface().(type) {
	case time.Duration:
		return durationText(x)
	case sidetrack.Secret:
		return ""
	case encoding.TextMarshaler:
		b, err := x.MarshalText()
		if err != nil {
			return ""
		}
		return string(b)
	case fmt.Stringer:
		return x.String()
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.Slice:
		var parts []string
		for i := range v.Len() {
			text := option{value: v.Index(i)}.defaultText()
			if text == "" {
				return ""
			}
			parts = append(parts, text)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return ""
}

// durationText writes 72h instead of 72h0m0s.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Types lists the struct types that a file may be decoded into with the components of a registry, each once.
func Types(reg *sidetrack.Registry) []reflect.Type {
	var out []reflect.Type
	var visit func(t reflect.Type)
	visit = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || isScalar(t) || slices.Contains(out, t) {
			return
		}
		out = append(out, t)
		for i := range t.NumField() {
			f := t.Field(i)
			if tag := f.Tag.Get("yaml"); tag != "" && tag != "-" {
				visit(f.Type)
			}
		}
	}
	for _, t := range []reflect.Type{
		reflect.TypeFor[file](), reflect.TypeFor[Site](), reflect.TypeFor[Sink](), reflect.TypeFor[test](), matcherType,
	} {
		visit(t)
	}
	for _, c := range configs(reg) {
		visit(reflect.TypeOf(c))
	}
	return out
}
