package consent

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// Klaro reads the cookie of Klaro, which holds services by the names the site gave them.
type Klaro struct {
	// Cookie holds the decision; empty: klaro.
	Cookie string `yaml:"cookie"`
	// Map says which services each purpose takes. The default knows the usual names only.
	Map Map `yaml:"map"`
}

var klaroMap = Map{
	sidetrack.AnalyticsStorage:  {"analytics", "google-analytics", "googleAnalytics", "googleanalytics", "ga", "matomo", "plausible", "posthog"},
	sidetrack.AdStorage:         {"ads", "marketing", "google-ads", "googleAds", "googleads", "adsense"},
	sidetrack.AdUserData:        {"ads", "marketing", "google-ads", "googleAds", "googleads"},
	sidetrack.AdPersonalization: {"ads", "marketing", "google-ads", "googleAds", "googleads", "adsense"},
}

type klaroReader struct {
	cookies []string
	mapping *mapping
}

func (c Klaro) reader() (*klaroReader, error) {
	m, err := newMapping(c.Map, klaroMap, false)
	return &klaroReader{[]string{orName(c.Cookie, "klaro")}, m}, err
}

func (r *klaroReader) Name() string { return "klaro" }

func (r *klaroReader) Read(o *sidetrack.Origin) (sidetrack.Consent, error) {
	return eachCookie(o, r.cookies, decoded(r.parse))
}

// parse reads {"matomo":true,"ga":false}. The cookie is there only after a choice.
func (r *klaroReader) parse(s string) (sidetrack.Consent, bool) {
	var services map[string]bool
	if !strings.HasPrefix(s, "{") || json.Unmarshal([]byte(s), &services) != nil {
		return sidetrack.Consent{}, false
	}
	choices := make([]choice, 0, len(services))
	for name, allowed := range services {
		choices = append(choices, choice{name, state(allowed)})
	}
	return r.mapping.consent(choices), true
}

// Tarteaucitron reads the cookie of tarteaucitron.js, which holds services by its keys.
type Tarteaucitron struct {
	// Cookie holds the decision; empty: tarteaucitron.
	Cookie string `yaml:"cookie"`
	// Map says which services each purpose takes; those in the cookie must all be allowed.
	Map Map `yaml:"map"`
}

// tarteaucitronMap holds the keys of the usual services and those tarteaucitron has for Consent Mode (gcm…).
var tarteaucitronMap = Map{
	sidetrack.AnalyticsStorage: {
		"gcmanalyticsstorage", "gtag", "multiplegtag", "gajs", "analytics", "firebase", "matomo", "matomocloud", "matomohightrack", "plausible", "posthog",
		"mixpanel", "amplitude", "piwikpro", "atinternet", "pianoanalytics", "etracker", "clarity", "hotjar",
	},
	sidetrack.AdStorage:              {"gcmadstorage", "googleads", "adsense", "googleadwordsconversion", "googleadwordsremarketing", "doubleclick", "facebookpixel"},
	sidetrack.AdUserData:             {"gcmadsuserdata", "googleads", "googleadwordsconversion", "googleadwordsremarketing", "facebookpixel"},
	sidetrack.AdPersonalization:      {"gcmpersonalization", "googleads", "adsense", "googleadwordsremarketing", "facebookpixel"},
	sidetrack.FunctionalityStorage:   {"gcmfunctionality"},
	sidetrack.PersonalizationStorage: {"gcmpersonalization"},
	sidetrack.SecurityStorage:        {"gcmsecurity"},
}

type tarteaucitronReader struct {
	cookies []string
	mapping *mapping
}

func (c Tarteaucitron) reader() (*tarteaucitronReader, error) {
	m, err := newMapping(c.Map, tarteaucitronMap, false)
	return &tarteaucitronReader{[]string{orName(c.Cookie, "tarteaucitron")}, m}, err
}

func (r *tarteaucitronReader) Name() string { return "tarteaucitron" }

func (r *tarteaucitronReader) Read(o *sidetrack.Origin) (sidetrack.Consent, error) {
	return eachCookie(o, r.cookies, decoded(r.parse))
}

// parse reads !gajs=true!matomo=false!youtube=wait. Who still waits has not decided.
func (r *tarteaucitronReader) parse(s string) (sidetrack.Consent, bool) {
	rest, ok := strings.CutPrefix(s, "!")
	if !ok {
		return sidetrack.Consent{}, false
	}
	var choices []choice
	for part := range strings.SplitSeq(rest, "!") {
		k, v, ok := strings.Cut(part, "=")
		if !ok || k == "" {
			return sidetrack.Consent{}, false
		}
		c := choice{name: k}
		switch v {
		case "true":
			c.state = sidetrack.Granted
		case "false":
			c.state = sidetrack.Denied
		case "wait", "":
		default:
			return sidetrack.Consent{}, false
		}
		choices = append(choices, c)
	}
	return r.mapping.consent(choices), true
}

// Vanilla reads the cookie of vanilla-cookieconsent, versions 2 and 3, which holds categories by the names
// the site gave them.
type Vanilla struct {
	// Cookie holds the decision; empty: cc_cookie.
	Cookie string `yaml:"cookie"`
	// Map says which categories each purpose takes. The default knows the usual names only.
	Map Map `yaml:"map"`
}

