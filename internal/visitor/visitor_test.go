package visitor

import (
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
