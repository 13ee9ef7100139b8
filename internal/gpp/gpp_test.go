package gpp

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sidetrack-go/sidetrack/internal/sixbit"
	"github.com/sidetrack-go/sidetrack/internal/tcf"
)

func load[T any](t testing.TB, file string, least int) []T {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var v []T
	if err := json.NewDecoder(z).Decode(&v); err != nil {
		t.Fatal(err)
	}
	if len(v) < least {
		t.Fatalf("%d strings in %s", len(v), file)
	}
	return v
}

var names = map[int]string{
	7: "usnat", 8: "usca", 9: "usva", 10: "usco", 11: "usut", 12: "usct", 13: "usfl", 14: "usmt", 15: "usor", 16: "ustx", 17: "usde", 18: "usia",
	19: "usne", 20: "usnh", 21: "usnj", 22: "ustn", 23: "usmn", 24: "usmd", 25: "usin", 26: "usky", 27: "usri",
}

type vector struct {
	S   string
	IDs []int
	Exp map[string]struct {
		Sale     Choice
		Tgt, Shr *Choice
		GPC      *bool
	}
}

func TestVectors(t *testing.T) {
	checked := 0
	for _, v := range load[vector](t, "vectors.json.gz", 200) {
		g, err := Parse(v.S)
		if err != nil {
			t.Errorf("%s: %v", v.S, err)
			continue
		}
		if !slices.Equal(g.IDs, v.IDs) || len(g.Unknown) > 0 {
			t.Errorf("%s: sections %v, want %v", v.S, g.IDs, v.IDs)
		}
		if _, ok := v.Exp["uspv1"]; ok != (g.USP != nil) || ok && *g.USP != (USPrivacy{Yes, Yes, No}) {
			t.Errorf("%s: US Privacy %v", v.S, g.USP)
		}
		for _, u := range g.US {
			want, ok := v.Exp[names[u.ID]]
			if !ok {
				t.Errorf("%s: section %d was not expected", v.S, u.ID)
				continue
			}
			checked++
			if u.SaleOptOut != want.Sale || want.Tgt != nil && u.TargetedAdvertisingOptOut != *want.Tgt ||
				want.Shr != nil && u.SharingOptOut != *want.Shr || u.GPCIncluded != (want.GPC != nil) || want.GPC != nil && u.GPC != *want.GPC {
				t.Errorf("%s: section %d: %+v", v.S, u.ID, u)
			}
		}
	}
	if checked < 600 {
		t.Errorf("only %d sections checked", checked)
	}
}

// Every field of every section, against strings of the IAB's own encoder: see
// testdata/generate.js.
func TestSections(t *testing.T) {
	type tcfWant struct{ First, Second, Vendors, More, Disclosed []int }
	type want struct {
		S      string
		IDs    []int
		Expect map[string]json.RawMessage
	}
	seen := map[string]int{}
	for _, v := range load[want](t, "sections.json.gz", 400) {
		g, err := Parse(v.S)
		if err != nil {
			t.Errorf("%s: %v", v.S, err)
			continue
		}
		if !slices.Equal(g.IDs, v.IDs) || len(g.Unknown) > 0 {
			t.Errorf("%s: sections %v, want %v", v.S, g.IDs, v.IDs)
		}
		for _, u := range g.US {
			name := names[u.ID]
			seen[name]++
			var fields map[string]json.RawMessage
			if err := json.Unmarshal(v.Expect[name], &fields); err != nil {
				t.Fatal(err)
			}
			compare(t, v.S, u, fields)
		}
		if raw, ok := v.Expect["uspv1"]; ok {
			seen["uspv1"]++
			var f struct{ OptOutSale string }
			_ = json.Unmarshal(raw, &f)
			if g.USP == nil || string(rune(g.USP.OptOutSale)) != f.OptOutSale || g.USP.Notice != Yes || g.USP.LSPA != No {
				t.Errorf("%s: US Privacy %v", v.S, g.USP)
			}
		}
		check := func(name string, first, second tcf.Purposes, vendors, more sixbit.Set, disclosed *sixbit.Set) {
			seen[name]++
			var w tcfWant
			if err := json.Unmarshal(v.Expect[name], &w); err != nil {
				t.Fatal(err)
			}
			set := func(has func(int) bool) []int {
				out := []int{}
				for i := range 1000 {
					if has(i) {
						out = append(out, i)
					}
				}
				return out
			}
			if !slices.Equal(set(first.Has), w.First) || !slices.Equal(set(second.Has), w.Second) || !slices.Equal(set(vendors.Has), w.Vendors) ||
				!slices.Equal(set(more.Has), w.More) || disclosed == nil != (len(w.Disclosed) == 0 && name == "tcfcav1") || disclosed != nil && !slices.Equal(set(disclosed.Has), w.Disclosed) {
				t.Errorf("%s: %s differs: %v %v %v %v", v.S, name, set(first.Has), set(second.Has), set(vendors.Has), set(more.Has))
			}
		}
		if c := g.TCFEU; c != nil {
			check("tcfeuv2", c.Consent, c.LegitInterest, c.VendorConsent, c.VendorLegitInterest, c.Disclosed)
		}
		if c := g.TCFCA; c != nil {
			check("tcfcav1", c.Express, c.Implied, c.VendorExpress, c.VendorImplied, c.Disclosed)
		}
	}
	for _, name := range append([]string{"uspv1", "tcfeuv2", "tcfcav1"}, slices.Collect(func(yield func(string) bool) {
		for _, n := range names {
			if !yield(n) {
				return
			}
		}
	})...) {
		if seen[name] < 5 {
			t.Errorf("%s: only %d sections checked", name, seen[name])
		}
	}
}

