// Package tcf decodes the TC strings of IAB Europe's Transparency and Consent Framework,
// version 2 (IAB Tech Lab, "Transparency and Consent String with Global Vendor & CMP List
// Formats", revision 2.3), whole and strictly: a string that breaks a rule of the format is an error and
// never half a decision.
package tcf

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack/internal/sixbit"
)

// MaxLength is how long a TC string may be. Browsers refuse cookies a quarter as long.
const MaxLength = 16 << 10

// What can be wrong with a string besides what sixbit reports.
var (
	ErrEmpty   = errors.New("empty")
	ErrLong    = errors.New("too long")
	ErrVersion = errors.New("not version 2")
	ErrSegment = errors.New("a segment that is empty, unknown or there twice")
)

// Purposes is a set of up to 24 purposes or special features.
type Purposes uint32

// Has reports whether purpose n is in the set.
func (p Purposes) Has(n int) bool { return n >= 1 && n <= 24 && p>>(24-n)&1 == 1 }

// String is a decoded TC string. It is read-only and safe for concurrent use.
type String struct {
	Created, Updated  time.Time // UTC, to a tenth of a second
	CMP, CMPVersion   int
	Screen            int
	Language          string // two capital letters
	VendorListVersion int
	PolicyVersion     int
	ServiceSpecific   bool
	NonStandardTexts  bool
	PublisherCountry  string // two capital letters

	SpecialFeatures Purposes // opted in
	Consent         Purposes // purposes consented to
	LegitInterest   Purposes // purposes with transparency and without objection
	// PurposeOneTreatment says that purpose 1 was not disclosed, because the publisher's country asks
	// for no consent to it.
	PurposeOneTreatment bool

	VendorConsent       sixbit.Set
	VendorLegitInterest sixbit.Set
	Restrictions        []Restriction

	Disclosed *sixbit.Set // nil: no such segment
	Allowed   *sixbit.Set // nil: no such segment; it has no meaning since revision 2.2
	Publisher *Publisher  // nil: no such segment
}

// Publisher is what the visitor decided about the publisher's own purposes.
type Publisher struct {
	Consent, LegitInterest             Purposes
	CustomConsent, CustomLegitInterest sixbit.Field
}

// RestrictionType says how a publisher restricts vendors.
type RestrictionType uint8

// The types; there is no other.
const (
	NotAllowed RestrictionType = iota
	RequireConsent
	RequireLegitInterest
)

// Restriction is a publisher's rule about some vendors and one purpose.
type Restriction struct {
	Purpose int
	Type    RestrictionType
	Vendors sixbit.Set
}

// Parse decodes s.
func Parse(s string) (*String, error) {
	switch {
	case s == "":
		return nil, fmt.Errorf("tcf: parse: %w", ErrEmpty)
	case len(s) > MaxLength:
		return nil, fmt.Errorf("tcf: parse: %w", ErrLong)
	}
	core, rest, more := strings.Cut(s, ".")
	t := new(String)
	if err := t.core(core); err != nil {
		return nil, fmt.Errorf("tcf: parse core: %w", err)
	}
	for more {
		var segment string
		segment, rest, more = strings.Cut(rest, ".")
		if err := t.segment(segment); err != nil {
			return nil, fmt.Errorf("tcf: parse segment: %w", err)
		}
	}
	return t, nil
}

func (t *String) core(s string) error {
	r, err := sixbit.Decode(s)
	if err != nil {
		return err
	}
	if version := r.Uint(6); r.Err() != nil {
		return r.Err()
	} else if version != 2 {
		return ErrVersion
	}
	t.Created, t.Updated = deciseconds(&r), deciseconds(&r)
	t.CMP, t.CMPVersion = int(r.Uint(12)), int(r.Uint(12))
	t.Screen = int(r.Uint(6))
	t.Language = letters(&r)
	t.VendorListVersion, t.PolicyVersion = int(r.Uint(12)), int(r.Uint(6))
	t.ServiceSpecific, t.NonStandardTexts = r.Bool(), r.Bool()
	t.SpecialFeatures = Purposes(r.Uint(12)) << 12
	t.Consent, t.LegitInterest = Purposes(r.Uint(24)), Purposes(r.Uint(24))
	t.PurposeOneTreatment = r.Bool()
	t.PublisherCountry = letters(&r)
	t.VendorConsent, t.VendorLegitInterest = r.Set((*sixbit.Reader).Ranges), r.Set((*sixbit.Reader).Ranges)
	if t.Restrictions, err = ReadRestrictions(&r, restricted); err != nil {
		return err
	}
	return r.End()
}

func (t *String) segment(s string) error {
	r, err := sixbit.Decode(s)
	if err != nil {
		return err
	}
	if s == "" {
		return ErrSegment
	}
	switch r.Uint(3) {
	case 1:
		return t.vendorSegment(&r, &t.Disclosed)
	case 2:
		return t.vendorSegment(&r, &t.Allowed)
	case 3:
		if t.Publisher != nil {
			return ErrSegment
		}
		p := &Publisher{Consent: Purposes(r.Uint(24)), LegitInterest: Purposes(r.Uint(24))}
		n := int(r.Uint(6))
		p.CustomConsent, p.CustomLegitInterest = r.Field(n), r.Field(n)
		t.Publisher = p
		return r.End()
	}
	return ErrSegment
}

func (t *String) vendorSegment(r *sixbit.Reader, into **sixbit.Set) error {
	if *into != nil {
		return ErrSegment
	}
	v := r.Set((*sixbit.Reader).Ranges)
	*into = &v
	return r.End()
}

func deciseconds(r *sixbit.Reader) time.Time { return time.UnixMilli(int64(r.Uint(36)) * 100).UTC() }

func letters(r *sixbit.Reader) string {
	l := r.Letters()
	return string(l[:])
}

// ReadRestrictions reads a section of publisher restrictions, whose vendors set reads. Purposes
// from 1 to 24 and the three types that mean something are in range.
func ReadRestrictions(r *sixbit.Reader, set func(*sixbit.Reader) sixbit.Set) ([]Restriction, error) {
	var out []Restriction
	for range r.Uint(12) { // an error ends it, so that a lie about their number costs nothing
		purpose, kind := int(r.Uint(6)), RestrictionType(r.Uint(2))
		v := set(r)
		if r.Err() == nil && (purpose < 1 || purpose > 24 || kind > RequireLegitInterest) {
			r.Fail(sixbit.ErrRange)
		}
		if r.Err() != nil {
			return nil, r.Err()
		}
		out = append(out, Restriction{purpose, kind, v})
	}
	return out, r.Err()
}

// restricted reads the vendors of a restriction: ranges, without the highest id in front.
func restricted(r *sixbit.Reader) sixbit.Set { return sixbit.SetOf(r.Ranges(sixbit.Highest)) }
