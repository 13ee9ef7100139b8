package sixbit

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// bits writes what Reader reads: the encoder of the tests.
type bits struct{ b strings.Builder }

func (w *bits) uint(v uint64, n int) {
	for i := n - 1; i >= 0; i-- {
		w.b.WriteByte('0' + byte(v>>i&1))
	}
}

func (w *bits) fibonacci(v int) {
	fib := []int{1, 2}
	for fib[len(fib)-1] <= v {
		fib = append(fib, fib[len(fib)-1]+fib[len(fib)-2])
	}
	code := ""
	for i := len(fib) - 1; i >= 0; i-- {
		switch {
		case fib[i] <= v:
			v -= fib[i]
			code = "1" + code
		case code != "":
			code = "0" + code
		}
	}
	w.b.WriteString(code + "1")
}

func (w *bits) encode() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	s, out := w.b.String(), ""
	for len(s)%6 != 0 {
		s += "0"
	}
	for ; s != ""; s = s[6:] {
		v := 0
		for _, c := range s[:6] {
			v = v<<1 | int(c-'0')
		}
		out += alphabet[v : v+1]
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type field struct {
			n int
			v uint64
		}
		fields := rapid.SliceOf(rapid.Custom(func(t *rapid.T) field {
			n := rapid.IntRange(1, 64).Draw(t, "n")
			return field{n, rapid.Uint64().Draw(t, "v") >> (64 - n)}
		})).Draw(t, "fields")
		numbers := rapid.SliceOf(rapid.IntRange(1, 1<<16)).Draw(t, "numbers")
		var w bits
		for _, f := range fields {
			w.uint(f.v, f.n)
		}
		for _, n := range numbers {
			w.fibonacci(n)
		}
		r, err := Decode(w.encode())
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range fields {
			if got := r.Uint(f.n); got != f.v {
				t.Fatalf("field %d of %d bits: %x, want %x", i, f.n, got, f.v)
			}
		}
		for i, n := range numbers {
			if got := r.Fibonacci(1 << 16); got != n {
				t.Fatalf("number %d: %d, want %d", i, got, n)
			}
		}
		if r.Left() > 5 {
			t.Fatalf("%d bits left", r.Left())
		}
		if err := r.End(); err != nil {
			t.Fatal(err)
		}
	})
}

// The codes are those of the table in the GPP specification.
func TestFibonacci(t *testing.T) {
	for code, want := range map[string]int{"11": 1, "011": 2, "0011": 3, "1011": 4, "00011": 5, "10011": 6, "01011": 7} {
		var w bits
		w.b.WriteString(code)
		r, _ := Decode(w.encode())
		if got := r.Fibonacci(100); got != want || r.Err() != nil {
			t.Errorf("%s: %d %v, want %d", code, got, r.Err(), want)
		}
	}
	for code, want := range map[string]error{"": ErrShort, "000000": ErrShort, "101010": ErrShort, "0000000000000000000000": ErrRange, "001000000010100011": ErrRange} {
		var w bits
		w.b.WriteString(code)
		r, _ := Decode(w.encode())
		if got := r.Fibonacci(100); got != 0 || !errors.Is(r.Err(), want) {
			t.Errorf("%s: %d %v, want %v", code, got, r.Err(), want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, s := range []string{"A=", "A+", "A/", "A A", "Ä", "A\x00"} {
		if _, err := Decode(s); !errors.Is(err, ErrCharacter) {
			t.Errorf("%q: %v", s, err)
		}
	}
	r, _ := Decode("A_")
	if r.Uint(6); r.End() == nil {
		t.Error("set bits after the end pass")
	}
	r, _ = Decode("aA")
	if got := r.Letters(); !errors.Is(r.Err(), ErrRange) || got != [2]byte{} {
		t.Errorf("letters beyond z: %q %v", got, r.Err())
	}
	r, _ = Decode("A")
	if v := r.Uint(7); v != 0 || !errors.Is(r.Err(), ErrShort) || r.Left() != 0 {
		t.Errorf("%d %v %d", v, r.Err(), r.Left())
	}
	if f := r.Field(1); f.Has(1) || f.Len() != 0 {
		t.Error("a field after an error is not empty")
	}
}

func TestField(t *testing.T) {
	r, _ := Decode("oA") // 101000 000000
	r.Uint(1)
	f := r.Field(4) // 0100
	for i, want := range map[int]bool{-1: false, 0: false, 1: false, 2: true, 3: false, 4: false, 5: false, 100: false} {
		if f.Has(i) != want {
			t.Errorf("%d: %v", i, !want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add("DBACNYA", uint8(12))
	f.Fuzz(func(t *testing.T, s string, n uint8) {
		r, err := Decode(s)
		if err != nil {
			return
		}
		for r.Left() > 0 {
			before := r.Left()
			if v := r.Fibonacci(500); v > 500 || v < 0 || r.Err() == nil && v == 0 {
				t.Fatalf("%d %v", v, r.Err())
			}
			r.Uint(int(n % 65))
			if r.Left() >= before {
				t.Fatal("no progress")
			}
		}
	})
}
