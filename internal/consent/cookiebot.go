package consent

import (
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// Cookiebot reads the cookie CookieConsent of Cookiebot (Cookiebot, "Developer", server-side usage).
type Cookiebot struct {
	// Cookie holds the decision; empty: CookieConsent.
	Cookie string `yaml:"cookie"`
	// Map says which of necessary, preferences, statistics and marketing each purpose takes.
	Map Map `yaml:"map"`
	// Implied also believes consent that was not given by a choice: method implied, and the value -1 that
	// says the visitor is where no consent is needed.
	Implied bool `yaml:"implied"`
}

var cookiebotMap = Map{
	sidetrack.SecurityStorage:        {"necessary"},
	sidetrack.AnalyticsStorage:       {"statistics"},
	sidetrack.FunctionalityStorage:   {"preferences"},
	sidetrack.PersonalizationStorage: {"preferences"},
	sidetrack.AdStorage:              {"marketing"},
	sidetrack.AdUserData:             {"marketing"},
	sidetrack.AdPersonalization:      {"marketing"},
}

type cookiebotReader struct {
	cookies []string
	mapping *mapping
	implied bool
}

func (c Cookiebot) reader() (*cookiebotReader, error) {
	m, err := newMapping(c.Map, cookiebotMap, true)
	return &cookiebotReader{[]string{orName(c.Cookie, "CookieConsent")}, m, c.Implied}, err
}

func (r *cookiebotReader) Name() string { return "cookiebot" }

func (r *cookiebotReader) Read(o *sidetrack.Origin) (sidetrack.Consent, error) {
	return eachCookie(o, r.cookies, decoded(r.parse))
}

// parse reads {stamp:'…',necessary:true,…,method:'explicit',…}, which is no JSON, or 0 (refused) or -1.
func (r *cookiebotReader) parse(s string) (sidetrack.Consent, bool) {
	switch s {
	case "0":
		return r.mapping.everything(sidetrack.Denied), true
	case "-1":
		if r.implied {
			return r.mapping.everything(sidetrack.Granted), true
		}
		return sidetrack.Consent{}, true
	}
	inner, ok := strings.CutPrefix(s, "{")
	if !ok || !strings.HasSuffix(inner, "}") {
		return sidetrack.Consent{}, false
	}
	var choices []choice
	method := ""
	for pair := range strings.SplitSeq(strings.TrimSuffix(inner, "}"), ",") {
		k, v, _ := strings.Cut(pair, ":")
		switch k = strings.Trim(k, ` '"`); k {
		case "necessary", "preferences", "statistics", "marketing":
			c := choice{name: k}
			switch strings.TrimSpace(v) {
			case "true":
				c.state = sidetrack.Granted
			case "false":
				c.state = sidetrack.Denied
			default:
				return sidetrack.Consent{}, false
			}
			choices = append(choices, c)
		case "method":
			method = strings.Trim(v, ` '"`)
		}
	}
	if len(choices) == 0 {
		return sidetrack.Consent{}, false
	}
	if method == "implied" && !r.implied {
		for i := range choices {
			if choices[i].state == sidetrack.Granted {
				choices[i].state = sidetrack.Unknown
			}
		}
	}
	return r.mapping.consent(choices), true
}
