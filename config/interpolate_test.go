package config

import (
	"testing"
	"time"
)

func TestExpand(t *testing.T) {
	tests := []struct{ in, want, problem string }{
		{"plain $HOME", "plain $HOME", ""},
		{"${NUMBER}", "8", ""},
		{"a${NUMBER}b${NUMBER}", "a8b8", ""},
		{"${MISSING:-x}", "x", ""},
		{"${MISSING:-}", "", ""},
		{"${EMPTY}", "", ""},
		{"${EMPTY:-x}", "x", ""},
		{"${NUMBER:-x}", "8", ""},
		{"${MISSING:-a:-b}", "a:-b", ""},
		{"$${NUMBER}", "${NUMBER}", ""},
		{"$${NUMBER} ${NUMBER}", "${NUMBER} 8", ""},
		{"${YAML}", "a: b\nc: [", ""},
		{"${MISSING}", "", "environment variable MISSING is not set"},
		{"x ${MISSING", "", "${ without }"},
		{"${}", "", "not a variable: ${}"},
		{"${:-x}", "", "not a variable: ${:-x}"},
		{"${A B}", "", "not a variable: ${A B}"},
		{"${9}", "", "not a variable: ${9}"},
		{"${NUMBER:?x}", "", "not a variable: ${NUMBER:?x}"},
	}
	for _, tt := range tests {
		got, _, problem, hint := expand(tt.in, env)
		if got != tt.want || problem != tt.problem || (problem != "") != (hint != "") {
			t.Errorf("%q: %q, %q, %q; want %q, %q", tt.in, got, problem, hint, tt.want, tt.problem)
		}
	}
}

// A value that a variable brings in is text, whatever it looks like.
func TestVariablesKeepTheirPlace(t *testing.T) {
	var m made
	_, err := Parse("x", []byte(minimal+"x-a: 1\nprocessors:\n  - exclude: {paths: [\"${YAML}\", \"${NUMBER}\"]}\n"), registry(&m), env)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range m.excludes {
		if len(e.Paths) == 2 && e.Paths[0] == environment["YAML"] && e.Paths[1] == "8" {
			return
		}
	}
	t.Errorf("%q", m.excludes)
}

func TestNearest(t *testing.T) {
	words := []string{"sinks", "sites", "sources", "api_secret", "ga4", "max_age"}
	for in, want := range map[string]string{
		"sink": "sinks", "snik": "", "sinsk": "sinks", "Sites": "sites", "api-secret": "api_secret", "apisecret": "api_secret",
		"maxage": "max_age", "ga": "ga4", "": "", "quite_different": "", "source": "sources",
	} {
		if got := nearest(in, words); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"5s": 5 * time.Second, "1d": 24 * time.Hour, "1d12h": 36 * time.Hour, "30d": 720 * time.Hour, "0d": 0,
		"106751d": 106751 * 24 * time.Hour, "-3h": -3 * time.Hour,
	} {
		if got, err := parseDuration(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "d", "5", "1d1d", "1d x", "106752d", "999999d", "106751d23h59m", "-1d", "1.5d"} {
		if got, err := parseDuration(in); err == nil {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func TestMask(t *testing.T) {
	var m masker
	m.hide("abc", "[short]")
	m.hide("secret", "[one]")
	m.hide("secret-and-more", "[two]")
	if got := m.mask("abc secret secret-and-more"); got != "abc [one] [two]" {
		t.Error(got)
	}
}