// compare holds a section against the fields by the specification's names.
func compare(t *testing.T, s string, u USSection, fields map[string]json.RawMessage) {
	t.Helper()
	single := map[string]Choice{
		"SharingNotice": u.SharingNotice, "ProcessingNotice": u.ProcessingNotice, "SaleOptOutNotice": u.SaleNotice,
		"SharingOptOutNotice": u.SharingOptOutNotice, "TargetedAdvertisingOptOutNotice": u.TargetedNotice,
		"SensitiveDataProcessingOptOutNotice": u.SensitiveProcessingNotice, "SensitiveDataOptOutNotice": u.SensitiveProcessingNotice,
		"SensitiveDataLimitUseNotice": u.SensitiveLimitNotice, "SaleOptOut": u.SaleOptOut, "SharingOptOut": u.SharingOptOut,
		"TargetedAdvertisingOptOut": u.TargetedAdvertisingOptOut, "PersonalDataConsents": u.PersonalData, "AdditionalDataProcessingConsent": u.PersonalData,
		"MspaCoveredTransaction": u.Covered, "MspaOptOutOptionMode": u.OptOutOptionMode, "MspaServiceProviderMode": u.ServiceProviderMode, "MspaMode": u.MSPAMode,
	}
	lists := map[string][]Choice{"SensitiveDataProcessing": u.SensitiveData, "KnownChildSensitiveDataConsents": u.KnownChild}
	for name, raw := range fields {
		same := false
		switch got, ok := single[name]; {
		case ok:
			var c Choice
			same = json.Unmarshal(raw, &c) == nil && got == c
		case name == "Version":
			var n int
			same = json.Unmarshal(raw, &n) == nil && u.Version == n
		case name == "Gpc":
			var b bool
			same = json.Unmarshal(raw, &b) == nil && u.GPCIncluded && u.GPC == b
		default:
			var c Choice
			var l []int
			if json.Unmarshal(raw, &c) == nil {
				same = slices.Equal(lists[name], []Choice{c})
			} else if json.Unmarshal(raw, &l) == nil {
				same = slices.EqualFunc(lists[name], l, func(c Choice, i int) bool { return int(c) == i })
			}
		}
		if !same {
			t.Errorf("%s: section %d: %s is not %s: %+v", s, u.ID, name, raw, u)
		}
	}
	if _, ok := fields["Gpc"]; !ok && u.GPCIncluded {
		t.Errorf("%s: section %d: GPC out of nothing", s, u.ID)
	}
}

