package gtag

import (
	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// Session is what a _ga_<stream> cookie says. Only its ID is certain to be there.
type Session = gawire.Session

// Signal is one purpose of a gcd string: what the page set and what the visitor decided.
type Signal = gawire.Signal

// GCD is the content of a gcd string, the four purposes of Consent Mode v2.
type GCD = gawire.GCD

// ClientID reads the client id of a _ga cookie's value.
func ClientID(cookie string) (id string, ok bool) { return gawire.ClientID(cookie) }

// ParseSession reads a session cookie, of either layout, by its name and value. A field that
// is missing or broken costs only itself.
func ParseSession(name, value string) (Session, bool) { return gawire.ParseSession(name, value) }

// ParseGCD reads a gcd string. ok is false when it is none.
func ParseGCD(s string) (g GCD, ok bool) { return gawire.ParseGCD(s) }

// ParseGCS reads a gcs string: the state of two purposes at the time of the hit. ok is false
// when it is none.
func ParseGCS(s string) (adStorage, analyticsStorage sidetrack.State, ok bool) {
	return gawire.ParseGCS(s)
}
