package sidetrackchi_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/sidetrack-go/sidetrack"
	sidetrackchi "github.com/sidetrack-go/sidetrack/chi"
	"github.com/sidetrack-go/sidetrack/sources"
)

// discard takes everything.
type discard struct{}

func (discard) Enqueue(...*sidetrack.Event) error { return nil }

// sink is a ResponseWriter that costs as little as possible but has what net/http's has.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header                 { return s.header }
func (s *sink) WriteHeader(int)                     {}
func (s *sink) Write(p []byte) (int, error)         { return len(p), nil }
func (s *sink) WriteString(p string) (int, error)   { return len(p), nil }
func (s *sink) Flush()                              {}
func (s *sink) FlushError() error                   { return nil }
func (s *sink) ReadFrom(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }

// BenchmarkBesideLogger measures what one middleware adds to a request, beside chi's own Logger that
// writes to io.Discard:
//
//	go test -run '^$' -bench BesideLogger -count 5 ./chi
func BenchmarkBesideLogger(b *testing.B) {
	logger := middleware.RequestLogger(&middleware.DefaultLogFormatter{Logger: log.New(io.Discard, "", log.LstdFlags), NoColor: true})
	consent := sources.WithConsent(func(*http.Request) sidetrack.Consent { return sidetrack.GrantAll("x") })
	cookie := sources.WithVisitorCookie(&sources.VisitorCookie{Secret: sidetrack.NewSecret("s")})
	known := knownVisitor(consent, cookie)
	for _, bm := range []struct {
		name   string
		mw     func(http.Handler) http.Handler
		path   string
		kind   string
		header map[string]string
	}{
		{"nothing", func(h http.Handler) http.Handler { return h }, "/product/7", "text/html", nil},
		{"logger", logger, "/product/7", "text/html", nil},
		{"untracked/json", sidetrackchi.Middleware(discard{}), "/product/7", "application/json", nil},
		{"untracked/fetch", sidetrackchi.Middleware(discard{}), "/product/7", "application/json", map[string]string{"Sec-Fetch-Dest": "empty"}},
		{"excluded", sidetrackchi.Middleware(discard{}, sources.WithExclude("/admin/", "/product/")), "/product/7", "text/html", nil},
		{"tracked", sidetrackchi.Middleware(discard{}), "/product/7", "text/html", nil},
		{"tracked/campaign", sidetrackchi.Middleware(discard{}), "/product/7?utm_source=news&utm_campaign=spring", "text/html", nil},
		{"tracked/known_visitor", sidetrackchi.Middleware(discard{}, consent, cookie), "/product/7", "text/html", map[string]string{"Cookie": known}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			router := chi.NewRouter()
			router.Use(bm.mw)
			router.Get("/product/{id}", func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{bm.kind}
				_, _ = io.WriteString(w, "<!doctype html><p>hello")
			})
			r := httptest.NewRequest("GET", "https://shop.example"+bm.path, nil)
			for k, v := range map[string]string{
				"User-Agent":      "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
				"Accept":          "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
				"Accept-Language": "de-AT,de;q=0.9,en;q=0.5", "Accept-Encoding": "gzip, deflate, br",
				"Referer": "https://search.example/?q=lamp", "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site",
				"Cookie": "session=abcdef", "Upgrade-Insecure-Requests": "1",
			} {
				r.Header.Set(k, v)
			}
			for k, v := range bm.header {
				r.Header.Set(k, v)
			}
			w := &sink{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				router.ServeHTTP(w, r)
			}
		})
	}
}

// knownVisitor returns the Cookie header of a visitor who was here before.
func knownVisitor(opts ...sources.Option) string {
	w := httptest.NewRecorder()
	sidetrackchi.Middleware(discard{}, opts...)(http.HandlerFunc(page)).ServeHTTP(w, httptest.NewRequest("GET", "https://shop.example/", nil))
	c := w.Result().Cookies()[0]
	return c.Name + "=" + c.Value
}
