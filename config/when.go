package config

import (
	"reflect"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/match"
)

// when reads a condition; nil when there is none. intake says that the request is at hand.
func (b *builder) when(n *node, path string, intake bool) func(*sidetrack.Event) bool {
	if n == nil {
		return nil
	}
	var m match.Matcher
	if !b.decode(n, reflect.ValueOf(&m).Elem(), path) {
		return nil
	}
	if !intake && m.NeedsOrigin() {
		b.at(n, path, "this condition"+needsRequest, "ip_ranges and own_visits work in intake only")
		return nil
	}
	matches, err := m.Compile()
	if err != nil {
		b.component(n, path, err)
		return nil
	}
	return matches
}
