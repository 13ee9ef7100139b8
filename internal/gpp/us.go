package gpp

import (
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack/internal/sixbit"
)

// Choice is a two-bit field of a US section. What 1 and 2 mean depends on the field.
type Choice uint8

// The values of the fields about opting out. 3 does not exist.
const (
	Unset     Choice = 0 // not applicable, or no notice was given
	OptedOut  Choice = 1 // for consents: no consent; for notices: given
	DidNotOpt Choice = 2 // for consents: consent; for notices: not given
)

// USSection is a section of the US as a whole or of one state. A field the section does not have
// is Unset or nil.
type USSection struct {
	ID      int
	Version int // of the section; in sections that have none, of the agreement (MSPA)

	SharingNotice, ProcessingNotice                          Choice
	SaleNotice, SharingOptOutNotice, TargetedNotice          Choice
	SensitiveProcessingNotice, SensitiveLimitNotice          Choice
	SaleOptOut, SharingOptOut, TargetedAdvertisingOptOut     Choice
	SensitiveData                                            []Choice // consent by category, in the section's order
	KnownChild                                               []Choice // consent for children, in the section's order
	PersonalData                                             Choice   // consent to uses beyond what was collected for
	Covered, OptOutOptionMode, ServiceProviderMode, MSPAMode Choice

	GPCIncluded bool // there is a sub-section about Global Privacy Control
	GPC         bool
}

// field is one step through the core of a section: which field, and how many pairs of bits.
type field struct {
	set   func(*USSection, []Choice) // keeps nothing of its argument
	pairs int
}

// layout is how a section is encoded.
type layout struct {
	versions map[int][]field
	gpc      bool // may have a sub-section on Global Privacy Control
	// separate is for the younger sections: the core begins with the agreement's version, sensitive data
	// has a sub-section of its own where gpc is false, and the specification puts a section
	// header in front that the IAB's library leaves out. Both are read.
	separate bool
}

func one(at func(*USSection) *Choice) field {
	return field{func(u *USSection, c []Choice) { *at(u) = c[0] }, 1}
}

func sensitive(n int) field {
	return field{func(u *USSection, c []Choice) { u.SensitiveData = slices.Clone(c) }, n}
}

func child(n int) field {
	return field{func(u *USSection, c []Choice) { u.KnownChild = slices.Clone(c) }, n}
}

var (
	sharingNotice    = one(func(u *USSection) *Choice { return &u.SharingNotice })
	processingNotice = one(func(u *USSection) *Choice { return &u.ProcessingNotice })
	saleNotice       = one(func(u *USSection) *Choice { return &u.SaleNotice })
	sharingOptNotice = one(func(u *USSection) *Choice { return &u.SharingOptOutNotice })
	targetedNotice   = one(func(u *USSection) *Choice { return &u.TargetedNotice })
	sensitiveNotice  = one(func(u *USSection) *Choice { return &u.SensitiveProcessingNotice })
	limitNotice      = one(func(u *USSection) *Choice { return &u.SensitiveLimitNotice })
	sale             = one(func(u *USSection) *Choice { return &u.SaleOptOut })
	sharing          = one(func(u *USSection) *Choice { return &u.SharingOptOut })
	targeted         = one(func(u *USSection) *Choice { return &u.TargetedAdvertisingOptOut })
	personal         = one(func(u *USSection) *Choice { return &u.PersonalData })
	covered          = one(func(u *USSection) *Choice { return &u.Covered })
	optOutMode       = one(func(u *USSection) *Choice { return &u.OptOutOptionMode })
	providerMode     = one(func(u *USSection) *Choice { return &u.ServiceProviderMode })
	mspaMode         = one(func(u *USSection) *Choice { return &u.MSPAMode })
)

// state is the layout most states share: a notice, then notices and opt-outs of sale and targeted
// advertising, sensitive data, children, what else there is, and the agreement's three fields.
func state(notice field, nSensitive, nChild int, more ...field) []field {
	f := []field{notice, saleNotice, targetedNotice, sale, targeted, sensitive(nSensitive), child(nChild)}
	return append(append(f, more...), covered, optOutMode, providerMode)
}

// later is the layout of the sections of 2025, whose core begins with the agreement.
func later(more ...field) []field {
	f := []field{covered, mspaMode, processingNotice, saleNotice, targetedNotice, sale, targeted}
	return append(append(f, more...), personal)
}

func national(nSensitive, nChild int) []field {
	return []field{
		sharingNotice, saleNotice, sharingOptNotice, targetedNotice, sensitiveNotice, limitNotice, sale, sharing, targeted,
		sensitive(nSensitive), child(nChild), personal, covered, optOutMode, providerMode,
	}
}

func v1(f []field) map[int][]field { return map[int][]field{1: f} }

