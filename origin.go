package sidetrack

import (
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Origin is what intake processors may see of a request and nobody may store: the
// raw address, cookies and a few headers. It hangs on the event by an unexported
// pointer, so no codec, logger or format verb reaches it, and the pipeline cuts it
// off when intake ends. It is read-only once an event has it, and then safe for concurrent use.
type Origin struct {
	ip     netip.Addr
	host   string
	header [len(originHeaders)]string
}

// originHeaders is the allow-list of request headers an Origin copies.
var originHeaders = [...]string{
	"Accept", "Accept-Language", "Cookie", "Dnt", "Purpose", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Gpc",
	"Sec-Purpose", "User-Agent", "X-Moz", "X-Purpose", "X-Requested-With",
}

const originCookie = 2 // index of Cookie

// NewOrigin copies the allow-listed headers of r. ip is the client's address as
// the source determined it; the zero value means unknown. r may be nil.
func NewOrigin(ip netip.Addr, r *http.Request) *Origin {
	o := new(Origin)
	o.SetIP(ip)
	if r != nil {
		o.Read(r)
	}
	return o
}

// Read copies the allow-listed headers of r into a new Origin. It must be called before any event has o.
func (o *Origin) Read(r *http.Request) {
	o.host = r.Host
	for name, v := range r.Header { // requests have fewer headers than the list, or hardly more
		i := slices.Index(originHeaders[:], name)
		switch {
		case i < 0:
		case len(v) == 1:
			o.header[i] = v[0]
		case i == originCookie: // HTTP/2 splits it
			o.header[i] = strings.Join(v, "; ")
		default:
			o.header[i] = strings.Join(v, ", ")
		}
	}
}

// SetIP sets the client's address. It must be called before any event has o.
func (o *Origin) SetIP(ip netip.Addr) { o.ip = ip.Unmap().WithZone("") }

// IP returns the client's full address, invalid when unknown. It is nil-safe, as all methods are.
func (o *Origin) IP() netip.Addr {
	if o == nil {
		return netip.Addr{}
	}
	return o.ip
}

// Host returns the host the request was sent to, with a port if it had one.
func (o *Origin) Host() string {
	if o == nil {
		return ""
	}
	return o.host
}

// Header returns the values of an allow-listed header joined by ", ".
func (o *Origin) Header(name string) string {
	if o == nil {
		return ""
	}
	name = http.CanonicalHeaderKey(name)
	for i := range originHeaders {
		if originHeaders[i] == name {
			return o.header[i]
		}
	}
	return ""
}

// Cookie returns the raw value of the first cookie of that name, "" when absent. Unlike
// net/http it also finds values with bytes that RFC 6265 forbids but consent tools send.
func (o *Origin) Cookie(name string) string {
	for k, v := range o.cookies() {
		if k == name {
			return v
		}
	}
	return ""
}

// CookieValues returns the raw values of all cookies of that name.
func (o *Origin) CookieValues(name string) (values []string) {
	for k, v := range o.cookies() {
		if k == name {
			values = append(values, v)
		}
	}
	return values
}

// CookieNames returns the names of all cookies in order.
func (o *Origin) CookieNames() (names []string) {
	for k := range o.cookies() {
		names = append(names, k)
	}
	return names
}

func (o *Origin) cookies() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		if o == nil || o.header[originCookie] == "" {
			return
		}
		for part := range strings.SplitSeq(o.header[originCookie], ";") {
			if k, v, ok := strings.Cut(strings.TrimSpace(part), "="); ok && !yield(k, v) {
				return
			}
		}
	}
}

// Format prints nothing of the content, whatever the verb.
func (o *Origin) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("origin(hidden)")) }

// LogValue hides the content from slog.
func (o *Origin) LogValue() slog.Value { return slog.StringValue("origin(hidden)") }

// Origin returns what the source attached; nil after intake, and on events that
// never had a request. All methods of a nil Origin work.
func (e *Event) Origin() *Origin { return e.origin }

// SetOrigin attaches o; nil cuts it off.
func (e *Event) SetOrigin(o *Origin) { e.origin = o }
