package meta

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

const token = "EAAGtoken1"

func config() Config {
	cfg := Defaults()
	cfg.PixelID, cfg.AccessToken = "1234567890", sidetrack.NewSecret(token)
	return cfg
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(config()) }, sinktest.Golden("testdata/golden"))
	t.Run("all options", func(t *testing.T) {
		sinktest.Run(t, func() (*sidetrack.Sink, error) {
			cfg := config()
			cfg.AppSecret, cfg.TestEventCode, cfg.DataProcessingOptions = sidetrack.NewSecret("app-secret-1"), "TEST123", []string{"LDU"}
			cfg.ActionSource, cfg.EventID, cfg.Value, cfg.BrowserID, cfg.OptOut = "physical_store", "message_id", "net", "given", "always"
			return New(cfg)
		})
	})
}

func TestConfig(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"pixel_id":                         func(c *Config) { c.PixelID = "" },
		"pixel_id ":                        func(c *Config) { c.PixelID = "1234567890/feed" },
		"access_token":                     func(c *Config) { c.AccessToken = sidetrack.Secret{} },
		"access_token ":                    func(c *Config) { c.AccessToken = sidetrack.NewSecret("a b") },
		"version":                          func(c *Config) { c.Version = "24" },
		"action_source":                    func(c *Config) { c.ActionSource = "app" },
		"event_id":                         func(c *Config) { c.EventID = "x" },
		"value":                            func(c *Config) { c.Value = "gross" },
		"browser_id":                       func(c *Config) { c.BrowserID = "x" },
		"opt_out":                          func(c *Config) { c.OptOut = "yes" },
		"currency":                         func(c *Config) { c.Currency = "eur" },
		"names.x":                          func(c *Config) { c.Names = map[string]string{"x": " "} },
		"data_processing_options":          func(c *Config) { c.DataProcessingOptions = []string{"CCPA"} },
		"data_processing_options_country":  func(c *Config) { c.DataProcessingOptions, c.DataProcessingOptionsCountry = []string{"LDU"}, 2 },
		"data_processing_options_country ": func(c *Config) { c.DataProcessingOptionsCountry, c.DataProcessingOptionsState = 1, 1000 },
		"data_processing_options_state":    func(c *Config) { c.DataProcessingOptions, c.DataProcessingOptionsState = []string{"LDU"}, 5 },
		"data_processing_options_state ":   func(c *Config) { c.DataProcessingOptions, c.DataProcessingOptionsState = []string{"LDU"}, 1000 },
		"max_events":                       func(c *Config) { c.MaxEvents = 1001 },
		"host":                             func(c *Config) { c.Host = "graph.facebook.com" },
		"host ":                            func(c *Config) { c.Host = "https://graph.facebook.com/v24.0" },
	} {
		cfg := config()
		change(&cfg)
		_, err := New(cfg)
		if fe, ok := err.(*sidetrack.FieldError); !ok || fe.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	sink, err := New(Config{PixelID: "1234567890", AccessToken: sidetrack.NewSecret(token)})
	if err != nil {
		t.Fatal(err)
	}
	spec := sink.Spec()
	if !slices.Equal(spec.Needs, []sidetrack.Purpose{sidetrack.AdStorage, sidetrack.AdUserData}) || spec.MaxEvents != 500 || spec.MaxAge != 7*24*time.Hour-time.Minute {
		t.Errorf("the zero configuration is not the default one: %v, %d events, %s", spec.Needs, spec.MaxEvents, spec.MaxAge)
	}
	cfg := config()
	cfg.ActionSource = "physical_store"
	if sink, err = New(cfg); err != nil || sink.Spec().MaxAge != 62*24*time.Hour-time.Minute {
		t.Errorf("in a store: %s %v", sink.Spec().MaxAge, err)
	}
}

var now = time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)