// layouts are the US sections by id (specifications of the sections; Iowa and Utah have a notice about
// sensitive data before the opt-outs).
var layouts = map[int]layout{
	USNat: {versions: map[int][]field{1: national(12, 2), 2: national(16, 3)}, gpc: true},
	8: {versions: v1([]field{ // California
		saleNotice, sharingOptNotice, limitNotice, sale, sharing, sensitive(9), child(2), personal, covered, optOutMode, providerMode,
	}), gpc: true},
	9:  {versions: v1(state(sharingNotice, 8, 1))},            // Virginia
	10: {versions: v1(state(sharingNotice, 7, 1)), gpc: true}, // Colorado
	11: {versions: v1([]field{ // Utah
		sharingNotice, saleNotice, targetedNotice, sensitiveNotice, sale, targeted, sensitive(8), child(1), covered, optOutMode, providerMode,
	})},
	12: {versions: v1(state(sharingNotice, 8, 3)), gpc: true},               // Connecticut
	13: {versions: v1(state(processingNotice, 8, 3, personal))},             // Florida
	14: {versions: v1(state(sharingNotice, 8, 3, personal)), gpc: true},     // Montana
	15: {versions: v1(state(processingNotice, 11, 3, personal)), gpc: true}, // Oregon
	16: {versions: v1(state(processingNotice, 8, 1, personal)), gpc: true},  // Texas
	17: {versions: v1(state(processingNotice, 9, 5, personal)), gpc: true},  // Delaware
	18: {versions: v1([]field{ // Iowa
		processingNotice, saleNotice, targetedNotice, sensitiveNotice, sale, targeted, sensitive(8), child(1), covered, optOutMode, providerMode,
	}), gpc: true},
	19: {versions: v1(state(processingNotice, 8, 1, personal)), gpc: true},  // Nebraska
	20: {versions: v1(state(processingNotice, 8, 3, personal)), gpc: true},  // New Hampshire
	21: {versions: v1(state(processingNotice, 10, 5, personal)), gpc: true}, // New Jersey
	22: {versions: v1(state(processingNotice, 8, 1, personal)), gpc: true},  // Tennessee
	23: {versions: v1(state(processingNotice, 8, 1, personal)), gpc: true},  // Minnesota
	24: {versions: v1(later()), gpc: true, separate: true},                  // Maryland
	25: {versions: v1(later(child(1))), separate: true},                     // Indiana
	26: {versions: v1(later(child(1))), separate: true},                     // Kentucky
	27: {versions: v1(later(child(1))), separate: true},                     // Rhode Island
}

// parse decodes a section: the core, and at most one sub-section.
func (l layout) parse(id int, s string) (USSection, error) {
	core, sub, more := strings.Cut(s, ".")
	if l.separate && core != "" {
		if r, err := sixbit.Decode(core[:1]); err == nil && int(r.Uint(6)) == id {
			if err := sectionHeader(core); err != nil {
				return USSection{}, err
			}
			if !more {
				return USSection{}, ErrFormat
			}
			core, sub, more = strings.Cut(sub, ".")
		}
	}
	u := USSection{ID: id}
	r, err := sixbit.Decode(core)
	if err != nil {
		return u, err
	}
	u.Version = int(r.Uint(6))
	fields, ok := l.versions[u.Version]
	switch {
	case r.Err() != nil:
		return u, r.Err()
	case !ok:
		return u, ErrVersion
	}
	if err := u.read(&r, fields); err != nil {
		return u, err
	}
	if !more {
		return u, nil
	}
	r, err = sixbit.Decode(sub) // a second dot is no character of it
	switch {
	case err != nil:
		return u, err
	case l.gpc:
		if kind := r.Uint(2); r.Err() == nil && kind != 1 {
			return u, ErrFormat
		}
		u.GPCIncluded, u.GPC = true, r.Bool()
		return u, r.End()
	case l.separate:
		return u, u.read(&r, []field{sensitive(8)})
	}
	return u, ErrFormat
}

// sectionHeader checks the id's version; the list of sub-sections that follows is not needed, as
// they are counted by their dots.
func sectionHeader(s string) error {
	r, err := sixbit.Decode(s)
	if err != nil {
		return err
	}
	if r.Uint(6); r.Uint(6) != 1 {
		return ErrVersion
	}
	return r.Err()
}

// read takes the fields one after the other. No pair of bits is 3.
func (u *USSection) read(r *sixbit.Reader, fields []field) error {
	var room [16]Choice // no field has more
	for _, f := range fields {
		values := room[:f.pairs]
		for i := range f.pairs {
			values[i] = Choice(r.Uint(2))
			if values[i] > DidNotOpt {
				r.Fail(sixbit.ErrRange)
			}
		}
		if r.Err() != nil {
			return r.Err()
		}
		f.set(u, values)
	}
	return r.End()
}
