package gawire

import (
	"strings"
	"testing"
	"time"
)

func TestClientID(t *testing.T) {
	for in, want := range map[string]string{
		"GA1.1.1234567890.1700000000":     "1234567890.1700000000",
		"GA1.2-2.1234567890.1700000000":   "1234567890.1700000000",
		"GA1.3.1.2":                       "1.2",
		"1.2.1234567890.1700000000":       "1234567890.1700000000", // the first years
		"GA1.1.amp-XyZ":                   "",
		"GA1.1.amp.XyZ":                   "",
		"GA1.1.1234567890":                "",
		"GA2.1.1.2":                       "",
		"GS1.1.1700000000.5":              "",
		"GA1..1.2":                        "",
		"GA1.1..2":                        "",
		"GA1.1.1.2.":                      "",
		"GA1.1.-1.2":                      "",
		"GA1.1.12345678901234567890123.1": "",
		"1234567890.1700000000":           "",
		"":                                "",
		".":                               "",
		"GA1.1." + strings.Repeat("1", 600) + ".2": "",
	} {
		if got, ok := ClientID(in); got != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
}

func TestParseSession(t *testing.T) {
	at := time.Unix(1_700_000_300, 0)
	for _, tt := range []struct {
		value string
		want  Session // zero: none
	}{
		{"GS1.1.1700000000.5.1.1700000300.57.1.987654321", Session{"G-X1", "1700000000", 5, true, at, 57, true, "987654321"}},
		{"GS1.1.1700000000.5.1.1700000300.57", Session{"G-X1", "1700000000", 5, true, at, 57, false, ""}},
		{"GS1.1.1700000000.5.1.1700000300.57.0.0.more.fields", Session{"G-X1", "1700000000", 5, true, at, 57, false, ""}},
		{"GS1.2-2.1700000000.5", Session{MeasurementID: "G-X1", ID: "1700000000", Number: 5}},
		{"GS1.1.1700000000", Session{MeasurementID: "G-X1", ID: "1700000000"}},
		{"GS1.1.1700000000.x.y.z", Session{MeasurementID: "G-X1", ID: "1700000000"}},
		{"GS2.1.s1700000000$o5$g1$t1700000300$j57$l0$h0", Session{"G-X1", "1700000000", 5, true, at, 57, false, ""}},
		{"GS2.1.hAb-9$zzz$$t1700000300$g0$o5$dAbC$s1700000000", Session{"G-X1", "1700000000", 5, false, at, 0, false, "Ab-9"}},
		{"GS2.1.s1700000000%24o5", Session{MeasurementID: "G-X1", ID: "1700000000", Number: 5}},
		{"GS2.1.s1700000000$o-5$t99999999999999999999", Session{MeasurementID: "G-X1", ID: "1700000000"}},
		{"GS2.1.o5$g1", Session{}},
		{"GS2.1.sx$o1", Session{}},
		{"GS2.1.s0", Session{}},
		{"GS3.1.s1700000000", Session{}},
		{"GS1.1.x.4", Session{}},
		{"GS1.1", Session{}},
		{"GS1..1700000000.1", Session{}},
		{"GA1.1.1234567890.1700000000", Session{}},
		{"", Session{}},
		{"GS1.1.1." + strings.Repeat("1.", 600), Session{}},
	} {
		if got, ok := ParseSession("_ga_X1", tt.value); got != tt.want || ok != (tt.want != Session{}) {
			t.Errorf("%q:\ngot  %+v %v\nwant %+v", tt.value, got, ok, tt.want)
		}
	}
	for name, want := range map[string]string{"_ga_ABC": "G-ABC", "shop_ga_ABC": "G-ABC", "_ga_": "", "_ga": "", "x": ""} {
		if s, ok := ParseSession(name, "GS1.1.1.1"); !ok || s.MeasurementID != want {
			t.Errorf("name %q: %q %v", name, s.MeasurementID, ok)
		}
	}
}

func TestLatestSession(t *testing.T) {
	cookies := map[string]string{
		"_ga": "GA1.1.1.2", "_ga_A": "GS1.1.100.1.0.200.0.0.0", "_ga_B": "GS2.1.s300$o2$t400", "_ga_C": "GS1.1.50.9", "_ga_D": "broken", "x": "GS1.1.900.1.0.900",
	}
	names := []string{"_ga", "_ga_A", "_ga_B", "_ga_C", "_ga_D", "x"}
	s, ok := LatestSession(names, func(n string) string { return cookies[n] })
	if !ok || s.ID != "300" || s.MeasurementID != "G-B" {
		t.Errorf("%+v %v", s, ok)
	}
	if _, ok := LatestSession([]string{"_ga", "_ga_D"}, func(n string) string { return cookies[n] }); ok {
		t.Error("a session from nothing")
	}
	if !s.Live(time.Unix(400+1800, 0)) || s.Live(time.Unix(400+1801, 0)) || !(Session{ID: "1"}).Live(time.Now()) {
		t.Error("live")
	}
}

func FuzzCookies(f *testing.F) {
	f.Add("_ga", "GA1.1.1.2")
	f.Add("_ga_X", "GS1.1.1700000000.5.1.1700000300.57.1.987654321")
	f.Add("_ga_X", "GS2.1.s1$o2$dx")
	f.Fuzz(func(t *testing.T, name, value string) {
		if id, ok := ClientID(value); ok {
			if a, b, found := strings.Cut(id, "."); !found || !digits(a) || !digits(b) {
				t.Errorf("%q gives %q", value, id)
			}
		}
		if s, ok := ParseSession(name, value); ok && (!digits(s.ID) || s.Number < 0 || s.JoinTimer < 0) {
			t.Errorf("%q gives %+v", value, s)
		}
	})
}
