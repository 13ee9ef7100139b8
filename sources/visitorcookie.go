package sources

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
	"github.com/sidetrack-go/sidetrack/internal/visitor"
)

// VisitorCookie gives visitors a random client id in a signed first-party cookie that no script can read. The
// visitor processor reads it too, with the same secret and name.
//
// What it does depends on analytics_storage, which WithConsent tells. Granted: the cookie lasts
// MaxAge from the day the id was made; later visits do not prolong it. Unknown: it lasts for the browser's
// session, and no event carries the id; once the visitor agrees it becomes a lasting one. Denied: there is none, and one from
// before is deleted. Cookies are set with pages alone, never with an answer that caches share.
type VisitorCookie struct {
	// Secret signs the id. Without it no cookie is set or believed. OldSecrets are still believed; what
	// they signed is signed anew with the next page.
	Secret     sidetrack.Secret
	OldSecrets []sidetrack.Secret
	// Name without prefix; "" means "sidetrack". Over https it is set as __Host-<Name>, with Domain as __Secure-<Name>.
	Name string
	// Domain shares the visitor with subdomains: "shop.example". "" means this host only.
	Domain string
	// MaxAge is 395 days when zero or longer than that.
	MaxAge time.Duration
	// Secure says that browsers use https although this server sees http. It is always on where https is seen.
	Secure bool
	// NothingBeforeConsent sets no cookie while the decision is unknown, as most European
	// authorities want it.
	NothingBeforeConsent bool
	// AdoptGoogle takes the id of Google's cookie _ga over for a visitor without one of ours, with the age it
	// has. It is asked for only where analytics_storage is granted.
	AdoptGoogle bool

	once sync.Once
	jar  visitor.Jar
}

func (c *VisitorCookie) init() {
	c.once.Do(func() {
		secrets := []string{c.Secret.Reveal()}
		for _, s := range c.OldSecrets {
			secrets = append(secrets, s.Reveal())
		}
		if secrets[0] == "" {
			secrets = nil
		}
		age := c.MaxAge
		if age <= 0 || age > visitor.MaxAge {
			age = visitor.MaxAge
		}
		c.jar = visitor.NewJar(visitor.NewSigner(secrets...), orDefault(c.Name, visitor.DefaultCookie), age)
	})
}

// identify says who the visitor of r is, whether their browser knows it already, and which cookies are
// to be set with a page. mayIssue says that r asks for a page. secure says that the browser uses https.
func (c *VisitorCookie) identify(r *http.Request, consent sidetrack.Consent, secure, mayIssue bool) (who sidetrack.Visitor, known bool, cookies []*http.Cookie) {
	c.init()
	if c.jar.Signer().IsZero() {
		return sidetrack.Visitor{}, true, nil
	}
	now := time.Now()
	secure = secure || c.Secure
	state := consent.Get(sidetrack.AnalyticsStorage)
	if state == sidetrack.Denied {
		return sidetrack.Visitor{}, true, c.deletions(r, secure)
	}
	stored, name, ok := c.jar.Read(func(name string) []string { return cookieValues(r, name) }, now)
	if state == sidetrack.Unknown {
		if !ok && mayIssue && !c.NothingBeforeConsent {
			stored = visitor.Stored{ClientID: visitor.NewClientID(now), Issued: now, Pending: true}
			cookies = []*http.Cookie{c.cookie(stored, secure, now)}
		}
		return sidetrack.Visitor{}, true, cookies
	}
	switch {
	case ok && !stored.Pending && !stored.Old && name == c.name(secure):
		return sidetrack.Visitor{ClientID: stored.ClientID}, true, nil
	case ok:
		who = sidetrack.Visitor{ClientID: stored.ClientID, New: stored.Pending}
	default:
		if stored, ok = c.adopt(r, now); ok {
			who.ClientID = stored.ClientID
			break
		}
		if !mayIssue {
			return sidetrack.Visitor{}, true, nil
		}
		stored = visitor.Stored{ClientID: visitor.NewClientID(now), Issued: now}
		who = sidetrack.Visitor{ClientID: stored.ClientID, New: true}
	}
	stored.Pending = false
	return who, ok, []*http.Cookie{c.cookie(stored, secure, now)}
}

