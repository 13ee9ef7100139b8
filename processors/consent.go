package processors

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// ConsentConfig is the configuration of the consent processor.
type ConsentConfig struct {
	// Unknown says what a purpose counts as that nobody decided about: denied (opt-in) or granted
	// (opt-out regions only).
	Unknown string `yaml:"unknown" enum:"denied,granted"`
	// GPC says what Global Privacy Control (the header Sec-GPC: 1) means: honour denies the ad_* purposes, strict
	// also analytics_storage, ignore nothing.
	GPC string `yaml:"gpc" enum:"honour,strict,ignore"`
	// Cookie names a cookie of your banner that holds the decision: granted or denied for all purposes, a list such as
	// analytics_storage:granted,ad_storage:denied, or the same as a JSON object. Empty: none is read.
	Cookie string `yaml:"cookie"`
}

// ConsentDefaults denies what is unknown and honours GPC.
func ConsentDefaults() ConsentConfig { return ConsentConfig{Unknown: "denied", GPC: "honour"} }

// NewConsent makes the processor that resolves the state of consent: from the event itself, the
// banner's cookie and Sec-GPC, of which the strictest counts. It never drops: each
// sink is gated by the purposes it needs. Intake only.
func NewConsent(cfg ConsentConfig) (sidetrack.Processor, error) {
	if cfg.Unknown != "denied" && cfg.Unknown != "granted" {
		return nil, &sidetrack.FieldError{Field: "unknown", Problem: fmt.Sprintf("is %q: use denied or granted", cfg.Unknown)}
	}
	switch cfg.GPC {
	case "honour", "strict", "ignore":
	default:
		return nil, &sidetrack.FieldError{Field: "gpc", Problem: fmt.Sprintf("is %q: use honour, strict or ignore", cfg.GPC)}
	}
	return &consent{cfg}, nil
}

type consent struct{ cfg ConsentConfig }

func (c *consent) Process(_ context.Context, e *sidetrack.Event) error {
	if !e.Consent.IsZero() && e.Consent.How == "" {
		e.Consent.How = "payload"
	}
	if c.cfg.Cookie != "" {
		if stated, ok := parseConsent(e.Origin().Cookie(c.cfg.Cookie)); ok {
			stated.How = "cookie"
			e.Consent = e.Consent.Restrict(stated)
		}
	}
	if c.cfg.GPC != "ignore" && strings.TrimSpace(e.Origin().Header("Sec-Gpc")) == "1" {
		gpc := sidetrack.Consent{How: "gpc"}
		for _, p := range []sidetrack.Purpose{sidetrack.AdStorage, sidetrack.AdUserData, sidetrack.AdPersonalization} {
			gpc.Set(p, sidetrack.Denied)
		}
		if c.cfg.GPC == "strict" {
			gpc.Set(sidetrack.AnalyticsStorage, sidetrack.Denied)
		}
		e.Consent = e.Consent.Restrict(gpc)
	}
	if c.cfg.Unknown == "granted" {
		e.Consent = e.Consent.Restrict(sidetrack.GrantAll("default"))
	}
	if e.Consent.Get(sidetrack.AdUserData) == sidetrack.Denied {
		e.UserData = nil // nobody may have it: it is not even stored
	}
	return nil
}

// parseConsent reads a decision: a state for all purposes, a list of purpose:state
// (also with '='), or a JSON object of them, percent-encoded or not. Purposes
// that do not exist are skipped; a state that does not exist makes all of it unreadable.
func parseConsent(s string) (c sidetrack.Consent, ok bool) {
	if decoded, err := url.PathUnescape(s); err == nil {
		s = decoded
	}
	s = strings.TrimSpace(s)
	switch s {
	case "":
		return c, false
	case "granted", "denied":
		state, _ := sidetrack.ParseState(s)
		for _, p := range sidetrack.Purposes() {
			c.Set(p, state)
		}
		return c, true
	}
	stated := map[string]string{}
	if s[0] == '{' {
		if json.Unmarshal([]byte(s), &stated) != nil {
			return c, false
		}
	} else {
		for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r == '|' || r == '&' }) {
			i := strings.IndexAny(part, ":=")
			if i < 0 {
				return c, false
			}
			stated[strings.TrimSpace(part[:i])] = strings.TrimSpace(part[i+1:])
		}
	}
	for p, v := range stated {
		state, good := sidetrack.ParseState(v)
		if !good {
			return sidetrack.Consent{}, false
		}
		ok = c.Set(sidetrack.Purpose(p), state) || ok
	}
	return c, ok
}