var vanillaMap = Map{
	sidetrack.SecurityStorage:        {"necessary"},
	sidetrack.AnalyticsStorage:       {"analytics", "statistics", "performance"},
	sidetrack.FunctionalityStorage:   {"functionality", "functional", "preferences"},
	sidetrack.PersonalizationStorage: {"functionality", "functional", "preferences"},
	sidetrack.AdStorage:              {"ads", "advertisement", "marketing", "targeting"},
	sidetrack.AdUserData:             {"ads", "advertisement", "marketing", "targeting"},
	sidetrack.AdPersonalization:      {"ads", "advertisement", "marketing", "targeting"},
}

type vanillaReader struct {
	cookies []string
	mapping *mapping
}

func (c Vanilla) reader() (*vanillaReader, error) {
	m, err := newMapping(c.Map, vanillaMap, false)
	return &vanillaReader{[]string{orName(c.Cookie, "cc_cookie")}, m}, err
}

func (r *vanillaReader) Name() string { return "vanilla_cookieconsent" }

func (r *vanillaReader) Read(o *sidetrack.Origin) (sidetrack.Consent, error) {
	return eachCookie(o, r.cookies, decoded(r.parse))
}

// parse reads {"categories":["necessary","analytics"],"services":{"necessary":[],"analytics":[],"ads":[]},…}.
// Categories lists what was accepted; version 3 has every category as a key of services, version 2
// leaves what was refused out, so that there no accepted category of a purpose means denied.
func (r *vanillaReader) parse(s string) (sidetrack.Consent, bool) {
	var stored struct {
		Categories *[]string                  `json:"categories"`
		Level      *[]string                  `json:"level"` // version 2.0 to 2.6
		Services   map[string]json.RawMessage `json:"services"`
	}
	if !strings.HasPrefix(s, "{") || json.Unmarshal([]byte(s), &stored) != nil {
		return sidetrack.Consent{}, false
	}
	accepted := stored.Categories
	if accepted == nil {
		accepted = stored.Level
	}
	if accepted == nil {
		return sidetrack.Consent{}, false
	}
	var choices []choice
	is := make(map[string]bool, len(*accepted))
	for _, name := range *accepted {
		is[name] = true
		choices = append(choices, choice{name, sidetrack.Granted})
	}
	for name := range stored.Services {
		if !is[name] {
			choices = append(choices, choice{name, sidetrack.Denied})
		}
	}
	c := r.mapping.consent(choices)
	if stored.Services == nil {
		for _, p := range r.mapping.purposes {
			if c.Get(p) == sidetrack.Unknown {
				c.Set(p, sidetrack.Denied)
			}
		}
	}
	return c, true
}

// Didomi reads the cookie didomi_token of Didomi. Its purposes of the TCF are in the TC string
// beside it, which is for the reader tcf; the newer binary cookie didomi_dcs is not read.
type Didomi struct {
	// Cookie holds the decision; empty: didomi_token.
	Cookie string `yaml:"cookie"`
	// Map says which of Didomi's purposes each purpose takes, all of which must be enabled. Purposes of one's own have
	// the ids Didomi's console shows.
	Map Map `yaml:"map"`
}

// didomiMap is by Didomi's ids of the standard purposes, with the same meaning as tcfPurposes.
var didomiMap = Map{
	sidetrack.AnalyticsStorage:       {"cookies", "measure_content_performance", "market_research"},
	sidetrack.AdStorage:              {"cookies"},
	sidetrack.AdUserData:             {"cookies", "measure_ad_performance"},
	sidetrack.AdPersonalization:      {"create_ads_profile", "select_personalized_ads"},
	sidetrack.FunctionalityStorage:   {"cookies"},
	sidetrack.PersonalizationStorage: {"cookies", "create_content_profile", "select_personalized_content"},
}

type didomiReader struct {
	cookies []string
	mapping *mapping
}

func (c Didomi) reader() (*didomiReader, error) {
	m, err := newMapping(c.Map, didomiMap, true)
	return &didomiReader{[]string{orName(c.Cookie, "didomi_token")}, m}, err
}

func (r *didomiReader) Name() string { return "didomi" }

func (r *didomiReader) Read(o *sidetrack.Origin) (sidetrack.Consent, error) {
	return eachCookie(o, r.cookies, decoded(r.parse))
}

// parse reads base64 of {"purposes":{"enabled":["cookies"],"disabled":[…]},…}.
func (r *didomiReader) parse(s string) (sidetrack.Consent, bool) {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "="))
	if err != nil {
		return sidetrack.Consent{}, false
	}
	var token struct {
		Purposes *struct {
			Enabled  []string `json:"enabled"`
			Disabled []string `json:"disabled"`
		} `json:"purposes"`
		UserID string `json:"user_id"`
	}
	if json.Unmarshal(b, &token) != nil || token.UserID == "" && token.Purposes == nil {
		return sidetrack.Consent{}, false
	}
	if token.Purposes == nil { // made for a visitor who has not chosen yet
		return sidetrack.Consent{}, true
	}
	var choices []choice
	for _, id := range token.Purposes.Enabled {
		choices = append(choices, choice{id, sidetrack.Granted})
	}
	for _, id := range token.Purposes.Disabled {
		choices = append(choices, choice{id, sidetrack.Denied})
	}
	return r.mapping.consent(choices), true
}
