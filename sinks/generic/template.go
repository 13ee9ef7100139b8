package generic

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/eventkeys"
)

// scope is what placeholders are looked up in: an event in its JSON form, and what is known of the unit.
type scope map[string]any

// template is a value with placeholders. present is false when it has nothing to say, and what holds it leaves it out.
type template interface {
	fill(s scope) (value any, present bool, err error)
}

// constant is a value without placeholders.
type constant struct{ value any }

func (c constant) fill(scope) (any, bool, error) { return c.value, true, nil }

type object map[string]template

func (o object) fill(s scope) (any, bool, error) {
	out := make(map[string]any, len(o))
	for name, t := range o {
		v, present, err := t.fill(s)
		if err != nil {
			return nil, false, err
		}
		if present {
			out[name] = v
		}
	}
	return out, len(out) > 0 || len(o) == 0, nil
}

type array []template

func (a array) fill(s scope) (any, bool, error) {
	out := make([]any, 0, len(a))
	for _, t := range a {
		v, present, err := t.fill(s)
		if err != nil {
			return nil, false, err
		}
		if present {
			out = append(out, v)
		}
	}
	return out, len(out) > 0 || len(a) == 0, nil
}

// placeholder is {path}, {path|default} or {path!}. Alone it keeps the type of what it stands for.
type placeholder struct {
	path       string
	required   bool
	hasDefault bool
	fallback   string
}

func (p placeholder) fill(s scope) (any, bool, error) {
	if v, ok := find(map[string]any(s), p.path); ok {
		return v, true, nil
	}
	switch {
	case p.required:
		return nil, false, fmt.Errorf("generic: the event has no %s", p.path)
	case !p.hasDefault:
		return nil, false, nil
	}
	var v any
	if json.Unmarshal([]byte(p.fallback), &v) == nil {
		switch v.(type) {
		case float64:
			return json.Number(strings.TrimSpace(p.fallback)), true, nil // JSON allows space around it
		case bool, nil:
			return v, true, nil
		}
	}
	return p.fallback, true, nil
}

// mixed is text with placeholders in it: always text, in which nothing stands for what is missing.
type mixed []template

func (m mixed) fill(s scope) (any, bool, error) {
	var b strings.Builder
	for _, t := range m {
		v, present, err := t.fill(s)
		if err != nil {
			return nil, false, err
		}
		if present {
			b.WriteString(asText(v))
		}
	}
	return b.String(), true, nil
}

// asText is a value where only text can be: lists and objects as JSON.
func asText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// find walks down a path. Names may hold dots: the whole rest is tried before its first part.
func find(v any, path string) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		if found, ok := v[path]; ok {
			return found, found != nil
		}
		head, rest, more := strings.Cut(path, ".")
		if next, ok := v[head]; ok && more {
			return find(next, rest)
		}
	case []any:
		head, rest, more := strings.Cut(path, ".")
		i, err := strconv.Atoi(head)
		if err != nil || i < 0 || i >= len(v) {
			return nil, false
		}
		if !more {
			return v[i], v[i] != nil
		}
		return find(v[i], rest)
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			switch path {
			case "unix":
				return at.Unix(), true
			case "unix_msec":
				return at.UnixMilli(), true
			}
		}
	}
	return nil, false
}

// compiler makes templates; known is what may be asked for.
type compiler struct{ known map[string]any }

// times are the paths that have .unix and .unix_msec.
var times = []string{"time", "received", "unit.time"}

func unitKeys() map[string]any { return map[string]any{"id": "", "time": ""} }

// eventCompiler knows all that an event has; unitCompiler what is the same for all events of a unit.
func eventCompiler() compiler {
	known := map[string]any{"unit": unitKeys()}
	if keys, ok := eventkeys.Tree().(map[string]any); ok {
		for k, v := range keys {
			known[k] = v
		}
	}
	return compiler{known}
}

func unitCompiler(more ...string) compiler {
	known := map[string]any{"unit": unitKeys()}
	for _, name := range more {
		known[name] = []any{map[string]any{eventkeys.Any: ""}}
	}
	return compiler{known}
}

// value compiles what a configuration holds. field names it in errors.
func (c compiler) value(field string, v any) (template, error) {
	switch v := v.(type) {
	case string:
		return c.text(field, v)
	case map[string]any:
		out := make(object, len(v))
		for name, e := range v {
			t, err := c.value(field+"."+name, e)
			if err != nil {
				return nil, err
			}
			out[name] = t
		}
		return out, nil
	case []any:
		out := make(array, len(v))
		for i, e := range v {
			t, err := c.value(fmt.Sprintf("%s[%d]", field, i), e)
			if err != nil {
				return nil, err
			}
			out[i] = t
		}
		return out, nil
	case nil, bool, int, int64, float64:
		return constant{v}, nil
	}
	return nil, &sidetrack.FieldError{Field: field, Problem: fmt.Sprintf("is a %T: write text, a number, true, false, null, a list or a mapping", v)}
}

// text compiles a text. A doubled brace is a brace.
func (c compiler) text(field, s string) (template, error) {
	var parts mixed
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			parts = append(parts, constant{literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '{' && s[i] != '}':
			literal.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == s[i]:
			literal.WriteByte(s[i])
			i++
		case s[i] == '}':
			return nil, &sidetrack.FieldError{Field: field, Problem: "has a } that closes nothing: write }} for a brace"}
		default:
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return nil, &sidetrack.FieldError{Field: field, Problem: "has a { that is not closed: write {{ for a brace"}
			}
			p, err := c.placeholder(s[i+1 : i+end])
			if err != nil {
				return nil, &sidetrack.FieldError{Field: field, Problem: err.Error()}
			}
			flush()
			parts = append(parts, p)
			i += end
		}
	}
	flush()
	switch len(parts) {
	case 0:
		return constant{""}, nil
	case 1:
		return parts[0], nil
	}
	return parts, nil
}

func (c compiler) placeholder(s string) (placeholder, error) {
	p := placeholder{path: s}
	if path, fallback, ok := strings.Cut(s, "|"); ok {
		p.path, p.fallback, p.hasDefault = path, fallback, true
	} else if path, ok := strings.CutSuffix(s, "!"); ok {
		p.path, p.required = path, true
	}
	if p.path == "" || strings.TrimSpace(p.path) != p.path || strings.ContainsAny(p.path, "{!") {
		return p, errors.New("has {" + s + "}: write {path}, {path|default} or {path!}")
	}
	path := p.path
	for _, suffix := range []string{".unix", ".unix_msec"} {
		if at, ok := strings.CutSuffix(path, suffix); ok && slices.Contains(times, at) {
			path = at
		}
	}
	if !exists(c.known, path) {
		return p, errors.New("asks for " + p.path + ", which does not exist here")
	}
	return p, nil
}

// exists reports whether an event can have something at path.
func exists(known any, path string) bool {
	head, rest, more := strings.Cut(path, ".")
	var next any
	switch known := known.(type) {
	case map[string]any:
		if _, free := known[eventkeys.Any]; free {
			return path != ""
		}
		var ok bool
		if next, ok = known[head]; !ok {
			return false
		}
	case []any:
		if _, err := strconv.ParseUint(head, 10, 16); err != nil {
			return false
		}
		next = known[0]
	default:
		return false
	}
	return !more || exists(next, rest)
}
