package sources

import (
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/match"
	"github.com/sidetrack-go/sidetrack/internal/visitor"
)

// EndpointsConfig configures Endpoints. The zero value works.
type EndpointsConfig struct {
	// Consent takes the visitor's decision at /consent, such as consent.Banner.Handler. nil: 404.
	Consent http.Handler
	// Events are names of events that pages may send by script beyond page_view, engagement,
	// click and file_download.
	Events []string
	// Hosts are hosts of the same site that pages may be of, beyond the one asked:
	// "www.shop.example", "*.shop.example".
	Hosts []string
}

// The endpoints, by the last part of their path.
const (
	scriptName   = "s.js"
	eventName    = "event"
	pingName     = "ping"
	pixelName    = "pixel.gif"
	consentName  = "consent"
	ownVisitName = "own-visit"
	optOutName   = "opt-out"
)

// Names of events that the script and the endpoints send and GA4 has no name for.
const (
	Engagement   = "engagement"    // attention since the last event, when a page is left
	Ping         = "ping"          // what the browser's screen is like; no interaction
	OutboundLink = "click"         // GA4's enhanced measurement calls it so
	FileDownload = "file_download" // likewise
)

// Endpoints serves what a page's own site has beside the pages, below any prefix:
//
//	GET  s.js          the script, see ScriptTag
//	POST event         an event of the script
//	GET  ping          r, v, c and l: screen, viewport, colours and language of the referring page's browser
//	GET  pixel.gif     a page view as an image, for pages without scripts and for mail
//	     consent       what EndpointsConfig.Consent serves
//	GET  own-visit     marks the browser as one of the site's own people's; ?off takes that back
//	GET  opt-out       asks whether the visitor wants not to be counted; POST with opt=out or opt=in decides
//
// ping, event and pixel.gif are answered 204 (an image) whatever becomes of them, and ignored unless a page of the same site
// sends them; mail sends no referrer, so the pixel needs none. opts are those of the middleware: site, client address,
// consent and visitor cookie. Once analytics_storage is granted, event may set the visitor's cookie.
//
//	r.Mount("/sidetrack", sources.Endpoints(p, sources.EndpointsConfig{}, opts...))
func Endpoints(q sidetrack.Queue, cfg EndpointsConfig, opts ...Option) http.Handler {
	e := &endpoints{m: newMiddleware(q, opts), cfg: cfg, script: newScript(), site: sidetrack.Site{Hosts: cfg.Hosts}}
	e.names = map[string]bool{sidetrack.PageView: true, Engagement: true, OutboundLink: true, FileDownload: true}
	for _, name := range cfg.Events {
		e.names[name] = true
	}
	return e
}

type endpoints struct {
	m      *middleware
	cfg    EndpointsConfig
	script script
	site   sidetrack.Site
	names  map[string]bool // that scripts may send
}

// ServeHTTP implements http.Handler.
func (e *endpoints) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	NoPageView(r.Context()) // of a middleware further out
	h := w.Header()
	name := path.Base(r.URL.Path)
	if name != scriptName {
		h.Set("Cache-Control", "no-store")
	}
	switch name {
	case scriptName:
		allow(w, r, e.script, http.MethodGet, http.MethodHead)
	case eventName:
		allow(w, r, http.HandlerFunc(e.event), http.MethodPost)
	case pingName:
		allow(w, r, http.HandlerFunc(e.ping), http.MethodGet, http.MethodPost)
	case pixelName:
		allow(w, r, http.HandlerFunc(e.pixel), http.MethodGet, http.MethodHead)
	case ownVisitName:
		allow(w, r, http.HandlerFunc(e.ownVisit), http.MethodGet)
	case optOutName:
		allow(w, r, http.HandlerFunc(e.optOut), http.MethodGet, http.MethodPost)
	case consentName:
		if e.cfg.Consent != nil {
			e.cfg.Consent.ServeHTTP(w, r)
			return
		}
		fallthrough
	default:
		http.NotFound(w, r)
	}
}

