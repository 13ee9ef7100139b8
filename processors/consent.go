package processors

import (
	"context"
	"slices"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/consent"
	"github.com/sidetrack-go/sidetrack/internal/match"
)

// ConsentConfig is the configuration of the consent processor. The fields are those of
// sources/consent.Config, which is the same type.
type ConsentConfig = consent.Config

// ConsentDefaults denies what is unknown, honours GPC, ignores DNT and reads no cookie.
func ConsentDefaults() ConsentConfig { return consent.Defaults() }

// NewConsent makes the processor that resolves the state of consent: from the event itself, the cookies
// of consent tools, Sec-GPC and DNT, of which the strictest counts. It drops only what comes from
// visitors who opted out of being counted at all, by the cookie of the middleware's endpoint: everybody else's
// events are for each sink's gate, by the purposes it needs. Of an event with
// ad_user_data denied it takes the user data, so that it is not stored. Intake only.
func NewConsent(cfg ConsentConfig) (sidetrack.Processor, error) {
	r, err := consent.New(cfg)
	if err != nil {
		return nil, err
	}
	return &resolve{r}, nil
}

type resolve struct{ resolver *consent.Resolver }

func (p *resolve) Process(_ context.Context, e *sidetrack.Event) error {
	if slices.ContainsFunc(e.Origin().CookieValues(match.OptOutCookie), func(v string) bool { return v != "" }) {
		return sidetrack.Drop(sidetrack.ReasonOptOut)
	}
	e.Consent = p.resolver.Resolve(e.Origin(), e.Consent)
	if e.Consent.Get(sidetrack.AdUserData) == sidetrack.Denied {
		e.UserData = nil
	}
	return nil
}
