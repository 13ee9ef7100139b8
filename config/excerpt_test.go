package config

import (
	"regexp"
	"strings"
	"testing"
)

var excerptLines = regexp.MustCompile(`(?m)^ +\d* \| .*\n?`)
var hintMark = regexp.MustCompile(`(?m)^ +   = `)

// withoutExcerpts leaves places, messages and, indented, hints.
func withoutExcerpts(s string) string {
	return strings.TrimRight(hintMark.ReplaceAllString(excerptLines.ReplaceAllString(s, ""), "    "), "\n")
}

func TestExcerptPointsAtThePlace(t *testing.T) {
	long := "    ga4: {a: " + strings.Repeat("x", 200) + ", here: 1}"
	tests := []struct {
		line       string
		column     int
		want, mark string // the text from the caret on
	}{
		{"sinks: {}", 1, "sinks: {}", "sinks"},
		{"  größe: ünsinn", 10, "  größe: ünsinn", "ünsinn"},
		{"ga4: {api_secret: classified, id: x}", 31, "ga4: {api_secret: [secret], id: x}", "id: x"},
		{"ga4: {api_secret: classified, id: x}", 7, "ga4: {api_secret: [secret], id: x}", "api_secret"},
		{"ga4: {api_secret: classified, id: x}", 22, "ga4: {api_secret: [secret], id: x}", "[secret]"},
		{"\tx: 1", 2, " x: 1", "x: 1"},
		{"a: \x1b[31mred", 4, "a:  [31mred", " [31m"},
		{long, 216, "", "here: 1}"},
		{"short", 99, "short", ""},
	}
	for _, tt := range tests {
		x := newExcerpts([]byte(tt.line), []string{"api_secret"}, new(masker), true)
		got, column := x.at(Position{1, tt.column})
		if tt.want != "" && got != tt.want {
			t.Errorf("%q: shows %q", tt.line, got)
		}
		r := []rune(got)
		if column < 1 || column > len(r)+1 || !strings.HasPrefix(string(r[column-1:]), tt.mark) {
			t.Errorf("%q: the caret is at %d of %q, want it at %q", tt.line, column, got, tt.mark)
		}
		if len(r) > widestSource+2 {
			t.Errorf("%d characters are shown", len(r))
		}
	}
	for _, p := range []Position{{}, {0, 1}, {2, 1}, {-1, 5}} {
		if got, _ := newExcerpts([]byte("a: 1"), nil, new(masker), true).at(p); got != "" {
			t.Errorf("%v: shows %q", p, got)
		}
	}
}

// Whatever is wrong with a file, a secret written in it shows in no message.
func TestExcerptsHideSecrets(t *testing.T) {
	const secret = "literal-secret"
	files := []string{
		"sinks: {ga: {ga4: {id: bad, api_secret: literal-secret, nonsense: 1}}}",
		"sinks: {ga: {ga4: {id: bad, nonsense: 1, api_secret: 'literal-secret'}}}",
		"sinks: {ga: {ga4: {id: bad, api_secrt: literal-secret}}}",
		"sinks: {ga: {ga4: {id: bad, api-secret: [literal-secret], api_secret: {a: literal-secret}}}}",
		"sinks: {ga: {ga4: {id: bad, \"api_secret\": literal-secret}}}\nsinks: {ga: {ga4: {api_secret: literal-secret}}}",
		"sinks:\n  ga:\n    ga4:\n      api_secret: literal-secret\n      api_secret: literal-secret, with more\n",
		"sinks:\n  ga:\n    ga4:\n      api_secret: \"literal-secret\n      id: 1\n",
		"sinks:\n  ga:\n    ga4:\n      api_secret: \"first\n        literal-secret\n        x: y\n",
		"sinks:\n  ga:\n    ga4:\n      api_secret: |\n        literal-secret\n       bad: indentation\n",
		"sinks:\n  ga:\n    ga4:\n      api_secret:\n        literal-secret: x\n      id: [\n",
		"sinks:\n  ga:\n    ga4:\n      api_secret:\n        - literal-secret\n",
		"x-s: &s literal-secret\nsinks: {ga: {ga4: {id: bad, api_secret: *s}}}\nx-s: &t literal-secret",
		"x-s: &s literal-secret ]\nsinks: [}\n",
		"sinks: {ga: {ga4: {id: bad, api_secret: '${EMPTY:-literal-secret}', nonsense: 1}}}",
		"sinks: {ga: {ga4: {id: bad, endpoint: 'https://user:literal-secret@collect.example', nonsense: 1}}}",
		"sinks: {ga: {ga4: {id: bad, x-password: literal-secret, nonsense: 1}}}",
		"bus: {nats: {url: 'nats://sidetrack:literal-secret@n.example', replica: 3}}",
		"a: [\nsinks: {ga: {ga4: {authToken: literal-secret}}}",
		"sinks: {ga: {ga4: {id: bad, nonsense: {X-Api-Key: literal-secret}}}}",
		"sinks: {ga: {ga4: {id: bad, sealed: {X-Shop: literal-secret}, nonsense: 1}}}",
		"sinks: {ga: {ga4: {sealed: {X-Shop: literal-secret}, names: [}}}",
	}
	for _, file := range files {
		_, err := Parse("x", []byte(file), registry(new(made)), env)
		if err == nil {
			t.Errorf("%q is valid", file)
			continue
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("shown:\n%v", err)
		}
	}
	// A name of a variable is no secret, and helps.
	_, err := Parse("x", []byte(`sinks: {ga: {ga4: {id: bad, api_secret: "${SECRET}", nonsense: 1}}}`), registry(new(made)), env)
	if err == nil || !strings.Contains(err.Error(), `api_secret: "${SECRET}", nonsense`) {
		t.Errorf("the line is not shown as it is: %v", err)
	}
}

func FuzzExcerpt(f *testing.F) {
	f.Add("a: b\nsecret: c\n  d", 2, 3)
	f.Add("ga4: {api_secret: \"x", 1, 8)
	f.Fuzz(func(t *testing.T, text string, line, column int) {
		got, at := newExcerpts([]byte(text), []string{"api_secret"}, new(masker), false).at(Position{line, column})
		if got == "" {
			return
		}
		if at < 1 || strings.ContainsAny(got, "\n\r\x1b") {
			t.Fatalf("%q at %d", got, at)
		}
	})
}
