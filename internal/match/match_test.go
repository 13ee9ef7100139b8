package match

import (
	"net/http"
	"net/netip"
	"path"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

func sample() *sidetrack.Event {
	e := &sidetrack.Event{
		Name: "page_view", Site: "shop", Source: "web", Marks: []string{"bot:x"},
		Page:   sidetrack.Page{URL: "https://Shop.example:8443/admin/users?x=1", Route: "/admin/{page}"},
		Device: sidetrack.Device{UserAgent: "Mozilla/5.0 (X11)"},
		Params: map[string]any{"plan": "gold", "step": int64(3), "on": true},
	}
	e.Consent.Set(sidetrack.AdStorage, sidetrack.Denied)
	e.SetOrigin(sidetrack.NewOrigin(netip.MustParseAddr("192.0.2.9"), &http.Request{Header: http.Header{"Cookie": {"a=b; sidetrack_own=1"}}}))
	return e
}

func TestMatcher(t *testing.T) {
	tests := map[string]struct {
		m    Matcher
		want bool
	}{
		"name":              {Matcher{Names: []string{"purchase", "page_*"}}, true},
		"other name":        {Matcher{Names: []string{"purchase"}}, false},
		"site and name":     {Matcher{Sites: []string{"shop"}, Names: []string{"page_view"}}, true},
		"one of two fails":  {Matcher{Sites: []string{"blog"}, Names: []string{"page_view"}}, false},
		"source":            {Matcher{Sources: []string{"web"}}, true},
		"host":              {Matcher{Hosts: []string{"shop.EXAMPLE"}}, true},
		"host glob":         {Matcher{Hosts: []string{"*.example"}}, true},
		"path of the url":   {Matcher{Paths: []string{"/admin/*"}}, true},
		"other path":        {Matcher{Paths: []string{"/admin"}}, false},
		"route":             {Matcher{Routes: []string{"/admin/{page}"}}, true},
		"user agent":        {Matcher{UserAgents: []string{"*MOZILLA*"}}, true},
		"mark":              {Matcher{Marks: []string{"bot:*"}}, true},
		"param":             {Matcher{Params: map[string][]string{"plan": {"silver", "gold"}}}, true},
		"param as a number": {Matcher{Params: map[string][]string{"step": {"3"}}}, true},
		"absent param":      {Matcher{Params: map[string][]string{"nothing": {"*"}}}, false},
		"consent":           {Matcher{Consent: map[string]string{"ad_storage": "denied", "ad_user_data": "unknown"}}, true},
		"other consent":     {Matcher{Consent: map[string]string{"ad_storage": "granted"}}, false},
		"range":             {Matcher{IPRanges: []string{"198.51.100.0/24", "192.0.2.0/28"}}, true},
		"one address":       {Matcher{IPRanges: []string{"192.0.2.9"}}, true},
		"mapped address":    {Matcher{IPRanges: []string{"::ffff:192.0.2.9"}}, true},
		"other range":       {Matcher{IPRanges: []string{"2001:db8::/32"}}, false},
		"own visits":        {Matcher{OwnVisits: true}, true},
		"not":               {Matcher{Not: &Matcher{Names: []string{"purchase"}}}, true},
		"not itself":        {Matcher{Names: []string{"*"}, Not: &Matcher{Names: []string{"page_view"}}}, false},
	}
	for name, tt := range tests {
		f, err := tt.m.Compile()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := f(sample()); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	f, err := Matcher{IPRanges: []string{"0.0.0.0/0", "::/0"}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	if f(&sidetrack.Event{Name: "x"}) {
		t.Error("an event without an address is in every network")
	}
}

func TestMatcherErrors(t *testing.T) {
	_, err := Matcher{Consent: map[string]string{"ads": "granted", "ad_storage": "yes"}, IPRanges: []string{"10.0.0.0/40"}, Not: &Matcher{}}.Compile()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"consent.ads: is no purpose", "consent.ad_storage: must be granted", "ip_ranges[0]: \"10.0.0.0/40\" is no network", "not: the condition is empty"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

func TestNeedsOrigin(t *testing.T) {
	if (Matcher{Names: []string{"a"}}).NeedsOrigin() || !(Matcher{Not: &Matcher{OwnVisits: true}}).NeedsOrigin() || !(Matcher{IPRanges: []string{"::/0"}}).NeedsOrigin() {
		t.Error("wrong")
	}
}

// FuzzGlob holds glob against path.Match, which knows the same star within one path element.
func FuzzGlob(f *testing.F) {
	f.Add("a*b*c", "axxbyyc")
	f.Add("**", "")
	f.Add("*a", "aa")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		got := Glob(pattern, s)
		if strings.ContainsAny(pattern, `?[\/`) || strings.Contains(s, "/") {
			return
		}
		if want, err := path.Match(pattern, s); err == nil && got != want {
			t.Errorf("Glob(%q, %q) = %v", pattern, s, got)
		}
	})
}
