package gawire

import (
	"regexp"
	"testing"
	"unicode/utf8"
)

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"page_view": "page_view", "My Event!": "My_Event", "1st": "st", "_x": "x", "größe": "gr__e", "": "", "!!!": "", "a-b.c": "a_b_c",
		"abcdefghijabcdefghijabcdefghijabcdefghijK": "abcdefghijabcdefghijabcdefghijabcdefghij",
	} {
		if got := Name(in, MaxName); got != want {
			t.Errorf("Name(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzName(f *testing.F) {
	valid := regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_]{0,39})?$`)
	f.Add("a b")
	f.Fuzz(func(t *testing.T, s string) {
		if n := Name(s, MaxName); !valid.MatchString(n) {
			t.Errorf("%q becomes %q", s, n)
		}
		if c := Clip(s, 10); !utf8.ValidString(c) || utf8.RuneCountInString(c) > 10 {
			t.Errorf("%q is clipped to %q", s, c)
		}
	})
}

func TestReserved(t *testing.T) {
	if !ReservedEvent("session_start", true) || !ReservedEvent("screen_view", false) || ReservedEvent("screen_view", true) || ReservedEvent("page_view", false) {
		t.Error("events")
	}
	if !ReservedParam("_x") || !ReservedParam("gtag.x") || ReservedParam("x") || !ReservedUserProperty("user_id") || ReservedUserProperty("plan") {
		t.Error("params")
	}
}
