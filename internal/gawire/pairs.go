package gawire

import (
	"iter"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// MaxPairs bounds the pairs that are read of one query or line: far above what any tracker sends.
const MaxPairs = 1024

// Pair is one key and value of a query or a form.
type Pair struct{ Key, Value string }

// AppendPairs appends the pairs of a query or form to dst. It splits at ampersands only, a key
// without '=' has an empty value, and nothing is an error: a wrong escape stays as it was
// written. What is beyond MaxPairs is left out.
func AppendPairs(dst []Pair, s string) []Pair {
	n := len(dst)
	for s != "" && len(dst)-n < MaxPairs {
		var pair string
		pair, s, _ = strings.Cut(s, "&")
		key, value, _ := strings.Cut(pair, "=")
		if key != "" {
			dst = append(dst, Pair{Unescape(key), Unescape(value)})
		}
	}
	return dst
}

// Unescape decodes percent escapes and plus signs once. The result is valid UTF-8. What needs no
// decoding is not copied.
func Unescape(s string) string {
	i := strings.IndexAny(s, "%+")
	if i >= 0 {
		b := make([]byte, 0, len(s))
		b = append(b, s[:i]...)
		for ; i < len(s); i++ {
			switch c := s[i]; {
			case c == '+':
				b = append(b, ' ')
			case c == '%' && i+2 < len(s) && hex(s[i+1]) >= 0 && hex(s[i+2]) >= 0:
				b = append(b, byte(hex(s[i+1])<<4|hex(s[i+2])))
				i += 2
			default:
				b = append(b, c)
			}
		}
		s = string(b)
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	return s
}

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// Lines yields the lines of a body that hold something, without their blanks and line ends. Lines
// end with "\n" or "\r\n".
func Lines(body string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for body != "" {
			var line string
			line, body, _ = strings.Cut(body, "\n")
			if line = strings.Trim(line, " \t\r"); line != "" && !yield(line) {
				return
			}
		}
	}
}

// Word returns s fit for a field that holds no line breaks.
func Word(s string) string { return text.Clean(s, sidetrack.MaxStringBytes) }

// Text returns s fit for any other text of an event; line breaks stay.
func Text(s string) string {
	if len(s) <= sidetrack.MaxStringBytes {
		return s
	}
	s = s[:sidetrack.MaxStringBytes]
	for !utf8.ValidString(s) { // at most three times: the text was valid before the cut
		s = s[:len(s)-1]
	}
	return s
}

// Keepable reports whether a key that an event has no place for may be kept: neither a
// credential nor an address.
func Keepable(key, value string) bool {
	switch strings.ToLower(key) {
	case "api_secret", "apisecret", "secret", "token", "access_token", "key", "api_key", "apikey", "password", "authorization", "signature",
		"ms", // the token of Yandex's dialect
		"uip", "_uip", "cip", "ip_override", "ip", "user_ip", "client_ip":
		return false
	}
	if strings.ContainsAny(value, ".:") {
		if _, err := netip.ParseAddr(strings.Trim(value, "[] ")); err == nil {
			return false
		}
		if _, err := netip.ParseAddrPort(value); err == nil {
			return false
		}
	}
	return true
}