// try is what the sink makes of one event: the event in the request, the notes, and why there is none.
func try(t *testing.T, cfg Config, e *sidetrack.Event) (map[string]any, []sidetrack.Note, error) {
	t.Helper()
	g, err := newGenerator(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if e.ID == uuid.Nil {
		e.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte("e"))
	}
	if e.Time.IsZero() {
		e.Time = now.Add(-time.Minute)
	}
	r, err := g.Request(sidetrack.Unit{Events: []*sidetrack.Event{e}, At: now})
	if r == nil {
		return nil, nil, err
	}
	if err != nil {
		t.Fatalf("a request of one event and an error: %v", err)
	}
	var b struct {
		Data []map[string]any `json:"data"`
	}
	if err := json.Unmarshal(r.Body, &b); err != nil || len(b.Data) != 1 {
		t.Fatalf("%s %v", r.Body, err)
	}
	return b.Data[0], r.Notes, nil
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// visit is an event of a web page that can be sent.
func visit(name string, change func(*sidetrack.Event)) *sidetrack.Event {
	e := &sidetrack.Event{
		Name: name, Visitor: sidetrack.Visitor{ClientID: "1234567890.1700000000"}, Page: sidetrack.Page{URL: "https://a.example/p"},
		Device: sidetrack.Device{UserAgent: "UA"}, Consent: sidetrack.GrantAll("test"),
	}
	if change != nil {
		change(e)
	}
	return e
}

// TestMapping has the rows of the table in docs/sinks/meta_capi.md.
func TestMapping(t *testing.T) {
	eur := sidetrack.MoneyOf
	boots := sidetrack.Item{ID: "B", Name: "Boots", Brand: "Acme", Categories: []string{"Shoes", "Hiking"}, Price: eur(10), HasPrice: true, Quantity: 2}
	shop := func(c sidetrack.Ecommerce) func(*sidetrack.Event) {
		return func(e *sidetrack.Event) { e.Ecommerce = &c }
	}
	params := func(m map[string]any) func(*sidetrack.Event) { return func(e *sidetrack.Event) { e.Params = m } }
	one := shop(sidetrack.Ecommerce{Currency: "EUR", Items: []sidetrack.Item{boots}})
	const ofOne = `{"content_category":"Shoes \u003e Hiking","content_ids":["B"],"content_name":"Boots","content_type":"product","contents":[{"brand":"Acme","category":"Shoes \u003e Hiking","id":"B","item_price":10,"quantity":2,"title":"Boots"}],"currency":"EUR","num_items":2,"value":20}`
	for _, tt := range []struct {
		name   string
		change func(*sidetrack.Event)
		want   string // name
		custom string
	}{
		{"page_view", nil, "PageView", "null"},
		{"view_item", one, "ViewContent", ofOne},
		{"view_item_list", shop(sidetrack.Ecommerce{ListID: "l", ListName: "Sale", Items: []sidetrack.Item{{ID: "A"}, {Name: "B"}, {}}}), "ViewContent",
			`{"content_category":"l","content_ids":["A","B"],"content_name":"Sale","content_type":"product","contents":[{"id":"A","quantity":1},{"id":"B","quantity":1,"title":"B"}],"num_items":2}`},
		{"search", params(map[string]any{"search_term": "boots"}), "Search", `{"search_string":"boots"}`},
		{"view_search_results", params(map[string]any{"search_term": "boots", "results": int64(3)}), "Search", `{"results":3,"search_string":"boots"}`},
		{"add_to_cart", one, "AddToCart", ofOne},
		{"add_to_wishlist", one, "AddToWishlist", ofOne},
		{"begin_checkout", one, "InitiateCheckout", ofOne},
		{"add_payment_info", shop(sidetrack.Ecommerce{Currency: "EUR", Value: eur(20), HasValue: true, PaymentType: "card"}), "AddPaymentInfo", `{"currency":"EUR","payment_type":"card","value":20}`},
		{"purchase", shop(sidetrack.Ecommerce{Currency: "EUR", Value: eur(25), HasValue: true, Tax: eur(5), Shipping: eur(4.5), TransactionID: "T", Coupon: "C", Affiliation: "Web", Items: []sidetrack.Item{boots, {ID: "S", Price: eur(10), Quantity: 0.5, Params: map[string]any{"delivery_category": "in_store"}}}}), "Purchase",
			`{"affiliation":"Web","content_ids":["B","S"],"content_type":"product","contents":[{"brand":"Acme","category":"Shoes \u003e Hiking","id":"B","item_price":10,"quantity":2,"title":"Boots"},{"delivery_category":"in_store","id":"S","item_price":5,"quantity":1}],"coupon":"C","currency":"EUR","num_items":3,"order_id":"T","value":34.5}`},
		{"purchase", params(map[string]any{"value": "9.90", "currency": "usd"}), "Purchase", `{"currency":"USD","value":9.9}`},
		{"refund", shop(sidetrack.Ecommerce{Currency: "EUR", Value: eur(25), HasValue: true, TransactionID: "T"}), "refund", `{"currency":"EUR","order_id":"T","value":25}`},
		{"remove_from_cart", one, "remove_from_cart", ofOne},
		{"view_cart", one, "view_cart", ofOne},
		{"add_shipping_info", shop(sidetrack.Ecommerce{ShippingTier: "express"}), "add_shipping_info", `{"shipping_tier":"express"}`},
		{"select_item", one, "select_item", ofOne},
		{"view_promotion", shop(sidetrack.Ecommerce{Promotion: sidetrack.Promotion{ID: "p", Name: "Spring"}}), "view_promotion", `{"promotion_id":"p","promotion_name":"Spring"}`},
		{"select_promotion", shop(sidetrack.Ecommerce{Promotion: sidetrack.Promotion{ID: "p"}}), "select_promotion", `{"promotion_id":"p"}`},
		{"generate_lead", params(map[string]any{"value": 5.5, "currency": "EUR"}), "Lead", `{"currency":"EUR","value":5.5}`},
		{"sign_up", params(map[string]any{"method": "google", "status": true}), "CompleteRegistration", `{"method":"google","status":true}`},
		{"subscribe", params(map[string]any{"predicted_ltv": int64(100)}), "Subscribe", `{"predicted_ltv":100}`},
		{"start_trial", nil, "StartTrial", "null"},
		{"contact", nil, "Contact", "null"},
		{"donate", nil, "Donate", "null"},
		{"schedule", nil, "Schedule", "null"},
		{"submit_application", nil, "SubmitApplication", "null"},
		{"customize_product", nil, "CustomizeProduct", "null"},
		{"find_location", nil, "FindLocation", "null"},
		{"login", params(map[string]any{"method": "google"}), "login", `{"method":"google"}`},
		{"screen_view", func(e *sidetrack.Event) { e.App.Screen = "Cart" }, "screen_view", "null"},
		{"exception", func(e *sidetrack.Event) { e.Exception = &sidetrack.Failure{Description: "timeout"} }, "exception", `{"description":"timeout","fatal":false}`},
		{"timing_complete", func(e *sidetrack.Event) { e.Timing = &sidetrack.Duration{Category: "load", Value: time.Second} }, "timing_complete", `{"timing_category":"load","timing_ms":1000}`},
		{"share", func(e *sidetrack.Event) { e.Social = &sidetrack.Social{Network: "n"} }, "share", `{"social_network":"n"}`},
		{"Signed Up", params(map[string]any{"plan": "gold", "gtag.x": "y", "none": nil}), "Signed Up", `{"plan":"gold"}`},
	} {
		got, notes, err := try(t, config(), visit(tt.name, tt.change))
		if err != nil || len(notes) > 0 {
			t.Errorf("%s: %v %v", tt.name, err, notes)
			continue
		}
		if got["event_name"] != tt.want || asJSON(got["custom_data"]) != tt.custom {
			t.Errorf("%s: %s\n%s\nwant\n%s", tt.name, got["event_name"], asJSON(got["custom_data"]), tt.custom)
		}
	}
}

func TestEvent(t *testing.T) {
	ldu := config()
	ldu.DataProcessingOptions, ldu.DataProcessingOptionsCountry, ldu.DataProcessingOptionsState = []string{"LDU"}, 1, 1000
	none := config()
	none.DataProcessingOptions = []string{}
	with := func(change func(*Config)) Config {
		c := config()
		change(&c)
		return c
	}
	hash := strings.Repeat("ab", 32)
	for name, tt := range map[string]struct {
		cfg    Config
		change func(*sidetrack.Event)
		key    string // of the event, or "user_data.…", "custom_data.…"
		want   string
	}{
		"seconds":                {config(), nil, "event_time", "1769860770"},
		"id":                     {config(), nil, "event_id", `"` + uuid.NewSHA1(uuid.NameSpaceOID, []byte("e")).String() + `"`},
		"the pixel's id":         {config(), func(e *sidetrack.Event) { e.Params = map[string]any{"event_id": "evt-1"} }, "event_id", `"evt-1"`},
		"the pixel's id is used": {config(), func(e *sidetrack.Event) { e.Params = map[string]any{"event_id": "evt-1"} }, "custom_data", `null`},
		"message id":             {with(func(c *Config) { c.EventID = "message_id" }), func(e *sidetrack.Event) { e.MessageID = "m-1" }, "event_id", `"m-1"`},
		"no message id":          {with(func(c *Config) { c.EventID = "message_id" }), nil, "event_id", `"` + uuid.NewSHA1(uuid.NameSpaceOID, []byte("e")).String() + `"`},
		"names":                  {with(func(c *Config) { c.Names = map[string]string{"page_view": "Seen"} }), nil, "event_name", `"Seen"`},
		"website":                {config(), nil, "action_source", `"website"`},
		"no page":                {config(), func(e *sidetrack.Event) { e.Page.URL = "" }, "action_source", `"other"`},
		"page of an app":         {config(), func(e *sidetrack.Event) { e.Page.URL = "app://shop/cart" }, "action_source", `"other"`},
		"elsewhere":              {with(func(c *Config) { c.ActionSource = "phone_call" }), nil, "action_source", `"phone_call"`},
		"page":                   {config(), nil, "event_source_url", `"https://a.example/p"`},
		"referrer":               {config(), func(e *sidetrack.Event) { e.Page.Referrer = "https://b.example/?q=x" }, "referrer_url", `"https://b.example/?q=x"`},
		"opt out":                {config(), func(e *sidetrack.Event) { e.Consent.Set(sidetrack.AdPersonalization, sidetrack.Denied) }, "opt_out", "true"},
		"opt out, unknown":       {config(), func(e *sidetrack.Event) { e.Consent = sidetrack.Grant("t", sidetrack.AdStorage, sidetrack.AdUserData) }, "opt_out", "true"},
		"no opt out":             {config(), nil, "opt_out", "null"},
		"never opt out":          {with(func(c *Config) { c.OptOut = "never" }), func(e *sidetrack.Event) { e.Consent = sidetrack.Consent{} }, "opt_out", "null"},
		"always opt out":         {with(func(c *Config) { c.OptOut = "always" }), nil, "opt_out", "true"},
		"limited use":            {ldu, nil, "data_processing_options", `["LDU"]`},
		"limited use, country":   {ldu, nil, "data_processing_options_country", "1"},
		"limited use, state":     {ldu, nil, "data_processing_options_state", "1000"},
		"no limited use":         {none, nil, "data_processing_options", "[]"},
		"no limited use, state":  {none, nil, "data_processing_options_state", "null"},
		"not a word about it":    {config(), nil, "data_processing_options", "null"},
		"user id":                {config(), func(e *sidetrack.Event) { e.Visitor.UserID = "User-42" }, "user_data.external_id", `["6d894aa3ee802549d7f340e7c1cf0d1c1cb14cd84f768d92ffaa6785337c4997"]`},
		"hashed user id":         {config(), func(e *sidetrack.Event) { e.Visitor.UserID = hash }, "user_data.external_id", `["` + hash + `"]`},
		"address":                {config(), func(e *sidetrack.Event) { e.Network.IP = "203.0.113.0" }, "user_data.client_ip_address", `"203.0.113.0"`},
		"no address":             {config(), func(e *sidetrack.Event) { e.Network.IP = "x" }, "user_data.client_ip_address", `null`},
		"browser":                {config(), nil, "user_data.client_user_agent", `"UA"`},
		"fbp made":               {config(), nil, "user_data.fbp", `"fb.1.1700000000000.1234567890"`},
		"fbp not made":           {with(func(c *Config) { c.BrowserID = "given" }), func(e *sidetrack.Event) { e.Visitor.UserID = "u" }, "user_data.fbp", `null`},
		"fbp of a daily id":      {config(), func(e *sidetrack.Event) { e.Visitor.Cookieless, e.Visitor.UserID = true, "u" }, "user_data.fbp", `null`},
		"fbp of an odd id":       {config(), func(e *sidetrack.Event) { e.Visitor.ClientID, e.Visitor.UserID = "anon-7", "u" }, "user_data.fbp", `null`},
		"fbp kept": {config(), func(e *sidetrack.Event) {
			e.UserData = &sidetrack.UserData{Match: map[string][]string{"fbp": {"fb.1.1714557600123.1098115397"}}}
		}, "user_data.fbp", `"fb.1.1714557600123.1098115397"`},
		"fbc made": {config(), func(e *sidetrack.Event) { e.Campaign.ClickIDs = map[string]string{"fbclid": "IwAR-x_Y"} }, "user_data.fbc", `"fb.1.1769860770000.IwAR-x_Y"`},
		"fbc kept": {config(), func(e *sidetrack.Event) {
			e.Campaign.ClickIDs = map[string]string{"fbclid": "IwAR-x_Y"}
			e.UserData = &sidetrack.UserData{Match: map[string][]string{"fbc": {"fb.1.1714557600123.IwAR-x_Y.Bg"}}}
		}, "user_data.fbc", `"fb.1.1714557600123.IwAR-x_Y.Bg"`},
		"a newer click": {config(), func(e *sidetrack.Event) {
			e.Campaign.ClickIDs = map[string]string{"fbclid": "new"}
			e.UserData = &sidetrack.UserData{Match: map[string][]string{"fbc": {"fb.1.1714557600123.old"}}}
		}, "user_data.fbc", `"fb.1.1769860770000.new"`},
		"net": {with(func(c *Config) { c.Value = "net" }), func(e *sidetrack.Event) {
			e.Ecommerce = &sidetrack.Ecommerce{Value: sidetrack.MoneyOf(20), HasValue: true, Tax: sidetrack.MoneyOf(4)}
		}, "custom_data.value", "20"},
		"currency": {with(func(c *Config) { c.Currency = "CHF" }), func(e *sidetrack.Event) { e.Params = map[string]any{"value": 1.5} }, "custom_data.currency", `"CHF"`},
	} {
		got, notes, err := try(t, tt.cfg, visit("page_view", tt.change))
		if err != nil || len(notes) > 0 {
			t.Errorf("%s: %v %v", name, err, notes)
			continue
		}
		v := got[tt.key]
		if group, key, ok := strings.Cut(tt.key, "."); ok {
			m, _ := got[group].(map[string]any)
			v = m[key]
		}
		if asJSON(v) != tt.want {
			t.Errorf("%s: %s is %s, want %s", name, tt.key, asJSON(v), tt.want)
		}
	}
}

// What Meta would refuse is not sent: it would take the whole batch along.
func TestRefused(t *testing.T) {
	for want, change := range map[string]func(*sidetrack.Event){
		"without a name":              func(e *sidetrack.Event) { e.Name = "" },
		"more than 7 days ago":        func(e *sidetrack.Event) { e.Time = now.Add(-7*24*time.Hour - time.Second) },
		"no user agent":               func(e *sidetrack.Event) { e.Device.UserAgent = "" },
		"nothing that Meta":           func(e *sidetrack.Event) { e.Visitor.ClientID = "x" },
		"a purchase without a value":  func(e *sidetrack.Event) { e.Name = "purchase" },
		"a purchase without a curren": func(e *sidetrack.Event) { e.Name, e.Params = "purchase", map[string]any{"value": 1.5} },
		"dropped: anonymous_profile":  func(e *sidetrack.Event) { e.Visitor.AnonymousProfile = true },
	} {
		if got, _, err := try(t, config(), visit("page_view", change)); err == nil || got != nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v %v", want, got, err)
		}
	}
	for _, few := range []map[string]string{ // which are too broad by themselves
		{"ct": "Wien", "country": "AT", "st": "W", "zp": "1010", "ge": "f"}, {"db": "19901231"}, {"fn": "Jane", "ge": "f"}, {"ln": "Doe"},
	} {
		e := visit("page_view", func(e *sidetrack.Event) { e.Visitor.ClientID, e.UserData = "", new(sidetrack.UserData) })
		for k, v := range few {
			if err := e.UserData.AddMatch(k, v); err != nil {
				t.Fatal(err)
			}
		}
		broadOne := few["fn"] == "" && few["ln"] == "" // names beside a user agent are not
		if _, _, err := try(t, config(), e); (err != nil) != broadOne {
			t.Errorf("%v: %v", few, err)
		}
		e.Page.URL, e.Device.UserAgent = "", ""
		if _, _, err := try(t, config(), e); err == nil {
			t.Errorf("%v alone: sent", few)
		}
		e.Visitor.UserID = "u"
		if _, _, err := try(t, config(), e); err != nil {
			t.Errorf("%v and a user id: %v", few, err)
		}
	}
	bad := visit("", nil)
	bad.ID, bad.Time = uuid.New(), now
	good := visit("page_view", nil)
	good.ID, good.Time = uuid.New(), now
	g, err := newGenerator(config())
	if err != nil {
		t.Fatal(err)
	}
	r, err := g.Request(sidetrack.Unit{Events: []*sidetrack.Event{bad, good}, At: now})
	if p, ok := err.(*sidetrack.PartialError); !ok || len(p.Failed) != 1 || p.Failed[0] == nil || r == nil || strings.Contains(string(r.Body), bad.ID.String()) || !strings.Contains(string(r.Body), good.ID.String()) {
		t.Errorf("a bad event costs a good one: %v %v", r, err)
	}
}

