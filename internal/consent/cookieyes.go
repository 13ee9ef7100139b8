package consent

import (
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// CookieYes reads the cookie cookieyes-consent of CookieYes.
type CookieYes struct {
	// Cookie holds the decision; empty: cookieyes-consent.
	Cookie string `yaml:"cookie"`
	// Map says which of necessary, functional, analytics, performance, advertisement and other each purpose takes.
	Map Map `yaml:"map"`
}

var cookieYesMap = Map{
	sidetrack.SecurityStorage:        {"necessary"},
	sidetrack.AnalyticsStorage:       {"analytics"},
	sidetrack.FunctionalityStorage:   {"functional"},
	sidetrack.PersonalizationStorage: {"functional"},
	sidetrack.AdStorage:              {"advertisement"},
	sidetrack.AdUserData:             {"advertisement"},
	sidetrack.AdPersonalization:      {"advertisement"},
}

type cookieYesReader struct {
	cookies []string
	mapping *mapping
}

func (c CookieYes) reader() (*cookieYesReader, error) {
	m, err := newMapping(c.Map, cookieYesMap, true)
	return &cookieYesReader{[]string{orName(c.Cookie, "cookieyes-consent")}, m}, err
}

func (r *cookieYesReader) Name() string { return "cookieyes" }

func (r *cookieYesReader) Read(o *sidetrack.Origin) (sidetrack.Consent, error) {
	return eachCookie(o, r.cookies, decoded(r.parse))
}

// parse reads consentid:…,consent:yes,action:yes,necessary:yes,analytics:no,… where action:yes says
// that the visitor chose. Before that nothing is decided.
func (r *cookieYesReader) parse(s string) (sidetrack.Consent, bool) {
	var choices []choice
	chose, known := false, false
	for pair := range strings.SplitSeq(s, ",") {
		k, v, ok := strings.Cut(pair, ":")
		if !ok {
			return sidetrack.Consent{}, false
		}
		switch k = strings.TrimSpace(k); k {
		case "action":
			chose, known = v == "yes", true
		case "consentid", "consent", "lastRenewedDate":
		default:
			c := choice{name: k}
			switch v {
			case "yes":
				c.state = sidetrack.Granted
			case "no":
				c.state = sidetrack.Denied
			case "":
			default:
				return sidetrack.Consent{}, false
			}
			choices = append(choices, c)
		}
	}
	switch {
	case !known:
		return sidetrack.Consent{}, false
	case !chose:
		return sidetrack.Consent{}, true
	}
	return r.mapping.consent(choices), true
}