// The examples of the specification, with its sloppy padding.
func TestSpecification(t *testing.T) {
	const tc = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA"
	for s, want := range map[string][]int{
		"DBABM~" + tc: {2}, "DBABMA~" + tc: {2}, "DBACNY~" + tc + "~1YNN": {2, 6}, "DBACNYA~" + tc + "~1YNN": {2, 6},
		"DBAA": {},
	} {
		g, err := Parse(s)
		if err != nil || !slices.Equal(g.IDs, want) {
			t.Errorf("%s: %v %v", s, g, err)
		}
	}
	// Section 5 holds a European string there, which is none of Canada's.
	if _, err := Parse("DBABjw~" + tc + "~1YNN"); !errors.Is(err, ErrVersion) {
		t.Errorf("third example: %v", err)
	}
	// The section header of the newest sections, which the library leaves out.
	withHeader, err := Parse("DBABEYA~YBABY.BQRg.YA")
	if err != nil {
		t.Fatal(err)
	}
	without, err := Parse("DBABEYA~BQRg.YA")
	if err != nil || len(without.US) != 1 || withHeader.US[0].SaleOptOut != without.US[0].SaleOptOut || without.US[0].SaleOptOut != OptedOut || !withHeader.US[0].GPC {
		t.Errorf("%+v, %+v, %v", withHeader, without, err)
	}
}

func TestMalformed(t *testing.T) {
	const tc = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA"
	for name, tt := range map[string]struct {
		s    string
		want error
	}{
		"empty":                            {"", ErrHeader},
		"a TC string":                      {tc, ErrHeader},
		"only a tilde":                     {"~", ErrHeader},
		"another type":                     {"CBABMA~" + tc, ErrHeader},
		"version 2":                        {"DCABMA~" + tc, ErrHeader},
		"header cut off":                   {"DBAB~" + tc, sixbit.ErrShort},
		"header with an unfinished number": {"DBABA~" + tc, sixbit.ErrShort},
		"more announced than there are":    {"DBACNYA~" + tc, ErrSections},
		"fewer announced than there are":   {"DBABMA~" + tc + "~1YNN", ErrSections},
		"none announced, one there":        {"DBAA~1YNN", ErrSections},
		"one announced, none there":        {"DBABMA", ErrSections},
		"section is blank":                 {"DBABMA~", ErrSections},
		"header as a section":              {"DBABGA~1YNN", ErrSections},
		"something after the header":       {"DBABMB~" + tc, sixbit.ErrTrailing},
		"broken TC string":                 {"DBABMA~" + tc[:20], sixbit.ErrShort},
		"id beyond reason":                 {"DBABAAAAAAAAw~1YNN", sixbit.ErrRange},
		"padding characters":               {"DBABLA==~CAAWAAAAAABA.YA", sixbit.ErrCharacter},
		"percent-encoded":                  {"DBABLA%7ECAAWAAAAAABA.YA", sixbit.ErrCharacter},
		"too long":                         {strings.Repeat("D", MaxLength+1), ErrLong},
		"US Privacy version 2":             {headerOf(6) + "~2YNN", ErrVersion},
		"section version 3":                {"DBABLA~DAAWAAAAAABA.YA", ErrVersion},
		"section version 0":                {"DBABLA~AAAWAAAAAABA.YA", ErrVersion},
		"section cut off":                  {"DBABLA~CAAWAAAA.YA", sixbit.ErrShort},
		"core is missing":                  {"DBABLA~.YA", sixbit.ErrShort},
		"a field of 3":                     {"DBABLA~CMAWAAAAAABA.YA", sixbit.ErrRange},
		"something after the core":         {"DBABLA~CAAWAAAAAABAB.YA", sixbit.ErrTrailing},
		"sub-section of type 0":            {"DBABLA~CAAWAAAAAABA.AA", ErrFormat},
		"sub-section of type 2":            {"DBABLA~CAAWAAAAAABA.gA", ErrFormat},
		"sub-section is empty":             {"DBABLA~CAAWAAAAAABA.", sixbit.ErrShort},
		"two sub-sections":                 {"DBABLA~CAAWAAAAAABA.YA.YA", sixbit.ErrCharacter},
		"GPC where there is none":          {headerOf(9) + "~BVVVVVU.YA", ErrFormat},
		"section header of another id":     {"DBABEYA~aBABY.BQRg.YA", ErrVersion},
		"section header of version 2":      {"DBABEYA~YCABY.BQRg.YA", ErrVersion},
		"section header alone":             {"DBABEYA~YBABY", ErrFormat},
	} {
		if g, err := Parse(tt.s); !errors.Is(err, tt.want) || g != nil {
			t.Errorf("%s: %v %v, want %v", name, g, err, tt.want)
		}
	}
	for _, s := range []string{"", "1YN", "1YNNN", "2YNN", "1yNN", "1Y N", "1Y?N", "----"} {
		if _, err := ParseUSPrivacy(s); err == nil {
			t.Errorf("US Privacy %q parses", s)
		}
	}
	if u, err := ParseUSPrivacy("1---"); err != nil || *u != (USPrivacy{NotApplicable, NotApplicable, NotApplicable}) {
		t.Errorf("1---: %v %v", u, err)
	}
}

