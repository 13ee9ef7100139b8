package consent

import (
	"slices"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gpp"
	"github.com/sidetrack-go/sidetrack/internal/sixbit"
	"github.com/sidetrack-go/sidetrack/internal/tcf"
)

// TCF reads the TC string of IAB Europe's Transparency and Consent Framework.
type TCF struct {
	// Cookies are where the string is; none: euconsent-v2 and eupubconsent-v2.
	Cookies []string `yaml:"cookies"`
	// Purposes are the framework's purposes, 1 to 24, that each purpose needs, all of them. A purpose that is
	// not here keeps its default.
	Purposes map[sidetrack.Purpose][]int `yaml:"purposes"`
	// Vendors are the ids in the Global Vendor List of who gets the data of a purpose; each must be
	// permitted. Without one the publisher's own permission counts.
	Vendors map[sidetrack.Purpose][]int `yaml:"vendors"`
	// LegitimateInterest also takes legitimate interest that nobody objected to, where policy allows it.
	LegitimateInterest bool `yaml:"legitimate_interest"`
}

// tcfPurposes is the default: 1 store and access information, 3 and 4 profiles for and personalised advertising, 5 and 6
// the same for content, 7 measure advertising, 8 measure content, 9 statistics about audiences. That of the
// ad_* purposes is Google's own (Tag Platform, "Implement TCF strings").
var tcfPurposes = numbers{
	sidetrack.AnalyticsStorage:       {1, 8, 9},
	sidetrack.AdStorage:              {1},
	sidetrack.AdUserData:             {1, 7},
	sidetrack.AdPersonalization:      {3, 4},
	sidetrack.FunctionalityStorage:   {1},
	sidetrack.PersonalizationStorage: {1, 5, 6},
}

type tcfReader struct {
	cookies  []string
	purposes numbers
	vendors  numbers
	basis    tcf.Basis
}

func (c TCF) reader() (*tcfReader, error) {
	r := &tcfReader{cookies: or(c.Cookies, "euconsent-v2", "eupubconsent-v2"), basis: tcf.Basis{LegitInterest: c.LegitimateInterest}}
	var err error
	if r.purposes, err = tcfPurposes.merged("purposes", c.Purposes, 24); err != nil {
		return nil, err
	}
	if r.vendors, err = (numbers{}).merged("vendors", c.Vendors, sixbit.Highest); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *tcfReader) Name() string { return "tcf" }

func (r *tcfReader) Read(o *sidetrack.Origin) (sidetrack.Consent, error) {
	return eachCookie(o, r.cookies, decoded(func(s string) (sidetrack.Consent, bool) {
		t, err := tcf.Parse(s)
		if err != nil {
			return sidetrack.Consent{}, false
		}
		return r.europe(t)
	}))
}

// europe maps a string that may be relied on. It decides about every purpose that is mapped.
func (r *tcfReader) europe(t *tcf.String) (sidetrack.Consent, bool) {
	if t.Validate() != nil {
		return sidetrack.Consent{}, false
	}
	return r.consent(
		func(purpose int) bool { return t.Permits(purpose, r.basis) },
		func(vendor, purpose int) bool { return t.PermitsVendor(vendor, purpose, r.basis) },
	), true
}

func (r *tcfReader) consent(publisher func(purpose int) bool, vendor func(vendor, purpose int) bool) sidetrack.Consent {
	var c sidetrack.Consent
	for _, p := range sidetrack.Purposes() {
		needed := r.purposes[p]
		if len(needed) == 0 {
			continue
		}
		granted := true
		for _, n := range needed {
			if vendors := r.vendors[p]; len(vendors) == 0 {
				granted = granted && publisher(n)
			} else {
				granted = granted && !slices.ContainsFunc(vendors, func(id int) bool { return !vendor(id, n) })
			}
		}
		c.Set(p, state(granted))
	}
	return c
}

func state(granted bool) sidetrack.State {
	if granted {
		return sidetrack.Granted
	}
	return sidetrack.Denied
}

// GPP reads the string of the IAB's Global Privacy Platform. Of several sections the strictest counts.
type GPP struct {
	// Cookies are where the string is, which is not standardized; none: __gpp, gpp and OTGPPConsent.
	Cookies []string `yaml:"cookies"`
	// Sections are the ids of the sections that count; none: all.
	Sections []int `yaml:"sections"`
	// TCF maps the purposes of the European and the Canadian section; its cookies are not used.
	TCF TCF `yaml:"tcf"`
	// Sale are the purposes that opting out of the sale of personal data denies; none: the ad_* purposes.
	Sale []sidetrack.Purpose `yaml:"sale"`
	// Sharing are the purposes that opting out of the sharing of personal data denies; none: the ad_* purposes.
	Sharing []sidetrack.Purpose `yaml:"sharing"`
	// Targeted are the purposes that opting out of targeted advertising denies; none: the ad_* purposes.
	Targeted []sidetrack.Purpose `yaml:"targeted_advertising"`
}

