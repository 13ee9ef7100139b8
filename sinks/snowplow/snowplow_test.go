package snowplow

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

func config() Config {
	cfg := Defaults()
	cfg.Endpoint = "https://sp.shop.example"
	return cfg
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(config()) }, sinktest.Golden("testdata/golden"))
}

func TestConfig(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"endpoint":      func(c *Config) { c.Endpoint = "" },
		"endpoint ":     func(c *Config) { c.Endpoint = "sp.shop.example" },
		"endpoint  ":    func(c *Config) { c.Endpoint = "https://sp.shop.example/?e=pv" },
		"endpoint   ":   func(c *Config) { c.Endpoint = "https://a:b@sp.shop.example" },
		"app_id":        func(c *Config) { c.AppID = strings.Repeat("x", 256) },
		"namespace":     func(c *Config) { c.Namespace = strings.Repeat("x", 129) },
		"platform":      func(c *Config) { c.Platform = "phone" },
		"time":          func(c *Config) { c.Time = "stm" },
		"purchases":     func(c *Config) { c.Purchases = "legacy" },
		"schemas.a":     func(c *Config) { c.Schemas = map[string]string{"a": "iglu:com.acme/a/1-0-0"} },
		"schemas.b":     func(c *Config) { c.Schemas = map[string]string{"b": ""} },
		"params_schema": func(c *Config) { c.ParamsSchema = "com.acme/a/jsonschema/1-0-0" },
		"user_schema":   func(c *Config) { c.UserSchema = "iglu:com.acme/a/jsonschema/0-0-0" },
	} {
		cfg := config()
		change(&cfg)
		_, err := New(cfg)
		if fe, ok := err.(*sidetrack.FieldError); !ok || fe.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	for endpoint, want := range map[string]string{
		"https://sp.shop.example":                 "https://sp.shop.example/com.snowplowanalytics.snowplow/tp2",
		"https://sp.shop.example/":                "https://sp.shop.example/com.snowplowanalytics.snowplow/tp2",
		"http://sp.shop.example:8080/com.acme/t1": "http://sp.shop.example:8080/com.acme/t1",
	} {
		s, err := New(Config{Endpoint: endpoint})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Spec().Generator.Request(sidetrack.Unit{Events: []*sidetrack.Event{{ID: uuid.Max, Name: "x"}}, At: now})
		if err != nil || r.URL != want {
			t.Errorf("%s: %v %v", endpoint, r, err)
		}
	}
}

var now = time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)

// sent is what the sink makes of one event, which Enrich could read.
func sent(t *testing.T, cfg Config, e *sidetrack.Event) ([]map[string]string, *sidetrack.Request, error) {
	t.Helper()
	if e.ID == uuid.Nil {
		e.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte("1"))
	}
	r, err := (&generator{cfg: cfg, url: cfg.Endpoint}).Request(sidetrack.Unit{Events: []*sidetrack.Event{e}, At: now})
	if err != nil {
		if r != nil {
			t.Error("a request without events")
		}
		return nil, nil, err
	}
	data, problems := enrich(r.Body)
	for _, p := range problems {
		t.Error(p)
	}
	return data, r, nil
}

// show is a payload without what every event has, self-describing JSON by the names of its schemas.
func show(p map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(p)) {
		var event struct{ Data selfDescribing }
		var entities struct{ Data []selfDescribing }
		switch k {
		case "eid", "tv", "tna", "stm":
			continue
		case "ue_pr", "ue_px":
			selfDescribed(p["ue_pr"], p["ue_px"], "unstruct_event", &event)
			entities.Data = []selfDescribing{event.Data}
		case "co", "cx":
			selfDescribed(p["co"], p["cx"], "contexts", &entities)
		default:
			out = append(out, k+"="+p[k])
		}
		for _, d := range entities.Data {
			b, _ := json.Marshal(d.Data)
			out = append(out, k+"="+strings.Split(d.Schema, "/")[1]+string(b))
		}
	}
	return strings.ReplaceAll(strings.Join(out, " "), cmp.Or(p["eid"], "no id"), "ID")
}

