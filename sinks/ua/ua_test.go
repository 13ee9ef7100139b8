package ua

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

var now = time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)

func config() Config {
	return Config{Endpoint: "https://collector.example/collect", TrackingID: "UA-12345-6"}
}

func TestContract(t *testing.T) {
	build := func(cfg Config) func() (*sidetrack.Sink, error) {
		return func() (*sidetrack.Sink, error) { return New(cfg) }
	}
	secret := config()
	secret.Method, secret.Params = "get", map[string]sidetrack.Secret{"ms": sidetrack.NewSecret("token-1")}
	batch := config()
	batch.Batch, batch.Ecommerce = true, "classic"
	debug := config()
	debug.Debug = true
	sinktest.Run(t, build(config()), sinktest.Golden("testdata"))
	t.Run("get", func(t *testing.T) { sinktest.Run(t, build(secret)) })
	t.Run("batch", func(t *testing.T) { sinktest.Run(t, build(batch), sinktest.Golden("testdata/classic")) })
	t.Run("debug", func(t *testing.T) { sinktest.Run(t, build(debug)) })
}

// bare adds nothing that an event does not say.
func bare() Config {
	cfg := config()
	cfg.OmitAIP, cfg.UnknownConsent = true, "omit"
	return cfg
}

func ev(name string, params map[string]any) *sidetrack.Event {
	return &sidetrack.Event{Name: name, Visitor: sidetrack.Visitor{ClientID: "555"}, Params: params}
}

func shopEvent(name string, c sidetrack.Ecommerce) *sidetrack.Event {
	e := ev(name, nil)
	e.Ecommerce = &c
	return e
}

