package sidetrack

import (
	"math/bits"
	"unicode/utf8"
)

// The functions of this file look at eight bytes of a text at a time, because every text of every
// event goes through them when it is read, checked and written.

const (
	ones  = 0x0101010101010101 // times a byte: that byte eight times
	highs = 0x80 * ones
)

// word returns the eight bytes of s from i on, the first one lowest.
func word(s string, i int) uint64 {
	b := s[i : i+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// below marks, by its highest bit, each byte of w that is less than limit, which is at most 0x80. Above the
// lowest mark there may be wrong ones.
func below(w, limit uint64) uint64 { return (w - limit*ones) &^ w & highs }

// equal marks each byte of w that is c, as below does.
func equal(w, c uint64) uint64 { return below(w^c*ones, 1) }

// special returns the position of the first byte of s from i on that JSON does not let stand in a string as it
// is: a quote, a backslash or a control character below 0x20. It is len(s) when there is none. ascii tells whether
// all before it is ASCII.
func special(s string, i int) (at int, ascii bool) {
	var seen uint64
	for ; i+8 <= len(s); i += 8 {
		w := word(s, i)
		if found := below(w, 0x20) | equal(w, '"') | equal(w, '\\'); found != 0 {
			bit := bits.TrailingZeros64(found) // the highest of the byte found
			return i + bit/8, (seen|w&(1<<bit-1))&highs == 0
		}
		seen |= w
	}
	for ; i < len(s); i++ {
		c := s[i]
		if c < 0x20 || c == '"' || c == '\\' {
			break
		}
		seen |= uint64(c)
	}
	return i, seen&highs == 0
}

// printable reports whether s is ASCII without control characters.
func printable(s string) bool {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if w := word(s, i); w&highs|below(w, 0x20)|equal(w, 0x7f) != 0 {
			return false
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= 0x7f {
			return false
		}
	}
	return true
}

// validText reports whether s is valid UTF-8. Most texts are ASCII, and short, where utf8.ValidString looks at each byte.
func validText(s string) bool { return printable(s) || utf8.ValidString(s) }
