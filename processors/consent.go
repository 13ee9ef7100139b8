package processors

import (
	"context"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/consent"
)

// ConsentConfig is the configuration of the consent processor. The fields are those of
// sources/consent.Config, which is the same type.
type ConsentConfig = consent.Config

// ConsentDefaults denies what is unknown, honours GPC, ignores DNT and reads no cookie.
func ConsentDefaults() ConsentConfig { return consent.Defaults() }

// NewConsent makes the processor that resolves the state of consent: from the event itself, the cookies
// of consent tools, Sec-GPC and DNT, of which the strictest counts. It never drops: each
// sink is gated by the purposes it needs. Intake only.
func NewConsent(cfg ConsentConfig) (sidetrack.Processor, error) {
	r, err := consent.New(cfg)
	if err != nil {
		return nil, err
	}
	return &resolve{r}, nil
}

type resolve struct{ resolver *consent.Resolver }

func (p *resolve) Process(_ context.Context, e *sidetrack.Event) error {
	e.Consent = p.resolver.Resolve(e.Origin(), e.Consent)
	return nil
}
