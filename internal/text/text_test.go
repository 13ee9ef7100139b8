package text

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	tests := []struct {
		name, in, want string
		limit          int
	}{
		{"plain", "Mozilla/5.0", "Mozilla/5.0", 100},
		{"empty", "", "", 100},
		{"control bytes", "a\x00b\r\nc\x7fd", "abcd", 100},
		{"C1 controls", "a\u0085b\u009fc", "abc", 100},
		{"invalid UTF-8", "a\xffb\xc3", "ab", 100},
		{"a real replacement character stays", "a\ufffdb", "a\ufffdb", 100},
		{"umlauts", "Über uns", "Über uns", 100},
		{"cut", "abcdef", "abc", 3},
		{"cut between characters", "aüb", "a", 2},
		{"limit zero", "abc", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Clean(tt.in, tt.limit); got != tt.want {
				t.Errorf("Clean(%q, %d) = %q, want %q", tt.in, tt.limit, got, tt.want)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x00\xff\u0085ü", 4)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit &= 0xffff
		got := Clean(s, limit)
		if len(got) > limit || !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\r\n\x7f") {
			t.Errorf("Clean(%q, %d) = %q", s, limit, got)
		}
		if again := Clean(got, limit); again != got {
			t.Errorf("Clean is not idempotent: %q, then %q", got, again)
		}
	})
}