// What is changed or left out of an event that is sent is noted.
func TestNotes(t *testing.T) {
	user := func(change func(*sidetrack.UserData)) func(*sidetrack.Event) {
		return func(e *sidetrack.Event) {
			e.UserData = new(sidetrack.UserData)
			change(e.UserData)
		}
	}
	for want, change := range map[string]func(*sidetrack.Event){
		"time_in_future: event_time is in the future: the time of receipt is sent":                    func(e *sidetrack.Event) { e.Time, e.Received = now.Add(time.Hour), now.Add(-time.Second) },
		"user_data: user_data.ph is the hash of a number with +, and Meta knows it without: left out": user(func(u *sidetrack.UserData) { u.Phones = []string{strings.Repeat("a", 64)} }),
		"user_data: user_data.st has no form that Meta can match: left out":                           user(func(u *sidetrack.UserData) { u.Addresses = []sidetrack.AddressData{{Region: "AT-9", City: "wien"}} }),
		"user_data: user_data.fbc cannot be made of this fbclid: left out":                            func(e *sidetrack.Event) { e.Campaign.ClickIDs = map[string]string{"fbclid": "a b"} },
		"custom_data: custom_data.value is not of the type that Meta expects: left out":               func(e *sidetrack.Event) { e.Params = map[string]any{"value": "much"} },
		"custom_data: custom_data.contents is not of the type that Meta expects: left out":            func(e *sidetrack.Event) { e.Params = map[string]any{"contents": []any{"A"}} },
		"custom_data: custom_data.content_ids is not of the type that Meta expects: left out":         func(e *sidetrack.Event) { e.Params = map[string]any{"content_ids": "A"} },
		"custom_data: custom_data.num_items is not of the type that Meta expects: left out":           func(e *sidetrack.Event) { e.Params = map[string]any{"num_items": 1.5} },
		"custom_data: custom_data.currency is not of the type that Meta expects: left out":            func(e *sidetrack.Event) { e.Params = map[string]any{"currency": "euro"} },
		"personal_data: custom_data has a parameter that is named like personal data: left out":       func(e *sidetrack.Event) { e.Params = map[string]any{"billing_first_name": "Jane"} },
		"personal_data: custom_data.note has personal data: taken out":                                func(e *sidetrack.Event) { e.Params = map[string]any{"note": "write to jane@shop.example"} },
		"personal_data: event_source_url has personal data: taken out":                                func(e *sidetrack.Event) { e.Page.URL = "https://a.example/p?email=jane%40shop.example&x=1" },
		"personal_data: event_name has personal data: taken out":                                      func(e *sidetrack.Event) { e.Name = "mail to jane@shop.example" },
		"personal_data: event_id has personal data: taken out":                                        func(e *sidetrack.Event) { e.Params = map[string]any{"event_id": "jane@shop.example"} },
	} {
		got, notes, err := try(t, config(), visit("page_view", change))
		if err != nil || len(notes) != 1 || notes[0].String() != want {
			t.Errorf("want %s\n%v %v", want, notes, err)
		}
		if s := asJSON(got); strings.Contains(s, "jane") || strings.Contains(s, "Jane") {
			t.Errorf("%s: sent all the same: %s", want, s)
		}
	}
}

