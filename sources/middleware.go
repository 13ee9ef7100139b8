package sources

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/clientip"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// Option changes what the middleware does.
type Option func(*middleware)

// WithClientIP sets how the visitor's address is found. The default is the peer's
// address, or what WithTrustedProxies says.
func WithClientIP(find func(*http.Request) netip.Addr) Option {
	return func(m *middleware) { m.clientIP = find }
}

// WithTrustedProxies believes X-Forwarded-For (or Forwarded, where that is missing) and
// X-Forwarded-Proto when the peer is one of these networks.
func WithTrustedProxies(networks ...netip.Prefix) Option {
	trusted := make([]string, len(networks))
	for i, p := range networks {
		trusted[i] = p.String()
	}
	return func(m *middleware) {
		// Formatted prefixes always parse, except the invalid one, which trusts nobody.
		m.proxies, _ = clientip.New(trusted, "")
		m.clientIP = m.proxies.Client
	}
}

// WithRoute sets how the router's pattern is found. It is asked while the handler runs
// and once more after it, never later. The default is Request.Pattern.
func WithRoute(route func(*http.Request) string) Option {
	return func(m *middleware) { m.route = route }
}

// WithBaseURL states scheme and host of the pages, such as "https://shop.example". The default
// is what the request says.
func WithBaseURL(base string) Option {
	return func(m *middleware) { m.base = strings.TrimSuffix(base, "/") }
}

// WithSite names the site of all events. The default leaves it to the pipeline.
func WithSite(name string) Option { return func(m *middleware) { m.site = name } }

// WithSource names the source of all events. The default is "web".
func WithSource(name string) Option { return func(m *middleware) { m.source = name } }

// WithVisitor is called before the handler, while cookies can still be set, and returns
// who the visitor is; see VisitorCookie. The default leaves visitors to the visitor processor.
func WithVisitor(identify func(http.ResponseWriter, *http.Request) sidetrack.Visitor) Option {
	return func(m *middleware) { m.visitor = identify }
}

// WithSkip leaves out the requests for which skip is true: no page view is sent and
// no tracker is put into the context.
func WithSkip(skip func(*http.Request) bool) Option { return func(m *middleware) { m.skip = skip } }

// WithLogger gets what went wrong inside the middleware, never addresses or payloads.
// The default is slog.Default.
func WithLogger(l *slog.Logger) Option { return func(m *middleware) { m.log = l } }

type middleware struct {
	queue    sidetrack.Queue
	proxies  clientip.Resolver
	clientIP func(*http.Request) netip.Addr
	route    func(*http.Request) string
	visitor  func(http.ResponseWriter, *http.Request) sidetrack.Visitor
	skip     func(*http.Request) bool
	base     string
	site     string
	source   string
	log      *slog.Logger
}

// Middleware sends a page view for every page a browser is shown: GET, answered 2xx with text/html, no
// prefetch and no request of a script. A handler that sends its own page view replaces it.
// Handlers find a sidetrack.Tracker in their context, which stays usable after the request.
//
// The page never waits and never fails because of tracking: q takes or refuses at
// once, and a panic in tracking code is logged. A panic of the handler goes on as without
// the middleware and is no page view.
func Middleware(q sidetrack.Queue, opts ...Option) func(http.Handler) http.Handler {
	m := &middleware{
		queue: q, clientIP: clientip.Peer, source: "web", log: slog.Default(),
		route: func(r *http.Request) string { return routeOf(r.Pattern) },
	}
	for _, o := range opts {
		o(m)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.serve(next, w, r) })
	}
}

func (m *middleware) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	v := m.begin(w, r)
	if v == nil {
		next.ServeHTTP(w, r)
		return
	}
	defer m.protect("finish", v.finish) // also when the handler panics: later events must not ask the request
	rec := &recorder{w: w}
	next.ServeHTTP(rec.wrap(), v.request)
	m.protect("page view", func() { v.pageView(rec, began) })
}

// protect runs tracking code, whose panics are no business of the page.
func (m *middleware) protect(doing string, f func()) {
	defer func() {
		if p := recover(); p != nil {
			m.log.Error("sidetrack: panic in tracking", "doing", doing, "type", fmt.Sprintf("%T", p))
		}
	}()
	f()
}

