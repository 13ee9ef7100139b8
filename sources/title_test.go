package sources

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

var titlePages = map[string]string{
	"<!doctype html><html><head><title>A lamp</title></head><body>x": "A lamp",
	"<TITLE lang=de\n>Eine &amp; zwei\n  Lampen </TITLE>":            "Eine & zwei Lampen",
	"<title>first</title><title>second</title>":                      "first",
	"<head><titles>no</titles><title>yes</title>":                    "yes",
	"<head></head><body><svg><title>icon</title></svg>":              "",
	"<p><<title>odd</title>":                                         "odd",
	"<title></title>":                                                "",
	"<title>never closed":                                            "never closed",
	"no markup at all":                                               "",
	"<title":                                                         "",
	"<title>\x00\xffbytes</title>":                                   "bytes",
	"<title>" + strings.Repeat("x", 2000) + "</title>":               strings.Repeat("x", maxTitle),
	strings.Repeat(" ", maxTitleScan) + "<title>late</title>":        "",
}

func TestTitleScanner(t *testing.T) {
	for page, want := range titlePages {
		for _, size := range []int{1, 2, 3, 7, 1 << 20} { // of the pieces
			var s titleScanner
			for rest := page; rest != ""; {
				n := min(size, len(rest))
				s.scan([]byte(rest[:n]))
				rest = rest[n:]
			}
			if got := s.found(); got != want {
				t.Errorf("%.40q in pieces of %d: %.40q, want %.40q", page, size, got, want)
			}
		}
	}
}

func FuzzTitleScanner(f *testing.F) {
	for page := range titlePages {
		if len(page) < 1000 {
			f.Add(page, 3)
		}
	}
	f.Fuzz(func(t *testing.T, page string, cut int) {
		var whole, parts titleScanner
		whole.scan([]byte(page))
		cut = min(max(cut, 0), len(page))
		parts.scan([]byte(page[:cut]))
		parts.scan([]byte(page[cut:]))
		if whole.found() != parts.found() {
			t.Errorf("%q cut at %d: %q, whole: %q", page, cut, parts.found(), whole.found())
		}
		if len(whole.tail) > maxTitle+2 {
			t.Errorf("keeps %d bytes", len(whole.tail))
		}
	})
}

// TestTitles shows which title wins: said, by route, found in the page.
func TestTitles(t *testing.T) {
	write := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if s := r.URL.Query().Get("say"); s != "" {
			sidetrack.FromContext(r.Context()).SetTitle(s)
		}
		if r.URL.Query().Has("zip") {
			w.Header().Set("Content-Encoding", "gzip")
		}
		for _, part := range []string{"<html><ti", "tle>Found", " here</ti", "tle><p>"} {
			_, _ = w.Write([]byte(part))
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/routed/{x}", write)
	mux.HandleFunc("/plain", write)
	for target, want := range map[string]string{
		"/plain":            "Found here",
		"/plain?say=Said":   "Said",
		"/plain?zip=1":      "",
		"/routed/1":         "By route",
		"/routed/1?say=Sai": "Sai",
	} {
		f := &fake{}
		Middleware(f, WithLogger(quiet()), WithTitleFromHTML(), WithTitles(map[string]string{"/routed/{x}": "By route"}))(mux).
			ServeHTTP(httptest.NewRecorder(), request("GET", target))
		if got := f.one(t).Page.Title; got != want {
			t.Errorf("%s: title %q, want %q", target, got, want)
		}
	}
}
