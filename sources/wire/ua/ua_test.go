package ua

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sidetrack-go/sidetrack"
)

const base = "v=1&tid=UA-12345-6&cid=555"

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newDecoder(t testing.TB, cfg Config) *decoder {
	t.Helper()
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.(*decoder).now = func() time.Time { return now }
	return d.(*decoder)
}

func post(path, query, body string) *http.Request {
	r := httptest.NewRequest("POST", path+"?"+query, strings.NewReader(body))
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11)")
	return r
}

func decode(t *testing.T, cfg Config, body string) []*sidetrack.Event {
	t.Helper()
	out, err := newDecoder(t, cfg).Decode(post("/collect", "", body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for _, e := range out.Events {
		if err := e.Validate(now); err != nil {
			t.Fatalf("%s: the pipeline would refuse it: %v", body, err)
		}
	}
	if len(out.Errors) > 0 {
		t.Fatalf("%s: %v", body, out.Errors)
	}
	return out.Events
}

var compare = cmp.Options{cmpopts.IgnoreUnexported(sidetrack.Event{}), cmp.Comparer(func(a, b sidetrack.Consent) bool { return a == b }), cmpopts.EquateEmpty()}

func kept(t string, more ...any) map[string]any {
	m := map[string]any{"ua.tid": "UA-12345-6", "ua.t": t}
	for i := 0; i < len(more); i += 2 {
		m[more[i].(string)] = more[i+1]
	}
	return m
}

func TestCommon(t *testing.T) {
	cfg := Config{Dimensions: map[string]int{"plan": 3}, UserProperties: map[string]int{"tier": 4}, Metrics: map[string]int{"score": 2}}
	got := decode(t, cfg, base+"&t=pageview&uid=u-1&sc=start&qt=560&aip=&npa=1&ds=crm&z=9&_v=j99&_u=x&a=1&jid=&gjid=2&_gid=3&gtm=4&_r=1&_s=2"+
		"&uip=198.51.100.7&ua=Opera%2F9.80&geoid=de&api_secret=s3cret&ms=s3cret&weird=2001:db8::1"+
		"&dl=http%3A%2F%2Fshop.example%2Fa%3Fb%3Dc&dr=http%3A%2F%2Fref.example&dt=A&linkid=nav&cd=Home&cg1=news%2Fsports&cg3=x&cg11=y"+
		"&cn=spring&cs=google&cm=cpc&ck=Blue%20Shoes&cc=content&ci=ID&gclid=G-1&dclid=D-1"+
		"&sr=800x600&vp=123x456&de=UTF-8&sd=24-bits&ul=en-us&je=1&fl=10"+
		"&an=App&aid=a.b&av=1.0&aiid=store&cd3=pro&cd4=gold&cd5=five&cm2=5&cm7=2.5&cm8=x&cd0=a&cd201=b&cd01=c&xid=E&xvar=1&ni=1&plt=12&new=thing")
	want := &sidetrack.Event{
		Name: "page_view", Time: now.Add(-560 * time.Millisecond),
		Visitor: sidetrack.Visitor{ClientID: "555", UserID: "u-1", NewSession: true},
		Page:    sidetrack.Page{URL: "http://shop.example/a?b=c", Title: "A", Referrer: "http://ref.example"},
		Device:  sidetrack.Device{UserAgent: "Opera/9.80", Language: "en-us", Screen: "800x600", Viewport: "123x456", Colors: 24, Encoding: "UTF-8"},
		Network: sidetrack.Network{Country: "DE"},
		Campaign: sidetrack.Campaign{
			ID: "ID", Source: "google", Medium: "cpc", Name: "spring", Term: "Blue Shoes", Content: "content", ClickIDs: map[string]string{"gclid": "G-1", "dclid": "D-1"},
		},
		App: sidetrack.App{Name: "App", ID: "a.b", Version: "1.0", InstallerID: "store", Screen: "Home"},
		Params: kept("pageview", "ua.sc", "start", "ua.aip", "1", "ua.ds", "crm", "ua.geoid", "de", "ua.linkid", "nav", "content_group", "news/sports", "content_group3", "x",
			"ua.je", "1", "ua.fl", "10", "plan", "pro", "dimension5", "five", "score", int64(5), "metric7", 2.5, "metric8", "x", "ua.xid", "E", "ua.xvar", "1", "ua.ni", "1",
			"ua.plt", "12", "ua.new", "thing"),
		UserProperties: map[string]any{"tier": "gold"},
	}
	want.Consent.Set(sidetrack.AdPersonalization, sidetrack.Denied)
	want.Consent.How = "payload"
	if diff := cmp.Diff([]*sidetrack.Event{want}, got, compare); diff != "" {
		t.Error(diff)
	}
}

func TestHitTypes(t *testing.T) {
	for hit, want := range map[string]sidetrack.Event{
		"t=pageview&dh=mydemo.example&dp=%2Fhome%3Fa": {
			Name: "page_view", Page: sidetrack.Page{URL: "https://mydemo.example/home?a", Path: "/home"}, Params: kept("pageview", "ua.dh", "mydemo.example", "ua.dp", "/home?a"),
		},
		"t=pageview&dl=http%3A%2F%2Fa.example%2Fx&dp=virtual": {
			Name: "page_view", Page: sidetrack.Page{URL: "http://a.example/virtual", Path: "/virtual"}, Params: kept("pageview", "ua.dl", "http://a.example/x", "ua.dp", "virtual"),
		},
		"t=pageview&dp=%2Fhome":              {Name: "page_view", Page: sidetrack.Page{Path: "/home"}, Params: kept("pageview", "ua.dp", "/home")},
		"t=pageview&dl=nonsense":             {Name: "page_view", Params: kept("pageview", "ua.dl", "nonsense")},
		"t=screenview&cd=Home&an=App":        {Name: "screen_view", App: sidetrack.App{Name: "App", Screen: "Home"}, Params: kept("screenview")},
		"t=appview&cd=Home":                  {Name: "screen_view", App: sidetrack.App{Screen: "Home"}, Params: kept("appview")},
		"t=event&ec=video&ea=play&el=h&ev=3": {Name: "play", Params: kept("event", "event_category", "video", "event_label", "h", "value", int64(3))},
		"t=event&ec=V&ea=Add%20To-Cart!":     {Name: "ua_event", Params: kept("event", "event_category", "V", "ua.ea", "Add To-Cart!")},
		"t=event&ec=V&ea=Add%20To--CartNow":  {Name: "add_to_cart_now", Params: kept("event", "event_category", "V", "ua.ea", "Add To--CartNow")},
		"t=event&ec=V&ea=purchase&ev=x":      {Name: "ua_event", Params: kept("event", "event_category", "V", "ua.ea", "purchase", "ua.ev", "x")},
		"t=event&ec=V&ea=Session%20Start":    {Name: "ua_event", Params: kept("event", "event_category", "V", "ua.ea", "Session Start")},
		"t=event&ec=V":                       {Name: "ua_event", Params: kept("event", "event_category", "V")},
		"t=social&sn=fb&sa=like&st=%2Fhome":  {Name: "share", Social: &sidetrack.Social{Network: "fb", Action: "like", Target: "/home"}, Params: kept("social")},
		"t=exception&exd=IO&exf=0":           {Name: "exception", Exception: &sidetrack.Failure{Description: "IO"}, Params: kept("exception")},
		"t=exception":                        {Name: "exception", Exception: &sidetrack.Failure{Fatal: true}, Params: kept("exception")},
		"t=timing&utc=js&utv=load&utt=5000&utl=jq": {
			Name: "timing_complete", Timing: &sidetrack.Duration{Category: "js", Variable: "load", Label: "jq", Value: 5 * time.Second}, Params: kept("timing"),
		},
		"t=timing&plt=3554&utt=x": {Name: "timing_complete", Timing: &sidetrack.Duration{}, Params: kept("timing", "ua.plt", "3554", "ua.utt", "x")},
		"t=transaction&ti=1&ta=W&tr=50.00&ts=32.00&tt=0&cu=eur": {
			Name:      "purchase",
			Ecommerce: &sidetrack.Ecommerce{TransactionID: "1", Affiliation: "W", Value: 50_000_000, HasValue: true, Shipping: 32_000_000, Currency: "EUR"},
			Params:    kept("transaction", "ua.tr", "50.00", "ua.tt", "0"),
		},
		"t=item&ti=1&in=sofa&ip=300&iq=2&ic=u3&iv=a%2Fb&cu=EURO": {
			Name: "transaction_item", Params: kept("item", "ua.cu", "EURO"),
			Ecommerce: &sidetrack.Ecommerce{TransactionID: "1", Items: []sidetrack.Item{
				{ID: "u3", Name: "sofa", Price: 300_000_000, HasPrice: true, Quantity: 2, Categories: []string{"a", "b"}},
			}},
		},
	} {
		want.Visitor.ClientID = "555"
		if diff := cmp.Diff([]*sidetrack.Event{&want}, decode(t, Config{}, base+"&"+hit), compare); diff != "" {
			t.Errorf("%s: %s", hit, diff)
		}
	}
}

func TestShopWhole(t *testing.T) {
	for hit, want := range map[string]sidetrack.Event{
		"t=pageview&pa=purchase&ti=T1&ta=W&tr=37.39&tt=2.85&ts=5.34&tcc=SUMMER&cu=EUR&pr1id=P1&pr1nm=Tee&pr1br=B&pr1ca=a%2Fb%2Fc&pr1va=V&pr1pr=29.20&pr1qt=1&pr1cc=C&pr1ps=4&pr1cd2=v2&pr1cm1=3": {
			Name: "purchase", Params: kept("pageview", "ua.pa", "purchase", "ua.tr", "37.39"),
			Ecommerce: &sidetrack.Ecommerce{
				TransactionID: "T1", Affiliation: "W", Value: 37_390_000, HasValue: true, Tax: 2_850_000, Shipping: 5_340_000, Coupon: "SUMMER", Currency: "EUR",
				Items: []sidetrack.Item{{
					ID: "P1", Name: "Tee", Brand: "B", Categories: []string{"a", "b", "c"}, Variant: "V", Price: 29_200_000, HasPrice: true, Quantity: 1, Coupon: "C", Index: 4, HasIndex: true,
					Params: map[string]any{"dimension2": "v2", "metric1": int64(3)},
				}},
			},
		},
		"t=event&ec=UX&ea=click&ev=2&pa=click&pal=Search&pr2id=B&pr5id=E": {
			Name: "select_item", Params: kept("event", "ua.pa", "click", "event_category", "UX", "ua.ea", "click", "ua.ev", "2", "ua.indexes", "2,5"),
			Ecommerce: &sidetrack.Ecommerce{ListName: "Search", Items: []sidetrack.Item{{ID: "B"}, {ID: "E"}}},
		},
		"t=pageview&pa=checkout&cos=1&col=Visa&pr1id=P": {
			Name: "begin_checkout", Params: kept("pageview", "ua.pa", "checkout", "checkout_step", int64(1), "checkout_option", "Visa"),
			Ecommerce: &sidetrack.Ecommerce{Items: []sidetrack.Item{{ID: "P"}}},
		},
		"t=event&ec=c&ea=o&pa=checkout_option&cos=2&col=Visa": {
			Name: "add_payment_info", Params: kept("event", "ua.pa", "checkout_option", "event_category", "c", "ua.ea", "o", "checkout_step", int64(2), "checkout_option", "Visa"),
			Ecommerce: &sidetrack.Ecommerce{PaymentType: "Visa"},
		},
		"t=pageview&promoa=click&promo12id=P&promo12nm=N&promo12cr=C&promo12ps=S": {
			Name: "select_promotion", Params: kept("pageview", "ua.promoa", "click", "ua.indexes", "12"),
			Ecommerce: &sidetrack.Ecommerce{Items: []sidetrack.Item{{Promotion: sidetrack.Promotion{ID: "P", Name: "N", Creative: "C", Slot: "S"}}}},
		},
		"t=pageview&il1nm=Search&il1pi2id=x&il1pi2nm=i&il1pi2pr=10&il1pi2ps=7&il1pi3cd1=t&il2pi4cm2=101": {
			Name: "view_item_list", Params: kept("pageview", "ua.indexes", "1.2,1.3,2.4"),
			Ecommerce: &sidetrack.Ecommerce{Items: []sidetrack.Item{
				{ListName: "Search", ID: "x", Name: "i", Price: 10_000_000, HasPrice: true, Index: 7, HasIndex: true},
				{ListName: "Search", Params: map[string]any{"dimension1": "t"}}, {Params: map[string]any{"metric2": int64(101)}},
			}},
		},
		"t=pageview&il1nm=Search&il1pi1id=x": {
			Name: "view_item_list", Params: kept("pageview"),
			Ecommerce: &sidetrack.Ecommerce{ListName: "Search", Items: []sidetrack.Item{{ListName: "Search", ID: "x"}}},
		},
		// What one event cannot say as well is kept as it came; products without an action mean nothing.
		"t=pageview&pa=detail&pr1id=A&il1nm=L&il1pi1id=x&promo1id=P&tr=5": {
			Name: "view_item", Params: kept("pageview", "ua.pa", "detail", "ua.il1nm", "L", "ua.il1pi1id", "x", "ua.promo1id", "P", "ua.tr", "5"),
			Ecommerce: &sidetrack.Ecommerce{Items: []sidetrack.Item{{ID: "A"}}},
		},
		"t=pageview&pr1id=A&pa=juggle&cu=EUR&il1nm=L": {Name: "page_view", Params: kept("pageview", "ua.pr1id", "A", "ua.pa", "juggle", "ua.cu", "EUR", "ua.il1nm", "L")},
		"t=pageview&pr1zz=A&il1pi1qt=1&promo1id2=x&pr0id=A&pr201id=B": {
			Name: "page_view", Params: kept("pageview", "ua.pr1zz", "A", "ua.il1pi1qt", "1", "ua.promo1id2", "x"),
		},
	} {
		want.Visitor.ClientID = "555"
		cfg := Config{CheckoutSteps: map[string]int{"add_payment_info": 2}}
		if diff := cmp.Diff([]*sidetrack.Event{&want}, decode(t, cfg, base+"&"+hit), compare); diff != "" {
			t.Errorf("%s: %s", hit, diff)
		}
	}
}

// brief is the name and what the e-commerce part says, for tests of how hits are split.
func brief(events []*sidetrack.Event) (out []string) {
	for _, e := range events {
		s := e.Name
		if c := e.Ecommerce; c != nil {
			s += fmt.Sprintf(" %s%s%s", c.TransactionID, c.ListName, c.Value)
			for _, it := range c.Items {
				s += " " + it.ID + it.Promotion.ID
			}
		}
		if e.Visitor.NewSession {
			s += " new"
		}
		out = append(out, s)
	}
	return out
}

func TestGA4Events(t *testing.T) {
	for body, want := range map[string][]string{
		"t=pageview&sc=start&pa=purchase&ti=T1&tr=37.39&tt=2.85&ts=5.34&pr1id=A": {"page_view new", "purchase T129.2 A"},
		"t=pageview&pa=purchase&ti=T1&pr1id=A&pr1pr=2.5&pr1qt=2":                 {"page_view", "purchase T15 A"},
		"t=event&ec=x&ea=y&pa=add&pr1id=A":                                       {"add_to_cart 0 A"},
		"t=event&ec=x&ea=y":                                                      {"y"},
		"t=pageview&il1nm=L&il1pi1id=A&il3nm=M&il3pi2id=B&il3pi1id=C&promo1id=P": {"page_view", "view_item_list L0 A", "view_item_list M0 C B", "view_promotion 0 P"},
		"t=event&ec=x&ea=y&promoa=promo_click&promo1id=P":                        {"select_promotion 0 P"},
		"t=transaction&ti=1&tr=9":                                                {"purchase 19"},
		"t=item&ti=1&ic=A":                                                       {"transaction_item 10 A"},
		"t=item&ti=1&ic=A\n" + base + "&t=transaction&ti=1&tr=9\n" + base + "&t=item&ti=1&ic=B\n" + base + "&t=item&ti=2&ic=C": {"purchase 19 A B", "transaction_item 20 C"},
		"t=item&ti=1&ic=A\n" + base + "1&t=transaction&ti=1&tr=9":                                                              {"transaction_item 10 A", "purchase 19"},
	} {
		cfg := Defaults()
		cfg.NetRevenue = true
		if diff := cmp.Diff(want, brief(decode(t, cfg, base+"&"+body))); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
	e := decode(t, Defaults(), base+"&t=event&ec=x&ea=y&el=z&ev=4&pa=add&pr1id=A&cd1=one")[0]
	if diff := cmp.Diff(kept("event", "event_category", "x", "event_label", "z", "ua.ea", "y", "ua.ev", "4", "dimension1", "one"), e.Params); diff != "" {
		t.Error(diff)
	}
}

func TestBatch(t *testing.T) {
	d := newDecoder(t, Config{})
	out, err := d.Decode(post("/batch", "", base+"&t=pageview&dp=%2Fa\n"+base+"&dp=%2Fb\r\n\n"+base+"&t=pageview&dp=%2Fc\nnonsense"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{0, 2}, out.Indexes); diff != "" || len(out.Events) != 2 || out.Events[1].Page.Path != "/c" {
		t.Errorf("%v %v", out.Indexes, out.Events)
	}
	if len(out.Errors) != 2 || out.Errors[0].Index != 1 || out.Errors[0].Err.Error() != "t: is missing" || out.Errors[1].Index != 3 {
		t.Errorf("%v", out.Errors)
	}
	if out, err = d.Decode(post("/batch", "", strings.Repeat(base+"&t=pageview\n", 21))); err != nil || len(out.Events) != 20 || len(out.Errors) != 1 {
		t.Errorf("%d %v %v", len(out.Events), out.Errors, err)
	}
	// What is in the query holds for every line; without a body it is the hit.
	if out, err = d.Decode(post("/collect", base, "t=pageview&dp=%2Fa")); err != nil || len(out.Events) != 1 || out.Events[0].Page.Path != "/a" {
		t.Errorf("%v %v", out, err)
	}
	if out, err = d.Decode(post("/collect", base+"&t=pageview", "")); err != nil || len(out.Events) != 1 || out.Indexes != nil {
		t.Errorf("%v %v", out, err)
	}
}

func TestRefused(t *testing.T) {
	for query, field := range map[string]string{
		"tid=UA-1-1&cid=5&t=pageview": "v", "v=2&tid=UA-1-1&cid=5&t=pageview": "v", "v=1&cid=5&t=pageview": "tid", "v=1&tid=UA-1-1&t=pageview": "cid",
		base: "t", base + "&t=appview2": "t", base + "&t=event&el=x": "ea", base + "&t=transaction": "ti", base + "&t=item": "ti",
	} {
		_, err := newDecoder(t, Config{}).Decode(post("/collect", query, ""))
		if f, ok := errors.AsType[*sidetrack.FieldError](err); !ok || f.Field != field {
			t.Errorf("%q: %v, want %s", query, err, field)
		}
	}
	if _, err := newDecoder(t, Config{}).Decode(post("/collect", "v=1&tid=UA-1-1&uid=u&t=pageview", "")); err != nil {
		t.Errorf("a user id alone: %v", err)
	}
	if _, err := newDecoder(t, Config{TrackingIDs: []string{"UA-9-9"}}).Decode(post("/collect", base+"&t=pageview", "")); err == nil || err.Error() != "tid: is not collected here" {
		t.Error(err)
	}
	for _, cfg := range []Config{
		{Dimensions: map[string]int{"a": 1, "b": 1}}, {Metrics: map[string]int{"a": 0}}, {CheckoutSteps: map[string]int{"": 1}},
		{Dimensions: map[string]int{"a": 1}, UserProperties: map[string]int{"b": 1}}, {Dimensions: map[string]int{"a": 201}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, trust := range []bool{false, true} {
		out, err := newDecoder(t, Config{TrustIPOverride: trust}).Decode(post("/collect", base+"&t=pageview&uip=198.51.100.7&ip=198.51.100.7&other=198.51.100.7", ""))
		if err != nil {
			t.Fatal(err)
		}
		e := out.Events[0]
		if line, err := e.MarshalJSON(); err != nil || strings.Contains(string(line), "198.51") {
			t.Errorf("%s %v", line, err)
		}
		if e.Origin().IP().IsValid() != trust {
			t.Errorf("trust %v: origin %v", trust, e.Origin().IP())
		}
	}
}

func TestQueueTime(t *testing.T) {
	for qt, want := range map[string]time.Time{"0": now, "560": now.Add(-560 * time.Millisecond), "-1": {}, "x": {}, "99999999999999": {}} {
		e := decode(t, Config{}, base+"&t=pageview&qt="+qt)[0]
		if !e.Time.Equal(want) || want.IsZero() != (e.Params["ua.qt"] == qt) {
			t.Errorf("%s: %v %v", qt, e.Time, e.Params)
		}
	}
}

func TestReplies(t *testing.T) {
	d := newDecoder(t, Config{})
	for path, want := range map[string]string{"/collect": "image/gif", "/r/collect": "image/gif", "/j/collect": "text/plain", "/batch": "image/gif"} {
		out, err := d.Decode(post(path, base+"&t=pageview", ""))
		if err != nil || out.Reply.ContentType != want || len(out.Reply.Body) == 0 || out.Reply.Status != 200 {
			t.Errorf("%s: %v %v", path, out.Reply, err)
		}
	}
	out, err := d.Decode(post("/debug/collect", "", "v=1&cid=555&t=pageview&dp=%2Fhome\n"+base+"&t=pageview"))
	if err != nil || len(out.Events) != 0 || out.Reply.Status != 200 {
		t.Fatalf("%v %v", out, err)
	}
	var v verdict
	if err := json.Unmarshal(out.Reply.Body, &v); err != nil {
		t.Fatal(err)
	}
	want := verdict{
		Hits: []hitVerdict{
			{Hit: "/debug/collect?v=1&cid=555&t=pageview&dp=%2Fhome", Messages: []message{{Type: "ERROR", Description: "tid: is missing", Code: "VALUE_REQUIRED", Parameter: "tid"}}},
			{Valid: true, Hit: "/debug/collect?" + base + "&t=pageview", Messages: []message{}},
		},
		Messages: []message{{Type: "INFO", Description: "Found 2 hits in the request."}},
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Error(diff)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("/collect", base+"&t=event&ec=a&ea=b&cm=email&cm2=5&cd=Home&cd3=x&pa=detail&pr1id=S1&pr1cd2=v2&pr1cm1=3&il1pi2nm=x&promo1id=P", "", true)
	f.Add("/batch", "", base+"&t=item&ti=1&ip=5\r\n"+base+"&t=transaction&ti=1&tr=1e3&qt=5", true)
	f.Add("/debug/collect", base+"&t=timing&utt=9999999999999999&sd=-5&exf=&dp=x&dh=%00", "", false)
	f.Fuzz(func(t *testing.T, path, query, body string, split bool) {
		r := post("/collect", "", body)
		r.URL.Path, r.URL.RawQuery = path, query
		out, err := newDecoder(t, Config{GA4Events: split, TrustIPOverride: split}).Decode(r)
		if err != nil {
			return
		}
		if out.Indexes != nil && len(out.Indexes) != len(out.Events) {
			t.Fatalf("%d events, %d indexes", len(out.Events), len(out.Indexes))
		}
		for _, e := range out.Events {
			if err := e.Validate(now); err != nil {
				t.Fatalf("a decoded event is refused: %v", err)
			}
			if _, err := e.MarshalJSON(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
