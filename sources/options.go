package sources

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/clientip"
)

// Option changes what the middleware does.
type Option func(*middleware)

// WithRules changes what is counted as a page view and adds exceptions.
func WithRules(rules Rules) Option { return func(m *middleware) { m.rules = rules } }

// WithExclude leaves out requests by path: "/admin/" is everything below, "/healthz" that path, "*.json"
// a glob. No page view is sent and no tracker is put into the context. Nothing is excluded by default.
func WithExclude(patterns ...string) Option {
	return func(m *middleware) { m.exclude = append(m.exclude, patterns...) }
}

// WithSkip leaves out the requests for which skip is true, as WithExclude does.
func WithSkip(skip func(*http.Request) bool) Option { return func(m *middleware) { m.skip = skip } }

// WithOwnVisits counts the browsers of the site's own people as well, which the own-visit
// endpoint has marked with a cookie.
func WithOwnVisits() Option { return func(m *middleware) { m.ownVisits = true } }

// WithTitles gives pages without a title of their own one by the router's pattern.
func WithTitles(byRoute map[string]string) Option {
	return func(m *middleware) { m.titles = byRoute }
}

// WithTitleFromHTML takes the title of a page that has no other from its <title>, read while
// the page goes out and at most 64 KiB into it. Nothing is buffered. Compressing
// middleware has to come before this one, or there is nothing to read.
func WithTitleFromHTML() Option { return func(m *middleware) { m.readTitles = true } }

// WithClientIP sets how the visitor's address is found; an invalid address means the peer's. The default
// is the peer's address, or what WithTrustedProxies says.
func WithClientIP(find func(*http.Request) netip.Addr) Option {
	return func(m *middleware) { m.clientIP = find }
}

// WithTrustedProxies believes X-Forwarded-For (or Forwarded, where that is missing) and
// X-Forwarded-Proto when the peer is one of these networks. The client is the rightmost address that is
// not of a proxy itself.
func WithTrustedProxies(networks ...netip.Prefix) Option { return WithProxyHeader("", networks...) }

// WithProxyHeader is WithTrustedProxies for proxies that write one particular header: "Forwarded", or one with a
// single address, such as "CF-Connecting-IP". No other header is believed then, and none of anybody else.
func WithProxyHeader(header string, networks ...netip.Prefix) Option {
	trusted := make([]string, len(networks))
	for i, p := range networks {
		trusted[i] = p.String()
	}
	return func(m *middleware) {
		// Formatted prefixes always parse, except the invalid one, which trusts nobody.
		m.proxies, _ = clientip.New(trusted, header)
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

// WithVisitor says who the visitor is by the site's own means, for example by a session. It is
// called before the handler. The default leaves visitors to the visitor processor.
func WithVisitor(identify func(*http.Request) sidetrack.Visitor) Option {
	return func(m *middleware) { m.visitor = identify }
}

// WithVisitorCookie gives visitors a signed cookie. See VisitorCookie.
func WithVisitorCookie(c *VisitorCookie) Option { return func(m *middleware) { m.cookie = c } }

// WithConsent states the visitor's decision on every event of the request, as consent.Resolver
// or the site itself finds it. The consent processor may restrict it further.
func WithConsent(find func(*http.Request) sidetrack.Consent) Option {
	return func(m *middleware) { m.consent = find }
}

// WithLogger gets what went wrong inside the middleware, never addresses or payloads.
// The default is slog.Default.
func WithLogger(l *slog.Logger) Option { return func(m *middleware) { m.log = l } }
