package config

import (
	"regexp"
	"slices"
	"strings"
)

// excerpts cuts the lines out of a file that problems point at. A configuration holds
// secrets, and a message ends in logs and tickets, so what may be one is masked: the values that were
// read as secrets, everything behind a key that sounds like one, and passwords in
// URLs. A file that cannot be parsed tells nothing of its own structure, so this looks at the
// text alone and rather hides too much.
type excerpts struct {
	lines  []string
	hidden map[int]bool // lines that continue a value to hide, from 0
	keys   []string     // whose values are secrets by their type
	values []string     // that were read as secrets
	parsed bool         // else the values are not known, and what an anchor names may be one
}

const (
	maskedText   = "[secret]"
	widestSource = 100 // characters of a line that are shown
)

func newExcerpts(data []byte, keys []string, mask *masker, parsed bool) *excerpts {
	x := &excerpts{lines: strings.Split(string(data), "\n"), keys: keys, parsed: parsed}
	for v, as := range mask.pairs {
		if as == maskedText {
			x.values = append(x.values, v)
		}
	}
	slices.SortFunc(x.values, func(a, b string) int { return len(b) - len(a) })
	x.hidden = x.continued()
	return x
}

// span is a range of bytes in a line.
type span struct{ from, to int }

// at returns the line of a place, with what is secret masked, and the place in it counted in characters
// from 1. The line is empty when there is none.
func (x *excerpts) at(p Position) (line string, column int) {
	if p.Line < 1 || p.Line > len(x.lines) {
		return "", 0
	}
	raw := strings.ToValidUTF8(strings.TrimRight(x.lines[p.Line-1], "\r"), "?")
	if strings.TrimSpace(raw) == "" {
		return "", 0
	}
	caret, left := len(raw), p.Column
	for i := range raw {
		if left--; left <= 0 {
			caret = i
			break
		}
	}
	spans := x.secretsOf(raw)
	if x.hidden[p.Line-1] {
		spans = []span{{len(raw) - len(strings.TrimLeft(raw, " \t")), len(raw)}}
	}
	var b strings.Builder
	place, done := -1, 0
	for _, s := range spans {
		if s.from < done {
			continue
		}
		if place < 0 && caret < s.to {
			place = b.Len() + min(caret, s.from) - done
		}
		b.WriteString(raw[done:s.from] + maskedText)
		done = s.to
	}
	if place < 0 {
		place = b.Len() + caret - done
	}
	b.WriteString(raw[done:])
	return window(printable(b.String()), len([]rune(b.String()[:place])))
}

// printable keeps a line on one line: control characters could forge what a terminal shows.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e {
			return ' '
		}
		return r
	}, s)
}

// window shortens a long line around the character at place, counted from 0.
func window(s string, place int) (string, int) {
	r := []rune(s)
	from := 0
	if len(r) > widestSource && place > widestSource*2/3 {
		from = min(place-widestSource/2, len(r)-widestSource)
	}
	out, column := string(r[from:min(len(r), from+widestSource)]), place-from+1
	if from > 0 {
		out, column = "…"+out, column+1
	}
	if from+widestSource < len(r) {
		out += "…"
	}
	return strings.TrimRight(out, " "), column
}

var (
	keyAndValue = regexp.MustCompile(`([A-Za-z0-9_.-]+)["']?[ \t]*:(?:[ \t]+|$)`)
	soundSecret = regexp.MustCompile(`(?i)secret|token|passw|passphrase|pwd|credential|private|api[_-]?key|auth|salt`)
	inURL       = regexp.MustCompile(`://[^/\s"'@]*@`)
	variable    = regexp.MustCompile(`^["']?\$\{[A-Za-z_][A-Za-z0-9_]*\}["']?[ \t]*[,}\]]*[ \t]*(#.*)?$`)
)

// secretsOf finds what to mask in one line, in order and without overlap.
func (x *excerpts) secretsOf(line string) []span {
	var out []span
	for _, m := range keyAndValue.FindAllStringSubmatchIndex(line, -1) {
		key, value := line[m[2]:m[3]], line[m[1]:]
		if value == "" || !x.secret(key, value) {
			continue
		}
		length := valueLength(value, strings.ContainsAny(line[:m[2]], "{["))
		if !variable.MatchString(value[:length]) {
			out = append(out, span{m[1], m[1] + length})
		}
	}
	for _, m := range inURL.FindAllStringIndex(line, -1) {
		out = append(out, span{m[0] + len("://"), m[1] - 1})
	}
	for _, v := range x.values {
		for from := 0; ; {
			i := strings.Index(line[from:], v)
			if i < 0 {
				break
			}
			out = append(out, span{from + i, from + i + len(v)})
			from += i + len(v)
		}
	}
	slices.SortFunc(out, func(a, b span) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return b.to - a.to
	})
	merged := out[:0]
	for _, s := range out {
		if n := len(merged); n > 0 && s.from < merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, s.to)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// secret reports whether the values of a key are secrets, or the key is a slip of one whose are.
func (x *excerpts) secret(key, value string) bool {
	return !x.parsed && strings.HasPrefix(value, "&") || soundSecret.MatchString(key) || slices.Contains(x.keys, key) || nearest(key, x.keys) != ""
}

// valueLength is how much of a line belongs to the value it begins with: at least.
func valueLength(s string, flow bool) int {
	if quote := s[0]; quote == '"' || quote == '\'' {
		for i := 1; i < len(s); i++ {
			switch {
			case s[i] == '\\' && quote == '"':
				i++
			case s[i] == quote:
				return i + 1
			}
		}
		return len(s)
	}
	if i := strings.IndexAny(s, ",}]"); flow && i > 0 && s[0] != '[' && s[0] != '{' && !strings.HasPrefix(s, "${") {
		return i
	}
	if strings.HasPrefix(s, "${") && flow {
		if end := strings.Index(s, "}"); end > 0 {
			if more := strings.IndexAny(s[end+1:], ",}]"); more >= 0 {
				return end + 1 + more
			}
		}
	}
	return len(s)
}

// continued finds the lines that a secret began on an earlier line goes on in: a block of text, a
// quoted value over several lines, a value below its key.
func (x *excerpts) continued() map[int]bool {
	out := map[int]bool{}
	inside, indent, quote := false, 0, ""
	for i, line := range x.lines {
		text := strings.TrimLeft(line, " ")
		depth := len(line) - len(text)
		if strings.TrimSpace(text) == "" {
			continue
		}
		if inside && (depth > indent || quote != "") {
			out[i] = true
			if quote != "" && strings.Contains(text, quote) {
				inside = false
			}
			continue
		}
		inside, quote = false, ""
		ms := keyAndValue.FindAllStringSubmatchIndex(line, -1)
		if len(ms) == 0 {
			continue
		}
		m := ms[len(ms)-1]
		value := strings.TrimSpace(line[m[1]:])
		if !x.secret(line[m[2]:m[3]], value) {
			continue
		}
		switch {
		case value == "" || strings.HasPrefix(value, "#"), value[0] == '|' || value[0] == '>' || value[0] == '[' || value[0] == '{' || value[0] == '!' || value[0] == '&':
			inside, indent = true, depth
		case value[0] == '"' || value[0] == '\'':
			if n := valueLength(value, false); value[n-1] != value[0] || n == 1 {
				inside, indent, quote = true, depth, value[:1]
			}
		default: // a plain value may go on in deeper lines
			inside, indent = true, depth
		}
	}
	return out
}
