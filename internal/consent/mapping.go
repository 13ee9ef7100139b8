package consent

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sidetrack-go/sidetrack"
)

// Map says which of a tool's own categories or services each purpose takes. What it names replaces
// the default of that purpose; an empty list takes the purpose out.
type Map map[sidetrack.Purpose][]string

// choice is what was decided about one category or service. Unknown: it was asked about, and
// nobody answered.
type choice struct {
	name  string
	state sidetrack.State
}

// mapping is a Map with its defaults, checked.
type mapping struct {
	purposes []sidetrack.Purpose
	names    [][]string
	// all wants every name of a purpose to be granted. Else those count that are there, which
	// allows defaults to list what different sites call the same thing.
	all bool
}

func newMapping(own, defaults Map, all bool) (*mapping, error) {
	for p := range own {
		if _, err := sidetrack.ParsePurpose(string(p)); err != nil {
			return nil, &sidetrack.FieldError{Field: "map", Problem: fmt.Sprintf("%q is not a purpose: use some of %v", string(p), sidetrack.Purposes())}
		}
	}
	whole := maps.Clone(defaults)
	maps.Copy(whole, own)
	m := &mapping{all: all}
	for _, p := range sidetrack.Purposes() {
		if len(whole[p]) > 0 {
			m.purposes = append(m.purposes, p)
			m.names = append(m.names, whole[p])
		}
	}
	return m, nil
}

// consent maps choices to purposes: denied when anything a purpose takes was denied, granted when
// nothing was and something was granted.
func (m *mapping) consent(choices []choice) sidetrack.Consent {
	var c sidetrack.Consent
	for i, p := range m.purposes {
		c.Set(p, m.state(m.names[i], choices))
	}
	return c
}

func (m *mapping) state(names []string, choices []choice) sidetrack.State {
	state, open := sidetrack.Unknown, false
	for _, name := range names {
		found := false
		for _, c := range choices {
			if c.name != name {
				continue
			}
			found = true
			switch c.state {
			case sidetrack.Denied:
				return sidetrack.Denied
			case sidetrack.Granted:
				state = sidetrack.Granted
			default:
				open = true
			}
		}
		open = open || m.all && !found
	}
	if open {
		return sidetrack.Unknown
	}
	return state
}

// everything is the same state for every purpose that is mapped.
func (m *mapping) everything(state sidetrack.State) sidetrack.Consent {
	var c sidetrack.Consent
	for _, p := range m.purposes {
		c.Set(p, state)
	}
	return c
}

// numbers is the Map of tools that number their purposes.
type numbers map[sidetrack.Purpose][]int

func (n numbers) merged(field string, own map[sidetrack.Purpose][]int, highest int) (numbers, error) {
	whole := maps.Clone(n)
	for p, list := range own {
		if _, err := sidetrack.ParsePurpose(string(p)); err != nil {
			return nil, &sidetrack.FieldError{Field: field, Problem: fmt.Sprintf("%q is not a purpose: use some of %v", string(p), sidetrack.Purposes())}
		}
		if i := slices.IndexFunc(list, func(i int) bool { return i < 1 || i > highest }); i >= 0 {
			return nil, &sidetrack.FieldError{Field: field + "." + string(p), Problem: fmt.Sprintf("%d is not between 1 and %d", list[i], highest)}
		}
		if whole == nil {
			whole = numbers{}
		}
		whole[p] = list
	}
	return whole, nil
}

func checkPurposes(field string, list []sidetrack.Purpose) error {
	for _, p := range list {
		if _, err := sidetrack.ParsePurpose(string(p)); err != nil {
			return &sidetrack.FieldError{Field: field, Problem: fmt.Sprintf("%q is not a purpose: use some of %v", string(p), sidetrack.Purposes())}
		}
	}
	return nil
}
