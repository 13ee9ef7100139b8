package sites

import (
	"net/url"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

func TestIndex(t *testing.T) {
	x := New([]sidetrack.Site{
		{Name: "all", Hosts: []string{"*.shop.example"}, Keys: []string{"k1", "k2"}},
		{Name: "shop", Hosts: []string{"Shop.Example", "www.shop.example"}, Origins: []string{"https://app.example:8443"}, Keys: []string{"k2", "k3"}},
	})
	for host, want := range map[string]string{
		"shop.example": "shop", "SHOP.example": "shop", "shop.example:8080": "shop", "shop.example.": "shop",
		"www.shop.example": "shop", "a.shop.example": "all", "a.b.SHOP.example:1": "all",
		".shop.example": "", "xshop.example": "", "shop.example.evil": "", "": "", "[::1]:80": "",
	} {
		if got := x.ByHost(host); got != want {
			t.Errorf("ByHost(%q) = %q, want %q", host, got, want)
		}
	}
	for origin, want := range map[string]string{
		"https://app.example:8443": "shop", "HTTPS://APP.example:8443": "shop", "https://app.example": "", "https://a.shop.example": "all", "null": "", "": "",
	} {
		if got := x.ByOrigin(origin); got != want {
			t.Errorf("ByOrigin(%q) = %q, want %q", origin, got, want)
		}
	}
	for key, want := range map[string]string{"k1": "all", "k2": "all", "k3": "shop", "K1": "", "": ""} {
		if got := x.ByKey(key); got != want {
			t.Errorf("ByKey(%q) = %q, want %q", key, got, want)
		}
	}
	if !x.Has("shop") || x.Has("shops") || x.Has("") {
		t.Error("Has")
	}
	none := New(nil)
	if none != nil || none.ByHost("a") != "" || none.ByOrigin("https://a") != "" || none.ByKey("a") != "" || none.Has("a") {
		t.Error("an index of no sites knows one")
	}
}

// FuzzHostOf: whatever net/url takes for the host of a web address is what HostOf finds.
func FuzzHostOf(f *testing.F) {
	for _, s := range []string{"https://a.example/b?c#d", "http://u:p@a:80", "//a/b", "a", "https://[::1]:8/x", "https://a@b@c/", "https://a?x://y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := HostOf(s)
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || strings.ContainsAny(s, `%\`) {
			return
		}
		if !strings.EqualFold(got, u.Host) && u.Host != "" {
			t.Errorf("HostOf(%q) = %q, want %q", s, got, u.Host)
		}
	})
}
