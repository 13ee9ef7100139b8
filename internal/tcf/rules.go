package tcf

import (
	"errors"
	"time"
)

// What makes a string that is well formed worthless, see Validate.
var (
	ErrGlobal    = errors.New("tcf: not specific to this service")
	ErrPolicy    = errors.New("tcf: made under a policy that was no longer in force")
	ErrDisclosed = errors.New("tcf: does not say which vendors were disclosed")
	ErrOrder     = errors.New("tcf: updated before it was created")
	ErrCMP       = errors.New("tcf: made by no registered CMP")
)

// When revisions of the framework became binding.
var (
	policy4From    = time.Date(2023, time.September, 30, 0, 0, 0, 0, time.UTC) // TCF 2.2
	disclosedSince = time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)      // TCF 2.3
)

// Validate says whether the framework lets anybody rely on the string. It looks at no
// clock but the string's own:
//
//   - only strings specific to a service are valid (global ones ended in 2021);
//   - a string made after September 2023 needs policy version 4 (TCF 2.2);
//   - one made after February 2026, or under policy version 5, needs the segment of disclosed
//     vendors (TCF 2.3).
func (t *String) Validate() error {
	switch {
	case t.CMP == 0:
		return ErrCMP
	case t.Updated.Before(t.Created):
		return ErrOrder
	case !t.ServiceSpecific:
		return ErrGlobal
	case t.PolicyVersion < 4 && !t.Updated.Before(policy4From):
		return ErrPolicy
	case t.Disclosed == nil && (t.PolicyVersion >= 5 || !t.Updated.Before(disclosedSince)):
		return ErrDisclosed
	}
	return nil
}

// Basis says on what legal bases a purpose may rest.
type Basis struct {
	LegitInterest bool // also legitimate interest that nobody objected to
}

// consentOnly reports whether policy rules out legitimate interest for a purpose: always for 1, and
// for 3 to 6 since policy version 4.
func (t *String) consentOnly(purpose int) bool {
	return purpose == 1 || t.PolicyVersion >= 4 && purpose >= 3 && purpose <= 6
}

// Permits reports whether the publisher itself may act for the purpose: by the segment for
// the publisher's own purposes where there is one, else by the decision about the purpose in general.
func (t *String) Permits(purpose int, b Basis) bool {
	consent, legit := t.Consent, t.LegitInterest
	if t.Publisher != nil {
		consent, legit = t.Publisher.Consent, t.Publisher.LegitInterest
	}
	return consent.Has(purpose) || b.LegitInterest && !t.consentOnly(purpose) && legit.Has(purpose)
}

// PermitsVendor reports whether a vendor of the Global Vendor List may act for the purpose. Each
// basis needs its bit of the purpose and its bit of the vendor; the publisher's restrictions
// go before both. A vendor that was not disclosed, where the string says which were, may nothing.
func (t *String) PermitsVendor(vendor, purpose int, b Basis) bool {
	if t.Disclosed != nil && !t.Disclosed.Has(vendor) {
		return false
	}
	consent := t.Consent.Has(purpose) && t.VendorConsent.Has(vendor)
	legit := b.LegitInterest && !t.consentOnly(purpose) && t.LegitInterest.Has(purpose) && t.VendorLegitInterest.Has(vendor)
	for _, r := range t.Restrictions {
		if r.Purpose != purpose || !r.Vendors.Has(vendor) {
			continue
		}
		switch r.Type {
		case NotAllowed:
			return false
		case RequireConsent:
			legit = false
		case RequireLegitInterest:
			consent = false
		}
	}
	return consent || legit
}
