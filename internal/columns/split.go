package columns

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
)

// Row is the values of one event, in the order of Layout. The zero value is ready. It may be used again; its texts are
// not touched then, they belong to the event that they came from.
type Row struct {
	Values []Value
	// Without says of columns, by position, that the table does not have them: what they would hold is
	// kept in rest. nil: it has all.
	Without []bool

	buf, rest []byte
}

// Set puts e into the row. The same event always gives the same row. It is an error when e has something
// that JSON cannot hold, such as an infinite number.
func (r *Row) Set(e *sidetrack.Event) error {
	var err error
	if r.buf, err = e.AppendJSON(r.buf[:0]); err != nil {
		return err
	}
	if len(r.Values) != len(layout) {
		r.Values = make([]Value, len(layout))
	}
	clear(r.Values)
	r.rest = append(r.rest[:0], '{')
	if err := r.split(string(r.buf), ""); err != nil {
		return fmt.Errorf("columns: split the event: %w", err)
	}
	if len(r.rest) > 1 {
		r.Values[len(layout)-1] = Value{Set: true, Text: string(append(r.rest, '}'))}
	}
	if cap(r.buf) > 1<<20 {
		r.buf, r.rest = nil, nil
	}
	return nil
}

// split gives the members of an object of the JSON form to their columns, and what has none to rest. An object without members
// is kept there too: it says that the group was there.
func (r *Row) split(object, group string) error {
	columns := positions[group]
	return members(object, func(key, value string) error {
		if i, ok := columns[key]; ok && !r.without(i) && r.put(i, value) {
			return nil
		}
		path := under(group, key)
		if len(r.rest) > 1 && r.rest[len(r.rest)-1] != '{' {
			r.rest = append(r.rest, ',')
		}
		mark := len(r.rest)
		r.rest = append(append(append(r.rest, '"'), key...), `":`...)
		if positions[path] == nil || value[0] != '{' {
			r.rest = append(r.rest, value...)
			return nil
		}
		r.rest = append(r.rest, '{')
		if err := r.split(value, path); err != nil {
			return err
		}
		if r.rest[len(r.rest)-1] == '{' && strings.Trim(value, "{} \t\r\n") != "" {
			if r.rest = r.rest[:mark]; r.rest[mark-1] == ',' {
				r.rest = r.rest[:mark-1]
			}
			return nil
		}
		r.rest = append(r.rest, '}')
		return nil
	})
}

// without reports whether the table lacks the column at i, or the nanoseconds of a time there.
func (r *Row) without(i int) bool {
	return r.Without != nil && (r.Without[i] || layout[i].Kind == Time && r.Without[i+1])
}

// put reads a value into the column at i. It reports whether it fits.
func (r *Row) put(i int, value string) bool {
	v := &r.Values[i]
	switch layout[i].Kind {
	case Text:
		text, ok := unquote(value)
		if !ok {
			return false
		}
		v.Text = text
	case JSON:
		v.Text = value
	case Bool:
		if value != "true" {
			return false
		}
		v.Int = 1
	case Int:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return false
		}
		v.Int = n
	case Money:
		m, err := sidetrack.ParseMoney(value)
		if err != nil {
			return false
		}
		v.Int = int64(m)
	case ID:
		text, _ := unquote(value)
		id, err := uuid.Parse(text)
		if err != nil {
			return false
		}
		v.ID = id
	case Time:
		text, _ := unquote(value)
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || t.Before(firstTime) || !t.Before(endOfTime) {
			return false
		}
		v.Int = t.UnixMicro() // rounds down: the remainder is never negative
		if ns := int64(t.Nanosecond() % 1000); ns > 0 && v.Int != 0 {
			r.Values[i+1] = Value{Set: true, Int: ns}
		}
	}
	v.Set = true
	return layout[i].holds(v)
}

// holds reports whether the value is there. A zero one, where that means nothing else, is not.
func (c *Column) holds(v *Value) bool {
	if v.Set && !c.Nullable && v.Int == 0 && v.Text == "" && v.ID == uuid.Nil {
		v.Set = false
	}
	return v.Set
}

func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' {
		return "", false
	}
	if strings.IndexByte(s, '\\') < 0 {
		return s[1 : len(s)-1], true
	}
	var out string
	err := json.Unmarshal([]byte(s), &out)
	return out, err == nil
}

var errSyntax = errors.New("not the JSON of an event")

// members calls f for each member of an object, with the key as it is written and the text of the value. It takes valid
// JSON for granted: what it reads was written by an encoder.
func members(s string, f func(key, value string) error) error {
	i := space(s, 0)
	if i >= len(s) || s[i] != '{' {
		return errSyntax
	}
	for i = space(s, i+1); i < len(s) && s[i] != '}'; {
		keyEnd := past(s, i)
		if s[i] != '"' || keyEnd > len(s) {
			return errSyntax
		}
		colon := space(s, keyEnd)
		if colon >= len(s) || s[colon] != ':' {
			return errSyntax
		}
		from := space(s, colon+1)
		end := past(s, from)
		if end > len(s) || from == end {
			return errSyntax
		}
		if err := f(s[i+1:keyEnd-1], s[from:end]); err != nil {
			return err
		}
		if i = space(s, end); i < len(s) && s[i] == ',' {
			i = space(s, i+1)
		}
	}
	if i >= len(s) {
		return errSyntax
	}
	return nil
}

func space(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// past returns the position behind the value that begins at i; more than len(s) when it does not end.
func past(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
			if i >= len(s) {
				return len(s) + 1
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
			if depth == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r', ':':
			if depth == 0 {
				return i
			}
		}
	}
	if depth > 0 {
		return len(s) + 1
	}
	return len(s)
}
