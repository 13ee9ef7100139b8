package size

import (
	"math"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		in   string
		want Bytes
		ok   bool
	}{
		{"0", 0, true},
		{"1", 1, true},
		{"17B", 17, true},
		{"512KiB", 512 << 10, true},
		{"512kib", 512 << 10, true},
		{"100MB", 100_000_000, true},
		{"100 MB", 100_000_000, true},
		{"1.5GB", 1_500_000_000, true},
		{"8GB", 8_000_000_000, true},
		{"2TiB", 2 << 40, true},
		{"9223372036854775807", math.MaxInt64, true},
		{"9223372036854775808", 0, false},
		{"9000000TiB", 0, false},
		{"9000000.5TiB", 0, false},
		{"", 0, false},
		{"MB", 0, false},
		{"-1MB", 0, false},
		{"+1MB", 0, false},
		{"1e3", 0, false},
		{"1.2.3MB", 0, false},
		{"10XB", 0, false},
		{"10M", 0, false},
		{"NaN", 0, false},
		{"Inf", 0, false},
		{"0x10", 0, false},
		{"1_000", 0, false},
	}
	for _, tt := range tests {
		var got Bytes
		err := got.UnmarshalText([]byte(tt.in))
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("%q: got %d, %v; want %d, ok %v", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

func TestString(t *testing.T) {
	for in, want := range map[Bytes]string{
		0: "0B", 1: "1B", 1000: "1KB", 1024: "1KiB", 1500: "1500B", 8_000_000_000: "8GB", 4 << 20: "4MiB",
		100_000_000: "100MB", -5: "-5B",
	} {
		if got := in.String(); got != want {
			t.Errorf("%d: got %s, want %s", int64(in), got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1", "1.5GB", "512KiB", "-1", "x", "99999999999999999999TB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := Parse(s)
		if err != nil {
			return
		}
		if b < 0 {
			t.Fatalf("%q: negative %d", s, b)
		}
		again, err := Parse(b.String())
		if err != nil || again != b {
			t.Fatalf("%q: %d prints as %s, which reads as %d, %v", s, b, b, again, err)
		}
	})
}
