package config

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
)

// anyKey marks mappings in which every key is allowed.
const anyKey = "any_key"

// eventKeys is an event's JSON form with every key in it. The reader of events leaves out
// what it does not know, for the sake of newer senders; in a test a key that nothing reads is a mistake.
var eventKeys = sync.OnceValue(func() any {
	var e sidetrack.Event
	fill(reflect.ValueOf(&e).Elem())
	e.Consent = sidetrack.GrantAll("payload")
	data, err := e.AppendJSON(nil)
	var tree any
	if err != nil || json.Unmarshal(data, &tree) != nil {
		return nil
	}
	return tree
})

// fill sets everything that v holds to something that is not its zero value.
func fill(v reflect.Value) {
	if !v.CanSet() {
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1, 0).UTC()))
		return
	case uuid.UUID:
		v.Set(reflect.ValueOf(uuid.Max))
		return
	case time.Duration:
		v.SetInt(int64(time.Second))
		return
	case sidetrack.Money:
		v.SetInt(int64(sidetrack.MoneyOf(1)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value)
		v.SetMapIndex(reflect.ValueOf(anyKey), value)
	case reflect.Interface:
		v.Set(reflect.ValueOf("x"))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	}
}

// unknownEventKeys reports the keys of n that no event has.
func (b *builder) unknownEventKeys(n *node, known any, path string) {
	if many, ok := known.([]any); ok && n.kind == list && len(many) > 0 {
		for i, item := range n.items {
			b.unknownEventKeys(item, many[0], index(path, i))
		}
		return
	}
	keys, ok := known.(map[string]any)
	if !ok || n.kind != mapping {
		return
	}
	if _, free := keys[anyKey]; free {
		return
	}
	for _, f := range n.fields {
		switch next, ok := keys[f.key]; {
		case ok:
			b.unknownEventKeys(f.value, next, join(path, f.key))
		case !free(f.key):
			b.add(Problem{Position: f.pos, Path: path, Message: "unknown key " + quote(f.key),
				Hint: suggestion(f.key, "keys here", slices.Collect(maps.Keys(keys)))})
		}
	}
}

// EventWarnings names the keys of an event's JSON that no event has, and which are therefore left out.
func EventWarnings(data []byte) []string {
	var tree any
	if json.Unmarshal(data, &tree) != nil {
		return nil
	}
	var out []string
	ignoredKeys(&out, tree, eventKeys(), "")
	return out
}

func ignoredKeys(out *[]string, v, known any, path string) {
	switch known := known.(type) {
	case []any:
		list, _ := v.([]any)
		for i, item := range list {
			ignoredKeys(out, item, known[0], index(path, i))
		}
	case map[string]any:
		m, _ := v.(map[string]any)
		if _, free := known[anyKey]; free {
			return
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if next, ok := known[k]; ok {
				ignoredKeys(out, m[k], next, join(path, k))
				continue
			}
			message := "unknown key " + quote(join(path, k)) + " is left out"
			if near := nearest(k, slices.Sorted(maps.Keys(known))); near != "" {
				message += ": did you mean " + near + "?"
			}
			*out = append(*out, message)
		}
	}
}
