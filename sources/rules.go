package sources

import (
	"net/http"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/match"
)

// Rules say what the middleware counts. The zero value counts a page view for every page that a browser
// shows: a GET of a document, answered 2xx with HTML, that no script and no prefetch
// asked for. Each field takes one part of that back or adds something. HEAD and OPTIONS
// are never counted.
type Rules struct {
	AnyMethod bool // also POST and others: a form that shows its page again
	AnyStatus bool // also answers that are not 2xx; pages counted as exceptions are not page views
	AnyType   bool // also answers that are not HTML
	Frames    bool // also documents in frames and objects
	Scripts   bool // also what scripts ask for: XMLHttpRequest, fetch, htmx, Turbo, Inertia, React Server Components
	Ahead     bool // also pages fetched or rendered before anybody sees them, and what their handlers send

	// NotFound sends an exception that is not fatal for a document answered 404,
	// NotFoundScripts also for one that a script asked for.
	NotFound, NotFoundScripts bool
	// Errors sends a fatal exception for a document answered with any other status from 400
	// on, ErrorsScripts also for one that a script asked for.
	Errors, ErrorsScripts bool
	// IgnorePanics sends nothing when the handler panics. Otherwise a panic is a fatal exception, which
	// names the type of the panic's value and not the value. http.ErrAbortHandler is no failure.
	IgnorePanics bool
}

// Reasons for which the middleware leaves requests out, beside sidetrack.ReasonOptOut. They are counted when the queue can
// count, once for each request that would have been looked at.
const (
	ReasonExcluded sidetrack.Reason = "excluded"  // a path of WithExclude, or WithSkip
	ReasonOwnVisit sidetrack.Reason = "own_visit" // a browser of the site's own people
	ReasonAhead    sidetrack.Reason = "prefetch"  // an event of a handler that serves a page before anybody sees it
)

// purpose is what a browser wants an answer for.
type purpose uint8

const (
	forDocument purpose = iota // a page to show, as far as the headers tell
	forFrame                   // a document inside of a page
	forScript                  // data for a script
	forPart                    // an image, a style sheet, a script, …
)

// signals is what sources take from a request's headers, in one pass over them.
type signals struct {
	dest, mode                string // Sec-Fetch-*
	script                    bool   // a library that loads pages or parts of them by script says so
	ahead                     bool   // nobody has seen the page yet: a prefetch, a prerender, a preview
	referrer, agent, language string
	hints                     [len(hintNames)]string
}

func readSignals(h http.Header) (s signals) {
	for name, values := range h {
		if len(values) == 0 {
			continue
		}
		v := values[0]
		switch name {
		case "Sec-Fetch-Dest":
			s.dest = v
		case "Sec-Fetch-Mode":
			s.mode = v
		case "Referer":
			s.referrer = v
		case "User-Agent":
			s.agent = v
		case "Accept-Language":
			s.language = v
		case "X-Requested-With": // apps put their name there
			s.script = s.script || strings.EqualFold(v, "XMLHttpRequest")
		case "Hx-Request", // htmx
			"Rsc", "Next-Action", "Next-Router-State-Tree", // React Server Components, Next.js
			"Turbo-Frame", "X-Turbo-Request-Id", // Hotwire Turbo
			"X-Inertia", "X-Pjax", "X-Up-Version": // Inertia, PJAX, Unpoly
			s.script = true
		case "Next-Router-Prefetch":
			s.ahead = true
		case "Sec-Purpose", "Purpose", "X-Purpose", "X-Moz":
			s.ahead = s.ahead || isAhead(v)
		default:
			if strings.HasPrefix(name, "Sec-Ch-Ua") {
				for i := range hintNames {
					if hintNames[i].header == name {
						s.hints[i] = v
					}
				}
			}
		}
	}
	return s
}

func isAhead(v string) bool {
	v = strings.ToLower(strings.TrimSpace(v))
	return strings.HasPrefix(v, "prefetch") || strings.HasPrefix(v, "preview") || strings.HasPrefix(v, "prerender")
}

// purpose reads what the headers say. Browsers that send none of them get the benefit of
// the doubt.
func (s *signals) purpose() purpose {
	switch s.dest {
	case "", "document":
	case "empty":
		return forScript
	case "iframe", "frame", "object", "embed", "fencedframe":
		return forFrame
	default:
		return forPart
	}
	if s.script || s.mode == "cors" || s.mode == "same-origin" || s.mode == "websocket" {
		return forScript
	}
	return forDocument
}

// first is Header.Get for a name in canonical form.
func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// candidate is what may come of a request, as far as it is known before the answer.
type candidate struct {
	view      bool // a page view
	notFound  bool // an exception for 404
	failure   bool // an exception for another error
	mayIssue  bool // a page whose answer may set the visitor's cookie
	speculate bool
}

// consider says what may come of a request.
func (rules *Rules) consider(method string, s *signals) candidate {
	switch method {
	case http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return candidate{}
	}
	want := s.purpose()
	if s.ahead && !rules.Ahead {
		return candidate{speculate: true}
	}
	c := candidate{
		view:      rules.AnyMethod || method == http.MethodGet,
		mayIssue:  want == forDocument && !s.ahead,
		speculate: s.ahead,
	}
	switch want {
	case forDocument:
		c.notFound, c.failure = rules.NotFound, rules.Errors
	case forScript:
		c.view = c.view && rules.Scripts
		c.notFound, c.failure = rules.NotFound && rules.NotFoundScripts, rules.Errors && rules.ErrorsScripts
	case forFrame:
		c.view = c.view && rules.Frames
		c.notFound, c.failure = rules.NotFound && rules.Frames, rules.Errors && rules.Frames
	case forPart:
		c.view = false
	}
	return c
}

// looked reports whether the answer matters.
func (c candidate) looked() bool { return c.view || c.notFound || c.failure || c.mayIssue }

// paths is a list of prefixes, which end with '/', and globs.
type paths []string

func (p paths) match(path string) bool {
	for _, pattern := range p {
		if strings.HasSuffix(pattern, "/") && strings.HasPrefix(path, pattern) || match.Glob(pattern, path) {
			return true
		}
	}
	return false
}

// leaveOut returns why r is not tracked at all, "" when it is.
func (m *middleware) leaveOut(r *http.Request) sidetrack.Reason {
	if len(m.exclude) > 0 && m.exclude.match(r.URL.Path) || m.skip != nil && m.skip(r) {
		return ReasonExcluded
	}
	for _, line := range r.Header["Cookie"] {
		if !strings.Contains(line, "sidetrack_o") { // both names begin with it
			continue
		}
		if !m.ownVisits && hasCookie(line, match.OwnVisitsCookie) {
			return ReasonOwnVisit
		}
		if hasCookie(line, match.OptOutCookie) {
			return sidetrack.ReasonOptOut
		}
	}
	return ""
}

// hasCookie reports whether the Cookie header has a cookie of that name with a value.
func hasCookie(line, name string) bool {
	for part := range strings.SplitSeq(line, ";") {
		if k, v, ok := strings.Cut(strings.TrimSpace(part), "="); ok && k == name && v != "" {
			return true
		}
	}
	return false
}
