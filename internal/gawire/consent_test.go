package gawire

import (
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

const (
	u = sidetrack.Unknown
	d = sidetrack.Denied
	g = sidetrack.Granted
)

func TestParseGCS(t *testing.T) {
	for in, want := range map[string][2]sidetrack.State{
		"G111": {g, g}, "G100": {d, d}, "G101": {d, g}, "G110": {g, d}, "G1--": {u, u}, "G1-1": {u, g}, "G10-": {d, u},
	} {
		if ad, analytics, ok := ParseGCS(in); !ok || [2]sidetrack.State{ad, analytics} != want {
			t.Errorf("%s: %v %v %v", in, ad, analytics, ok)
		}
	}
	for _, in := range []string{"", "invalid", "G12X", "G11", "G1111", "G211", "g111", "G1é"} {
		if _, _, ok := ParseGCS(in); ok {
			t.Errorf("%q was read", in)
		}
	}
}

func TestParseGCD(t *testing.T) {
	all := func(def, upd sidetrack.State) GCD {
		s := Signal{def, upd}
		return GCD{s, s, s, s}
	}
	for in, want := range map[string]GCD{
		"13r3r3r2r5l1":   all(d, g),
		"13l3l3l3l1":     all(u, u),
		"13p3p3p2p5l1":   all(d, u),
		"13t3t3t2t5l1":   all(g, u),
		"13p3t3p2p5l1":   {Signal{d, u}, Signal{g, u}, Signal{d, u}, Signal{d, u}},
		"11p1p1p1p5":     all(d, u),
		"13m3n3q2u5l1l1": {Signal{u, d}, Signal{u, g}, Signal{d, d}, Signal{g, d}},
		"13v3v":          {AdStorage: Signal{g, g}, AnalyticsStorage: Signal{g, g}},
		"13v3v3v5l1":     {AdStorage: Signal{g, g}, AnalyticsStorage: Signal{g, g}, AdUserData: Signal{g, g}}, // 5l is the trailer
		"13e3P3-3_1":     {Signal{g, d}, Signal{u, g}, Signal{g, d}, Signal{g, g}},                            // outside Google's table: bits
	} {
		got, ok := ParseGCD(in)
		if !ok || got != want {
			t.Errorf("%s: %+v %v, want %+v", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "1", "13", "23r3r3r2r5l1", "13r3r3.2r5l1", "1xr3r3r2r5", "granted"} {
		if _, ok := ParseGCD(in); ok {
			t.Errorf("%q was read", in)
		}
	}
	c := GCD{AdStorage: Signal{d, g}, AnalyticsStorage: Signal{g, d}, AdUserData: Signal{g, u}}.Consent()
	if c.Get(sidetrack.AdStorage) != g || c.Get(sidetrack.AnalyticsStorage) != d || c.Get(sidetrack.AdUserData) != g || c.Get(sidetrack.AdPersonalization) != u {
		t.Errorf("%+v", c)
	}
}

func FuzzGCD(f *testing.F) {
	f.Add("13r3r3r2r5l1")
	f.Add("G111")
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := ParseGCD(s); !ok && got != (GCD{}) {
			t.Errorf("%q is refused but gives %+v", s, got)
		}
		if ad, analytics, ok := ParseGCS(s); !ok && (ad != sidetrack.Unknown || analytics != sidetrack.Unknown) {
			t.Errorf("%q is refused but gives %v and %v", s, ad, analytics)
		}
	})
}
