package sources

import (
	"net/http"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/visitor"
)

// VisitorCookie gives visitors a signed client id in a first-party cookie, which the visitor
// processor reads with the same secret and name. Its Identify method is made for WithVisitor.
type VisitorCookie struct {
	Secret sidetrack.Secret // signs the id; without it no cookie is set or believed
	Name   string           // "" means "sidetrack", as in the visitor processor
	Domain string           // "" means this host only
	MaxAge time.Duration    // 0 means 395 days; browsers cut at 400
	Secure bool             // https ends at a proxy in front; always on for https here

	// Allowed says whether the visitor of r agreed to analytics_storage. nil means
	// nobody did: without consent nothing may be stored at the visitor's.
	Allowed func(r *http.Request) bool
}

// Identify returns the client id of the visitor's cookie. A page that is asked for without a
// valid one gets one set, so such answers must not be shared by caches.
func (c VisitorCookie) Identify(w http.ResponseWriter, r *http.Request) sidetrack.Visitor {
	if c.Secret.IsZero() || c.Allowed == nil || !c.Allowed(r) {
		return sidetrack.Visitor{}
	}
	name := orDefault(c.Name, "sidetrack")
	signer := visitor.NewSigner(c.Secret.Reveal())
	for _, cookie := range r.CookiesNamed(name) {
		if id, _, ok := signer.Verify(cookie.Value); ok {
			return sidetrack.Visitor{ClientID: id}
		}
	}
	if !isNavigation(r) {
		return sidetrack.Visitor{}
	}
	now := time.Now()
	id := visitor.NewClientID(now)
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: signer.Sign(id, now), Path: "/", Domain: c.Domain,
		MaxAge: int(orDefault(c.MaxAge, 395*24*time.Hour) / time.Second), HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: c.Secure || r.TLS != nil,
	})
	return sidetrack.Visitor{ClientID: id, New: true}
}
