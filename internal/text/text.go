// Package text makes strings from outside fit to be stored: valid UTF-8, without
// control characters, of bounded length.
package text

import (
	"strings"
	"unicode/utf8"
)

// Clean returns s without control characters and invalid UTF-8, cut to at most limit
// bytes between two characters. Most strings come back as they are, without a copy.
func Clean(s string, limit int) string {
	if len(s) <= limit && plain(s) {
		return s
	}
	var b strings.Builder
	b.Grow(min(len(s), limit))
	for i, r := range s {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == utf8.RuneError && invalid(s[i:]) {
			continue
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

func invalid(s string) bool {
	_, n := utf8.DecodeRuneInString(s)
	return n == 1
}

// plain reports whether s is printable ASCII.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
