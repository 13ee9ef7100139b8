package ipmask

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestMask(t *testing.T) {
	for _, tt := range []struct {
		in     string
		v4, v6 int
		want   string
	}{
		{"203.0.113.77", 24, 48, "203.0.113.0"},
		{"203.0.113.77", 16, 48, "203.0.0.0"},
		{"203.0.113.77", 32, 48, "203.0.113.77"},
		{"203.0.113.77", 0, 0, "0.0.0.0"},
		{"::ffff:203.0.113.77", 24, 48, "203.0.113.0"},
		{"2001:db8:1:2:3:4:5:6", 24, 48, "2001:db8:1::"},
		{"2001:db8:1:2::1%eth0", 24, 64, "2001:db8:1:2::"},
		{"fe80::1%25eth0", 24, 64, "fe80::"},
		{"2002:cb00:714d:1::1", 24, 48, "2002:cb00:7100::"},
		{"2002:cb00:714d:1::1", 16, 48, "2002:cb00::"},
		{"64:ff9b::cb00:714d", 24, 48, "64:ff9b::"},
		{"64:ff9b::cb00:714d", 24, 128, "64:ff9b::cb00:7100"},
		{"64:ff9b:1::cb00:714d", 24, 128, "invalid IP"},
		{"2001:0:cb00:714d::1", 24, 48, "invalid IP"},
		{"2001:db8::5efe:cb00:714d", 24, 128, "2001:db8::"},
		{"::cb00:714d", 24, 128, "::cb00:7100"},
		{"::1", 24, 128, "::1"},
	} {
		a, err := netip.ParseAddr(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		if got := Mask(a, tt.v4, tt.v6).String(); got != tt.want {
			t.Errorf("Mask(%s, %d, %d) = %s, want %s", tt.in, tt.v4, tt.v6, got, tt.want)
		}
	}
	if got := Mask(netip.Addr{}, 24, 48); got.IsValid() {
		t.Errorf("zero address: %s", got)
	}
}

// No bit behind the prefix survives, and addresses that share it become equal.
func TestMaskForgetsTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "a")
		other := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "b")
		v4, v6 := rapid.IntRange(0, 32).Draw(t, "v4"), rapid.IntRange(0, 64).Draw(t, "v6")
		a4, b4 := netip.AddrFrom4([4]byte(raw[:4])), netip.AddrFrom4([4]byte(other[:4]))
		if m := Mask(a4, v4, v6); Mask(m, v4, v6) != m {
			t.Fatal("not idempotent")
		}
		if pa, _ := a4.Prefix(v4); pa.Contains(b4) && Mask(a4, v4, v6) != Mask(b4, v4, v6) {
			t.Fatal("told apart within the prefix")
		}
		a6 := netip.AddrFrom16([16]byte(raw))
		m := Mask(a6, v4, v6)
		if !m.IsValid() || m.Is4() {
			return
		}
		for bit := v6; bit < 128; bit++ {
			if b := m.As16(); b[bit/8]&(0x80>>(bit%8)) != 0 {
				t.Fatalf("bit %d of %s survives in %s", bit, a6, m)
			}
		}
	})
}
