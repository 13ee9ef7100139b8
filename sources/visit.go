package sources

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/clientip"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// visitOf returns the visit that is being served with ctx, nil when there is none.
func visitOf(ctx context.Context) *visit {
	v, _ := sidetrack.ProviderFromContext(ctx).(*visit)
	return v
}

// visit is what is known of one request and stays when the request is gone. What it needs
// of the request it copies at once, because handlers may change headers and URL while
// another goroutine sends an event.
type visit struct {
	m      *middleware
	began  time.Time
	may    candidate
	rec    recorder
	viewed atomic.Bool // a page view was sent, or is not wanted

	// Copies; they do not change after begin.
	signals
	https                            bool
	host, path, rawPath, query, peer string
	origin                           sidetrack.Origin
	visitor                          sidetrack.Visitor
	consent                          sidetrack.Consent
	cookies                          []*http.Cookie // to be set with the page

	mu      sync.Mutex
	tracker *sidetrack.Tracker // nil until somebody asks
	request *http.Request      // nil once the request ended
	route   string             // known once the request ended
	client  netip.Addr         // invalid: the peer
	located bool               // client is found
	issued  bool               // the id in visitor is known to the browser, or was given to an event
}

func newVisit(m *middleware, r *http.Request) *visit {
	v := &visit{
		m: m, began: time.Now(), request: r, signals: readSignals(r.Header),
		host: r.Host, path: r.URL.Path, rawPath: r.URL.RawPath, query: r.URL.RawQuery, peer: r.RemoteAddr,
		https:  m.isHTTPS(r),
		issued: true,
	}
	v.origin.Read(r)
	v.may = m.rules.consider(r.Method, &v.signals)
	if m.clientIP != nil {
		v.client = m.clientIP(r).Unmap().WithZone("")
	}
	return v
}

// isHTTPS reports whether the browser uses https.
func (m *middleware) isHTTPS(r *http.Request) bool {
	return r.TLS != nil || strings.HasPrefix(m.base, "https://") ||
		m.proxies.Trusts(r) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// pageURL returns the address of the page.
func (v *visit) pageURL() string {
	u := url.URL{Path: v.path, RawPath: v.rawPath, RawQuery: v.query}
	switch {
	case v.m.base != "":
		return v.m.base + u.String()
	case v.https:
		return "https://" + v.host + u.String()
	}
	return "http://" + v.host + u.String()
}

// Tracker implements sidetrack.TrackerProvider.
func (v *visit) Tracker() *sidetrack.Tracker {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.tracker == nil {
		v.tracker = sidetrack.NewTrackerFunc(v, v.event)
	}
	return v.tracker
}

// event returns a fresh event with what the events of this request have in common.
func (v *visit) event() *sidetrack.Event {
	e := &sidetrack.Event{Source: v.m.source, Site: v.m.site, Consent: v.consent}
	setPage(e, v.pageURL())
	e.Page.Referrer = cleanURL(v.referrer)
	v.describe(&e.Device)
	v.mu.Lock()
	if !v.located { // only now: most requests send no event
		v.located = true
		if !v.client.IsValid() {
			v.client, _ = clientip.Parse(v.peer)
		}
		v.origin.SetIP(v.client)
	}
	client := v.client
	v.issued = true
	e.Visitor = v.visitor
	if v.request != nil {
		e.Page.Route = v.findRoute()
	} else {
		e.Page.Route = v.route
	}
	v.mu.Unlock()
	e.Page.Title = v.m.titles[e.Page.Route]
	hideAddresses(e, client)
	e.SetOrigin(&v.origin)
	return e
}

// findRoute asks the router, whose patterns may be bad but must not cost the event.
func (v *visit) findRoute() string {
	defer v.m.protect("route")
	return text.Clean(v.m.route(v.request), maxHeader)
}

// Enqueue implements sidetrack.Queue for the request's tracker. It notes that the
// handler sent the page view itself. What a handler says about a page that nobody has seen yet is dropped.
func (v *visit) Enqueue(events ...*sidetrack.Event) error {
	if v.may.speculate && !v.m.rules.Ahead {
		for range events {
			v.m.countOne(ReasonAhead)
		}
		return nil
	}
	for _, e := range events {
		if e.Name == sidetrack.PageView {
			v.viewed.Store(true)
		}
		e.Page.Title = text.Clean(e.Page.Title, maxTitle)
	}
	return v.m.queue.Enqueue(events...)
}

// learn finds out what the visitor agreed to and who they are. mayIssue says that the answer may
// set the visitor's cookie.
func (v *visit) learn(r *http.Request, mayIssue bool) {
	if v.m.consent != nil {
		v.consent = v.m.consent(r)
	}
	if v.m.visitor != nil {
		v.visitor = v.m.visitor(r)
	}
	if v.m.cookie == nil {
		return
	}
	who, known, cookies := v.m.cookie.identify(r, v.consent, v.https, mayIssue)
	if v.visitor.ClientID == "" {
		v.visitor.ClientID, v.visitor.New, v.issued = who.ClientID, who.New, known
	}
	if v.cookies = cookies; len(cookies) > 0 {
		v.rec.visit = v
	}
}

// beforeHeader sets the visitor's cookies if the answer is a page that no cache shares. It is
// called just before the header goes out.
func (v *visit) beforeHeader() {
	defer v.m.protect("cookie")
	h := v.rec.w.Header()
	if v.may.mayIssue && v.rec.isOK() && v.rec.isHTML() && !v.rec.unknown && !isShared(h) {
		for _, c := range v.cookies {
			h.Add("Set-Cookie", c.String())
		}
		v.keepID()
		return
	}
	v.dropID()
}

// keepID notes that the browser knows the id.
func (v *visit) keepID() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.issued = true
}

