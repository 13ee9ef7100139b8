// Package consent finds out what a visitor decided: it reads the cookies of consent tools, the
// IAB's strings and the browser's signals, and lets the strictest of them count.
package consent

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// ErrUnreadable is what a reader returns for a decision that is there and cannot be read.
var ErrUnreadable = errors.New("consent: unreadable decision")

// Reader learns a decision from a request. It is safe for concurrent use and never panics,
// whatever the visitor sends.
type Reader interface {
	// Name is the value of Consent.How.
	Name() string
	// Read returns the zero Consent when nobody decided, and ErrUnreadable when somebody did but it
	// cannot be told what.
	Read(o *sidetrack.Origin) (sidetrack.Consent, error)
}

// Config says how consent is found out. Start from Defaults.
type Config struct {
	// Unknown says what a purpose counts as that nobody decided about: denied (opt-in) or granted
	// (opt-out regions only).
	Unknown string `yaml:"unknown" enum:"denied,granted"`
	// GPC says what Global Privacy Control (the header Sec-GPC: 1) means: honour denies the ad_* purposes, strict
	// also analytics_storage, ignore nothing.
	GPC string `yaml:"gpc" enum:"honour,strict,ignore"`
	// DNT says what Do Not Track (the header DNT: 1) means: honour denies the ad_* purposes and
	// analytics_storage, ignore nothing.
	DNT string `yaml:"dnt" enum:"ignore,honour"`
	// Cookie is short for the reader consent_mode with this cookie. Empty: none is read.
	Cookie string `yaml:"cookie"`
	// Readers are what decisions are read from, all that are there; the strictest counts.
	Readers Readers `yaml:"readers"`
}

// Readers are the readers in use: those that are not nil. The zero value of each has its defaults.
type Readers struct {
	// Own reads the cookies of a banner of one's own, which sources/consent.Banner keeps.
	Own *Own `yaml:"own"`
	// ConsentMode reads a cookie with the state of Google's Consent Mode.
	ConsentMode *ConsentMode `yaml:"consent_mode"`
	// TCF reads the TC string of IAB Europe's Transparency and Consent Framework.
	TCF *TCF `yaml:"tcf"`
	// GPP reads the string of the IAB's Global Privacy Platform.
	GPP *GPP `yaml:"gpp"`
	// USPrivacy reads the US Privacy string.
	USPrivacy *USPrivacy `yaml:"usprivacy"`
	// OneTrust reads the cookies of OneTrust and CookiePro.
	OneTrust *OneTrust `yaml:"onetrust"`
	// Cookiebot reads the cookie of Cookiebot.
	Cookiebot *Cookiebot `yaml:"cookiebot"`
	// CookieYes reads the cookie of CookieYes.
	CookieYes *CookieYes `yaml:"cookieyes"`
	// Klaro reads the cookie of Klaro.
	Klaro *Klaro `yaml:"klaro"`
	// Didomi reads the token of Didomi.
	Didomi *Didomi `yaml:"didomi"`
	// Tarteaucitron reads the cookie of tarteaucitron.js.
	Tarteaucitron *Tarteaucitron `yaml:"tarteaucitron"`
	// Vanilla reads the cookie of vanilla-cookieconsent.
	Vanilla *Vanilla `yaml:"vanilla_cookieconsent"`
}

// Defaults denies what is unknown, honours GPC, ignores DNT and reads no cookie.
func Defaults() Config { return Config{Unknown: "denied", GPC: "honour", DNT: "ignore"} }

// Resolver finds out the state of consent. It is safe for concurrent use.
type Resolver struct {
	readers  []Reader
	gpc, dnt sidetrack.Consent // what the headers state; zero: ignored
	granted  bool              // unknown counts as granted
}

