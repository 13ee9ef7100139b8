package sidetrack

import (
	"bytes"
	"strings"
	"testing"
)

// TestWords holds the functions that look at eight bytes at a time against loops over bytes: with every pair of
// neighbours at every place of a word, because a find may disturb the byte above it.
func TestWords(t *testing.T) {
	check := func(b []byte) {
		s, end, ascii, clean := string(b), len(b), true, true
		for i, c := range b {
			if end == len(b) && (c < 0x20 || c == '"' || c == '\\') {
				end = i
			}
			ascii = ascii && (c < 0x80 || i >= end)
			clean = clean && c >= 0x20 && c < 0x7f
		}
		if at, is := special(s, 0); at != end || is != ascii {
			t.Fatalf("special(%q) = %d, %v; want %d, %v", s, at, is, end, ascii)
		}
		if got := printable(s); got != clean {
			t.Fatalf("printable(%q) = %v", s, got)
		}
	}
	for _, fill := range []byte{'a', 0x80, 0xff} {
		for length := range 18 {
			check(bytes.Repeat([]byte{fill}, length))
		}
		for at := range 8 {
			b := bytes.Repeat([]byte{fill}, 11)
			for x := range 256 {
				for y := range 256 {
					b[at], b[at+1] = byte(x), byte(y)
					check(b)
				}
			}
		}
	}
	for _, s := range []string{strings.Repeat(`"`, 20), "abc"} {
		if at, ascii := special(s, 3); at != 3 || !ascii {
			t.Errorf("special(%q) from 3 = %d, %v", s, at, ascii)
		}
	}
}
