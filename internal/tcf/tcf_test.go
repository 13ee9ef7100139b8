package tcf

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sidetrack-go/sidetrack/internal/sixbit"
)

// vector is one string and what the IAB's own library decodes from it.
type vector struct {
	S                                     string
	Version                               int
	Created, Updated                      int64 // ms
	CmpID, CmpVersion, Screen             int
	Lang                                  string
	Vlv, Pol                              int
	Svc, P1t                              bool
	CC                                    string
	Sf, Pc, Pli, Vc, Vli, Vd, Pubc, Pubcc []int
	Rest                                  [][3]int
}

func vectors(t testing.TB) []vector {
	t.Helper()
	f, err := os.Open("testdata/vectors.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var v []vector
	if err := json.NewDecoder(z).Decode(&v); err != nil {
		t.Fatal(err)
	}
	if len(v) < 250 {
		t.Fatalf("%d vectors", len(v))
	}
	return v
}

func list(n int, has func(int) bool) []int {
	out := []int{}
	for i := 1; i <= n; i++ {
		if has(i) {
			out = append(out, i)
		}
	}
	return out
}

func ids(v sixbit.Set) []int { return list(4096, v.Has) } // above any vendor there is

func describe(t *String) vector {
	v := vector{
		Version: 2, Created: t.Created.UnixMilli(), Updated: t.Updated.UnixMilli(),
		CmpID: t.CMP, CmpVersion: t.CMPVersion, Screen: t.Screen, Lang: t.Language, Vlv: t.VendorListVersion, Pol: t.PolicyVersion,
		Svc: t.ServiceSpecific, P1t: t.PurposeOneTreatment, CC: t.PublisherCountry,
		Sf: list(24, t.SpecialFeatures.Has), Pc: list(24, t.Consent.Has), Pli: list(24, t.LegitInterest.Has),
		Vc: ids(t.VendorConsent), Vli: ids(t.VendorLegitInterest), Vd: []int{}, Pubc: []int{}, Pubcc: []int{}, Rest: [][3]int{},
	}
	if t.Disclosed != nil {
		v.Vd = ids(*t.Disclosed)
	}
	if t.Publisher != nil {
		v.Pubc = list(24, t.Publisher.Consent.Has)
		v.Pubcc = list(t.Publisher.CustomConsent.Len(), t.Publisher.CustomConsent.Has)
	}
	for _, r := range t.Restrictions {
		for _, id := range ids(r.Vendors) {
			v.Rest = append(v.Rest, [3]int{r.Purpose, int(r.Type), id})
		}
	}
	return v
}

func sortRestrictions(r [][3]int) {
	slices.SortFunc(r, func(a, b [3]int) int { return slices.Compare(a[:], b[:]) })
}

func TestVectors(t *testing.T) {
	restrictions := 0
	for _, want := range vectors(t) {
		got, err := Parse(want.S)
		if err != nil {
			t.Errorf("%s: %v", want.S, err)
			continue
		}
		if err := got.Validate(); err != nil {
			t.Errorf("%s: %v", want.S, err)
		}
		d := describe(got)
		d.S = want.S
		sortRestrictions(d.Rest)
		sortRestrictions(want.Rest)
		restrictions += len(want.Rest)
		if diff := cmp.Diff(want, d); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", want.S, diff)
		}
	}
	if restrictions == 0 {
		t.Error("no vector has a publisher restriction")
	}
}

// sample is the example of the specification.
const sample = "CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA.YAAAAAAAAAAA"

func TestSample(t *testing.T) {
	s, err := Parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	if s.Language != "EN" || s.CMP != 880 || s.PolicyVersion != 2 || s.PublisherCountry != "DE" || !s.ServiceSpecific || s.Publisher == nil {
		t.Errorf("%+v", s)
	}
	if got := ids(*s.Disclosed); len(got) == 0 {
		t.Errorf("disclosed %v", got)
	}
}

// Every prefix of a string but those that end between two segments is an error.
func TestTruncated(t *testing.T) {
	v := vectors(t)
	for _, s := range []string{sample, v[2].S, v[3].S} {
		good := 0
		for i := range len(s) {
			if _, err := Parse(s[:i]); err == nil {
				good++
				// Padding may be missing: it holds no bits.
				if i < len(s) && s[i] != '.' && strings.Trim(segmentRest(s[i:]), "A") != "" {
					t.Errorf("%q parses", s[:i])
				}
			}
		}
		if good == 0 {
			t.Error("not even whole segments parse")
		}
	}
}

