package sources

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/clientip"
)

type middleware struct {
	queue      sidetrack.Queue
	rules      Rules
	exclude    paths
	skip       func(*http.Request) bool
	ownVisits  bool
	titles     map[string]string
	readTitles bool
	proxies    clientip.Resolver
	clientIP   func(*http.Request) netip.Addr
	route      func(*http.Request) string
	visitor    func(*http.Request) sidetrack.Visitor
	cookie     *VisitorCookie
	consent    func(*http.Request) sidetrack.Consent
	base       string
	site       string
	source     string
	log        *slog.Logger
}

// Middleware sends a page view for every page a browser is shown, by Rules. A handler that sends its
// own page view replaces it. Handlers find a sidetrack.Tracker in their context, which
// stays usable after the request, also when its context has ended.
//
// The page never waits, fails or looks different because of tracking: q takes or refuses at
// once, the ResponseWriter can do exactly what it could before, and a panic in tracking code is logged. A
// panic of the handler is sent as a fatal exception and goes on.
func Middleware(q sidetrack.Queue, opts ...Option) func(http.Handler) http.Handler {
	m := newMiddleware(q, opts)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.serve(next, w, r) })
	}
}

func newMiddleware(q sidetrack.Queue, opts []Option) *middleware {
	m := &middleware{
		queue: q, source: "web", log: slog.Default(),
		route: func(r *http.Request) string { return routeOf(r.Pattern) },
	}
	for _, o := range opts {
		o(m)
	}
	return m
}

func (m *middleware) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	v := m.begin(r)
	if v == nil {
		next.ServeHTTP(w, r)
		return
	}
	returned := false
	defer func() { // also when the handler panics: later events must not ask the request
		if returned {
			v.answered()
			return
		}
		p := recover()
		v.failed(p)
		if p != nil { // nil: the goroutine ends by runtime.Goexit
			panic(p)
		}
	}()
	if v.may.looked() {
		v.rec.w = w
		if m.readTitles && v.may.view {
			v.rec.title = new(titleScanner)
		}
		w = v.rec.wrap()
	}
	next.ServeHTTP(w, v.request)
	returned = true
}

// protect runs tracking code, whose panics are no business of the page.
func (m *middleware) protect(doing string) {
	if p := recover(); p != nil {
		m.log.Error("sidetrack: panic in tracking", "doing", doing, "type", fmt.Sprintf("%T", p))
	}
}

// begin prepares the visit of r; nil means that it is not tracked.
func (m *middleware) begin(r *http.Request) (v *visit) {
	defer m.protect("begin")
	if reason := m.leaveOut(r); reason != "" {
		m.count(reason, r)
		return nil
	}
	n := newVisit(m, r)
	n.learn(r, n.may.mayIssue)
	n.request = r.WithContext(sidetrack.NewProviderContext(r.Context(), n))
	return n
}

// count notes that r was left out, if a page view could have come of it.
func (m *middleware) count(reason sidetrack.Reason, r *http.Request) {
	if s := readSignals(r.Header); m.rules.consider(r.Method, &s).view {
		m.countOne(reason)
	}
}

// countOne tells the queue, where it can count, that something was left out on purpose.
func (m *middleware) countOne(reason sidetrack.Reason) {
	if c, ok := m.queue.(interface {
		Count(reason sidetrack.Reason, n int)
	}); ok {
		c.Count(reason, 1)
	}
}

// routeOf takes the method and host off a pattern of http.ServeMux.
func routeOf(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i >= 0 {
		return pattern[i:]
	}
	return ""
}
