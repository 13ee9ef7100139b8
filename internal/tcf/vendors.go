package tcf

import "github.com/sidetrack-go/sidetrack/internal/sixbit"

const maxVendor = 1<<16 - 1

// Vendors is a set of vendor ids. It is kept as it was encoded: as bits or as ranges.
type Vendors struct {
	bits   sixbit.Field
	ranges []idRange // not nil: used instead of bits
}

type idRange struct{ first, last uint16 }

// Has reports whether the vendor is in the set.
func (v Vendors) Has(id int) bool {
	if v.ranges == nil {
		return v.bits.Has(id)
	}
	for _, r := range v.ranges {
		if id >= int(r.first) && id <= int(r.last) {
			return true
		}
	}
	return false
}

// vendors reads a set that says itself whether it is a bit field or a list of ranges. No id
// may be higher than the highest it announces.
func vendors(r *sixbit.Reader) Vendors {
	highest := int(r.Uint(16))
	if r.Bool() {
		return Vendors{ranges: ranges(r, highest)}
	}
	return Vendors{bits: r.Field(highest)}
}

// ranges reads entries of one id or a first and a last one. They need not be in order;
// none may hold 0, end before it begins or go beyond highest. The result is never nil.
func ranges(r *sixbit.Reader, highest int) []idRange {
	n := int(r.Uint(12))
	if n*17 > r.Left() { // the least that many entries take
		r.Fail(sixbit.ErrShort)
		return []idRange{}
	}
	out := make([]idRange, 0, n)
	for range n {
		several := r.Bool()
		e := idRange{first: uint16(r.Uint(16))}
		e.last = e.first
		if several {
			e.last = uint16(r.Uint(16))
		}
		if r.Err() == nil && (e.first == 0 || e.last < e.first || int(e.last) > highest) {
			r.Fail(sixbit.ErrRange)
		}
		if r.Err() != nil {
			return []idRange{}
		}
		out = append(out, e)
	}
	return out
}
