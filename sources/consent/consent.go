// Package consent is about what visitors decided: readers for the cookies of consent tools, the IAB's
// strings and the browser's signals, and the banner hand-over that keeps a decision in a cookie of one's own.
//
// The consent processor reads the same things with the same configuration. This package is for
// code that has to know earlier: before a visitor cookie is set, or in a handler.
package consent

import (
	"net/http"
	"net/netip"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/consent"
)

// The configuration, which is that of the consent processor too. docs/consent.md lists what each
// reader reads and what its defaults are.
type (
	Config        = consent.Config
	Readers       = consent.Readers
	Map           = consent.Map
	Own           = consent.Own
	ConsentMode   = consent.ConsentMode
	TCF           = consent.TCF
	GPP           = consent.GPP
	USPrivacy     = consent.USPrivacy
	OneTrust      = consent.OneTrust
	Cookiebot     = consent.Cookiebot
	CookieYes     = consent.CookieYes
	Klaro         = consent.Klaro
	Didomi        = consent.Didomi
	Tarteaucitron = consent.Tarteaucitron
	Vanilla       = consent.Vanilla
)

// Reader learns a decision from the cookies of a request: for a tool that has no reader here.
type Reader = consent.Reader

// ErrUnreadable is what a Reader returns for a decision that is there and cannot be read.
var ErrUnreadable = consent.ErrUnreadable

// Defaults denies what is unknown, honours GPC, ignores DNT and reads no cookie.
func Defaults() Config { return consent.Defaults() }

// Resolver finds out the state of consent of a request. It is safe for concurrent use.
type Resolver struct{ r *consent.Resolver }

// New makes a Resolver. An error is a *sidetrack.FieldError about cfg.
func New(cfg Config, more ...Reader) (*Resolver, error) {
	r, err := consent.New(cfg, more...)
	if err != nil {
		return nil, err
	}
	return &Resolver{r}, nil
}

// Resolve returns what the visitor of r decided, the strictest statement about each purpose; How
// names everything that said something. It is made for sources.WithConsent.
func (c *Resolver) Resolve(r *http.Request) sidetrack.Consent {
	return c.r.Resolve(sidetrack.NewOrigin(netip.Addr{}, r), sidetrack.Consent{})
}

// ParseState reads a state of Consent Mode: granted, denied, a list of purpose:state, the same as
// JSON, or what Google's tags send as gcs or gcd. ok is false for anything else.
func ParseState(s string) (c sidetrack.Consent, ok bool) { return consent.ParseState(s) }
