package jsonenc

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// FuzzAppendString holds the encoder against encoding/json's reading of it.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "a", `"\`, "\n\r\t\x00\x1f\x7f", "ü日本😀", "\xff\xfea\xc3", "</script>\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := AppendString([]byte("x"), s)
		var back string
		if err := json.Unmarshal(b[1:], &back); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if want := strings.ToValidUTF8(s, "\x00"); strings.ReplaceAll(back, "\ufffd", "") != strings.ReplaceAll(strings.ReplaceAll(want, "\x00", ""), "\ufffd", "") && !strings.Contains(s, "\x00") {
			t.Fatalf("%q became %q", s, back)
		}
	})
}

func TestAppendFloat(t *testing.T) {
	for f, want := range map[float64]string{0: "0", 1.5: "1.5", 1e21: "1e+21", 1e20: "100000000000000000000", 1e-7: "1e-07", -2: "-2"} {
		b, ok := AppendFloat(nil, f)
		if !ok || string(b) != want || !json.Valid(b) {
			t.Errorf("%v: %s %v", f, b, ok)
		}
	}
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if b, ok := AppendFloat(nil, f); ok || len(b) > 0 {
			t.Errorf("%v: %s", f, b)
		}
	}
}