func request(t *testing.T, cfg Config, events ...*sidetrack.Event) (*sidetrack.Request, map[int]error) {
	t.Helper()
	g, err := newGenerator(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := g.Request(sidetrack.Unit{Events: events, At: now})
	if partial, ok := errors.AsType[*sidetrack.PartialError](err); ok {
		return r, partial.Failed
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, nil
}

func TestEventsBecomeHits(t *testing.T) {
	items := []sidetrack.Item{
		{ID: "A", Name: "Shirt", Brand: "Acme", Variant: "blue", Categories: []string{"Apparel", "Shirts"}, Price: sidetrack.MoneyOf(19.99), HasPrice: true, Quantity: 2, Coupon: "C", HasIndex: true, Index: 3,
			Params: map[string]any{"colour": "red", "weight": 1.5, "dimension7": "x", "other": "y"}},
		{ID: "B", ListName: "second", Promotion: sidetrack.Promotion{ID: "P", Name: "N", Creative: "K", Slot: "S"}},
	}
	cfg := bare()
	cfg.Dimensions, cfg.Metrics = map[string]int{"plan": 3, "colour": 4}, map[string]int{"score": 2, "weight": 5}
	cfg.CheckoutSteps = map[string]int{"add_shipping_info": 2}
	const product = "&pr1id=A&pr1nm=Shirt&pr1br=Acme&pr1ca=Apparel%2FShirts&pr1va=blue&pr1pr=19.99&pr1qt=2&pr1cc=C&pr1ps=3&pr1cd4=red&pr1cd7=x&pr1cm5=1.5&pr2id=B"
	money := sidetrack.Ecommerce{Currency: "EUR", Value: sidetrack.MoneyOf(39.98), HasValue: true, TransactionID: "T", Affiliation: "web", Tax: sidetrack.MoneyOf(6.5), Shipping: sidetrack.MoneyOf(3.02), Coupon: "SUMMER", Items: items}
	unpriced := money
	unpriced.HasValue, unpriced.Value = false, 0
	for _, tt := range []struct {
		e    *sidetrack.Event
		want string
		note sidetrack.Reason
	}{
		{func() *sidetrack.Event {
			e := ev("page_view", map[string]any{"content_group": "a", "content_group2": "b", "link_id": "nav", "experiment_id": "X", "experiment_variant": int64(1), "dimension9": true, "plan": "gold"})
			e.Visitor.UserID, e.Visitor.NewSession, e.Time = "u", true, now.Add(-1500*time.Millisecond)
			e.Page = sidetrack.Page{URL: "https://a.example/x?y=1", Title: "T", Referrer: "https://r.example/"}
			e.Device = sidetrack.Device{UserAgent: "UA", Language: "de", Screen: "1x2", Viewport: "3x4", Colors: 24, Encoding: "UTF-8"}
			e.Network = sidetrack.Network{IP: "192.0.2.0", Country: "AT"}
			e.Campaign = sidetrack.Campaign{ID: "i", Source: "s", Medium: "m", Name: "n", Term: "t", Content: "c", ClickIDs: map[string]string{"gclid": "g", "dclid": "d", "fbclid": "f"}}
			e.UserProperties = map[string]any{"plan": "silver", "dimension8": "p"}
			e.App = sidetrack.App{Name: "an", ID: "ai", Version: "v", InstallerID: "ii"}
			e.Consent.Set(sidetrack.AdPersonalization, sidetrack.Denied)
			return e
		}(), "uid=u&t=pageview&npa=1&qt=1500&sc=start&uip=192.0.2.0&ua=UA&geoid=AT&dr=https%3A%2F%2Fr.example%2F&cn=n&cs=s&cm=m&ck=t&cc=c&ci=i&gclid=g&dclid=d&sr=1x2&vp=3x4&de=UTF-8&sd=24-bits&ul=de" +
			"&dl=https%3A%2F%2Fa.example%2Fx%3Fy%3D1&dt=T&linkid=nav&cg1=a&cg2=b&an=an&aid=ai&av=v&aiid=ii&cd3=gold&cd8=p&cd9=true&xid=X&xvar=1", ""},
		{func() *sidetrack.Event { e := ev("screen_view", nil); e.App.Screen = "Home"; return e }(), "t=screenview&cd=Home", ""},
		{ev("sign_up", map[string]any{"event_category": "account", "event_label": "top", "value": int64(3), "score": 2.5, "non_interaction": true}), "t=event&ni=1&ec=account&ea=sign_up&el=top&ev=3&cm2=2.5", ""},
		{ev("sign_up", map[string]any{"value": -1.5}), "t=event&ec=event&ea=sign_up", RuleNumber},
		{ev("x", map[string]any{"event_label": strings.Repeat("ü", 251)}), "t=event&ec=event&ea=x&el=" + strings.Repeat("%C3%BC", 250), RuleTooLong},
		{func() *sidetrack.Event {
			e := ev("exception", nil)
			e.Exception = &sidetrack.Failure{Description: "d"}
			return e
		}(), "t=exception&exd=d&exf=0", ""},
		{func() *sidetrack.Event {
			e := ev("timing_complete", nil)
			e.Timing = &sidetrack.Duration{Category: "c", Variable: "v", Label: "l", Value: 321 * time.Millisecond}
			return e
		}(), "t=timing&utc=c&utv=v&utt=321&utl=l", ""},
		{func() *sidetrack.Event {
			e := ev("share", nil)
			e.Social = &sidetrack.Social{Network: "n", Action: "a", Target: "t"}
			return e
		}(), "t=social&sn=n&sa=a&st=t", ""},
		{shopEvent("view_item", sidetrack.Ecommerce{Items: items}), "t=event&ec=event&ea=view_item&pa=detail" + product, ""},
		{shopEvent("select_item", sidetrack.Ecommerce{ListName: "L", Items: items[1:]}), "t=event&ec=event&ea=select_item&pa=click&pal=L&pr1id=B", ""},
		{shopEvent("add_to_cart", sidetrack.Ecommerce{Currency: "EUR", Items: items[1:]}), "t=event&ec=event&ea=add_to_cart&cu=EUR&pa=add&pr1id=B", ""},
		{shopEvent("remove_from_cart", sidetrack.Ecommerce{Items: items[1:]}), "t=event&ec=event&ea=remove_from_cart&pa=remove&pr1id=B", ""},
		{shopEvent("begin_checkout", sidetrack.Ecommerce{Items: items[1:]}), "t=event&ec=event&ea=begin_checkout&pa=checkout&pr1id=B", ""},
		{shopEvent("add_shipping_info", sidetrack.Ecommerce{ShippingTier: "air", Items: items[1:]}), "t=event&ec=event&ea=add_shipping_info&pa=checkout&cos=2&col=air&pr1id=B", ""},
		{func() *sidetrack.Event {
			e := shopEvent("set_checkout_option", sidetrack.Ecommerce{})
			e.Params = map[string]any{"checkout_step": int64(3), "checkout_option": "Visa"}
			return e
		}(), "t=event&ec=event&ea=set_checkout_option&pa=checkout_option&cos=3&col=Visa", ""},
		{shopEvent("purchase", money), "t=event&ec=event&ea=purchase&ti=T&ta=web&tr=49.5&tt=6.5&ts=3.02&tcc=SUMMER&cu=EUR&pa=purchase" + product, ""},
		{shopEvent("purchase", unpriced), "t=event&ec=event&ea=purchase&ti=T&ta=web&tr=49.5&tt=6.5&ts=3.02&tcc=SUMMER&cu=EUR&pa=purchase" + product, ""},
		{shopEvent("refund", sidetrack.Ecommerce{TransactionID: "T"}), "t=event&ec=event&ea=refund&ti=T&pa=refund", ""},
		{shopEvent("view_item_list", sidetrack.Ecommerce{ListName: "first", Items: items}), "t=event&ec=event&ea=view_item_list&il1nm=first&il1pi1id=A&il1pi1nm=Shirt&il1pi1br=Acme&il1pi1ca=Apparel%2FShirts&il1pi1va=blue&il1pi1pr=19.99&il1pi1ps=3" +
			"&il1pi1cd4=red&il1pi1cd7=x&il1pi1cm5=1.5&il2nm=second&il2pi1id=B", ""},
		{shopEvent("view_promotion", sidetrack.Ecommerce{Items: items[1:]}), "t=event&ec=event&ea=view_promotion&promo1id=P&promo1nm=N&promo1cr=K&promo1ps=S", ""},
		{shopEvent("select_promotion", sidetrack.Ecommerce{Promotion: sidetrack.Promotion{ID: "Q"}}), "t=event&ec=event&ea=select_promotion&promo1id=Q&promoa=click", ""},
		{shopEvent("view_cart", sidetrack.Ecommerce{Items: items}), "t=event&ec=event&ea=view_cart", RuleNoPlace},
		{func() *sidetrack.Event { // what a hit left that came in by this protocol
			e := shopEvent("purchase", sidetrack.Ecommerce{TransactionID: "T", Value: sidetrack.MoneyOf(9), HasValue: true, Items: items[1:]})
			e.Params = map[string]any{"ua.t": "pageview", "ua.dp": "/receipt", "ua.tr": "9.00", "ua.pa": "purchase", "ua.indexes": "5", "ua.linkid": "x", "ua.tid": "UA-99-1", "ua.uip": "203.0.113.7", "ua.cid": "7", "ua.bad key": "x"}
			return e
		}(), "t=pageview&ti=T&pr5id=B&dp=%2Freceipt&linkid=x&pa=purchase&tr=9.00", ""},
		{func() *sidetrack.Event {
			e := shopEvent("purchase", sidetrack.Ecommerce{TransactionID: "T", Items: []sidetrack.Item{{ID: "a", Price: sidetrack.MoneyOf(5), HasPrice: true}}})
			e.Params = map[string]any{"ua.t": "event", "ua.ea": "Buy Now", "ua.pa": "purchase"}
			return e
		}(), "t=event&ec=event&ti=T&pr1id=a&pr1pr=5&ea=Buy%20Now&pa=purchase", ""},
	} {
		r, failed := request(t, cfg, tt.e)
		if len(failed) > 0 {
			t.Errorf("%s: %v", tt.e.Name, failed)
			continue
		}
		if got := string(r.Body); got != "v=1&tid=UA-12345-6&cid=555&"+tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.e.Name, got, "v=1&tid=UA-12345-6&cid=555&"+tt.want)
		}
		if tt.note == "" && len(r.Notes) > 0 || tt.note != "" && (len(r.Notes) != 1 || r.Notes[0].Rule != tt.note) {
			t.Errorf("%s: notes %v", tt.e.Name, r.Notes)
		}
	}
}

