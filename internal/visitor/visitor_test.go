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
	v := s.Sign(Stored{ClientID: "123.456", Issued: issued})
	c, ok := s.Verify(v)
	if !ok || c != (Stored{ClientID: "123.456", Issued: issued}) {
		t.Errorf("%q: %+v %v", v, c, ok)
	}
	if c, ok := s.Verify(s.Sign(Stored{ClientID: "1.2", Issued: issued, Pending: true})); !ok || !c.Pending {
		t.Errorf("pending: %+v %v", c, ok)
	}
	for _, bad := range []string{
		"", "v1", "v1.", "v1.123.456.1700000000", strings.Replace(v, "123", "124", 1), strings.Replace(v, "v1", "v2", 1), strings.Replace(v, "v1", "p1", 1),
		v + "x", v[:len(v)-1], "v1.a.b." + v, strings.Repeat("v1.", 100),
	} {
		if _, ok := s.Verify(bad); ok {
			t.Errorf("%q accepted", bad)
		}
	}
	if _, ok := NewSigner("other").Verify(v); ok {
		t.Error("accepted under another secret")
	}
	if c, ok := NewSigner("new", "", "secret").Verify(v); !ok || !c.Old {
		t.Errorf("an older secret: %+v %v", c, ok)
	}
	none := NewSigner("")
	if _, ok := none.Verify(v); ok || !none.IsZero() || none.Sign(c) != "" {
		t.Error("a signer without a secret believes or signs")
	}
}

func FuzzVerify(f *testing.F) {
	s := NewSigner("secret", "older")
	f.Add(s.Sign(Stored{ClientID: "1.2", Issued: time.Unix(1, 0)}))
	f.Add(s.Sign(Stored{ClientID: "1.2", Issued: time.Unix(1, 0), Pending: true}))
	f.Add("v1.1.2.3." + strings.Repeat("A", 22))
	f.Fuzz(func(t *testing.T, v string) {
		if c, ok := s.Verify(v); ok && (s.Sign(c) != v || !ValidClientID(c.ClientID)) {
			t.Errorf("%q verifies but is signed as %q", v, s.Sign(c))
		}
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