func allow(w http.ResponseWriter, r *http.Request, h http.Handler, methods ...string) {
	for _, m := range methods {
		if r.Method == m {
			h.ServeHTTP(w, r)
			return
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	http.Error(w, "use "+strings.Join(methods, " or "), http.StatusMethodNotAllowed)
}

// track sends an event of r that edit completes. The page is address, which must be of this site. The
// visitor's cookie may go out with the answer.
func (e *endpoints) track(w http.ResponseWriter, r *http.Request, name, address string, edit func(*sidetrack.Event)) {
	defer e.m.protect("endpoint")
	if reason := e.m.leaveOut(r); reason != "" {
		e.m.countOne(reason)
		return
	}
	v := newVisit(e.m, r)
	v.learn(r, true)
	if v.consent.Get(sidetrack.AnalyticsStorage) != sidetrack.Unknown { // before the decision pages alone may
		for _, c := range v.cookies {
			w.Header().Add("Set-Cookie", c.String())
		}
	}
	v.request = nil // the route of an endpoint is nobody's page
	event := v.event()
	event.Name, event.Time = name, v.began
	event.Page = sidetrack.Page{}
	event.Campaign = sidetrack.Campaign{}
	edit(event)
	setPage(event, address)
	hideAddresses(event, v.client)
	_ = e.m.queue.Enqueue(event) // counted by the queue
}

// sameSite reports whether address is of a page of this site.
func (e *endpoints) sameSite(r *http.Request, address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	return strings.EqualFold(u.Host, r.Host) || e.m.base != "" && strings.HasPrefix(address, e.m.base+"/") || e.site.HasHost(u.Host)
}

// fromSite reports whether a page of this site made the browser send r.
func (e *endpoints) fromSite(r *http.Request) bool {
	switch first(r.Header, "Sec-Fetch-Site") {
	case "same-origin":
		return true
	case "cross-site":
		return false
	}
	if origin := first(r.Header, "Origin"); origin != "" {
		return e.sameSite(r, origin)
	}
	return e.sameSite(r, r.Referer())
}

// ping takes what the browser's screen is like. As in the library that sidetrack grew from it counts for the page that
// refers, and is ignored without one.
func (e *endpoints) ping(w http.ResponseWriter, r *http.Request) {
	if referrer := r.Referer(); e.sameSite(r, referrer) {
		query := r.URL.Query()
		e.track(w, r, Ping, referrer, func(event *sidetrack.Event) {
			s := screen{Screen: query.Get("r"), Viewport: query.Get("v"), Colors: number(query.Get("c")), Language: query.Get("l")}
			s.describe(&event.Device)
			event.SetParam("non_interaction", true)
		})
	}
	w.WriteHeader(http.StatusNoContent)
}

// pixel is the collector's, for this site alone. Of what it says about the visitor nothing is
// believed: the cookie says more.
func (e *endpoints) pixel(w http.ResponseWriter, r *http.Request) {
	said, err := pixelEvent(r.URL.RawQuery)
	if err == nil && r.Method == http.MethodGet {
		address := said.Page.URL
		if address == "" {
			address = r.Referer()
		}
		if referrer := r.Referer(); e.sameSite(r, address) && (referrer == "" || e.sameSite(r, referrer)) {
			e.track(w, r, said.Name, address, func(event *sidetrack.Event) {
				event.MessageID, event.Params = said.MessageID, said.Params
				event.Page.Title, event.Page.Referrer = said.Page.Title, cleanURL(said.Page.Referrer)
			})
		}
	}
	w.Header().Set("Content-Type", "image/gif")
	if r.Method == http.MethodGet {
		_, _ = io.WriteString(w, gif)
	}
}

// ownVisit marks the browser, for a navigation alone: an image on some page must not.
func (e *endpoints) ownVisit(w http.ResponseWriter, r *http.Request) {
	if s := readSignals(r.Header); s.purpose() != forDocument || s.ahead {
		http.Error(w, "open this address in the browser", http.StatusForbidden)
		return
	}
	off := r.URL.Query().Has("off")
	http.SetCookie(w, e.mark(r, match.OwnVisitsCookie, !off))
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if off {
		_, _ = io.WriteString(w, "Visits of this browser are counted again.\n")
		return
	}
	_, _ = io.WriteString(w, "Visits of this browser are no longer counted. Add ?off to this address to take that back.\n")
}

// mark is a cookie that says yes, or its deletion.
func (e *endpoints) mark(r *http.Request, name string, on bool) *http.Cookie {
	c := &http.Cookie{Name: name, Value: "1", Path: "/", MaxAge: int(visitor.MaxAge / time.Second), HttpOnly: true, Secure: e.secure(r), SameSite: http.SameSiteLaxMode}
	if !on {
		c.Value, c.MaxAge = "", -1
	}
	return c
}

// secure reports whether the browser uses https, as far as anything here knows.
func (e *endpoints) secure(r *http.Request) bool {
	return e.m.isHTTPS(r) || e.m.cookie != nil && e.m.cookie.Secure
}

const optOutPage = `<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
<title>Visitor statistics</title>
<h1>Visitor statistics</h1>
<form method="post">
<p>%STATE%
<p><button name="opt" value="%VALUE%">%BUTTON%</button>
</form>
`

// optOut asks, and keeps the answer. Only a page of this site may give it.
func (e *endpoints) optOut(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		page := strings.NewReplacer("%STATE%", "Your visits to this site are counted if you agreed to it.", "%VALUE%", "out", "%BUTTON%", "Do not count my visits")
		if len(cookieValues(r, match.OptOutCookie)) > 0 {
			page = strings.NewReplacer("%STATE%", "Your visits to this site are not counted.", "%VALUE%", "in", "%BUTTON%", "Count my visits again")
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = page.WriteString(w, optOutPage)
		return
	}
	if !e.fromSite(r) {
		http.Error(w, "this has to come from a page of this site", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 1<<10)
	opt := r.PostFormValue("opt")
	if opt != "out" && opt != "in" {
		http.Error(w, "want opt=out or opt=in", http.StatusBadRequest)
		return
	}
	http.SetCookie(w, e.mark(r, match.OptOutCookie, opt == "out"))
	if opt == "out" && e.m.cookie != nil {
		for _, c := range e.m.cookie.deletions(r, e.secure(r)) {
			http.SetCookie(w, c)
		}
	}
	if s := readSignals(r.Header); s.dest == "document" {
		http.Redirect(w, r, path.Base(r.URL.Path), http.StatusSeeOther)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
