package ga

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
	"github.com/sidetrack-go/sidetrack/internal/jsonenc"
)

// writer appends the JSON of one request and applies the policy on the way.
type writer struct {
	policy   policy
	b        []byte
	event    int // index in the unit
	names    []string
	surplus  int
	limit    int // of names; 0: none
	keys     []string
	notes    []sidetrack.Note
	err      error     // why the event being written is not sent
	checking bool      // go on after everything and collect problems
	problems []Problem // when checking
}

// broke applies the policy to a broken rule: it notes what is done, or makes the event fail. The
// caller does what is returned.
func (w *writer) broke(rule sidetrack.Reason, field, text string) Action {
	a := w.policy[rule]
	if w.checking {
		w.problems = append(w.problems, Problem{Rule: rule, Field: field, Text: text, Action: a})
		if a == Reject {
			a = Drop
		}
		return a
	}
	if a == Reject {
		if w.err == nil {
			w.err = &Problem{Rule: rule, Field: field, Text: text, Action: a}
		}
		return a
	}
	w.notes = append(w.notes, sidetrack.Note{Event: w.event, Rule: rule, Field: field, Text: text + done[a]})
	return a
}

var done = map[Action]string{Clip: ": made to fit", Drop: ": left out", Keep: ": sent all the same"}

// brokeEvent is broke for a rule whose smallest part is the event.
func (w *writer) brokeEvent(rule sidetrack.Reason, field, text string) {
	if w.broke(rule, field, text) == Drop && !w.checking && w.err == nil {
		w.notes = w.notes[:len(w.notes)-1]
		w.err = sidetrack.Drop(rule)
	}
}

func (w *writer) raw(s string) { w.b = append(w.b, s...) }

// key begins a member. name is a valid name or one of the protocol's own.
func (w *writer) key(name string) {
	if c := w.b[len(w.b)-1]; c != '{' && c != '[' {
		w.b = append(w.b, ',')
	}
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

// member writes a text that has no limit of its own.
func (w *writer) member(name, v string) {
	if v != "" {
		w.key(name)
		w.b = jsonenc.AppendString(w.b, v)
	}
}

// begin opens an object or list in which names must differ.
func (w *writer) begin(limit int) {
	w.names, w.surplus, w.limit = w.names[:0], 0, limit
}

// claim takes a name for a member of the open object. Of two equal names the first
// stays; over the limit there is no room.
func (w *writer) claim(name string) bool {
	if slices.Contains(w.names, name) {
		return false
	}
	if w.limit > 0 && len(w.names) == w.limit {
		w.surplus++
		return false
	}
	w.names = append(w.names, name)
	w.key(name)
	return true
}

func (w *writer) has(name string) bool { return slices.Contains(w.names, name) }

// text writes a parameter; an empty one is left out.
func (w *writer) text(prefix, name, v string, limit int) {
	if v == "" || w.has(name) {
		return
	}
	if v, ok := w.fit(prefix, name, v, limit); ok && w.claim(name) {
		w.b = jsonenc.AppendString(w.b, v)
	}
}

func (w *writer) int(name string, v int64) {
	if w.claim(name) {
		w.b = strconv.AppendInt(w.b, v, 10)
	}
}

func (w *writer) bool(name string, v bool) {
	if w.claim(name) {
		w.b = strconv.AppendBool(w.b, v)
	}
}

func (w *writer) money(name string, v sidetrack.Money) {
	if w.claim(name) {
		w.b = v.AppendJSON(w.b)
	}
}

func (w *writer) float(prefix, name string, v float64) {
	if b, ok := jsonenc.AppendFloat(nil, v); !ok {
		w.broke(RuleValueInvalid, prefix+name, "is not a finite number")
	} else if w.claim(name) {
		w.b = append(w.b, b...)
	}
}

// fit makes a text as long as Google takes it, in characters. ok is false when it is to be left out.
func (w *writer) fit(prefix, name, v string, limit int) (_ string, ok bool) {
	if len(v) <= limit {
		return v, true
	}
	n := utf8.RuneCountInString(v)
	if n <= limit {
		return v, true
	}
	if w.broke(RuleValueTooLong, prefix+name, "has "+strconv.Itoa(n)+" characters, at most "+strconv.Itoa(limit)) == Clip {
		return gawire.Clip(v, limit), true
	}
	return "", false
}

// name makes a valid name. ok is false when what it names is to be left out, or fails.
func (w *writer) name(prefix, s string, limit int, reserved func(string) bool) (_ string, ok bool) {
	if s == "" {
		w.broke(RuleNameRequired, prefix, "has no name")
		return "", false
	}
	if reserved(s) {
		w.broke(RuleNameReserved, prefix+s, "is a name that Google keeps for itself")
		return "", false
	}
	if valid := gawire.Name(s, len(s)); valid != s {
		if w.broke(RuleNameInvalid, prefix+s, "may have letters, digits and '_' only, and begins with a letter") != Clip || valid == "" {
			return "", false
		}
		if s = valid; reserved(s) {
			return "", false
		}
	}
	if len(s) > limit {
		if w.broke(RuleNameTooLong, prefix+s, "has "+strconv.Itoa(len(s))+" characters, at most "+strconv.Itoa(limit)) != Clip {
			return "", false
		}
		if s = gawire.Name(s[:limit], limit); reserved(s) {
			return "", false
		}
	}
	return s, true
}

// value writes a custom value under a name that is valid. nil and empty texts are left out.
func (w *writer) value(prefix, name string, v any, limit int) {
	switch v := v.(type) {
	case nil:
	case string:
		w.text(prefix, name, v, limit)
	case bool:
		w.bool(name, v)
	case int64:
		w.int(name, v)
	case int:
		w.int(name, int64(v))
	case float64:
		w.float(prefix, name, v)
	case float32:
		w.float(prefix, name, float64(v))
	case sidetrack.Money:
		w.money(name, v)
	default:
		if n, ok := integer(v); ok {
			w.int(name, n)
			return
		}
		w.broke(RuleValueInvalid, prefix+name, "is neither a text nor a number nor a bool")
	}
}

// integer is for the types that only Go code yields.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case int32:
		return int64(v), true
	case int16:
		return int64(v), true
	case int8:
		return int64(v), true
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case uint:
		return int64(v), v <= 1<<63-1
	case uint64:
		return int64(v), v <= 1<<63-1
	}
	return 0, false
}

// sorted returns the keys of m in order, in memory that the next call uses again.
func (w *writer) sorted(m map[string]any) []string {
	w.keys = w.keys[:0]
	for k := range m {
		w.keys = append(w.keys, k)
	}
	slices.Sort(w.keys)
	return w.keys
}