func segmentRest(s string) string {
	s, _, _ = strings.Cut(s, ".")
	return s
}

// base is a valid string; tests change one thing of it.
func base() model {
	return model{
		version: 2, created: 17953920000, updated: 17953920000, cmp: 65, cmpVersion: 4, screen: 1, language: [2]int{4, 13}, listVersion: 150, policy: 5,
		service: true, country: [2]int{3, 4}, consent: 0xff0000, legit: 0x00ff00,
		vendors:      vendorSet{max: 800, ranges: []span{{755, 755, false}, {10, 20, true}}},
		vendorLI:     vendorSet{max: 8, ids: map[int]bool{3: true, 8: true}},
		restrictions: []restriction{{2, 0, []span{{1, 65535, true}}}},
		disclosed:    &vendorSet{max: 800, ranges: []span{{1, 800, true}}},
		publisher:    &publisherModel{consent: 0x810000, legit: 0x400000, custom: 3, customConsent: 5, customOkay: 2},
	}
}

func TestMalformed(t *testing.T) {
	good := base().encode(6)
	if _, err := Parse(good); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*model)) string {
		m := base()
		change(&m)
		return m.encode(6)
	}
	core, _, _ := strings.Cut(good, ".")
	var lie writer
	lie.uint(1, 3)
	lie.uint(700, 16)
	lie.bool(true)
	lie.uint(4095, 12)
	for name, tt := range map[string]struct {
		s    string
		want error
	}{
		"empty":                            {"", ErrEmpty},
		"only dots":                        {"..", sixbit.ErrShort},
		"version 1":                        {"BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA", ErrVersion},
		"version 0":                        {with(func(m *model) { m.version = 0 }), ErrVersion},
		"version 3, as GPP":                {"DBACNYA~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN", sixbit.ErrCharacter},
		"version 63":                       {with(func(m *model) { m.version = 63 }), ErrVersion},
		"padding characters":               {core + "=", sixbit.ErrCharacter},
		"standard alphabet":                {strings.Replace(core, "C", "+", 1), sixbit.ErrCharacter},
		"percent-encoded":                  {strings.Replace(good, ".", "%2E", 1), sixbit.ErrCharacter},
		"space":                            {" " + good, sixbit.ErrCharacter},
		"too long":                         {strings.Repeat("C", MaxLength+1), ErrLong},
		"language beyond z":                {with(func(m *model) { m.language[1] = 26 }), sixbit.ErrRange},
		"country beyond z":                 {with(func(m *model) { m.country[0] = 63 }), sixbit.ErrRange},
		"vendor 0":                         {with(func(m *model) { m.vendors.ranges[0] = span{0, 0, false} }), sixbit.ErrRange},
		"range from 0":                     {with(func(m *model) { m.vendors.ranges[0] = span{0, 3, true} }), sixbit.ErrRange},
		"range backwards":                  {with(func(m *model) { m.vendors.ranges[1] = span{20, 10, true} }), sixbit.ErrRange},
		"vendor beyond the highest":        {with(func(m *model) { m.vendors.ranges[0] = span{801, 801, false} }), sixbit.ErrRange},
		"range beyond the highest":         {with(func(m *model) { m.vendors.ranges[1] = span{10, 801, true} }), sixbit.ErrRange},
		"restriction of purpose 0":         {with(func(m *model) { m.restrictions[0].purpose = 0 }), sixbit.ErrRange},
		"restriction of purpose 25":        {with(func(m *model) { m.restrictions[0].purpose = 25 }), sixbit.ErrRange},
		"restriction of type 3":            {with(func(m *model) { m.restrictions[0].kind = 3 }), sixbit.ErrRange},
		"restriction of vendor 0":          {with(func(m *model) { m.restrictions[0].vendors[0] = span{0, 1, true} }), sixbit.ErrRange},
		"disclosed vendor above highest":   {with(func(m *model) { m.disclosed.ranges[0].last = 801 }), sixbit.ErrRange},
		"something after the core":         {core + "B", sixbit.ErrTrailing},
		"empty segment":                    {core + ".", ErrSegment},
		"empty segment in the middle":      {core + "..YAAAAAAAAAAA", ErrSegment},
		"core as a segment":                {core + ".AAAA", ErrSegment},
		"unknown segment":                  {core + ".gAAAAA", ErrSegment},
		"disclosed vendors twice":          {good + ".IAAA", ErrSegment},
		"publisher twice":                  {good + ".YAAAAAAAAAAA", ErrSegment},
		"short publisher segment":          {core + ".YAAAAAA", sixbit.ErrShort},
		"custom purposes cut off":          {core + ".YAAAAAAAAg", sixbit.ErrShort},
		"lie about the number of ranges":   {core + "." + lie.encode(6), sixbit.ErrShort},
		"bit field shorter than announced": {core + ".P__A", sixbit.ErrShort},
	} {
		if got, err := Parse(tt.s); !errors.Is(err, tt.want) || got != nil {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestValidate(t *testing.T) {
	at := func(y int, m time.Month, d int) int64 { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() * 10 }
	for name, tt := range map[string]struct {
		change func(*model)
		want   error
	}{
		"valid":                             {func(*model) {}, nil},
		"global":                            {func(m *model) { m.service = false }, ErrGlobal},
		"no CMP":                            {func(m *model) { m.cmp = 0 }, ErrCMP},
		"updated before created":            {func(m *model) { m.updated-- }, ErrOrder},
		"policy 2 in its time":              {func(m *model) { m.policy, m.created, m.updated, m.disclosed = 2, at(2023, 5, 1), at(2023, 9, 29), nil }, nil},
		"policy 3 too late":                 {func(m *model) { m.policy, m.created, m.updated = 3, at(2023, 5, 1), at(2023, 9, 30) }, ErrPolicy},
		"policy 4, no disclosure, early":    {func(m *model) { m.policy, m.created, m.updated, m.disclosed = 4, at(2024, 1, 1), at(2026, 2, 28), nil }, nil},
		"policy 4, no disclosure, too late": {func(m *model) { m.policy, m.created, m.updated, m.disclosed = 4, at(2024, 1, 1), at(2026, 3, 1), nil }, ErrDisclosed},
		"policy 5 without disclosure":       {func(m *model) { m.created, m.updated, m.disclosed = at(2025, 8, 1), at(2025, 8, 1), nil }, ErrDisclosed},
	} {
		m := base()
		tt.change(&m)
		s, err := Parse(m.encode(6))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := s.Validate(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestPermits(t *testing.T) {
	m := base() // core: consent to 1–8, legitimate interest in 9–16; publisher: consent to 1 and 8, legitimate interest in 2
	m.restrictions = []restriction{
		{7, 0, []span{{755, 755, false}}}, {9, 1, []span{{3, 3, false}}}, {8, 2, []span{{755, 755, false}}},
	}
	m.vendorLI.ids = map[int]bool{3: true}
	m.disclosed.ranges = []span{{1, 11, true}, {755, 755, false}}
	s, err := Parse(m.encode(6))
	if err != nil {
		t.Fatal(err)
	}
	either := Basis{LegitInterest: true}
	for _, tt := range []struct {
		what string
		got  bool
		want bool
	}{
		{"publisher's purpose", s.Permits(1, Basis{}), true},
		{"general consent does not count for the publisher", s.Permits(4, Basis{}), false},
		{"publisher's legitimate interest", s.Permits(2, either), true},
		{"it is not asked for", s.Permits(2, Basis{}), false},
		{"purpose 0", s.Permits(0, either), false},
		{"purpose 25", s.Permits(25, either), false},
		{"vendor with consent", s.PermitsVendor(755, 1, Basis{}), true},
		{"vendor by range", s.PermitsVendor(11, 1, Basis{}), true},
		{"vendor without", s.PermitsVendor(5, 1, Basis{}), false},
		{"not allowed by the publisher", s.PermitsVendor(755, 7, either), false},
		{"legitimate interest required", s.PermitsVendor(755, 8, either), false},
		{"legitimate interest", s.PermitsVendor(3, 10, either), true},
		{"legitimate interest not asked for", s.PermitsVendor(3, 10, Basis{}), false},
		{"consent required", s.PermitsVendor(3, 9, either), false},
		{"not disclosed", s.PermitsVendor(12, 1, Basis{}), false},
		{"vendor 0", s.PermitsVendor(0, 1, either), false},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v", tt.what, tt.got)
		}
	}
	// Policy 4 took legitimate interest away from purposes 3 to 6.
	m.publisher, m.legit, m.consent = nil, 0xffffff, 0
	for policy, want := range map[int][]int{3: {2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 5: {2, 7, 8, 9, 10, 11, 12}} {
		m.policy = policy
		s, err := Parse(m.encode(6))
		if err != nil {
			t.Fatal(err)
		}
		if got := list(12, func(p int) bool { return s.Permits(p, either) }); !slices.Equal(got, want) {
			t.Errorf("policy %d: legitimate interest in %v, want %v", policy, got, want)
		}
	}
}

func drawVendors(t *rapid.T) vendorSet {
	v := vendorSet{max: rapid.IntRange(0, 3000).Draw(t, "max")}
	if v.max == 0 || rapid.Bool().Draw(t, "bits") {
		v.ids = map[int]bool{}
		for i := 1; i <= v.max; i++ {
			v.ids[i] = i%7 == v.max%7 || i*i%11 == 3
		}
		return v
	}
	v.ranges = drawSpans(t, v.max)
	return v
}

func drawSpans(t *rapid.T, highest int) []span {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) span {
		s := span{first: rapid.IntRange(1, highest).Draw(t, "first")}
		s.last = s.first
		if s.several = rapid.Bool().Draw(t, "several"); s.several {
			s.last = rapid.IntRange(s.first, highest).Draw(t, "last")
		}
		return s
	}), 0, 20).Draw(t, "spans")
}

// Whatever an encoder writes, at whatever padding, is read back.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letter := rapid.IntRange(0, 25)
		m := model{
			version: 2, created: rapid.Int64Range(0, 1<<36-1).Draw(t, "created"), updated: rapid.Int64Range(0, 1<<36-1).Draw(t, "updated"),
			cmp: rapid.IntRange(0, 4095).Draw(t, "cmp"), cmpVersion: rapid.IntRange(0, 4095).Draw(t, "cmp version"), screen: rapid.IntRange(0, 63).Draw(t, "screen"),
			language: [2]int{letter.Draw(t, "l"), letter.Draw(t, "l")}, country: [2]int{letter.Draw(t, "c"), letter.Draw(t, "c")},
			listVersion: rapid.IntRange(0, 4095).Draw(t, "list"), policy: rapid.IntRange(0, 63).Draw(t, "policy"),
			service: rapid.Bool().Draw(t, "service"), texts: rapid.Bool().Draw(t, "texts"), purposeOne: rapid.Bool().Draw(t, "one"),
			features: rapid.Uint64Range(0, 1<<12-1).Draw(t, "features"), consent: rapid.Uint64Range(0, 1<<24-1).Draw(t, "consent"),
			legit: rapid.Uint64Range(0, 1<<24-1).Draw(t, "legit"), vendors: drawVendors(t), vendorLI: drawVendors(t),
		}
		for range rapid.IntRange(0, 5).Draw(t, "restrictions") {
			m.restrictions = append(m.restrictions, restriction{rapid.IntRange(1, 24).Draw(t, "purpose"), rapid.IntRange(0, 2).Draw(t, "type"), drawSpans(t, sixbit.Highest)})
		}
		if rapid.Bool().Draw(t, "disclosed") {
			v := drawVendors(t)
			m.disclosed = &v
		}
		if rapid.Bool().Draw(t, "allowed") {
			v := drawVendors(t)
			m.allowed = &v
		}
		if rapid.Bool().Draw(t, "publisher") {
			n := rapid.IntRange(0, 63).Draw(t, "custom")
			m.publisher = &publisherModel{
				rapid.Uint64Range(0, 1<<24-1).Draw(t, "pc"), rapid.Uint64Range(0, 1<<24-1).Draw(t, "pli"), n,
				rapid.Uint64().Draw(t, "cc") & (1<<n - 1), rapid.Uint64().Draw(t, "cli") & (1<<n - 1),
			}
		}
		text := m.encode(rapid.SampledFrom([]int{6, 8, 24}).Draw(t, "pad"))
		if len(text) > MaxLength {
			t.Skip()
		}
		s, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case s.Created.UnixMilli() != m.created*100, s.Updated.UnixMilli() != m.updated*100, s.CMP != m.cmp, s.CMPVersion != m.cmpVersion,
			s.Screen != m.screen, s.VendorListVersion != m.listVersion, s.PolicyVersion != m.policy, s.ServiceSpecific != m.service,
			s.NonStandardTexts != m.texts, s.PurposeOneTreatment != m.purposeOne, uint64(s.SpecialFeatures>>12) != m.features,
			uint64(s.Consent) != m.consent, uint64(s.LegitInterest) != m.legit,
			s.Language != string([]byte{'A' + byte(m.language[0]), 'A' + byte(m.language[1])}),
			s.PublisherCountry != string([]byte{'A' + byte(m.country[0]), 'A' + byte(m.country[1])}):
			t.Fatalf("%s: %+v, want %+v", text, s, m)
		}
		same := func(what string, got sixbit.Set, want vendorSet) {
			for id := 0; id <= 3001; id++ {
				if got.Has(id) != want.has(id) {
					t.Fatalf("%s: vendor %d: %v", what, id, got.Has(id))
				}
			}
		}
		same("consent", s.VendorConsent, m.vendors)
		same("legitimate interest", s.VendorLegitInterest, m.vendorLI)
		optional := func(what string, got *sixbit.Set, want *vendorSet) {
			if (got == nil) != (want == nil) {
				t.Fatalf("%s: %v, want %v", what, got, want)
			}
			if got != nil {
				same(what, *got, *want)
			}
		}
		optional("disclosed", s.Disclosed, m.disclosed)
		optional("allowed", s.Allowed, m.allowed)
		if len(s.Restrictions) != len(m.restrictions) {
			t.Fatalf("%d restrictions, want %d", len(s.Restrictions), len(m.restrictions))
		}
		for i, r := range s.Restrictions {
			want := m.restrictions[i]
			if r.Purpose != want.purpose || int(r.Type) != want.kind {
				t.Fatalf("restriction %+v, want %+v", r, want)
			}
			same("restriction", r.Vendors, vendorSet{ranges: append([]span{}, want.vendors...)})
		}
		if p := m.publisher; p != nil {
			got := s.Publisher
			if uint64(got.Consent) != p.consent || uint64(got.LegitInterest) != p.legit || got.CustomConsent.Len() != p.custom {
				t.Fatalf("publisher %+v, want %+v", got, p)
			}
			for i := 1; i <= p.custom; i++ {
				if got.CustomConsent.Has(i) != (p.customConsent>>(p.custom-i)&1 == 1) || got.CustomLegitInterest.Has(i) != (p.customOkay>>(p.custom-i)&1 == 1) {
					t.Fatalf("custom purpose %d", i)
				}
			}
		} else if s.Publisher != nil {
			t.Fatal("a publisher segment out of nothing")
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors(f)[:40] {
		f.Add(v.S)
	}
	f.Add(sample)
	f.Add(base().encode(24))
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			if s != nil {
				t.Fatal("half a decision")
			}
			return
		}
		if text[0] != 'C' || len(s.Language) != 2 || len(s.PublisherCountry) != 2 {
			t.Fatalf("%q: %+v", text, s)
		}
		for _, r := range s.Restrictions {
			if r.Purpose < 1 || r.Purpose > 24 || r.Type > RequireLegitInterest || r.Vendors.Has(0) {
				t.Fatalf("restriction %+v", r)
			}
		}
		for _, id := range []int{-1, 0, sixbit.Highest + 1} {
			if s.VendorConsent.Has(id) || s.VendorLegitInterest.Has(id) || s.PermitsVendor(id, 1, Basis{LegitInterest: true}) {
				t.Fatalf("vendor %d", id)
			}
		}
		_ = s.Validate()
	})
}

func BenchmarkParse(b *testing.B) {
	short, long := sample, ""
	for _, v := range vectors(b) {
		if len(v.S) > len(long) {
			long = v.S
		}
	}
	for name, s := range map[string]string{"short": short, "long": long} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				if _, err := Parse(s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
