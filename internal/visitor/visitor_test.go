package visitor

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestSigner(t *testing.T) {
	s := NewSigner("secret")
	issued := time.Unix(1_700_000_000, 0)
	v := s.Sign("123.456", issued)
	id, at, ok := s.Verify(v)
	if !ok || id != "123.456" || !at.Equal(issued) {
		t.Errorf("%q: %s %v %v", v, id, at, ok)
	}
	for _, bad := range []string{
		"", "v1", "v1.", "v1.123.456.1700000000", strings.Replace(v, "123", "124", 1), strings.Replace(v, "v1", "v2", 1),
		v + "x", v[:len(v)-1], "v1.a.b." + v, strings.Repeat("v1.", 100),
	} {
		if _, _, ok := s.Verify(bad); ok {
			t.Errorf("%q accepted", bad)
		}
	}
	if _, _, ok := NewSigner("other").Verify(v); ok {
		t.Error("accepted under another secret")
	}
}

func FuzzVerify(f *testing.F) {
	s := NewSigner("secret")
	f.Add(s.Sign("1.2", time.Unix(1, 0)))
	f.Fuzz(func(t *testing.T, v string) {
		if id, at, ok := s.Verify(v); ok && s.Sign(id, at) != v {
			t.Errorf("%q verifies but is signed as %q", v, s.Sign(id, at))
		}
	})
}

func TestGoogleCookies(t *testing.T) {
	for in, want := range map[string]string{
		"GA1.1.1234567890.1700000000":     "1234567890.1700000000",
		"GA1.2.1.2":                       "1.2",
		"GA1.1-2.1234567890.1700000000":   "1234567890.1700000000",
		"GA1.1.amp-XyZ":                   "",
		"GA2.1.1.2":                       "",
		"":                                "",
		"GA1.1.1234567890":                "",
		"GA1.1.12345678901234567890123.1": "",
	} {
		if got, ok := GoogleClientID(in); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %v", in, got, ok)
		}
	}
	for in, want := range map[string]GoogleSession{
		"GS1.1.1700000123.4.1.1700000200.0.0.0":         {"1700000123", "4"},
		"GS2.1.s1700000123$o4$g1$t1700000200$j60$l0$h0": {"1700000123", "4"},
		"GS2.1.s1700000123":                             {"1700000123", ""},
		"GS3.1.s1":                                      {}, "GS1.1.x.4": {}, "GS2.1.sx$o1": {}, "": {}, "GS1.1": {},
	} {
		if got, ok := ParseGoogleSession(in); got != want || ok != (want != GoogleSession{}) {
			t.Errorf("%q: %v %v", in, got, ok)
		}
	}
}

func FuzzGoogleCookies(f *testing.F) {
	f.Add("GA1.1.1.2")
	f.Add("GS2.1.s1$o2")
	f.Fuzz(func(t *testing.T, s string) {
		if id, ok := GoogleClientID(s); ok && !ValidClientID(id) {
			t.Errorf("%q gives %q", s, id)
		}
		ParseGoogleSession(s)
	})
}

func TestDaily(t *testing.T) {
	a, b := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.8")
	now := time.Unix(1_700_000_000, 0)
	for name, d := range map[string]*Daily{"random": NewDaily(""), "derived": NewDaily("secret")} {
		id := d.ClientID("shop", a, "ua", now)
		if !ValidClientID(id) {
			t.Errorf("%s: %q is no client id", name, id)
		}
		if d.ClientID("shop", a, "ua", now.Add(time.Second)) != id {
			t.Errorf("%s: changes within the day", name)
		}
		for what, other := range map[string]string{
			"site": d.ClientID("blog", a, "ua", now), "address": d.ClientID("shop", b, "ua", now),
			"user agent": d.ClientID("shop", a, "ua2", now), "boundary": d.ClientID("shopu", a, "a", now),
			"day": d.ClientID("shop", a, "ua", now.Add(24*time.Hour)),
		} {
			if other == id {
				t.Errorf("%s: the same for another %s", name, what)
			}
		}
	}
	one, two := NewDaily("s"), NewDaily("s")
	if one.ClientID("", a, "", now) != two.ClientID("", a, "", now) {
		t.Error("two processes with one secret disagree")
	}
	one, two = NewDaily(""), NewDaily("")
	if one.ClientID("", a, "", now) == two.ClientID("", a, "", now) {
		t.Error("two processes without a secret agree")
	}
	x, y := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	d := NewDaily("s")
	if d.ClientID("", x, "", now) != d.ClientID("", y, "", now) {
		t.Error("addresses of one IPv6 network are told apart")
	}
}
