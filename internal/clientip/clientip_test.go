package clientip

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func TestClient(t *testing.T) {
	proxies := []string{"10.0.0.0/8", "2001:db8:1::/48", "192.0.2.10"}
	tests := []struct {
		name    string
		trusted []string
		header  string
		peer    string
		headers http.Header
		want    string
	}{
		{"peer without proxies", nil, "", "203.0.113.77:5000", nil, "203.0.113.77"},
		{"header of an untrusted peer", proxies, "", "203.0.113.77:5000", xff("198.51.100.1"), "203.0.113.77"},
		{"nobody trusted, header ignored", nil, "", "10.0.0.1:1", xff("198.51.100.1"), "10.0.0.1"},
		{"one hop", proxies, "", "10.0.0.1:1", xff("203.0.113.77"), "203.0.113.77"},
		{"spoofed leftmost", proxies, "", "10.0.0.1:1", xff("198.51.100.1, 203.0.113.77"), "203.0.113.77"},
		{"two trusted hops", proxies, "", "10.0.0.1:1", xff("198.51.100.1, 203.0.113.77, 10.1.2.3"), "203.0.113.77"},
		{"several lines", proxies, "", "10.0.0.1:1", xff("198.51.100.1", "203.0.113.77", "10.1.2.3"), "203.0.113.77"},
		{"all trusted", proxies, "", "10.0.0.1:1", xff("10.9.9.9, 10.1.2.3"), "10.9.9.9"},
		{"port", proxies, "", "10.0.0.1:1", xff("203.0.113.77:4711"), "203.0.113.77"},
		{"brackets and port", proxies, "", "10.0.0.1:1", xff("[2001:db8::17]:4711"), "2001:db8::17"},
		{"brackets", proxies, "", "10.0.0.1:1", xff("[2001:db8::17]"), "2001:db8::17"},
		{"mapped peer", proxies, "", "[::ffff:10.0.0.1]:1", xff("203.0.113.77"), "203.0.113.77"},
		{"mapped entry", proxies, "", "10.0.0.1:1", xff("::ffff:203.0.113.77"), "203.0.113.77"},
		{"mapped trusted entry", proxies, "", "10.0.0.1:1", xff("203.0.113.77, ::ffff:10.2.2.2"), "203.0.113.77"},
		{"mapped trusted network", []string{"::ffff:10.0.0.0/104"}, "", "10.0.0.1:1", xff("203.0.113.77"), "203.0.113.77"},
		{"mapped trusted address", []string{"::ffff:10.0.0.1"}, "", "10.0.0.1:1", xff("203.0.113.77"), "203.0.113.77"},
		{"zone", proxies, "", "[fe80::1%eth0]:1", nil, "fe80::1"},
		{"zone in entry", proxies, "", "10.0.0.1:1", xff("fe80::1%eth0"), "fe80::1"},
		{"garbage right", proxies, "", "10.0.0.1:1", xff("203.0.113.77, unknown"), "10.0.0.1"},
		{"garbage left of the client", proxies, "", "10.0.0.1:1", xff("<script>, 203.0.113.77"), "203.0.113.77"},
		{"empty entry", proxies, "", "10.0.0.1:1", xff("203.0.113.77,"), "10.0.0.1"},
		{"empty header", proxies, "", "10.0.0.1:1", xff(""), "10.0.0.1"},
		{"octal", proxies, "", "10.0.0.1:1", xff("0203.0.113.77"), "10.0.0.1"},
		{"port without digits", proxies, "", "10.0.0.1:1", xff("203.0.113.77:x"), "10.0.0.1"},
		{"unclosed bracket", proxies, "", "10.0.0.1:1", xff("[2001:db8::17"), "10.0.0.1"},
		{"too many hops", proxies, "", "10.0.0.1:1", xff("203.0.113.77" + strings.Repeat(",10.0.0.2", maxHops)), "10.0.0.1"},
		{"forwarded", proxies, "", "10.0.0.1:1", fwd("for=203.0.113.77;proto=https;by=10.0.0.1"), "203.0.113.77"},
		{"forwarded, case and place", proxies, "", "10.0.0.1:1", fwd("proto=https; For=203.0.113.77"), "203.0.113.77"},
		{"forwarded v6", proxies, "", "10.0.0.1:1", fwd(`for="[2001:db8::17]:4711"`), "2001:db8::17"},
		{"forwarded chain", proxies, "", "10.0.0.1:1", fwd(`for=198.51.100.1, for=203.0.113.77;host="a,b", for=10.3.3.3`), "203.0.113.77"},
		{"forwarded unknown", proxies, "", "10.0.0.1:1", fwd("for=unknown"), "10.0.0.1"},
		{"forwarded obfuscated", proxies, "", "10.0.0.1:1", fwd("for=_gazonk"), "10.0.0.1"},
		{"forwarded without for", proxies, "", "10.0.0.1:1", fwd("proto=https"), "10.0.0.1"},
		{"forwarded, open quote swallows the truth", proxies, "", "10.0.0.1:1", fwd(`for=198.51.100.1;x=", for=203.0.113.77`), "10.0.0.1"},
		{"both: X-Forwarded-For", proxies, "", "10.0.0.1:1", both("203.0.113.77", "for=198.51.100.1"), "203.0.113.77"},
		{"both: Forwarded named", proxies, "forwarded", "10.0.0.1:1", both("198.51.100.1", "for=203.0.113.77"), "203.0.113.77"},
		{"named header missing", proxies, "forwarded", "10.0.0.1:1", xff("198.51.100.1"), "10.0.0.1"},
		{"single header", proxies, "cf-connecting-ip", "10.0.0.1:1", http.Header{"Cf-Connecting-Ip": {"203.0.113.77"}}, "203.0.113.77"},
		{"single header twice", proxies, "cf-connecting-ip", "10.0.0.1:1", http.Header{"Cf-Connecting-Ip": {"203.0.113.77", "198.51.100.1"}}, "10.0.0.1"},
		{"v6 proxy", proxies, "", "[2001:db8:1::5]:1", xff("2001:db8:2::1"), "2001:db8:2::1"},
		{"unix socket", proxies, "", "@", xff("203.0.113.77"), "invalid IP"},
		{"trusted unix socket", []string{"unix"}, "", "@", xff("203.0.113.77"), "203.0.113.77"},
		{"trusted unix socket, no header", []string{"unix"}, "", "", nil, "invalid IP"},
		{"trusted unix socket, a peer with an address", []string{"unix"}, "", "192.0.2.1:80", xff("203.0.113.77"), "192.0.2.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := New(tt.trusted, tt.header)
			if err != nil {
				t.Fatal(err)
			}
			r := &http.Request{RemoteAddr: tt.peer, Header: tt.headers}
			if got := c.Client(r).String(); got != tt.want {
				t.Errorf("Client = %s, want %s", got, tt.want)
			}
		})
	}
}

