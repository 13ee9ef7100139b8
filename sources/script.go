package sources

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
)

//go:embed script.js
var scriptSource string

// script is what browsers get, and its tag for caches.
type script struct {
	body string
	tag  string
}

func newScript() script {
	var b strings.Builder
	for line := range strings.Lines(scriptSource) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			b.WriteString(line + "\n")
		}
	}
	sum := sha256.Sum256([]byte(b.String()))
	return script{b.String(), `"` + base64.RawURLEncoding.EncodeToString(sum[:9]) + `"`}
}

// ServeHTTP implements http.Handler.
func (s script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("ETag", s.tag)
	if r.Header.Get("If-None-Match") == s.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(s.body))
	}
}

// ScriptTag returns the element that loads the script from the endpoints at prefix, such as "/sidetrack". nonce
// is that of the page's Content-Security-Policy, "" where it has none. settings are
// the script's, without "data-": consent names the cookie with the decision ("server" leaves the decision to the
// server; default cookie_status), ping is "off" to send none, outbound and downloads turn on the events for such links.
func ScriptTag(prefix, nonce string, settings map[string]string) template.HTML {
	var b strings.Builder
	b.WriteString(`<script defer src="` + html.EscapeString(strings.TrimSuffix(prefix, "/")+"/"+scriptName) + `"`)
	if nonce != "" {
		b.WriteString(` nonce="` + html.EscapeString(nonce) + `"`)
	}
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		b.WriteString(` data-` + html.EscapeString(k) + `="` + html.EscapeString(settings[k]) + `"`)
	}
	b.WriteString(`></script>`)
	return template.HTML(b.String())
}