// ClientID returns the id in the visitor cookie of r, "" when r has none that is believed. It is what a
// withdrawal of consent hands to the pipeline's Suppress, before the cookie is gone.
func (c *VisitorCookie) ClientID(r *http.Request) string {
	c.init()
	if c.jar.Signer().IsZero() {
		return ""
	}
	stored, _, _ := c.jar.Read(func(name string) []string { return cookieValues(r, name) }, time.Now())
	return stored.ClientID
}

// adopt takes over the id of _ga, which counts its seconds from the visitor's first visit.
func (c *VisitorCookie) adopt(r *http.Request, now time.Time) (visitor.Stored, bool) {
	if !c.AdoptGoogle {
		return visitor.Stored{}, false
	}
	for _, value := range cookieValues(r, "_ga") {
		id, ok := gawire.ClientID(value)
		if !ok || !visitor.ValidClientID(id) {
			continue
		}
		_, seconds, _ := strings.Cut(id, ".")
		unix, err := strconv.ParseInt(seconds, 10, 64)
		issued := time.Unix(unix, 0)
		if err == nil && !issued.After(now) && now.Sub(issued) < c.jar.MaxAge() {
			return visitor.Stored{ClientID: id, Issued: issued}, true
		}
	}
	return visitor.Stored{}, false
}

// name returns the name under which the cookie is set.
func (c *VisitorCookie) name(secure bool) string {
	names := c.jar.Names()
	switch {
	case !secure:
		return names[2]
	case c.Domain != "":
		return names[1]
	}
	return names[0]
}

// cookie makes the cookie. A pending one has no age: it ends with the browser's session.
func (c *VisitorCookie) cookie(s visitor.Stored, secure bool, now time.Time) *http.Cookie {
	cookie := &http.Cookie{
		Name: c.name(secure), Value: c.jar.Signer().Sign(s), Path: "/", Domain: c.Domain,
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	}
	if !s.Pending {
		cookie.MaxAge = max(1, int(s.Issued.Add(c.jar.MaxAge()).Sub(now)/time.Second))
	}
	return cookie
}

// deletions returns the cookies that remove those r came with.
func (c *VisitorCookie) deletions(r *http.Request, secure bool) (cookies []*http.Cookie) {
	c.init()
	names := c.jar.Names()
	for i, name := range names {
		if len(cookieValues(r, name)) == 0 {
			continue
		}
		d := &http.Cookie{Name: name, Path: "/", MaxAge: -1, HttpOnly: true, Secure: secure || i < 2, SameSite: http.SameSiteLaxMode}
		cookies = append(cookies, d)
		if c.Domain != "" && i > 0 { // the browser knows one with a domain as another cookie
			shared := *d
			shared.Domain = c.Domain
			cookies = append(cookies, &shared)
		}
	}
	return cookies
}

// cookieValues returns the values of all cookies of that name.
func cookieValues(r *http.Request, name string) (values []string) {
	for _, line := range r.Header["Cookie"] {
		if !strings.Contains(line, name) {
			continue
		}
		for part := range strings.SplitSeq(line, ";") {
			if k, v, ok := strings.Cut(strings.TrimSpace(part), "="); ok && k == name {
				values = append(values, v)
			}
		}
	}
	return values
}

// isShared reports whether a cache may give the answer to other visitors: a cookie would
// then be theirs too.
func isShared(h http.Header) bool {
	for _, name := range [...]string{"Surrogate-Control", "Cdn-Cache-Control", "Cloudflare-Cdn-Cache-Control"} {
		if len(h[name]) > 0 {
			return true
		}
	}
	directives := cacheDirectives(h)
	has := func(name string) bool { return slices.Contains(directives, name) }
	switch {
	case has("private") || has("no-store"):
		return false
	case has("public") || has("s-maxage") || has("max-age") || has("immutable") || has("stale-while-revalidate"):
		return true
	case has("no-cache"):
		return false
	}
	// Without a word caches may go by these (RFC 9111, sections 4.2.1 and 4.2.2).
	return len(h["Expires"]) > 0 && first(h, "Expires") != "0" || len(h["Last-Modified"]) > 0
}

// cacheDirectives returns the names of the directives of Cache-Control. A max-age of 0 is none.
func cacheDirectives(h http.Header) (names []string) {
	for _, line := range h["Cache-Control"] {
		for d := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(d, "=")
			name, value = strings.ToLower(strings.TrimSpace(name)), strings.Trim(strings.TrimSpace(value), `"`)
			if strings.HasSuffix(name, "max-age") && value == "0" {
				name = "no-cache"
			}
			names = append(names, name)
		}
	}
	return names
}