// A section nobody here knows is skipped, not an error: GPP grows by them.
func TestUnknownSection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.IntRange(28, 300).Draw(t, "id")
		g, err := Parse(headerOf(6, id) + "~1YNN~anything.at.all")
		if err != nil || !slices.Equal(g.Unknown, []int{id}) || g.USP == nil {
			t.Fatalf("%v %v", g, err)
		}
	})
}

// Every string that loses its end is an error, or says less.
func TestTruncated(t *testing.T) {
	for _, v := range load[vector](t, "vectors.json.gz", 200)[:40] {
		for i := range len(v.S) {
			g, err := Parse(v.S[:i])
			if err == nil && len(g.IDs) != len(v.IDs) {
				t.Errorf("%q parses to %v", v.S[:i], g.IDs)
			}
		}
	}
}

// headerOf encodes a header of single ids, ascending.
func headerOf(ids ...int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	bits, before := "000011000001", 0
	for i := 11; i >= 0; i-- {
		bits += string(rune('0' + len(ids)>>i&1))
	}
	for _, id := range ids {
		n, fib := id-before, []int{1, 2}
		before = id
		for fib[len(fib)-1] <= n {
			fib = append(fib, fib[len(fib)-1]+fib[len(fib)-2])
		}
		code := ""
		for i := len(fib) - 1; i >= 0; i-- {
			switch {
			case fib[i] <= n:
				n -= fib[i]
				code = "1" + code
			case code != "":
				code = "0" + code
			}
		}
		bits += "0" + code + "1"
	}
	for len(bits)%6 != 0 {
		bits += "0"
	}
	out := ""
	for ; bits != ""; bits = bits[6:] {
		v := 0
		for _, c := range bits[:6] {
			v = v<<1 | int(c-'0')
		}
		out += alphabet[v : v+1]
	}
	return out
}

func FuzzParse(f *testing.F) {
	for _, v := range load[vector](f, "vectors.json.gz", 200)[:40] {
		f.Add(v.S)
	}
	f.Add("DBABDA~BQuRDlrQuRDlrNwAAAENAACAAaAAAAIAAAXnAD1sTCSMABCgAA.YAAAAAAAAUA.IF5wBDMGSUY")
	f.Add("DBABEYA~YBABY.BQRg.YA")
	f.Fuzz(func(t *testing.T, s string) {
		g, err := Parse(s)
		if err != nil {
			if g != nil {
				t.Fatal("half a decision")
			}
			return
		}
		if !slices.IsSorted(g.IDs) || len(g.IDs) != strings.Count(s, "~") {
			t.Fatalf("%q: sections %v", s, g.IDs)
		}
		for _, u := range g.US {
			for _, c := range []Choice{u.SaleOptOut, u.SharingOptOut, u.TargetedAdvertisingOptOut} {
				if c > DidNotOpt {
					t.Fatalf("%q: %+v", s, u)
				}
			}
		}
		if g.TCFCA != nil && (g.TCFCA.PermitsVendor(0, 1) || g.TCFCA.Permits(0)) {
			t.Fatal("vendor or purpose 0")
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for name, s := range map[string]string{
		"one state": "DBABLA~CAAWAAAAAABA.YA", "three states": "DBACVrA~BAUAAAEA.YA~BAoAAAQA.YA",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
