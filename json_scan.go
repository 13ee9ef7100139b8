package sidetrack

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads JSON (RFC 8259) from a string, whose memory the strings it returns
// share. It keeps to the grammar exactly; text must be valid UTF-8.
type scanner struct {
	s     string
	i     int
	depth int
}

// maxScanDepth bounds nesting of anything, known or skipped.
const maxScanDepth = 64

// errNull reports a null where a value was wanted. Readers treat it as absent.
var errNull = errors.New("null")

func (sc *scanner) fail(problem string) error {
	return &FieldError{Problem: fmt.Sprintf("%s at offset %d", problem, sc.i)}
}

// inside prefixes the path of a FieldError.
func inside(err error, name string) error {
	fe, ok := err.(*FieldError)
	if !ok {
		return err
	}
	switch {
	case fe.Field == "":
		fe.Field = name
	case fe.Field[0] == '[':
		fe.Field = name + fe.Field
	default:
		fe.Field = name + "." + fe.Field
	}
	return fe
}

// space skips white space and returns the next byte without taking it, 0 at the end.
func (sc *scanner) space() byte {
	for sc.i < len(sc.s) {
		switch c := sc.s[sc.i]; c {
		case ' ', '\t', '\n', '\r':
			sc.i++
		default:
			return c
		}
	}
	return 0
}

// end checks that nothing but white space follows.
func (sc *scanner) end() error {
	if sc.space() != 0 || sc.i < len(sc.s) {
		return sc.fail("unexpected text after the value")
	}
	return nil
}

// object reads an object; member is called for each key and must read its value.
// An error of member is prefixed with the key.
func (sc *scanner) object(member func(key string) error) error {
	switch sc.space() {
	case '{':
	case 'n':
		return sc.literal("null", errNull)
	default:
		return sc.mismatch("an object")
	}
	if err := sc.enter(); err != nil {
		return err
	}
	if sc.space() == '}' {
		sc.leave()
		return nil
	}
	for {
		if sc.space() != '"' {
			return sc.fail("expected a key")
		}
		key, err := sc.text()
		if err != nil {
			return err
		}
		if sc.space() != ':' {
			return sc.fail("expected ':'")
		}
		sc.i++
		if err := member(key); err != nil && err != errNull {
			return inside(err, clip(key))
		}
		switch sc.space() {
		case ',':
			sc.i++
		case '}':
			sc.leave()
			return nil
		default:
			return sc.fail("expected ',' or '}'")
		}
	}
}

// array reads an array; element is called for each index and must read its value.
func (sc *scanner) array(element func(i int) error) error {
	switch sc.space() {
	case '[':
	case 'n':
		return sc.literal("null", errNull)
	default:
		return sc.mismatch("an array")
	}
	if err := sc.enter(); err != nil {
		return err
	}
	if sc.space() == ']' {
		sc.leave()
		return nil
	}
	for i := 0; ; i++ {
		if err := element(i); err != nil && err != errNull {
			return inside(err, "["+strconv.Itoa(i)+"]")
		}
		switch sc.space() {
		case ',':
			sc.i++
		case ']':
			sc.leave()
			return nil
		default:
			return sc.fail("expected ',' or ']'")
		}
	}
}

func (sc *scanner) enter() error {
	sc.i++
	if sc.depth++; sc.depth > maxScanDepth {
		return sc.fail("nested too deeply")
	}
	return nil
}

func (sc *scanner) leave() { sc.i++; sc.depth-- }

// mismatch says what was wanted and what is there.
func (sc *scanner) mismatch(want string) error {
	switch c := sc.space(); {
	case c == '"':
		return &FieldError{Problem: "must be " + want + ", not a string"}
	case c == '{':
		return &FieldError{Problem: "must be " + want + ", not an object"}
	case c == '[':
		return &FieldError{Problem: "must be " + want + ", not an array"}
	case c == 't', c == 'f':
		return &FieldError{Problem: "must be " + want + ", not a boolean"}
	case c == '-', c >= '0' && c <= '9':
		return &FieldError{Problem: "must be " + want + ", not a number"}
	case c == 0:
		return sc.fail("unexpected end of JSON")
	}
	return sc.fail("malformed JSON")
}

// literal takes a word and returns err.
func (sc *scanner) literal(word string, err error) error {
	if !strings.HasPrefix(sc.s[sc.i:], word) {
		return sc.fail("malformed JSON")
	}
	sc.i += len(word)
	return err
}

// string reads a string value.
func (sc *scanner) string() (string, error) {
	switch sc.space() {
	case '"':
		return sc.text()
	case 'n':
		return "", sc.literal("null", errNull)
	}
	return "", sc.mismatch("a string")
}

// text reads the string that starts at the current quote.
func (sc *scanner) text() (string, error) {
	start := sc.i + 1
	i, ascii := special(sc.s, start)
	switch {
	case i == len(sc.s):
		sc.i = i
		return "", sc.fail("unexpected end of JSON")
	case sc.s[i] == '"':
		v := sc.s[start:i]
		if !ascii && !utf8.ValidString(v) {
			sc.i = start
			return "", sc.fail("text is not valid UTF-8")
		}
		sc.i = i + 1
		return v, nil
	case sc.s[i] == '\\':
		return sc.escaped(start, i)
	}
	sc.i = i
	return "", sc.fail("unescaped control character")
}

