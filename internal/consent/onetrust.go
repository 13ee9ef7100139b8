package consent

import (
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// OneTrust reads the cookies OptanonConsent and OptanonAlertBoxClosed of OneTrust and CookiePro.
type OneTrust struct {
	// Cookie holds the decision; empty: OptanonConsent.
	Cookie string `yaml:"cookie"`
	// Map says which groups each purpose takes; every one must be allowed.
	Map Map `yaml:"map"`
	// Implied also believes what the banner stores before the visitor chose: for opt-out regions. Else
	// it counts once OptanonAlertBoxClosed is there or the cookie counts an interaction.
	Implied bool `yaml:"implied"`
}

// oneTrustMap is for the groups OneTrust sets up: necessary, performance, functional, targeting.
var oneTrustMap = Map{
	sidetrack.SecurityStorage:        {"C0001"},
	sidetrack.AnalyticsStorage:       {"C0002"},
	sidetrack.FunctionalityStorage:   {"C0003"},
	sidetrack.PersonalizationStorage: {"C0003"},
	sidetrack.AdStorage:              {"C0004"},
	sidetrack.AdUserData:             {"C0004"},
	sidetrack.AdPersonalization:      {"C0004"},
}

type oneTrustReader struct {
	cookies []string
	mapping *mapping
	implied bool
}

func (c OneTrust) reader() (*oneTrustReader, error) {
	m, err := newMapping(c.Map, oneTrustMap, true)
	return &oneTrustReader{[]string{orName(c.Cookie, "OptanonConsent")}, m, c.Implied}, err
}

func (r *oneTrustReader) Name() string { return "onetrust" }

func (r *oneTrustReader) Read(o *sidetrack.Origin) (sidetrack.Consent, error) {
	chosen := r.implied || o.Cookie("OptanonAlertBoxClosed") != ""
	return eachCookie(o, r.cookies, func(raw string) (sidetrack.Consent, bool) {
		for s := range decodings(raw) {
			// The first decoding that is a query string is the one: another of its values is the address the
			// visitor came to, and what is encoded there must not become a pair of this one.
			if strings.Contains(s, "=") {
				return r.parse(s, chosen)
			}
		}
		return sidetrack.Consent{}, false
	})
}

// parse reads a query string whose value groups lists group:1 or group:0.
func (r *oneTrustReader) parse(s string, chosen bool) (sidetrack.Consent, bool) {
	groups, found, interactions := "", 0, ""
	for pair := range strings.SplitSeq(s, "&") {
		switch k, v, _ := strings.Cut(pair, "="); k {
		case "groups":
			groups = v
			found++
		case "interactionCount":
			interactions = v
		}
	}
	if found != 1 {
		return sidetrack.Consent{}, false
	}
	for decoded := range decodings(groups) {
		if choices, ok := oneTrustGroups(decoded); ok {
			c := r.mapping.consent(choices)
			if !chosen && (interactions == "" || interactions == "0") {
				// What is stored before a choice is the banner's setting, which may deny but not grant.
				for _, p := range sidetrack.Purposes() {
					if c.Get(p) == sidetrack.Granted {
						c.Set(p, sidetrack.Unknown)
					}
				}
			}
			return c, true
		}
	}
	return sidetrack.Consent{}, false
}

func oneTrustGroups(s string) ([]choice, bool) {
	var choices []choice
	for part := range strings.SplitSeq(s, ",") {
		i := strings.LastIndexByte(part, ':')
		if i <= 0 || strings.Contains(part, "%") {
			return nil, false
		}
		c := choice{name: strings.TrimSpace(part[:i])}
		switch part[i+1:] {
		case "1":
			c.state = sidetrack.Granted
		case "0":
			c.state = sidetrack.Denied
		case "2": // always inactive
			c.state = sidetrack.Denied
		default:
			return nil, false
		}
		choices = append(choices, c)
	}
	return choices, true
}
