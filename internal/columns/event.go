package columns

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/jsonenc"
)

// Event makes the event of a row again: equal to what ParseEvent makes of the JSON of the event that was
// set. Values may come from a table, which may have written JSON anew and zero values for what is absent; see Column.
func (r *Row) Event() (*sidetrack.Event, error) {
	if len(r.Values) != len(layout) {
		return nil, fmt.Errorf("columns: a row has %d values, want %d", len(r.Values), len(layout))
	}
	rest := leftovers{}
	if v := r.Values[len(layout)-1]; v.Set {
		if err := rest.read(v.Text, ""); err != nil {
			return nil, fmt.Errorf("columns: rest: %w", err)
		}
	}
	e, err := sidetrack.ParseEvent(string(r.object(nil, "", rest)))
	if err != nil {
		return nil, fmt.Errorf("columns: read the event: %w", err)
	}
	return e, nil
}

// leftovers is what rest holds, by group: members as they are written. An empty one says that the group was there.
type leftovers map[string][]string

func (l leftovers) read(object, group string) error {
	l[group] = l[group][:len(l[group]):len(l[group])]
	return members(object, func(key, value string) error {
		if path := under(group, key); positions[path] != nil && value[0] == '{' {
			return l.read(value, path)
		}
		l[group] = append(l[group], `"`+key+`":`+value)
		return nil
	})
}

// object writes a group of the JSON form.
func (r *Row) object(b []byte, group string, rest leftovers) []byte {
	b = append(b, '{')
	next := func() {
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
	}
	done := map[string]bool{}
	for i, c := range layout[:len(layout)-1] {
		switch {
		case c.group == group:
			if v := r.Values[i]; c.holds(&v) && c.Kind != Nanos {
				next()
				b = append(append(append(b, '"'), c.key...), `":`...)
				b = r.value(b, i)
			}
		case !done[c.group] && parent(c.group) == group:
			done[c.group] = true
			mark := len(b)
			next()
			b = append(append(append(b, '"'), c.group[strings.LastIndexByte(c.group, '.')+1:]...), `":`...)
			b = r.object(b, c.group, rest)
			if _, there := rest[c.group]; b[len(b)-2] == '{' && !there {
				b = b[:mark]
			}
		}
	}
	for _, m := range rest[group] {
		next()
		b = append(b, m...)
	}
	return append(b, '}')
}

func parent(group string) string {
	if group == "" {
		return "-" // of none
	}
	return group[:max(0, strings.LastIndexByte(group, '.'))]
}

func (r *Row) value(b []byte, i int) []byte {
	v := &r.Values[i]
	switch layout[i].Kind {
	case Text:
		return jsonenc.AppendString(b, v.Text)
	case JSON:
		return append(b, v.Text...)
	case Bool:
		return strconv.AppendBool(b, v.Int != 0)
	case Money:
		return sidetrack.Money(v.Int).AppendJSON(b)
	case ID:
		return append(append(append(b, '"'), v.ID.String()...), '"')
	case Time:
		at := time.UnixMicro(v.Int).Add(time.Duration(r.Values[i+1].Int)).UTC()
		return append(at.AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
	default:
		return strconv.AppendInt(b, v.Int, 10)
	}
}