// escaped reads on a string whose first backslash is at i.
func (sc *scanner) escaped(start, i int) (string, error) {
	var b strings.Builder
	b.WriteString(sc.s[start:i])
	for i < len(sc.s) {
		c := sc.s[i]
		switch {
		case c == '"':
			sc.i = i + 1
			if v := b.String(); utf8.ValidString(v) {
				return v, nil
			}
			return "", sc.fail("text is not valid UTF-8")
		case c < 0x20:
			sc.i = i
			return "", sc.fail("unescaped control character")
		case c != '\\':
			b.WriteByte(c)
			i++
			continue
		}
		if i++; i >= len(sc.s) {
			break
		}
		switch c := sc.s[i]; c {
		case '"', '\\', '/':
			b.WriteByte(c)
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r, ok := hex4(sc.s, i+1)
			if !ok {
				sc.i = i
				return "", sc.fail("malformed \\u escape")
			}
			i += 4
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if i+2 < len(sc.s) && sc.s[i+1] == '\\' && sc.s[i+2] == 'u' {
					if low, ok := hex4(sc.s, i+3); ok {
						if pair = utf16.DecodeRune(r, low); pair != utf8.RuneError {
							i += 6
						}
					}
				}
				r = pair
			}
			b.WriteRune(r)
		default:
			sc.i = i
			return "", sc.fail("unknown escape")
		}
		i++
	}
	sc.i = len(sc.s)
	return "", sc.fail("unexpected end of JSON")
}

func hex4(s string, at int) (rune, bool) {
	if at+4 > len(s) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[at : at+4]) {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// number reads the text of a number; whole says that it has neither fraction nor exponent.
func (sc *scanner) number() (text string, whole bool, err error) {
	c := sc.space()
	if c == 'n' {
		return "", false, sc.literal("null", errNull)
	}
	if c != '-' && (c < '0' || c > '9') {
		return "", false, sc.mismatch("a number")
	}
	start, i, whole := sc.i, sc.i, true
	digits := func() bool {
		from := i
		for i < len(sc.s) && sc.s[i] >= '0' && sc.s[i] <= '9' {
			i++
		}
		return i > from
	}
	if sc.s[i] == '-' {
		i++
	}
	zero := i < len(sc.s) && sc.s[i] == '0'
	first := i
	ok := digits() && !(zero && i > first+1)
	if ok && i < len(sc.s) && sc.s[i] == '.' {
		whole = false
		i++
		ok = digits()
	}
	if ok && i < len(sc.s) && (sc.s[i] == 'e' || sc.s[i] == 'E') {
		whole = false
		if i++; i < len(sc.s) && (sc.s[i] == '+' || sc.s[i] == '-') {
			i++
		}
		ok = digits()
	}
	if !ok {
		return "", false, sc.fail("malformed number")
	}
	sc.i = i
	return sc.s[start:i], whole, nil
}

func (sc *scanner) int() (int64, error) {
	text, whole, err := sc.number()
	if err != nil {
		return 0, err
	}
	if whole {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
		return 0, &FieldError{Problem: "is out of range"}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return 0, &FieldError{Problem: "must be a whole number"}
	}
	return int64(f), nil
}

func (sc *scanner) float() (float64, error) {
	text, whole, err := sc.number()
	if err != nil {
		return 0, err
	}
	if whole && len(text) <= 15 && text[0] != '-' { // exact, and cheaper
		n, err := strconv.ParseInt(text, 10, 64)
		return float64(n), err
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, &FieldError{Problem: "is out of range"}
	}
	return f, nil
}

func (sc *scanner) bool() (bool, error) {
	switch sc.space() {
	case 't':
		return true, sc.literal("true", nil)
	case 'f':
		return false, sc.literal("false", nil)
	case 'n':
		return false, sc.literal("null", errNull)
	}
	return false, sc.mismatch("true or false")
}

// value reads any value into the types that Event.Params documents.
func (sc *scanner) value() (any, error) {
	switch c := sc.space(); {
	case c == '"':
		return sc.text()
	case c == '{':
		m := map[string]any{}
		err := sc.object(func(key string) error {
			v, err := sc.value()
			if err == nil {
				m[key] = v
			}
			return err
		})
		return m, err
	case c == '[':
		list := []any{}
		err := sc.array(func(int) error {
			v, err := sc.value()
			if err == nil {
				list = append(list, v)
			}
			return err
		})
		return list, err
	case c == 't', c == 'f':
		return sc.bool()
	case c == 'n':
		return nil, sc.literal("null", nil)
	}
	text, whole, err := sc.number()
	if err != nil {
		return nil, err
	}
	if whole {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, &FieldError{Problem: "is out of range"}
	}
	return f, nil
}

// skip reads past any value.
func (sc *scanner) skip() error {
	switch c := sc.space(); {
	case c == '"':
		_, err := sc.text()
		return err
	case c == '{':
		return sc.object(func(string) error { return sc.skip() })
	case c == '[':
		return sc.array(func(int) error { return sc.skip() })
	case c == 't', c == 'f':
		_, err := sc.bool()
		return err
	case c == 'n':
		return sc.literal("null", nil)
	}
	_, _, err := sc.number()
	return err
}

// clip bounds a name from input that is about to become part of an error.
func clip(s string) string {
	if len(s) <= 64 {
		return s
	}
	return strings.ToValidUTF8(s[:64], "") + "…"
}
