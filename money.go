package sidetrack

import (
	"errors"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Money is an exact decimal amount in millionths of a currency unit: 19.99 is
// 19_990_000. It is a JSON number outside. The range is about ±9.2 × 10¹² units.
type Money int64

const microPerUnit = 1_000_000

var (
	errMoneySyntax = errors.New("must be a decimal number")
	errMoneyRange  = errors.New("is out of range")
)

// ParseMoney reads a decimal number such as "19.99", "-3" or "1e3". More than six
// decimals are rounded half away from zero. It knows no currency signs or
// thousands separators.
func ParseMoney(s string) (Money, error) {
	mant, exp := s, 0
	if i := max(strings.IndexByte(s, 'e'), strings.IndexByte(s, 'E')); i >= 0 {
		n, err := strconv.Atoi(s[i+1:])
		if err != nil || n < -400 || n > 400 {
			return 0, errMoneySyntax
		}
		mant, exp = s[:i], n
	}
	neg := false
	if mant != "" && (mant[0] == '-' || mant[0] == '+') {
		neg, mant = mant[0] == '-', mant[1:]
	}
	whole, frac, _ := strings.Cut(mant, ".")
	if whole == "" && frac == "" {
		return 0, errMoneySyntax
	}
	if !isDigits(whole) || !isDigits(frac) {
		return 0, errMoneySyntax
	}
	digits := len(whole) + len(frac)
	digit := func(i int) int64 {
		if i < len(whole) {
			return int64(whole[i] - '0')
		}
		return int64(frac[i-len(whole)] - '0')
	}
	// point is where the decimal point of the micro amount lies in the digits.
	point := len(whole) + exp + 6
	var n int64
	for i := 0; i < point; i++ {
		d := int64(0)
		if i < digits {
			d = digit(i)
		} else if n == 0 {
			break
		}
		if n > (math.MaxInt64-d)/10 {
			return 0, errMoneyRange
		}
		n = n*10 + d
	}
	if point >= 0 && point < digits && digit(point) >= 5 {
		if n == math.MaxInt64 {
			return 0, errMoneyRange
		}
		n++
	}
	if neg {
		n = -n
	}
	return Money(n), nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// MoneyOf converts a float such as 19.99 to the nearest millionth. NaN and values
// out of range become zero: use ParseMoney for input that is not trusted.
func MoneyOf(f float64) Money {
	f = math.Round(f * microPerUnit)
	if math.IsNaN(f) || f >= math.MaxInt64 || f <= math.MinInt64 {
		return 0
	}
	return Money(f)
}

// Plus returns m + n. ok is false when the sum is out of range; it is held at the end of the range then.
func (m Money) Plus(n Money) (sum Money, ok bool) {
	switch {
	case n > 0 && m > math.MaxInt64-n:
		return math.MaxInt64, false
	case n < 0 && m < math.MinInt64-n:
		return math.MinInt64, false
	}
	return m + n, true
}

// Times returns m × quantity, exactly in decimals: the quantity is taken to six of them, the product is rounded half
// away from zero to the nearest millionth and held at the ends of the range. A quantity that is not a number gives zero.
func (m Money) Times(quantity float64) Money {
	q := MoneyOf(quantity)
	if q == 0 && math.Abs(quantity) >= 1 { // out of range
		q = Money(math.MaxInt64)
		if quantity < 0 {
			q = -q
		}
	}
	hi, lo := bits.Mul64(m.abs(), q.abs())
	limit := uint64(math.MaxInt64)
	if hi >= microPerUnit { // would not fit into 64 bits
		lo = limit
	} else {
		var rest uint64
		lo, rest = bits.Div64(hi, lo, microPerUnit)
		if rest >= microPerUnit/2 {
			lo++
		}
		lo = min(lo, limit)
	}
	if (m < 0) != (q < 0) {
		return -Money(lo)
	}
	return Money(lo)
}

func (m Money) abs() uint64 {
	if m < 0 {
		return -uint64(m)
	}
	return uint64(m)
}

// Float returns the nearest float64, for backends whose format is a number anyway.
func (m Money) Float() float64 { return float64(m) / microPerUnit }

// String returns the shortest decimal form: "19.99", "-3", "0.000001".
func (m Money) String() string { return string(m.append(nil)) }

func (m Money) append(b []byte) []byte {
	u := uint64(m)
	if m < 0 {
		b = append(b, '-')
		u = -u
	}
	b = strconv.AppendUint(b, u/microPerUnit, 10)
	frac := u % microPerUnit
	if frac == 0 {
		return b
	}
	b = append(b, '.')
	for div := uint64(microPerUnit / 10); frac > 0; div /= 10 {
		b = append(b, byte('0'+frac/div))
		frac %= div
	}
	return b
}

// AppendJSON appends a JSON number to b.
func (m Money) AppendJSON(b []byte) []byte { return m.append(b) }

// MarshalJSON writes a JSON number.
func (m Money) MarshalJSON() ([]byte, error) { return m.append(nil), nil }

// UnmarshalJSON reads a JSON number or a string that holds one.
func (m *Money) UnmarshalJSON(b []byte) error {
	v, err := ParseMoney(strings.Trim(string(b), `"`))
	if err != nil {
		return err
	}
	*m = v
	return nil
}
