package config

import (
	"reflect"
	"slices"

	"github.com/sidetrack-go/sidetrack"
)

// atKey is the one key of a decoder that belongs to the collector: where it is mounted.
const atKey = "at"

// decoders makes the wire protocols that a source names in a field of type sidetrack.Mounts: a
// mapping from the decoder's name to its configuration. Whether their paths agree is for the source to say.
func (b *builder) decoders(n *node, v reflect.Value, path string) bool {
	list := b.reg.Decoders()
	known := typeNames(list)
	if !b.isMapping(n, path) {
		return false
	}
	mounts, good := make(sidetrack.Mounts, 0, len(n.fields)), true
	for _, f := range n.fields {
		switch {
		case free(f.key):
			continue
		case !slices.Contains(known, f.key):
			hint := suggestion(f.key, "decoders", known)
			if other := b.otherKind(f.key, "decoder"); other != "" {
				hint = f.key + " is a " + other + "; " + hint
			}
			b.add(Problem{Position: f.pos, Path: path, Message: "unknown decoder " + quote(f.key), Hint: hint})
			good = false
			continue
		}
		m, ok := b.mount(factoryOf(list, f.key), f.value, join(path, f.key))
		mounts, good = append(mounts, m), good && ok
	}
	if good && len(mounts) == 0 {
		b.at(n, path, "names no decoder", "remove the key for the default; "+suggestion("", "decoders", known))
		return false
	}
	v.Set(reflect.ValueOf(mounts))
	return good
}

// mount makes one decoder.
func (b *builder) mount(f sidetrack.Factory[sidetrack.Decoder], n *node, path string) (sidetrack.Mount, bool) {
	m, good := sidetrack.Mount{Name: f.Name, Paths: f.Paths}, true
	own := *n
	own.beside = []string{atKey}
	if at := n.get(atKey); at != nil {
		m.At, good = b.scalar(at, join(path, atKey), "a path such as /ua")
		own.fields = slices.DeleteFunc(slices.Clone(n.fields), func(f field) bool { return f.key == atKey })
	}
	d, ok := build(b, f, &own, path)
	m.Decoder = d
	return m, good && ok
}
