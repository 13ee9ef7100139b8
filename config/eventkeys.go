package config

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/sidetrack-go/sidetrack/internal/eventkeys"
)

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
	if _, free := keys[eventkeys.Any]; free {
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
	ignoredKeys(&out, tree, eventkeys.Tree(), "")
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
		if _, free := known[eventkeys.Any]; free {
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
