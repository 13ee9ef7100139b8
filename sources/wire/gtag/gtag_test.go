package gtag

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

const base = "v=2&tid=G-TEST123456&cid=1.2"

func request(query, body string) *http.Request {
	r := httptest.NewRequest("POST", "/g/collect?"+query, strings.NewReader(body))
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11)")
	return r
}

func decode(t *testing.T, cfg Config, query, body string) (sidetrack.Decoded, error) {
	t.Helper()
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d.Decode(request(query, body))
}

// one decodes a request of exactly one good event.
func one(t *testing.T, query, body string) *sidetrack.Event {
	t.Helper()
	out, err := decode(t, Config{}, query, body)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if len(out.Events) != 1 || len(out.Errors) != 0 {
		t.Fatalf("%s: %d events, errors %v", query, len(out.Events), out.Errors)
	}
	if err := out.Events[0].Validate(time.Now()); err != nil {
		t.Fatalf("%s: the pipeline would refuse it: %v", query, err)
	}
	return out.Events[0]
}

var unordered = cmpopts.IgnoreUnexported(sidetrack.Event{})

func TestEverything(t *testing.T) {
	e := one(t, base+"&_p=17&_s=3&_z=x&gtm=45je&tag_exp=1&sst.rnd=5&_gaz=1&sid=1700000000&sct=4&seg=1&_et=1234&_fv=1&_ss=2&_c=1&_ee=1&_nsi=1"+
		"&dl=https%3A%2F%2Fshop.example%2Fa%3Fb%3Dc&dr=https%3A%2F%2Fref.example%2F&dt=A%20title&ul=de-at&sr=800x600&uid=u-1"+
		"&cn=summer&cs=news&cm=email&ck=shoes&cc=hero&ci=7&ccf=video&cmt=launch"+
		"&gcs=G101&gcd=13p3t3p2p5l1&npa=1&dma=1&dma_cps=syphamo&us_privacy=1YNN&gdpr_consent=CPxyz&frm=0&tfd=99&tt=internal&new_2027=x"+
		"&_uip=198.51.100.7&api_secret=s3cret&other=203.0.113.9&en=page_view&ep.colour=red&epn.count=3&epn.ratio=0.25&ep.big=12&up.plan=pro&upn.seats=5", "")
	want := &sidetrack.Event{
		Name: "page_view",
		Visitor: sidetrack.Visitor{
			ClientID: "1.2", UserID: "u-1", SessionID: "1700000000", SessionNumber: 4, Engagement: 1234 * time.Millisecond, New: true, NewSession: true,
		},
		Page:     sidetrack.Page{URL: "https://shop.example/a?b=c", Title: "A title", Referrer: "https://ref.example/"},
		Device:   sidetrack.Device{Language: "de-at", Screen: "800x600"},
		Campaign: sidetrack.Campaign{Name: "summer", Source: "news", Medium: "email", Term: "shoes", Content: "hero", ID: "7", Format: "video", Tactic: "launch"},
		Params: map[string]any{
			"colour": "red", "count": int64(3), "ratio": 0.25, "big": "12",
			"gtag.tid": "G-TEST123456", "gtag.seg": "1", "gtag._ss": "2", "gtag._c": "1", "gtag._ee": "1", "gtag._nsi": "1",
			"gtag.dma": "1", "gtag.dma_cps": "syphamo", "gtag.us_privacy": "1YNN", "gtag.gdpr_consent": "CPxyz",
			"gtag.frm": "0", "gtag.tfd": "99", "gtag.tt": "internal", "gtag.new_2027": "x",
		},
		UserProperties: map[string]any{"plan": "pro", "seats": int64(5)},
	}
	want.Consent.How = "payload"
	for p, s := range map[sidetrack.Purpose]sidetrack.State{
		sidetrack.AdStorage: sidetrack.Denied, sidetrack.AnalyticsStorage: sidetrack.Granted,
		sidetrack.AdUserData: sidetrack.Denied, sidetrack.AdPersonalization: sidetrack.Denied,
	} {
		want.Consent.Set(p, s)
	}
	if diff := cmp.Diff(want, e, unordered, cmp.Comparer(func(a, b sidetrack.Consent) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestConsent(t *testing.T) {
	type states = [4]sidetrack.State // ad_storage, analytics_storage, ad_user_data, ad_personalization
	const u, d, g = sidetrack.Unknown, sidetrack.Denied, sidetrack.Granted
	for query, want := range map[string]states{
		"":                             {u, u, u, u},
		"&gcs=G111":                    {g, g, u, u},
		"&gcs=G1--":                    {u, u, u, u},
		"&gcs=G12X&gcd=nonsense":       {u, u, u, u},
		"&gcd=13r3r3r2r5l1":            {g, g, g, g},
		"&gcs=G100&gcd=13r3r3r2r5l1":   {d, d, g, g}, // the stricter counts
		"&gcs=G111&gcd=13l3l3l3l1":     {g, g, u, u},
		"&gcs=G101&gcd=13p3t3p2p5l1":   {d, g, d, d},
		"&gcd=13r3r3r2r5l1&npa=1":      {g, g, g, d},
		"&gcd=13r3r3r2r5l1&up._npa=1":  {g, g, g, d},
		"&gcd=13r3r3r2r5l1&npa=0":      {g, g, g, g},
		"&gcs=G111&gcd=1zzzz&npa=":     {g, g, u, u},
		"&gcs=G110&gcs=G101":           {d, g, u, u},
		"&gcd=13v3u3q2n5l1&up.plan=me": {g, d, d, g},
	} {
		c := one(t, base+"&en=x"+query, "").Consent
		got := states{c.Get(sidetrack.AdStorage), c.Get(sidetrack.AnalyticsStorage), c.Get(sidetrack.AdUserData), c.Get(sidetrack.AdPersonalization)}
		if got != want {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
		if (c.How == "payload") != (want != states{}) {
			t.Errorf("%q: learnt from %q", query, c.How)
		}
	}
}

func TestPurchase(t *testing.T) {
	e := one(t, base+"&en=purchase&cu=eur&ep.transaction_id=T-1&epn.value=49.97&epn.tax=4.9&epn.shipping=5&ep.coupon=SUMMER&ep.affiliation=Web&ep.gift=yes"+
		"&pr2=nmCap~pr9.99&pr1=idSKU-1~nmT-shirt~brAcme~caApparel~c3Men~vablue~pr19.99~qt2~ds1.5~lp0~cpITEM~lilist~lnList~loP1~afShop~cnHero~csTop~piP~pnPromo~k0colour~v0red~zznew~k1alone", "")
	want := &sidetrack.Ecommerce{
		Currency: "EUR", Value: 49_970_000, HasValue: true, TransactionID: "T-1", Affiliation: "Web", Tax: 4_900_000, Shipping: 5_000_000, Coupon: "SUMMER",
		Items: []sidetrack.Item{
			{
				ID: "SKU-1", Name: "T-shirt", Brand: "Acme", Variant: "blue", Categories: []string{"Apparel", "", "Men"}, Price: 19_990_000, HasPrice: true, Discount: 1_500_000,
				Quantity: 2, Coupon: "ITEM", HasIndex: true, ListID: "list", ListName: "List", LocationID: "P1", Affil: "Shop",
				Promotion: sidetrack.Promotion{ID: "P", Name: "Promo", Creative: "Hero", Slot: "Top"}, Params: map[string]any{"colour": "red", "gtag.zz": "new"},
			},
			{Name: "Cap", Price: 9_990_000, HasPrice: true},
		},
	}
	if diff := cmp.Diff(want, e.Ecommerce); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"gtag.tid": "G-TEST123456", "gift": "yes"}, e.Params); diff != "" {
		t.Error(diff)
	}
}

// What looks like money elsewhere is money only in a shop, and what does not fit stays as it came.
func TestPlaces(t *testing.T) {
	for query, want := range map[string]struct {
		shop   *sidetrack.Ecommerce
		params map[string]any
	}{
		"en=web_vital&epn.value=12.5":                          {nil, map[string]any{"value": 12.5}},
		"en=generate_lead&cu=USD&epn.value=12.5":               {&sidetrack.Ecommerce{Currency: "USD", Value: 12_500_000, HasValue: true}, nil},
		"en=refund&cu=EURO&epn.value=-3&ep.transaction_id=T":   {&sidetrack.Ecommerce{TransactionID: "T"}, map[string]any{"currency": "EURO", "value": int64(-3)}},
		"en=purchase&ep.value=abc&ep.transaction_id=":          {nil, map[string]any{"value": "abc", "transaction_id": ""}},
		"en=purchase&epn.tax=0&cu=EUR":                         {&sidetrack.Ecommerce{Currency: "EUR"}, map[string]any{"tax": int64(0)}},
		"en=x&epn.value=NaN&epn.v2=1e999&ep.n=null":            {nil, map[string]any{"value": "NaN", "v2": "1e999", "n": "null"}},
		"en=view_item&pr1=idA&epn.value=1&ep.value=2":          {&sidetrack.Ecommerce{Value: 2_000_000, HasValue: true, Items: []sidetrack.Item{{ID: "A"}}}, nil},
		"en=view_item&pr0=idA&pr201=idB&pr1x=idC&pr01=idD":     {nil, map[string]any{"gtag.pr0": "idA", "gtag.pr201": "idB", "gtag.pr1x": "idC", "gtag.pr01": "idD"}},
		"en=view_item&pr200=idZ&pr3=prx~qt-1~lpy~ds-2&pr3=nmN": {&sidetrack.Ecommerce{Items: []sidetrack.Item{{Name: "N"}, {ID: "Z"}}}, nil},
		"en=view_item&pr3=nmN~prx~qt-1~lpy~ds-2~q~":            {&sidetrack.Ecommerce{Items: []sidetrack.Item{{Name: "N"}}}, nil},
	} {
		e := one(t, base+"&"+query, "")
		delete(e.Params, "gtag.tid")
		if diff := cmp.Diff(want.shop, e.Ecommerce); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
		if diff := cmp.Diff(want.params, e.Params, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
	if e := one(t, base+"&en=exception&ep.description=boom&ep.fatal=true", ""); e.Exception == nil || *e.Exception != (sidetrack.Failure{Description: "boom", Fatal: true}) {
		t.Errorf("%+v", e.Exception)
	}
	if e := one(t, base+"&en=timing_complete&ep.name=load&epn.value=1200&ep.event_category=js", ""); e.Timing == nil || e.Timing.Value != 1200*time.Millisecond || e.Timing.Variable != "load" {
		t.Errorf("%+v", e.Timing)
	}
	if e := one(t, base+"&en=share&ep.method=mail&ep.content_type=image&ep.item_id=7", ""); e.Social == nil || *e.Social != (sidetrack.Social{Network: "mail", Action: "image", Target: "7"}) {
		t.Errorf("%+v", e.Social)
	}
	if e := one(t, base+"&en=x&dh=shop.example&dp=%2Fa%3Fb", ""); e.Page.URL != "https://shop.example/a" || e.Page.Path != "/a" {
		t.Errorf("%+v", e.Page)
	}
	if e := one(t, base+"&en=x&dl=%2Frel%3Fb%23c&dr=nonsense&sct=-4&_et=x", ""); e.Page.URL != "" || e.Page.Path != "/rel" || e.Page.Referrer != "" || e.Visitor.SessionNumber != 0 {
		t.Errorf("%+v", e.Page)
	}
}

func TestBatch(t *testing.T) {
	out, err := decode(t, Config{}, base+"&sid=5&dt=Query&en=page_view&ep.a=1", "en=scroll&dt=Line&ep.a=2\r\n\r\n  \r\nep.b=3&_et=7\r\nen=&ep.c=1\r\ncid=&en=x\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, e := range out.Events {
		got = append(got, strings.Join([]string{e.Name, e.Page.Title, e.Visitor.SessionID, e.Param("a").(string)}, " "))
		if out.Indexes[i] != i {
			t.Errorf("indexes %v", out.Indexes)
		}
	}
	if diff := cmp.Diff([]string{"scroll Line 5 2", "page_view Query 5 1"}, got); diff != "" {
		t.Error(diff)
	}
	if len(out.Errors) != 2 || out.Errors[0].Index != 2 || out.Errors[0].Err.Error() != "en: is missing" || out.Errors[1].Index != 3 || out.Errors[1].Err.Error() != "cid: is missing" {
		t.Errorf("errors %v", out.Errors)
	}
	if out, err = decode(t, Config{}, base+"&en=x", strings.Repeat("_et=1\n", 101)); err != nil || len(out.Events) != 100 || len(out.Errors) != 1 {
		t.Errorf("%d events, %v, %v", len(out.Events), out.Errors, err)
	}
}

func TestRefused(t *testing.T) {
	for query, field := range map[string]string{
		"v=1&tid=G-TEST123456&cid=1.2&en=x": "v", "tid=G-TEST123456&cid=1.2&en=x": "v", "v=2&cid=1.2&en=x": "tid", "v=2&tid=G-1&en=x": "cid", base: "en", "": "v",
	} {
		_, err := decode(t, Config{}, query, "")
		if f, ok := errors.AsType[*sidetrack.FieldError](err); !ok || f.Field != field {
			t.Errorf("%q: %v, want %s", query, err, field)
		}
	}
	if _, err := decode(t, Config{MeasurementIDs: []string{"G-OTHER"}}, base+"&en=x", ""); err == nil || err.Error() != "tid: is not collected here" {
		t.Error(err)
	}
	if _, err := decode(t, Config{MeasurementIDs: []string{"G-OTHER", "G-TEST123456"}}, base+"&en=x", ""); err != nil {
		t.Error(err)
	}
	_, err := decode(t, Config{}, base+"&en=x", strings.Repeat("a", gawire.MaxBody+1))
	if h, ok := errors.AsType[*sidetrack.HTTPError](err); !ok || h.Status != http.StatusRequestEntityTooLarge {
		t.Error(err)
	}
	if _, err := New(Config{MeasurementIDs: []string{"UA-1-1"}}); err == nil {
		t.Error("a property id of another product was taken")
	}
}

// No address that a client states is ever part of the event; a trusted sender's becomes the origin.
func TestAddresses(t *testing.T) {
	const q = base + "&en=x&_uip=198.51.100.7&weird=198.51.100.7&w2=%5B2001:db8::1%5D:443"
	for _, trust := range []bool{false, true} {
		out, err := decode(t, Config{TrustIPOverride: trust}, q, "")
		if err != nil {
			t.Fatal(err)
		}
		e := out.Events[0]
		if line, err := e.MarshalJSON(); err != nil || strings.Contains(string(line), "198.51") || strings.Contains(string(line), "2001") {
			t.Errorf("%s %v", line, err)
		}
		if got := e.Origin().IP().IsValid(); got != trust {
			t.Errorf("trust %v: origin %v", trust, e.Origin())
		}
		if trust && (e.Origin().IP().String() != "198.51.100.7" || e.Device.UserAgent == "") {
			t.Errorf("%v %q", e.Origin().IP(), e.Device.UserAgent)
		}
	}
}

func TestReply(t *testing.T) {
	for query, want := range map[string]sidetrack.Reply{
		base + "&en=x":            {Status: 204, Body: []byte{}},
		base + "&en=x&richsstsse": {Status: 200, ContentType: "text/event-stream", Body: []byte{}},
		base + "&richsstsse&en=x": {Status: 204, Body: []byte{}},
	} {
		out, err := decode(t, Config{}, query, "")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.Reply); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
}

func TestHints(t *testing.T) {
	e := one(t, base+"&en=x&uaa=arm&uab=64&uafvl=Chromium%3B136.0.7103.114%7CNot.A%252FBrand%3B99.0%7Cbroken%7C%3B1%7CA%2522B%3B2&uamb=0&uam=&uap=macOS&uapv=15.5.0&uaw=x", "")
	want := map[string]string{
		"sec-ch-ua-arch": `"arm"`, "sec-ch-ua-bitness": `"64"`, "sec-ch-ua-mobile": "?0", "sec-ch-ua-model": `""`, "sec-ch-ua-platform": `"macOS"`,
		"sec-ch-ua-platform-version":  `"15.5.0"`,
		"sec-ch-ua-full-version-list": `"Chromium";v="136.0.7103.114", "Not.A/Brand";v="99.0", "A\"B";v="2"`,
	}
	if diff := cmp.Diff(want, e.Device.Hints); diff != "" {
		t.Error(diff)
	}
}

func TestTokens(t *testing.T) {
	for in, want := range map[string][]string{
		"a~b": {"a", "b"}, "a~~b": {"a~b"}, "a~~~b": {"a~", "b"}, "~~": {"~"}, "a~": {"a"}, "a~~": {"a~"}, "a~~b~~c~d": {"a~b~c", "d"}, "~a": {"", "a"},
	} {
		var got []string
		for s := in; s != ""; {
			var token string
			token, s = nextToken(s)
			got = append(got, token)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}