// begin prepares the visit of r; nil means that it is not tracked.
func (m *middleware) begin(w http.ResponseWriter, r *http.Request) (v *visit) {
	m.protect("begin", func() {
		if m.skip != nil && m.skip(r) {
			return
		}
		n := &visit{m: m, base: m.describe(r)}
		if m.visitor != nil {
			n.base.Visitor = m.visitor(w, r)
		}
		ctx := context.WithValue(r.Context(), visitKey{}, n)
		n.request = r.WithContext(sidetrack.NewContext(ctx, sidetrack.NewTrackerFunc(n, n.event)))
		v = n
	})
	return v
}

// describe copies from r what events of this request have in common.
func (m *middleware) describe(r *http.Request) *sidetrack.Event {
	e := &sidetrack.Event{Source: m.source, Site: m.site}
	setPage(e, m.pageURL(r))
	if ref := cleanURL(r.Referer()); ref != "" {
		e.Page.Referrer = ref
	}
	describeDevice(&e.Device, r.Header)
	client := m.clientIP(r)
	hideAddresses(e, client.Unmap().WithZone(""))
	e.SetOrigin(sidetrack.NewOrigin(client, r))
	return e
}

func (m *middleware) pageURL(r *http.Request) string {
	u := url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	if m.base != "" {
		return m.base + u.String()
	}
	u.Scheme, u.Host = "http", r.Host
	if r.TLS != nil || m.proxies.Trusts(r) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		u.Scheme = "https"
	}
	return u.String()
}

// routeOf takes the method and host off a pattern of http.ServeMux.
func routeOf(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i >= 0 {
		return pattern[i:]
	}
	return ""
}

type visitKey struct{}

// visit is what is known of one request and stays when the request is gone.
type visit struct {
	m       *middleware
	request *http.Request // nil once the request ended
	viewed  atomic.Bool   // a page view was sent, or is not wanted

	mu       sync.Mutex
	base     *sidetrack.Event
	title    string
	finished bool
}

// event returns a fresh copy of what the events of this request have in common.
func (v *visit) event() *sidetrack.Event {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.base.Clone()
	if !v.finished {
		e.Page.Route = v.route()
	}
	if e.Page.Title == "" {
		e.Page.Title = v.title
	}
	return e
}

// route asks the router, whose patterns may be bad but must not cost the event.
func (v *visit) route() (route string) {
	v.m.protect("route", func() { route = text.Clean(v.m.route(v.request), maxHeader) })
	return route
}

// finish keeps what only the running request knows.
func (v *visit) finish() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.base.Page.Route = v.route()
	v.finished, v.request = true, nil
}

// Enqueue implements sidetrack.Queue for the request's tracker: it notes that the
// handler sent the page view itself.
func (v *visit) Enqueue(events ...*sidetrack.Event) error {
	for _, e := range events {
		if e.Name == sidetrack.PageView {
			v.viewed.Store(true)
		}
	}
	return v.m.queue.Enqueue(events...)
}

// pageView sends the page view if the answer was a page shown to somebody.
func (v *visit) pageView(rec *recorder, began time.Time) {
	if v.viewed.Load() || !rec.isPage() || !isNavigation(v.request) {
		return
	}
	e := v.event()
	e.Name, e.Time, e.Page.Status = sidetrack.PageView, began, rec.status()
	_ = v.m.queue.Enqueue(e) // a refusal is counted by the queue; the page is out already
}

// isNavigation reports whether a person asked for r with a browser, as far as its
// headers tell. Browsers that send none of the headers get the benefit of the doubt.
func isNavigation(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	h := r.Header
	if strings.EqualFold(h.Get("X-Requested-With"), "XMLHttpRequest") {
		return false
	}
	if d := h.Get("Sec-Fetch-Dest"); d != "" && d != "document" {
		return false
	}
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		v := strings.ToLower(h.Get(name))
		if strings.HasPrefix(v, "prefetch") || strings.HasPrefix(v, "preview") || strings.HasPrefix(v, "prerender") {
			return false
		}
	}
	return true
}

// SetTitle sets the title of the page that is being served with ctx, for its page view and the
// events that follow. Outside of the middleware it does nothing.
func SetTitle(ctx context.Context, title string) {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		v.mu.Lock()
		v.title = text.Clean(title, maxTitle)
		v.mu.Unlock()
	}
}

// NoPageView says that what is being served with ctx is no page to count.
func NoPageView(ctx context.Context) {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		v.viewed.Store(true)
	}
}
