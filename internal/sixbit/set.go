package sixbit

// Set is a set of numbers from 1 to 65535. It is kept as it was encoded: as bits or as ranges.
type Set struct {
	bits   Field
	ranges []Range // not nil: used instead of bits
}

// Range is the numbers from First to Last.
type Range struct{ First, Last uint16 }

// Highest is the highest number a set may hold.
const Highest = 1<<16 - 1

// SetOf makes a set of ranges.
func SetOf(ranges []Range) Set { return Set{ranges: ranges} }

// Has reports whether the number is in the set.
func (s Set) Has(id int) bool {
	if s.ranges == nil {
		return s.bits.Has(id)
	}
	for _, r := range s.ranges {
		if id >= int(r.First) && id <= int(r.Last) {
			return true
		}
	}
	return false
}

// Set reads the highest number, whether ranges follow, and a bit field or ranges. No
// number may be higher than the highest that was announced. entries reads the ranges.
func (r *Reader) Set(entries func(r *Reader, highest int) []Range) Set {
	highest := int(r.Uint(16))
	if r.Bool() {
		return Set{ranges: entries(r, highest)}
	}
	return Set{bits: r.Field(highest)}
}

// Ranges reads entries of one number or a first and a last one, 16 bits each. They need not
// be in order; none may hold 0, end before it begins or go beyond highest. The result is never nil.
func (r *Reader) Ranges(highest int) []Range {
	return r.entries(17, func() (first, last int) {
		several := r.Bool()
		first = int(r.Uint(16))
		last = first
		if several {
			last = int(r.Uint(16))
		}
		if r.err == nil && (first == 0 || last < first || last > highest) {
			r.Fail(ErrRange)
		}
		return first, last
	})
}

// FibonacciRanges reads entries whose numbers count from the entry before and are Fibonacci-coded, which
// makes them ascending (GPP, "Range (Fibonacci)"). The result is never nil.
func (r *Reader) FibonacciRanges(highest int) []Range {
	before := 0
	return r.entries(3, func() (first, last int) {
		several := r.Bool()
		first = before + r.Fibonacci(highest)
		last = first
		if several {
			last += r.Fibonacci(highest)
		}
		if r.err == nil && last > highest {
			r.Fail(ErrRange)
		}
		before = last
		return first, last
	})
}

// entries reads the number of entries and then each of them. An entry has at least least bits, so that
// a lie about their number costs no memory.
func (r *Reader) entries(least int, one func() (first, last int)) []Range {
	n := int(r.Uint(12))
	if n*least > r.Left() {
		r.Fail(ErrShort)
		return []Range{}
	}
	out := make([]Range, 0, n)
	for range n {
		first, last := one()
		if r.err != nil {
			return []Range{}
		}
		out = append(out, Range{uint16(first), uint16(last)})
	}
	return out
}
