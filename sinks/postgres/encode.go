package postgres

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/columns"
	"github.com/sidetrack-go/sidetrack/internal/jsonenc"
)

// lines makes the lines of COPY, one for each event that can be written, in the text format: the server reads it into whatever
// type a column has.
// https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2
type lines struct {
	has  []bool // by position in the layout: the table has the column
	row  columns.Row
	buf  []byte
	text []byte // scratch
}

func newLines(has []bool) *lines {
	l := &lines{has: has, row: columns.Row{Without: make([]bool, len(has))}}
	for i, there := range has {
		l.row.Without[i] = !there
	}
	return l
}

// add appends the line of an event.
func (l *lines) add(e *sidetrack.Event) error {
	if e.ID == uuid.Nil {
		return sidetrack.Permanent(errors.New("postgres: the event has no id"))
	}
	if err := l.row.Set(e); err != nil {
		return sidetrack.Permanent(fmt.Errorf("postgres: encode: %w", err))
	}
	first := true
	for i, c := range layout {
		if !l.has[i] {
			continue
		}
		if !first {
			l.buf = append(l.buf, '\t')
		}
		first = false
		if v := &l.row.Values[i]; v.Set {
			l.text = appendValue(l.text[:0], c.Kind, v)
			l.buf = escape(l.buf, l.text)
		} else {
			l.buf = append(l.buf, `\N`...)
		}
	}
	l.buf = append(l.buf, '\n')
	return nil
}

// escape appends a value to a line of COPY.
func escape(b, value []byte) []byte {
	from := 0
	for i, c := range value {
		var esc byte
		switch c {
		case '\\':
			esc = '\\'
		case '\n':
			esc = 'n'
		case '\r':
			esc = 'r'
		case '\t':
			esc = 't'
		default:
			continue
		}
		b = append(append(b, value[from:i]...), '\\', esc)
		from = i + 1
	}
	return append(b, value[from:]...)
}

// appendValue appends the text form of a value that is there. A NUL character, which PostgreSQL holds neither in text nor
// in jsonb, becomes U+FFFD, as what is not UTF-8 does.
func appendValue(b []byte, kind columns.Kind, v *columns.Value) []byte {
	switch kind {
	case columns.Text:
		return append(b, noNUL(v.Text)...)
	case columns.JSON:
		return append(b, noNULInJSON(v.Text)...)
	case columns.Bool:
		return strconv.AppendBool(b, v.Int != 0)
	case columns.Money:
		return sidetrack.Money(v.Int).AppendJSON(b)
	case columns.ID:
		return append(b, v.ID.String()...)
	case columns.Time:
		return time.UnixMicro(v.Int).UTC().AppendFormat(b, "2006-01-02 15:04:05.999999Z07:00")
	default:
		return strconv.AppendInt(b, v.Int, 10)
	}
}

const replacement = "\ufffd"

// asStored is a text as a column of the table holds it.
func asStored(s string) string {
	return strings.Map(func(r rune) rune { // which gives U+FFFD for each byte that is not UTF-8
		if r == 0 {
			return '\ufffd'
		}
		return r
	}, s)
}

func noNUL(s string) string { return strings.ReplaceAll(s, "\x00", replacement) }

// noNULInJSON replaces the escape of NUL, which is \u0000 unless its backslash is itself escaped.
func noNULInJSON(s string) string {
	const nul = `\u0000`
	if !strings.Contains(s, nul) {
		return s
	}
	var b strings.Builder
	from := 0
	for i := 0; i+1 < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		if strings.HasPrefix(s[i:], nul) {
			b.WriteString(s[from:i])
			b.WriteString(replacement)
			from = i + len(nul)
		}
		i++ // what a backslash escapes is no backslash of its own
	}
	return b.String() + s[from:]
}

// preview is the rows of a unit, as JSON objects of the columns that are not null.
func preview(u sidetrack.Unit) ([]byte, error) {
	var out, text []byte
	var row columns.Row
	for _, e := range u.Events {
		if err := row.Set(e); err != nil {
			return nil, fmt.Errorf("postgres: encode: %w", err)
		}
		sep := "{"
		for i, c := range layout {
			v := &row.Values[i]
			if !v.Set {
				continue
			}
			out = append(append(append(out, sep...), jsonenc.AppendString(nil, c.Name)...), ": "...)
			sep = ",\n "
			text = appendValue(text[:0], c.Kind, v)
			switch c.Kind {
			case columns.Text, columns.ID, columns.Time:
				out = jsonenc.AppendString(out, string(text))
			default:
				out = append(out, text...)
			}
		}
		out = append(out, "}\n"...)
	}
	return out, nil
}
