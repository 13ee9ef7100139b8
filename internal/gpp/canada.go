package gpp

import (
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack/internal/sixbit"
	"github.com/sidetrack-go/sidetrack/internal/tcf"
)

// Canada is a section of IAB Canada's TCF, version 1: like the European one, with
// express and implied consent as its two bases.
type Canada struct {
	Created, Updated             time.Time
	CMP, CMPVersion, Screen      int
	Language                     string
	VendorListVersion, Policy    int
	NonStandardTexts             bool
	SpecialFeatures              tcf.Purposes
	Express, Implied             tcf.Purposes
	VendorExpress, VendorImplied sixbit.Set
	Restrictions                 []tcf.Restriction
	Disclosed                    *sixbit.Set // nil: no such segment
	PubExpress, PubImplied       tcf.Purposes
	CustomExpress, CustomImplied sixbit.Field
	Publisher                    bool // there is a segment for the publisher's own purposes
}

// parseCanada decodes s. The specification codes vendor ranges in Fibonacci numbers, strings of the first
// encoders in 16 bits; nothing says which, so that what does not fit the first is read as the second.
func parseCanada(s string) (*Canada, error) {
	c, err := canada(s, fibonacci, fibonacci)
	if err != nil {
		if c, err := canada(s, fixed, restricted); err == nil {
			return c, nil
		}
	}
	return c, err
}

func fibonacci(r *sixbit.Reader) sixbit.Set  { return r.Set((*sixbit.Reader).FibonacciRanges) }
func fixed(r *sixbit.Reader) sixbit.Set      { return r.Set((*sixbit.Reader).Ranges) }
func restricted(r *sixbit.Reader) sixbit.Set { return sixbit.SetOf(r.Ranges(sixbit.Highest)) }

func canada(s string, vendors, restricted func(*sixbit.Reader) sixbit.Set) (*Canada, error) {
	core, rest, more := strings.Cut(s, ".")
	r, err := sixbit.Decode(core)
	if err != nil {
		return nil, err
	}
	if version := r.Uint(6); r.Err() != nil {
		return nil, r.Err()
	} else if version != 1 {
		return nil, ErrVersion
	}
	c := new(Canada)
	c.Created, c.Updated = deciseconds(&r), deciseconds(&r)
	c.CMP, c.CMPVersion, c.Screen = int(r.Uint(12)), int(r.Uint(12)), int(r.Uint(6))
	l := r.Letters()
	c.Language = string(l[:])
	c.VendorListVersion, c.Policy = int(r.Uint(12)), int(r.Uint(6))
	c.NonStandardTexts = r.Bool()
	c.SpecialFeatures = tcf.Purposes(r.Uint(12)) << 12
	c.Express, c.Implied = tcf.Purposes(r.Uint(24)), tcf.Purposes(r.Uint(24))
	c.VendorExpress, c.VendorImplied = vendors(&r), vendors(&r)
	if c.Restrictions, err = tcf.ReadRestrictions(&r, restricted); err != nil {
		return nil, err
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	for more {
		var segment string
		segment, rest, more = strings.Cut(rest, ".")
		if err := c.segment(segment, vendors); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *Canada) segment(s string, vendors func(*sixbit.Reader) sixbit.Set) error {
	r, err := sixbit.Decode(s)
	if err != nil {
		return err
	}
	switch kind := r.Uint(3); {
	case kind == 1 && c.Disclosed == nil:
		v := vendors(&r)
		c.Disclosed = &v
	case kind == 3 && !c.Publisher:
		c.Publisher = true
		c.PubExpress, c.PubImplied = tcf.Purposes(r.Uint(24)), tcf.Purposes(r.Uint(24))
		n := int(r.Uint(6))
		c.CustomExpress, c.CustomImplied = r.Field(n), r.Field(n)
	default:
		return tcf.ErrSegment
	}
	return r.End()
}

// Permits reports whether the publisher may act for the purpose, on express or implied consent: by
// the segment for its own purposes where there is one.
func (c *Canada) Permits(purpose int) bool {
	if c.Publisher {
		return c.PubExpress.Has(purpose) || c.PubImplied.Has(purpose)
	}
	return c.Express.Has(purpose) || c.Implied.Has(purpose)
}

// PermitsVendor reports whether a vendor may act for the purpose.
func (c *Canada) PermitsVendor(vendor, purpose int) bool {
	if c.Disclosed != nil && !c.Disclosed.Has(vendor) {
		return false
	}
	express := c.Express.Has(purpose) && c.VendorExpress.Has(vendor)
	implied := c.Implied.Has(purpose) && c.VendorImplied.Has(vendor)
	for _, r := range c.Restrictions {
		if r.Purpose != purpose || !r.Vendors.Has(vendor) {
			continue
		}
		switch r.Type {
		case tcf.NotAllowed:
			return false
		case tcf.RequireConsent: // express consent
			implied = false
		case tcf.RequireLegitInterest: // implied consent
			express = false
		}
	}
	return express || implied
}

func deciseconds(r *sixbit.Reader) time.Time { return time.UnixMilli(int64(r.Uint(36)) * 100).UTC() }
