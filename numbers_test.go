package sidetrack

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// TestAppendTime holds the writer of times against that of package time.
func TestAppendTime(t *testing.T) {
	check := func(at time.Time) {
		want := at.Format(time.RFC3339Nano)
		if got := string(appendTime([]byte("x"), at)); got != "x"+want {
			t.Fatalf("%s, want x%s", got, want)
		}
	}
	for _, year := range []int{-1, 0, 1, 999, 1999, 2026, 9999, 10000} {
		for _, ns := range []int{0, 1, 10, 100_000_000, 120_000_000, 123_000_000, 123_456_000, 999_999_999, 900_000_001} {
			check(time.Date(year, 1, 2, 3, 4, 5, ns, time.UTC))
			check(time.Date(year, 12, 31, 23, 59, 59, ns, time.UTC))
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		check(time.Unix(random.Int64N(1<<33), random.Int64N(1_000_000_000)).UTC())
	}
}

// TestWholeNumbers holds the short ways of whole numbers against package strconv.
func TestWholeNumbers(t *testing.T) {
	for _, f := range []float64{0, math.Copysign(0, -1), 1, -1, 3, 0.5, 1.5, 1e6, 1<<53 - 1, 1 << 53, 1<<53 + 2, 1e15, 1e20, 1e21, 1e300, 5e-324, math.MaxInt64, -1e18} {
		format := byte('f')
		if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
			format = 'e'
		}
		w := jsonWriter{}
		if err := w.float(f); err != nil || string(w.b) != strconv.FormatFloat(f, format, -1, 64) {
			t.Errorf("%v is written %s, %v", f, w.b, err)
		}
	}
	for _, s := range []string{"0", "-0", "1", "7", "1780000000123", "999999999999999", "9999999999999999", "9007199254740993", "123456789012345678901", "-5", "1.0", "1e3", "1e400"} {
		want, parseErr := strconv.ParseFloat(s, 64)
		sc := scanner{s: s}
		got, err := sc.float()
		if (err != nil) != (parseErr != nil) || err == nil && (got != want || math.Signbit(got) != math.Signbit(want)) {
			t.Errorf("%s is read as %v, %v", s, got, err)
		}
	}
}

// TestParseMoney holds it against exact arithmetic.
func TestParseMoney(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	digits := func(most int) string {
		b := make([]byte, random.IntN(most+1))
		for i := range b {
			b[i] = byte('0' + random.IntN(10))
		}
		return string(b)
	}
	for range 20_000 {
		whole, frac, exp := digits(12), digits(9), random.IntN(9)-4
		if whole == "" && frac == "" {
			whole = "0"
		}
		s := whole
		if frac != "" {
			s += "." + frac
		}
		if exp != 0 {
			s += string("eE"[random.IntN(2)]) + strconv.Itoa(exp)
		}
		n, _ := new(big.Int).SetString(whole+frac, 10)
		scale := exp - len(frac) + 6
		power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil)
		want := new(big.Int).Mul(n, power)
		if scale < 0 { // away from zero, and nothing here is negative
			want.Quo(n.Add(n, new(big.Int).Quo(power, big.NewInt(2))), power)
		}
		m, err := ParseMoney(s)
		if want.IsInt64() && (err != nil || int64(m) != want.Int64()) || !want.IsInt64() && err == nil {
			t.Fatalf("%s is %d, %v; want %s", s, m, err, want)
		}
	}
}