// New checks cfg. More readers than those of cfg may be given.
func New(cfg Config, more ...Reader) (*Resolver, error) {
	r := new(Resolver)
	switch cfg.Unknown {
	case "denied":
	case "granted":
		r.granted = true
	default:
		return nil, &sidetrack.FieldError{Field: "unknown", Problem: fmt.Sprintf("is %q: use denied or granted", cfg.Unknown)}
	}
	switch cfg.GPC {
	case "honour":
		r.gpc = deny("gpc", adPurposes...)
	case "strict":
		r.gpc = deny("gpc", append([]sidetrack.Purpose{sidetrack.AnalyticsStorage}, adPurposes...)...)
	case "ignore":
	default:
		return nil, &sidetrack.FieldError{Field: "gpc", Problem: fmt.Sprintf("is %q: use honour, strict or ignore", cfg.GPC)}
	}
	switch cfg.DNT {
	case "honour":
		r.dnt = deny("dnt", append([]sidetrack.Purpose{sidetrack.AnalyticsStorage}, adPurposes...)...)
	case "ignore", "":
	default:
		return nil, &sidetrack.FieldError{Field: "dnt", Problem: fmt.Sprintf("is %q: use honour or ignore", cfg.DNT)}
	}
	if cfg.Cookie != "" {
		r.readers = append(r.readers, consentMode{[]string{cfg.Cookie}})
	}
	for _, b := range cfg.Readers.builders() {
		reader, err := b.build()
		if err != nil {
			if fe, ok := errors.AsType[*sidetrack.FieldError](err); ok {
				return nil, &sidetrack.FieldError{Field: "readers." + b.name + "." + fe.Field, Problem: fe.Problem}
			}
			return nil, fmt.Errorf("consent: reader %s: %w", b.name, err)
		}
		r.readers = append(r.readers, reader)
	}
	r.readers = append(r.readers, more...)
	return r, nil
}

type builder struct {
	name  string
	build func() (Reader, error)
}

// builders lists the readers in use in a fixed order, which is that of their names in Consent.How.
func (c Readers) builders() (list []builder) {
	add := func(used bool, name string, build func() (Reader, error)) {
		if used {
			list = append(list, builder{name, build})
		}
	}
	add(c.Own != nil, "own", func() (Reader, error) { return c.Own.reader() })
	add(c.ConsentMode != nil, "consent_mode", func() (Reader, error) { return c.ConsentMode.reader() })
	add(c.TCF != nil, "tcf", func() (Reader, error) { return c.TCF.reader() })
	add(c.GPP != nil, "gpp", func() (Reader, error) { return c.GPP.reader() })
	add(c.USPrivacy != nil, "usprivacy", func() (Reader, error) { return c.USPrivacy.reader() })
	add(c.OneTrust != nil, "onetrust", func() (Reader, error) { return c.OneTrust.reader() })
	add(c.Cookiebot != nil, "cookiebot", func() (Reader, error) { return c.Cookiebot.reader() })
	add(c.CookieYes != nil, "cookieyes", func() (Reader, error) { return c.CookieYes.reader() })
	add(c.Klaro != nil, "klaro", func() (Reader, error) { return c.Klaro.reader() })
	add(c.Didomi != nil, "didomi", func() (Reader, error) { return c.Didomi.reader() })
	add(c.Tarteaucitron != nil, "tarteaucitron", func() (Reader, error) { return c.Tarteaucitron.reader() })
	add(c.Vanilla != nil, "vanilla_cookieconsent", func() (Reader, error) { return c.Vanilla.reader() })
	return list
}

// Resolve returns the state of consent of the request that o is of. stated is what the event itself says;
// denied wins over granted, whoever says it.
//
// A decision that cannot be read grants nothing and denies nothing, but it is not nobody's: what
// is unknown beside it does not become granted.
func (r *Resolver) Resolve(o *sidetrack.Origin, stated sidetrack.Consent) sidetrack.Consent {
	c := stated
	if !c.IsZero() && c.How == "" {
		c.How = "payload"
	}
	unreadable := false
	for _, reader := range r.readers {
		read, err := reader.Read(o)
		switch {
		case err != nil:
			unreadable = true
			c = c.Restrict(sidetrack.Consent{How: reader.Name() + ":unreadable"})
		case !read.IsZero():
			read.How = reader.Name()
			c = c.Restrict(read)
		}
	}
	if !r.gpc.IsZero() && strings.TrimSpace(o.Header("Sec-Gpc")) == "1" {
		c = c.Restrict(r.gpc)
	}
	if !r.dnt.IsZero() && strings.TrimSpace(o.Header("Dnt")) == "1" {
		c = c.Restrict(r.dnt)
	}
	if r.granted && !unreadable {
		c = c.Restrict(sidetrack.GrantAll("default"))
	}
	return c
}

// adPurposes are the purposes of advertising.
var adPurposes = []sidetrack.Purpose{sidetrack.AdStorage, sidetrack.AdUserData, sidetrack.AdPersonalization}

func deny(how string, purposes ...sidetrack.Purpose) sidetrack.Consent {
	c := sidetrack.Consent{How: how}
	for _, p := range purposes {
		c.Set(p, sidetrack.Denied)
	}
	return c
}
