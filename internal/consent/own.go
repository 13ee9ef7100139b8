package consent

import (
	"encoding/json"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// Own reads the decision the page's own banner handed over: its script sets the action cookie to
// accept or refuse, and the server answers with the status cookie. An action that the
// server has not answered yet is newer than the status and counts instead of it.
type Own struct {
	// Action is the cookie the page's script sets; empty: cookie_action.
	Action string `yaml:"action"`
	// Status is the cookie the server sets; empty: cookie_status.
	Status string `yaml:"status"`
	// Purposes are what accept grants; none: analytics_storage. Refuse denies every purpose.
	Purposes []sidetrack.Purpose `yaml:"purposes"`
}

// Names returns the names of the cookies.
func (c Own) Names() (action, status string) {
	return orName(c.Action, "cookie_action"), orName(c.Status, "cookie_status")
}

// Decision reads the value of either cookie: accept or 1, refuse or 0, or a decision by purposes as
// ParseState reads it.
func (c Own) Decision(value string) (sidetrack.Consent, bool) {
	switch strings.ToLower(value) {
	case "accept", "accepted", "1":
		if len(c.Purposes) == 0 {
			return sidetrack.Grant("", sidetrack.AnalyticsStorage), true
		}
		return sidetrack.Grant("", c.Purposes...), true
	case "refuse", "refused", "0":
		return deny("", sidetrack.Purposes()...), true
	}
	return ParseState(value)
}

type ownReader struct {
	own            Own
	action, status string
}

func (c Own) reader() (*ownReader, error) {
	if err := checkPurposes("purposes", c.Purposes); err != nil {
		return nil, err
	}
	action, status := c.Names()
	if action == status {
		return nil, &sidetrack.FieldError{Field: "status", Problem: "is the action cookie too: they need two names"}
	}
	return &ownReader{c, action, status}, nil
}

func (r *ownReader) Name() string { return "own" }

func (r *ownReader) Read(o *sidetrack.Origin) (sidetrack.Consent, error) {
	c, err := eachCookie(o, []string{r.action}, decoded(r.own.Decision))
	if err != nil || !c.IsZero() {
		return c, err
	}
	return eachCookie(o, []string{r.status}, decoded(r.own.Decision))
}

// ConsentMode reads a cookie that holds the state of Google's Consent Mode, as ParseState reads it: for
// banners that write it for the server.
type ConsentMode struct {
	// Cookie holds the state; empty: consent.
	Cookie string `yaml:"cookie"`
}

func (c ConsentMode) reader() (consentMode, error) {
	return consentMode{[]string{orName(c.Cookie, "consent")}}, nil
}

type consentMode struct{ cookies []string }

func (consentMode) Name() string { return "cookie" }

func (r consentMode) Read(o *sidetrack.Origin) (sidetrack.Consent, error) {
	return eachCookie(o, r.cookies, decoded(ParseState))
}

// ParseState reads a state of Consent Mode: granted or denied for all purposes, a list such as
// analytics_storage:granted,ad_storage:denied (also with | or & between and = within), the same as a JSON object, or what
// Google's tags send: gcs (G101) or gcd (13r3r3r3r5l1). Purposes that do not exist are skipped; a state
// that does not exist makes all of it unreadable.
func ParseState(s string) (c sidetrack.Consent, ok bool) {
	s = strings.TrimSpace(s)
	switch s {
	case "":
		return c, false
	case "granted":
		return sidetrack.GrantAll(""), true
	case "denied":
		return deny("", sidetrack.Purposes()...), true
	}
	if ads, analytics, ok := gawire.ParseGCS(s); ok {
		c.Set(sidetrack.AdStorage, ads)
		c.Set(sidetrack.AnalyticsStorage, analytics)
		return c, true
	}
	if len(s) >= 10 { // shorter ones lack purposes, and could be anything
		if g, ok := gawire.ParseGCD(s); ok {
			return g.Consent(), true
		}
	}
	if s[0] == '{' {
		var stated map[string]string
		if json.Unmarshal([]byte(s), &stated) != nil {
			return c, false
		}
		for p, v := range stated {
			if !set(&c, p, v, &ok) {
				return sidetrack.Consent{}, false
			}
		}
		return c, ok
	}
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r == '|' || r == '&' }) {
		i := strings.IndexAny(part, ":=")
		if i < 0 || !set(&c, part[:i], part[i+1:], &ok) {
			return sidetrack.Consent{}, false
		}
	}
	return c, ok
}

// set notes one purpose; it reports whether the state exists, and through known whether the purpose
// does. A purpose that is there twice keeps the stricter state.
func set(c *sidetrack.Consent, purpose, value string, known *bool) bool {
	state, good := sidetrack.ParseState(strings.TrimSpace(value))
	if !good {
		return false
	}
	p := sidetrack.Purpose(strings.TrimSpace(purpose))
	if c.Get(p) != sidetrack.Denied {
		*known = c.Set(p, state) || *known
	}
	return true
}