// dropID forgets a new id that neither the browser nor any event has got: it would be
// a visitor that never comes again.
func (v *visit) dropID() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.issued {
		v.visitor.ClientID, v.visitor.New = "", false
	}
}

// answered ends the visit of a request that its handler has answered.
func (v *visit) answered() {
	defer v.m.protect("answer")
	if v.rec.w != nil && !v.rec.hijacked {
		v.rec.note(http.StatusOK, nil) // what net/http does now if there was no answer
	}
	v.finish()
	if v.rec.w == nil || v.rec.hijacked {
		return
	}
	status := v.rec.status()
	rules := &v.m.rules
	switch {
	case status == http.StatusNotFound && v.may.notFound:
		v.exception(status, "404 Not Found", false)
	case status >= 400 && status != http.StatusNotFound && v.may.failure:
		v.exception(status, strings.TrimSpace(strconv.Itoa(status)+" "+http.StatusText(status)), true)
	case v.may.view && !v.viewed.Load() && (rules.AnyStatus || v.rec.isOK()) && (rules.AnyType || v.rec.isHTML()):
		v.send(sidetrack.PageView, func(e *sidetrack.Event) {
			e.Page.Status = status
			if e.Page.Title == "" {
				e.Page.Title = v.rec.title.found()
			}
		})
	}
}

// failed ends the visit of a request whose handler panicked with p, or left with
// runtime.Goexit, which is nil.
func (v *visit) failed(p any) {
	defer v.m.protect("panic")
	v.finish()
	if p == nil || p == http.ErrAbortHandler || v.m.rules.IgnorePanics || v.may.speculate {
		return
	}
	v.exception(http.StatusInternalServerError, fmt.Sprintf("panic: %T", p), true)
}

// finish keeps what only the running request knows.
func (v *visit) finish() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.route = v.findRoute()
	v.request = nil
}

func (v *visit) exception(status int, description string, fatal bool) {
	v.send(sidetrack.Exception, func(e *sidetrack.Event) {
		e.Page.Status = status
		e.Exception = &sidetrack.Failure{Description: description, Fatal: fatal}
	})
}

// send sends an event of the middleware itself. A refusal is counted by the queue; the
// page is out already.
func (v *visit) send(name string, edit func(*sidetrack.Event)) {
	_ = v.Tracker().Send(name, func(e *sidetrack.Event) {
		e.Time = v.began
		edit(e)
	})
}

// NoPageView says that what is being served with ctx is no page to count.
func NoPageView(ctx context.Context) {
	if v := visitOf(ctx); v != nil {
		v.viewed.Store(true)
	}
}

// Track sends an event each time the handler has answered with a status below 400. params is copied.
// What it knows of the request comes from Middleware, which has to be further out; without it
// nothing is sent.
func Track(name string, params map[string]any) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v := visitOf(r.Context())
			if v == nil {
				next.ServeHTTP(w, r)
				return
			}
			rec := recorder{w: w}
			next.ServeHTTP(rec.wrap(), r)
			if rec.status() < 400 && !rec.hijacked {
				v.track(name, params)
			}
		})
	}
}

func (v *visit) track(name string, params map[string]any) {
	defer v.m.protect("track")
	_ = v.Tracker().Event(name, params)
}