func xff(lines ...string) http.Header { return http.Header{"X-Forwarded-For": lines} }
func fwd(lines ...string) http.Header { return http.Header{"Forwarded": lines} }
func both(x, f string) http.Header {
	return http.Header{"X-Forwarded-For": {x}, "Forwarded": {f}}
}

func TestNewRefusesWhatIsNoNetwork(t *testing.T) {
	for _, s := range []string{"", "localhost", "10.0.0.0/33", "10.0.0.0/8/8", "*"} {
		if _, err := New([]string{s}, ""); err == nil {
			t.Errorf("New(%q) = nil error", s)
		}
	}
}

func TestTrusts(t *testing.T) {
	c, err := New([]string{"10.0.0.0/8"}, "")
	if err != nil {
		t.Fatal(err)
	}
	for peer, want := range map[string]bool{"10.1.1.1:1": true, "[::ffff:10.1.1.1]:1": true, "11.0.0.1:1": false, "": false} {
		if got := c.Trusts(&http.Request{RemoteAddr: peer}); got != want {
			t.Errorf("Trusts(%q) = %v, want %v", peer, got, want)
		}
	}
}

// FuzzClient checks that a client behind a trusted proxy can never pass for a trusted
// address, whatever it sends: the proxy appends the true address.
func FuzzClient(f *testing.F) {
	for _, s := range []string{"", "198.51.100.1", "10.0.0.1", `"`, `for="`, ",,,", "[::1", "for=10.0.0.1;\"", "\\\""} {
		f.Add(s)
	}
	c, err := New([]string{"10.0.0.0/8"}, "")
	if err != nil {
		f.Fatal(err)
	}
	truth := netip.MustParseAddr("203.0.113.77")
	f.Fuzz(func(t *testing.T, sent string) {
		r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: xff(sent, "203.0.113.77")}
		if got := c.Client(r); got != truth {
			t.Errorf("X-Forwarded-For %q in front: client = %v", sent, got)
		}
		r.Header = fwd(sent, "for=203.0.113.77")
		if got := c.Client(r); got != truth {
			t.Errorf("Forwarded %q in front: client = %v", sent, got)
		}
		for _, appended := range []string{"for=203.0.113.77", `for="203.0.113.77:4711";by="10.0.0.1"`} {
			r.Header = fwd(sent + ", " + appended)
			if got := c.Client(r); got != truth && got.String() != "10.0.0.1" {
				t.Errorf("Forwarded %q in front on the same line: client = %v", sent, got)
			}
		}
		r.Header = xff(sent)
		c.Client(r)
		r.Header = fwd(sent)
		if got := c.Client(r); !got.IsValid() {
			t.Errorf("Forwarded %q: no address at all", sent)
		}
	})
}