func TestClassicPurchase(t *testing.T) {
	cfg := bare()
	cfg.Batch, cfg.Ecommerce = true, "classic"
	e := shopEvent("purchase", sidetrack.Ecommerce{Currency: "EUR", TransactionID: "T", Shipping: sidetrack.MoneyOf(3.5), Tax: sidetrack.MoneyOf(0.1), Items: []sidetrack.Item{
		{ID: "A", Name: "Shirt", Categories: []string{"a", "b"}, Price: sidetrack.MoneyOf(0.1), HasPrice: true, Quantity: 3}, {ID: "B", Price: sidetrack.MoneyOf(10), HasPrice: true}}})
	r, failed := request(t, cfg, e, ev("x", nil))
	const p = "v=1&tid=UA-12345-6&cid=555&t="
	want := p + "transaction&ti=T&tr=13.9&tt=0.1&ts=3.5&cu=EUR\n" + p + "item&ti=T&in=Shirt&ip=0.1&iq=3&ic=A&iv=a%2Fb&cu=EUR\n" + p + "item&ti=T&in=B&ip=10&ic=B&cu=EUR\n" + p + "event&ec=event&ea=x"
	if len(failed) > 0 || string(r.Body) != want || r.URL != "https://collector.example/batch" {
		t.Errorf("%s %v\ngot  %s\nwant %s", r.URL, failed, r.Body, want)
	}
	e.Ecommerce.Items = make([]sidetrack.Item, 20)
	for i := range e.Ecommerce.Items {
		e.Ecommerce.Items[i].ID = "A"
	}
	if r, failed := request(t, cfg, e); r != nil || failed[0] == nil || failed[0].Error() != "ua: too_many_hits: 21 hits of one event, at most 20 in a batch: enhanced e-commerce makes one of it" {
		t.Errorf("%v %v", r, failed)
	}
	e.Ecommerce.Items = e.Ecommerce.Items[:10]
	g, err := newGenerator(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Request(sidetrack.Unit{Events: []*sidetrack.Event{e, e}, At: now}); err == nil || err.Error() != "ua: 22 hits, at most 20 in a batch" {
		t.Errorf("the engine is not asked to halve: %v", err)
	}
}

func TestGETBecomesPOSTOver2000Bytes(t *testing.T) {
	cfg := bare()
	cfg.Method = "get"
	e := ev("x", nil)
	r, _ := request(t, cfg, e)
	if r.Method != http.MethodGet || r.Body != nil || !strings.HasPrefix(r.URL, "https://collector.example/collect?v=1&tid=UA-12345-6&cid=555&t=event&ec=event&ea=x&z=") {
		t.Errorf("%s %s", r.Method, r.URL)
	}
	room := MaxURL - len(r.URL) - len("&ua=")
	e.Device.UserAgent = strings.Repeat("u", room)
	if r, _ = request(t, cfg, e); r.Method != http.MethodGet || len(r.URL) != MaxURL {
		t.Errorf("%s of %d bytes", r.Method, len(r.URL))
	}
	e.Device.UserAgent += "u"
	if r, _ = request(t, cfg, e); r.MethodOrPost() != http.MethodPost || strings.Contains(string(r.Body), "&z=") || r.URL != cfg.Endpoint {
		t.Errorf("%s %s", r.MethodOrPost(), r.URL)
	}
	e.Device.UserAgent = strings.Repeat("u", MaxPayload)
	if r, failed := request(t, cfg, e); r != nil || failed[0].Error() != fmt.Sprintf("ua: payload has %d bytes, at most 8192", MaxPayload+len("v=1&tid=UA-12345-6&cid=555&t=event&ua=&ec=event&ea=x")) {
		t.Errorf("%v", failed)
	}
}

func TestValidationServer(t *testing.T) {
	u := sidetrack.Unit{Events: []*sidetrack.Event{ev("a", nil), ev("b", nil)}}
	answer := func(body string) error {
		return classifyParsing(u, &sidetrack.Response{Status: 200, Body: []byte(body)})
	}
	if err := answer(`{"hitParsingResult":[{"valid":true},{"valid":true}],"parserMessage":[{"messageType":"INFO","description":"Found 2 hits."}]}`); err != nil {
		t.Error(err)
	}
	err := answer(`{"hitParsingResult":[{"valid":true},{"valid":false,"hit":"/debug/collect?v=1","parserMessage":[{"messageType":"ERROR","description":"wrong","messageCode":"VALUE_INVALID","parameter":"tid"}]}]}`)
	partial, ok := errors.AsType[*sidetrack.PartialError](err)
	if !ok || len(partial.Failed) != 1 || partial.Failed[1].Error() != "ua: the validation server found: ERROR VALUE_INVALID tid: wrong" {
		t.Errorf("%v", err)
	}
	for _, body := range []string{`{}`, `<html>`, `{"hitParsingResult":[{"valid":false}]}`} {
		if class, _ := sidetrack.ClassOf(answer(body)); class != sidetrack.Rejected {
			t.Errorf("%s: %s", body, class)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for want, edit := range map[string]func(*Config){
		"endpoint: is missing":                      func(c *Config) { c.Endpoint = "" },
		"endpoint: must be an absolute":             func(c *Config) { c.Endpoint = "collector.example/collect" },
		"endpoint: must end in /collect":            func(c *Config) { c.Endpoint, c.Batch = "https://a.example/hits", true },
		"method: is \"put\"":                        func(c *Config) { c.Method = "put" },
		"ecommerce: classic makes several":          func(c *Config) { c.Ecommerce = "classic" },
		"dimensions.plan: must be a number":         func(c *Config) { c.Dimensions = map[string]int{"plan": 201} },
		"metrics.b: is number 1, as is a":           func(c *Config) { c.Metrics = map[string]int{"a": 1, "b": 1} },
		"params.z: is no name":                      func(c *Config) { c.Params = map[string]sidetrack.Secret{"z": sidetrack.NewSecret("1")} },
		"too_long: is \"drop\": use clip or reject": func(c *Config) { c.TooLong = "drop" },
	} {
		cfg := config()
		edit(&cfg)
		if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(`{"name":"purchase","visitor":{"client_id":"1.2"},"page":{"url":"https://a.example/"},"ecommerce":{"value":1e9,"transaction_id":"T","items":[{"item_id":"a","quantity":1e300,"index":-1,"params":{"dimension1":"y","metric2":1e40}}]}}`)
	f.Add(`{"name":"view_item_list","visitor":{"client_id":"1.2"},"params":{"ua.indexes":"1.2,x,1.999","ua.t":"pageview","ua.dp":"/","ua.pr0id":"x"},"ecommerce":{"items":[{"item_id":"a"},{"item_id":"b"},{"item_id":"c"}]}}`)
	var generators []*generator
	for _, cfg := range []Config{config(), {Endpoint: "https://a.example/collect", Method: "get", TooLong: "reject"}, {Endpoint: "https://a.example/collect", Batch: true, Ecommerce: "classic", TrackingID: "UA-1-1"}} {
		g, err := newGenerator(cfg)
		if err != nil {
			f.Fatal(err)
		}
		generators = append(generators, g)
	}
	f.Fuzz(func(t *testing.T, in string) {
		e, err := sidetrack.ParseEvent(in)
		if err != nil {
			return
		}
		for _, g := range generators {
			r, err := g.Request(sidetrack.Unit{Events: []*sidetrack.Event{e}, At: now})
			if err != nil || r == nil {
				continue
			}
			for line := range strings.SplitSeq(string(r.Body), "\n") {
				if len(line) > MaxPayload || strings.ContainsAny(line, " +\r") {
					t.Fatalf("%q", line)
				}
			}
			if r.Method == http.MethodGet && len(r.URL) > MaxURL {
				t.Fatalf("%d bytes of URL", len(r.URL))
			}
		}
	})
}