// Nothing but a request's body has the token, and the proof is what Meta's page on securing requests describes.
func TestToken(t *testing.T) {
	cfg := config()
	cfg.AppSecret, cfg.TestEventCode = sidetrack.NewSecret("app-secret-1"), "TEST123"
	g, err := newGenerator(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := g.Request(sidetrack.Unit{Events: sinktest.Samples()[:1], At: now})
	if err != nil {
		t.Fatal(err)
	}
	// printf EAAGtoken1 | openssl dgst -sha256 -hmac app-secret-1
	const proof = "81209cb0aac1b559eaac3ed1407bf181ba3653e1792238d84ceeda3f375f3b3a"
	var b map[string]any
	if err := json.Unmarshal(r.Body, &b); err != nil || b["access_token"] != token || b["appsecret_proof"] != proof || b["test_event_code"] != "TEST123" {
		t.Errorf("%v %v", b, err)
	}
	if r.URL != "https://graph.facebook.com/v24.0/1234567890/events" || len(r.Header) != 1 {
		t.Errorf("%s %v", r.URL, r.Header)
	}
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{token, "app-secret-1", proof} {
		if !slices.ContainsFunc(sink.Spec().Secrets, func(s sidetrack.Secret) bool { return s.Reveal() == secret }) {
			t.Errorf("the engine does not know that %s is secret", secret)
		}
	}
}