// TestMapping has the rows of the table in docs/sinks/snowplow.md.
func TestMapping(t *testing.T) {
	eur := sidetrack.MoneyOf
	with := func(name string, params map[string]any) *sidetrack.Event {
		return &sidetrack.Event{Name: name, Params: params}
	}
	shop := func(name string, c sidetrack.Ecommerce) *sidetrack.Event {
		return &sidetrack.Event{Name: name, Ecommerce: &c}
	}
	boots := sidetrack.Item{ID: "A", Name: "Boots", Brand: "Acme", Variant: "42", Categories: []string{"Shoes", "Hiking"}, Price: eur(49.9), HasPrice: true, Quantity: 2, Discount: eur(0.1), HasIndex: true, Index: 3, Params: map[string]any{"size": "L"}}
	cart := sidetrack.Ecommerce{Currency: "EUR", Value: eur(99.8), HasValue: true, ListName: "Sale", Items: []sidetrack.Item{boots}}
	order := cart
	order.TransactionID, order.Tax, order.Shipping, order.Coupon, order.PaymentType, order.ListName = "T-1", eur(5), eur(3.5), "SUMMER", "card", ""
	product := `co=product{"brand":"Acme","category":"Shoes/Hiking","currency":"EUR","id":"A","list_price":50,"name":"Boots","position":3,"price":49.9,"quantity":2,"size":"L","variant":"42"}`
	action := func(kind, entities, name string) string {
		return strings.TrimSpace(entities+" "+product) + " e=ue p=srv ue_pr=snowplow_ecommerce_action{" + name + `"type":"` + kind + `"}`
	}
	sale := `"name":"Sale",`
	for name, tt := range map[string]struct {
		e    *sidetrack.Event
		want string // payloads, one a line, or the error after !
	}{
		"page view":             {&sidetrack.Event{Name: "page_view", Page: sidetrack.Page{URL: "https://a.example/p?x=1", Title: "T", Referrer: "https://b.example/"}}, `co=web_page{"id":"ID"} e=pv p=web page=T refr=https://b.example/ url=https://a.example/p?x=1`},
		"screen":                {&sidetrack.Event{Name: "screen_view", App: sidetrack.App{Name: "Shop", Screen: "Cart", Version: "1.2"}}, `co=application{"version":"1.2"} e=ue p=app ue_pr=screen_view{"id":"ID","name":"Cart"}`},
		"screen of a phone":     {&sidetrack.Event{Name: "screen_view", App: sidetrack.App{Screen: "Cart"}, Device: sidetrack.Device{Category: "mobile"}}, `e=ue p=mob ue_pr=screen_view{"id":"ID","name":"Cart"}`},
		"custom":                {with("signed up", map[string]any{"event_category": "auth", "event_label": "google", "event_property": "plan", "value": 12.5, "tags": []any{"a"}}), "e=se p=srv se_ac=signed up se_ca=auth se_la=google se_pr=plan se_va=12.5"},
		"login":                 {&sidetrack.Event{Name: "login", Visitor: sidetrack.Visitor{ClientID: "1.2", UserID: "u-7"}}, "duid=1.2 e=se p=srv se_ac=login se_ca=event uid=u-7"},
		"value is text":         {with("x", map[string]any{"value": "12"}), "e=se p=srv se_ac=x se_ca=event"},
		"value is infinite":     {with("x", map[string]any{"value": math.Inf(1)}), "e=se p=srv se_ac=x se_ca=event"},
		"no name":               {&sidetrack.Event{Name: "\x00"}, "!without a name"},
		"search":                {with("view_search_results", map[string]any{"search_term": "boots", "search_count": int64(3)}), `e=ue p=srv ue_pr=site_search{"terms":["boots"],"totalResults":3}`},
		"search for nothing":    {with("search", nil), "e=se p=srv se_ac=search se_ca=event"},
		"click":                 {with("click", map[string]any{"link_url": "https://out.example/", "link_id": "l", "link_classes": "a b", "link_text": "Out"}), `e=ue p=srv ue_pr=link_click{"elementClasses":["a","b"],"elementContent":"Out","elementId":"l","targetUrl":"https://out.example/"}`},
		"download":              {with("file_download", map[string]any{"link_url": "https://a.example/x.pdf"}), `e=ue p=srv ue_pr=link_click{"targetUrl":"https://a.example/x.pdf"}`},
		"click on nothing":      {with("click", nil), "e=se p=srv se_ac=click se_ca=event"},
		"share":                 {&sidetrack.Event{Name: "share", Social: &sidetrack.Social{Network: "mastodon", Action: "boost", Target: "/p"}}, `e=ue p=srv ue_pr=social_interaction{"action":"boost","network":"mastodon","target":"/p"}`},
		"share without network": {&sidetrack.Event{Name: "share", Social: &sidetrack.Social{Action: "boost"}}, "e=se p=srv se_ac=share se_ca=event"},
		"timing":                {&sidetrack.Event{Name: "timing_complete", Timing: &sidetrack.Duration{Category: "load", Variable: "page", Label: "cold", Value: 321 * time.Millisecond}}, `e=ue p=srv ue_pr=timing{"category":"load","label":"cold","timing":321,"variable":"page"}`},
		"timing of nothing":     {&sidetrack.Event{Name: "timing_complete", Timing: &sidetrack.Duration{Value: time.Second}}, "e=se p=srv se_ac=timing_complete se_ca=event"},
		"exception":             {&sidetrack.Event{Name: "exception", Exception: &sidetrack.Failure{Description: "timeout", Fatal: true}}, "e=se p=srv se_ac=exception se_ca=exception se_la=timeout se_pr=fatal"},
		"engagement":            {&sidetrack.Event{Name: "user_engagement", Visitor: sidetrack.Visitor{Engagement: 1500 * time.Millisecond}}, "e=se p=srv se_ac=user_engagement se_ca=engagement se_va=1500"},
		"view item":             {shop("view_item", cart), action("product_view", "", sale)},
		"view list":             {shop("view_item_list", cart), action("list_view", "", sale)},
		"select item":           {shop("select_item", cart), action("list_click", "", sale)},
		"into the cart":         {shop("add_to_cart", cart), action("add_to_cart", "", sale)},
		"out of the cart":       {shop("remove_from_cart", cart), action("remove_from_cart", "", sale)},
		"cart":                  {shop("view_cart", cart), product + ` co=cart{"currency":"EUR","total_value":99.8} e=se p=srv se_ac=view_cart se_ca=ecommerce se_la=Sale se_va=99.8`},
		"wishlist":              {shop("add_to_wishlist", cart), product + " e=se p=srv se_ac=add_to_wishlist se_ca=ecommerce se_la=Sale se_va=99.8"},
		"checkout":              {shop("begin_checkout", order), action("checkout_step", `co=checkout_step{"coupon_code":"SUMMER","payment_method":"card","step":1}`, "")},
		"shipping":              {shop("add_shipping_info", sidetrack.Ecommerce{ShippingTier: "express"}), `co=checkout_step{"delivery_method":"express","step":2} e=ue p=srv ue_pr=snowplow_ecommerce_action{"type":"checkout_step"}`},
		"payment":               {&sidetrack.Event{Name: "add_payment_info", Params: map[string]any{"checkout_step": int64(5)}}, `co=checkout_step{"step":5} e=ue p=srv ue_pr=snowplow_ecommerce_action{"type":"checkout_step"}`},
		"promotion":             {shop("view_promotion", sidetrack.Ecommerce{Promotion: sidetrack.Promotion{ID: "P", Name: "Spring", Creative: "c", Slot: "s"}}), `co=promotion{"creative_id":"c","id":"P","name":"Spring","slot":"s"} e=ue p=srv ue_pr=snowplow_ecommerce_action{"type":"promo_view"}`},
		"promotions of items": {shop("select_promotion", sidetrack.Ecommerce{Currency: "EUR", Items: []sidetrack.Item{{ID: "A", HasPrice: true, Promotion: sidetrack.Promotion{Name: "N", Creative: "c"}}, {ID: "B", HasPrice: true, Promotion: sidetrack.Promotion{Name: "N", Creative: "c"}}}}),
			`co=promotion{"creative_id":"c","id":"N","name":"N"} co=product{"category":"","creative_id":"c","currency":"EUR","id":"A","price":0} co=product{"category":"","creative_id":"c","currency":"EUR","id":"B","price":0} e=ue p=srv ue_pr=snowplow_ecommerce_action{"type":"promo_click"}`},
		"purchase":               {shop("purchase", order), action("transaction", `co=transaction{"currency":"EUR","discount_amount":0.2,"discount_code":"SUMMER","payment_method":"card","revenue":108.3,"shipping":3.5,"tax":5,"total_quantity":2,"transaction_id":"T-1"}`, "")},
		"purchase without value": {shop("purchase", sidetrack.Ecommerce{TransactionID: "T-1", Currency: "EUR", Items: []sidetrack.Item{{Name: "Socks", Price: 5_004_999, Quantity: 1.5}}}), `co=transaction{"currency":"EUR","payment_method":"unknown","revenue":7.51,"total_quantity":1,"transaction_id":"T-1"} co=product{"category":"","currency":"EUR","id":"Socks","name":"Socks","price":5} e=ue p=srv ue_pr=snowplow_ecommerce_action{"type":"transaction"}`},
		"purchase without id":    {shop("purchase", sidetrack.Ecommerce{Currency: "EUR", Value: 1, HasValue: true}), "!without a transaction id"},
		"without a currency":     {shop("purchase", sidetrack.Ecommerce{TransactionID: "T", Value: 1, HasValue: true}), "!without a currency"},
		"without an amount":      {shop("purchase", sidetrack.Ecommerce{TransactionID: "T", Currency: "EUR"}), "!neither a value"},
		"too dear":               {shop("purchase", sidetrack.Ecommerce{TransactionID: "T", Currency: "VND", Value: eur(1e7), HasValue: true}), "!the total is 10000000"},
		"out of range":           {shop("purchase", sidetrack.Ecommerce{TransactionID: "T", Currency: "VND", Value: math.MaxInt64, Tax: 1, HasValue: true}), "!out of range"},
		"refund":                 {shop("refund", sidetrack.Ecommerce{TransactionID: "T-1", Currency: "EUR", Value: eur(20), HasValue: true}), `co=refund{"currency":"EUR","refund_amount":20,"transaction_id":"T-1"} e=ue p=srv ue_pr=snowplow_ecommerce_action{"type":"refund"}`},
		"refund without id":      {shop("refund", sidetrack.Ecommerce{Currency: "EUR", Value: eur(20), HasValue: true}), "!without a transaction id"},
		"lead":                   {shop("generate_lead", sidetrack.Ecommerce{Currency: "EUR", Value: eur(7), HasValue: true}), "e=se p=srv se_ac=generate_lead se_ca=ecommerce se_va=7"},
		"who and where": {&sidetrack.Event{Name: "x", Site: "shop", Visitor: sidetrack.Visitor{ClientID: "1.2", SessionID: "1769860000", SessionNumber: 3}, Network: sidetrack.Network{IP: "203.0.113.0", Country: "AT"},
			Device: sidetrack.Device{UserAgent: "Moz", Language: "de", Screen: "800x600", Viewport: "0x0", Colors: 24, Encoding: "UTF-8"}},
			"aid=shop cd=24 cs=UTF-8 duid=1.2 e=se ip=203.0.113.0 lang=de p=srv res=800x600 se_ac=x se_ca=event sid=a64c2a4a-5a07-5da0-8826-e5d043479889 ua=Moz vid=3"},
		"time":        {&sidetrack.Event{Name: "x", Time: now.Add(-time.Hour)}, "dtm=1769857230000 e=se p=srv se_ac=x se_ca=event"},
		"no year":     {&sidetrack.Event{Name: "x", Time: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, "!the year 9999"},
		"long user":   {&sidetrack.Event{Name: "x", Visitor: sidetrack.Visitor{UserID: strings.Repeat("u", 256)}}, "!the user id is longer"},
		"long client": {&sidetrack.Event{Name: "x", Visitor: sidetrack.Visitor{ClientID: strings.Repeat("1", 129)}}, "!the client id is longer"},
	} {
		t.Run(name, func(t *testing.T) {
			data, r, err := sent(t, config(), tt.e)
			if want, ok := strings.CutPrefix(tt.want, "!"); ok {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, %v; want an error with %q", data, err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := show(data[0]); len(data) != 1 || got != tt.want {
				t.Errorf("\n%s, want\n%s", got, tt.want)
			}
			if len(r.Notes) > 0 {
				t.Errorf("notes %v", r.Notes)
			}
			if data[0]["stm"] != "1769860830000" || data[0]["tv"] != "sidetrack" || data[0]["tna"] != "sidetrack" {
				t.Errorf("%v", data[0])
			}
		})
	}
}