type gppReader struct {
	cookies                 []string
	sections                []int
	tcf                     *tcfReader
	sale, sharing, targeted []sidetrack.Purpose
}

func (c GPP) reader() (*gppReader, error) {
	t, err := c.TCF.reader()
	if err != nil {
		return nil, err
	}
	r := &gppReader{cookies: or(c.Cookies, "__gpp", "gpp", "OTGPPConsent"), sections: c.Sections, tcf: t}
	for _, f := range []struct {
		name string
		from []sidetrack.Purpose
		to   *[]sidetrack.Purpose
	}{{"sale", c.Sale, &r.sale}, {"sharing", c.Sharing, &r.sharing}, {"targeted_advertising", c.Targeted, &r.targeted}} {
		if err := checkPurposes(f.name, f.from); err != nil {
			return nil, err
		}
		if *f.to = f.from; len(f.from) == 0 {
			*f.to = adPurposes
		}
	}
	return r, nil
}

func (r *gppReader) Name() string { return "gpp" }

func (r *gppReader) Read(o *sidetrack.Origin) (sidetrack.Consent, error) {
	return eachCookie(o, r.cookies, decoded(r.parse))
}

func (r *gppReader) uses(section int) bool {
	return len(r.sections) == 0 || slices.Contains(r.sections, section)
}

func (r *gppReader) parse(s string) (c sidetrack.Consent, ok bool) {
	g, err := gpp.Parse(s)
	if err != nil {
		return c, false
	}
	if g.TCFEU != nil && r.uses(gpp.TCFEUv2) {
		if c, ok = r.tcf.europe(g.TCFEU); !ok {
			return sidetrack.Consent{}, false
		}
	}
	if g.TCFCA != nil && r.uses(gpp.TCFCAv1) {
		c = c.Restrict(r.tcf.consent(g.TCFCA.Permits, g.TCFCA.PermitsVendor))
	}
	if g.USP != nil && r.uses(gpp.USPv1) {
		c = c.Restrict(usPrivacy(g.USP, r.sale))
	}
	for _, u := range g.US {
		if r.uses(u.ID) {
			c = c.Restrict(r.us(u))
		}
	}
	return c, true
}

// us maps a section of the US: opting out denies, and having had the chance and not
// opting out grants what those laws allow without consent. A child whose parents did not consent and
// Global Privacy Control deny all three.
func (r *gppReader) us(u gpp.USSection) sidetrack.Consent {
	c := optOut(u.SaleOptOut, r.sale).Restrict(optOut(u.SharingOptOut, r.sharing)).Restrict(optOut(u.TargetedAdvertisingOptOut, r.targeted))
	if u.GPC || slices.Contains(u.KnownChild, gpp.OptedOut) {
		for _, list := range [][]sidetrack.Purpose{r.sale, r.sharing, r.targeted} {
			c = c.Restrict(deny("", list...))
		}
	}
	return c
}

func optOut(choice gpp.Choice, purposes []sidetrack.Purpose) sidetrack.Consent {
	switch choice {
	case gpp.OptedOut:
		return deny("", purposes...)
	case gpp.DidNotOpt:
		return sidetrack.Grant("", purposes...)
	}
	return sidetrack.Consent{}
}

// USPrivacy reads the US Privacy string of its own cookie.
type USPrivacy struct {
	// Cookie is where the string is; empty: usprivacy.
	Cookie string `yaml:"cookie"`
	// Sale are the purposes that opting out denies; none: the ad_* purposes.
	Sale []sidetrack.Purpose `yaml:"sale"`
}

type usPrivacyReader struct {
	cookies []string
	sale    []sidetrack.Purpose
}

func (c USPrivacy) reader() (*usPrivacyReader, error) {
	if err := checkPurposes("sale", c.Sale); err != nil {
		return nil, err
	}
	r := &usPrivacyReader{[]string{orName(c.Cookie, "usprivacy")}, c.Sale}
	if len(r.sale) == 0 {
		r.sale = adPurposes
	}
	return r, nil
}

func (r *usPrivacyReader) Name() string { return "usprivacy" }

func (r *usPrivacyReader) Read(o *sidetrack.Origin) (sidetrack.Consent, error) {
	return eachCookie(o, r.cookies, decoded(func(s string) (sidetrack.Consent, bool) {
		u, err := gpp.ParseUSPrivacy(s)
		if err != nil {
			return sidetrack.Consent{}, false
		}
		return usPrivacy(u, r.sale), true
	}))
}

func usPrivacy(u *gpp.USPrivacy, sale []sidetrack.Purpose) sidetrack.Consent {
	switch u.OptOutSale {
	case gpp.Yes:
		return deny("", sale...)
	case gpp.No:
		return sidetrack.Grant("", sale...)
	}
	return sidetrack.Consent{}
}
