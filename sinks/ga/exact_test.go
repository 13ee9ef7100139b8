package ga

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gamock"
)

var now = time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)

// made is what the generator answers: the body, and for each event left out the reason.
func made(t *testing.T, cfg Config, events ...*sidetrack.Event) (body string, reasons map[int]string, notes []string) {
	t.Helper()
	g, err := newGenerator(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := g.Request(sidetrack.Unit{Events: events, At: now})
	reasons = map[int]string{}
	if partial, ok := errors.AsType[*sidetrack.PartialError](err); ok {
		for i, err := range partial.Failed {
			reasons[i] = err.Error()
		}
	} else if err != nil {
		t.Fatal(err)
	}
	if r == nil {
		return "", reasons, nil
	}
	if !json.Valid(r.Body) {
		t.Fatalf("no JSON: %s", r.Body)
	}
	for _, n := range r.Notes {
		notes = append(notes, n.String())
	}
	return string(r.Body), reasons, notes
}

// bare says nothing that the event does not say.
func bare() Config {
	cfg := config()
	cfg.Engagement, cfg.UnknownConsent = "omit", "omit"
	return cfg
}

func with(cfg Config, rule sidetrack.Reason, a Action) Config {
	cfg.Policy = map[string]Action{string(rule): a}
	return cfg
}

func ev(name string, params map[string]any) *sidetrack.Event {
	return &sidetrack.Event{Name: name, Visitor: sidetrack.Visitor{ClientID: "1.2"}, Params: params}
}

func shopEvent(name string, c sidetrack.Ecommerce) *sidetrack.Event {
	e := ev(name, nil)
	e.Ecommerce = &c
	return e
}

// events wraps what stands in the list of events.
func events(s string) string { return `{"client_id":"1.2","events":[` + s + `]}` }

func money(s string) sidetrack.Money {
	m, err := sidetrack.ParseMoney(s)
	if err != nil {
		panic(err)
	}
	return m
}

func TestExactBytes(t *testing.T) {
	item := sidetrack.Item{ID: "A"}
	for _, tt := range []struct {
		name  string
		cfg   Config
		e     *sidetrack.Event
		body  string
		notes string
	}{
		{"purchase with shipping and tax", bare(), shopEvent("purchase", sidetrack.Ecommerce{
			Currency: "EUR", Value: money("49.97"), HasValue: true, TransactionID: "T-1", Tax: money("4.9"), Shipping: money("5"), Coupon: "SUMMER", Affiliation: "web",
			Items: []sidetrack.Item{
				{ID: "S1", Name: "Shirt", Brand: "Acme", Variant: "blue", Categories: []string{"a", "b", "c", "d", "e"}, Price: money("19.99"), HasPrice: true, Quantity: 2, Affil: "x", Coupon: "C",
					Discount: money("1"), HasIndex: true, Index: 0, ListID: "l", ListName: "L", LocationID: "P", Promotion: sidetrack.Promotion{ID: "p", Name: "pn", Creative: "cn", Slot: "cs"},
					Params: map[string]any{"google_business_vertical": "retail", "size": int64(42)}},
				{Name: "Cap", Price: money("9.99"), HasPrice: true, Quantity: 1},
			}}),
			events(`{"name":"purchase","params":{"currency":"EUR","value":49.97,"transaction_id":"T-1","affiliation":"web","tax":4.9,"shipping":5,"coupon":"SUMMER","items":[` +
				`{"item_id":"S1","item_name":"Shirt","affiliation":"x","coupon":"C","discount":1,"index":0,"item_brand":"Acme","item_category":"a","item_category2":"b","item_category3":"c",` +
				`"item_category4":"d","item_category5":"e","item_list_id":"l","item_list_name":"L","item_variant":"blue","location_id":"P","price":19.99,"quantity":2,"promotion_id":"p",` +
				`"promotion_name":"pn","creative_name":"cn","creative_slot":"cs","google_business_vertical":"retail","size":42},` +
				`{"item_name":"Cap","price":9.99,"quantity":1}]}}`), ""},
		{"the same from parameters", bare(), ev("add_to_cart", map[string]any{"currency": "EUR", "value": "12.50", "items": []any{map[string]any{
			"item_id": int64(7), "item_category": "a", "item_category3": "c", "price": 6.25, "quantity": int64(2), "index": 3.0, "colour": "red"}}}),
			events(`{"name":"add_to_cart","params":{"currency":"EUR","value":12.5,"items":[{"item_id":"7","index":3,"item_category":"a","item_category3":"c","price":6.25,"quantity":2,"colour":"red"}]}}`), ""},
		{"a value of 101 characters", bare(), ev("login", map[string]any{"method": strings.Repeat("ü", 101)}),
			events(`{"name":"login","params":{"method":"` + strings.Repeat("ü", 100) + `"}}`), "[value_too_long: params.method has 101 characters, at most 100: made to fit]"},
		{"an empty transaction id", bare(), ev("purchase", map[string]any{"transaction_id": "", "currency": "EUR", "value": int64(1), "items": []any{map[string]any{"item_id": "A"}}}),
			events(`{"name":"purchase","params":{"currency":"EUR","value":1,"items":[{"item_id":"A"}]}}`),
			"[transaction_id_required: params.transaction_id is missing: Google tells purchases apart by it, and takes all with an empty one for the same: sent all the same]"},
		{"a value without a currency", bare(), shopEvent("purchase", sidetrack.Ecommerce{Value: money("10"), TransactionID: "T", Items: []sidetrack.Item{item}}),
			events(`{"name":"purchase","params":{"transaction_id":"T","items":[{"item_id":"A"}]}}`),
			"[currency_required: params.currency is required once there is a value, which says nothing without it: left out]"},
		{"a default currency", func() Config { c := bare(); c.Currency = "SEK"; return c }(), shopEvent("refund", sidetrack.Ecommerce{Value: money("10"), TransactionID: "T"}),
			events(`{"name":"refund","params":{"currency":"SEK","value":10,"transaction_id":"T"}}`), ""},
		{"a currency in small letters", bare(), ev("generate_lead", map[string]any{"value": 1.5, "currency": "eur"}),
			events(`{"name":"generate_lead","params":{"currency":"EUR","value":1.5}}`), `[currency_invalid: params.currency is "eur", not three letters of ISO 4217: made to fit]`},
		{"values of games need no currency", bare(), ev("earn_virtual_currency", map[string]any{"value": int64(5), "virtual_currency_name": "Gems"}),
			events(`{"name":"earn_virtual_currency","params":{"value":5,"virtual_currency_name":"Gems"}}`), ""},
		{"campaign details", bare(), func() *sidetrack.Event {
			e := ev("campaign_details", nil)
			e.Campaign = sidetrack.Campaign{ID: "g_1", Name: "summer", Source: "news", Medium: "email", Term: "shoes", Content: "hero"}
			return e
		}(), events(`{"name":"campaign_details","params":{"campaign_id":"g_1","campaign":"summer","source":"news","medium":"email","term":"shoes","content":"hero"}}`), ""},
		{"an event without parameters", bare(), ev("tutorial_begin", nil), events(`{"name":"tutorial_begin"}`), ""},
		{"debugging is said by presence", bare(), ev("login", map[string]any{"debug_mode": false}), events(`{"name":"login"}`), ""},
		{"debugging", func() Config { c := bare(); c.Debug = true; return c }(), ev("login", map[string]any{"debug_mode": int64(1)}), events(`{"name":"login","params":{"debug_mode":true}}`), ""},
		{"what is filled in by default", config(), ev("login", nil),
			`{"client_id":"1.2","consent":{"ad_user_data":"DENIED","ad_personalization":"DENIED"},"events":[{"name":"login","params":{"engagement_time_msec":1}}]}`, ""},
		{"engagement as a parameter", config(), ev("login", map[string]any{"engagement_time_msec": int64(900)}),
			`{"client_id":"1.2","consent":{"ad_user_data":"DENIED","ad_personalization":"DENIED"},"events":[{"name":"login","params":{"engagement_time_msec":900}}]}`, ""},
		{"an event of 71 hours", bare(), func() *sidetrack.Event { e := ev("login", nil); e.Time = now.Add(-71 * time.Hour); return e }(),
			events(`{"name":"login","timestamp_micros":1769605230000000}`), ""},
		{"an event of 73 hours, clipped", with(bare(), RuleTooOld, Clip), func() *sidetrack.Event { e := ev("login", nil); e.Time = now.Add(-73 * time.Hour); return e }(),
			events(`{"name":"login","timestamp_micros":1769601630000000}`), "[timestamp_too_old: timestamp_micros lies 73h0m0s in the past, at most 72h: made to fit]"},
		{"an event of tomorrow", bare(), func() *sidetrack.Event { e := ev("login", nil); e.Time = now.Add(time.Hour); return e }(),
			events(`{"name":"login"}`), "[timestamp_in_future: timestamp_micros lies 1h0m0s in the future: made to fit]"},
		{"names that are not valid", bare(), ev("1st event!", map[string]any{"größe": int64(1), "_private": int64(1), "ga_x": int64(1), "a.b": int64(2), "a_b": int64(3)}),
			events(`{"name":"st_event","params":{"a_b":2,"gr__e":1}}`), ""},
		{"user data without consent", config(), func() *sidetrack.Event {
			e := ev("login", nil)
			e.UserData = &sidetrack.UserData{Emails: []string{strings.Repeat("a", 64)}}
			e.Consent.Set(sidetrack.AdUserData, sidetrack.Denied)
			e.Consent.Set(sidetrack.AdPersonalization, sidetrack.Granted)
			return e
		}(), `{"client_id":"1.2","consent":{"ad_user_data":"DENIED","ad_personalization":"GRANTED"},"events":[{"name":"login","params":{"engagement_time_msec":1}}]}`,
			"[user_data_consent: user_data needs consent to ad_user_data, which is denied: left out]"},
		{"everything above the events", bare(), func() *sidetrack.Event {
			e := ev("login", map[string]any{"method": "sso"})
			e.Time = now.Add(-time.Second)
			e.Visitor = sidetrack.Visitor{ClientID: "1.2", UserID: "u-42", SessionID: "1769860000", SessionNumber: 3, Engagement: 1200 * time.Millisecond}
			e.UserProperties = map[string]any{"plan": "pro", "seats": map[string]any{"value": int64(5), "timestamp_micros": int64(1700000000000000)}, "vip": true, "none": nil}
			e.UserData = &sidetrack.UserData{Emails: []string{strings.Repeat("a", 64)}, Phones: []string{strings.Repeat("b", 64)}, Addresses: []sidetrack.AddressData{{FirstName: strings.Repeat("c", 64), LastName: strings.Repeat("d", 64), Street: strings.Repeat("e", 64), City: "wien", Region: "AT-9", PostalCode: "1010", Country: "AT"}}}
			e.Consent = sidetrack.GrantAll("test")
			e.Network = sidetrack.Network{IP: "203.0.113.0", City: "Wien", Region: "AT-9", Country: "AT", Continent: "150", Subcontinent: "155"}
			e.Device = sidetrack.Device{UserAgent: "UA", Category: "mobile", Language: "de", Screen: "1280x2856", OS: "Android", OSVersion: "15", Model: "Pixel 9", Brand: "Google", Browser: "Chrome", BrowserVer: "140.0"}
			return e
		}(), `{"client_id":"1.2","user_id":"u-42","user_properties":{"plan":{"value":"pro"},"seats":{"value":5,"timestamp_micros":1700000000000000},"vip":{"value":true}},` +
			`"user_data":{"sha256_email_address":["` + strings.Repeat("a", 64) + `"],"sha256_phone_number":["` + strings.Repeat("b", 64) + `"],"address":[{"sha256_first_name":"` + strings.Repeat("c", 64) +
			`","sha256_last_name":"` + strings.Repeat("d", 64) + `","sha256_street":"` + strings.Repeat("e", 64) + `","city":"wien","region":"AT-9","postal_code":"1010","country":"AT"}]},` +
			`"consent":{"ad_user_data":"GRANTED","ad_personalization":"GRANTED"},"user_location":{"city":"Wien","region_id":"AT-9","country_id":"AT","subcontinent_id":"155","continent_id":"150"},` +
			`"device":{"category":"mobile","language":"de","screen_resolution":"1280x2856","operating_system":"Android","operating_system_version":"15","model":"Pixel 9","brand":"Google","browser":"Chrome","browser_version":"140.0"},` +
			`"timestamp_micros":1769860829000000,"events":[{"name":"login","params":{"session_id":"1769860000","session_number":3,"engagement_time_msec":1200,"method":"sso"}}]}`, ""},
	} {
		body, reasons, notes := made(t, tt.cfg, tt.e)
		if len(reasons) > 0 || body != tt.body {
			t.Errorf("%s:\ngot  %s %v\nwant %s", tt.name, body, reasons, tt.body)
		}
		if tt.notes != "" && fmt.Sprint(notes) != tt.notes {
			t.Errorf("%s: notes %q, want %q", tt.name, notes, tt.notes)
		}
	}
}

func TestExactReasons(t *testing.T) {
	old := ev("login", nil)
	old.Time = now.Add(-73 * time.Hour)
	ahead := ev("login", nil)
	ahead.Time = now.Add(time.Second)
	props := func(name string) *sidetrack.Event {
		e := ev("login", nil)
		e.UserProperties = map[string]any{name: "x"}
		return e
	}
	many := map[string]any{}
	for i := range 26 {
		many[fmt.Sprintf("p%02d", i)] = i
	}
	manyProps := ev("login", nil)
	manyProps.UserProperties = many
	item := []any{map[string]any{"item_id": "A"}}
	reject := bare()
	reject.Policy = map[string]Action{"default": Reject}
	for _, tt := range []struct {
		e            *sidetrack.Event
		reject, drop string // the reason by policy; drop "": the event is sent
	}{
		{ev("", nil), "name_required: name has no name", "name_required"},
		{ev("session_start", nil), "name_reserved: name is a name that Google keeps for itself", "name_reserved"},
		{ev("screen_view_", nil), "", ""},
		{ev(strings.Repeat("e", 41), nil), "name_too_long: name has 41 characters, at most 40", "name_too_long"},
		{ev("my-event", nil), "name_invalid: name may have letters, digits and '_' only, and begins with a letter", "name_invalid"},
		{ev("login", map[string]any{"_private": "1"}), "name_reserved: params._private is a name that Google keeps for itself", ""},
		{ev("login", map[string]any{"firebase_conversion": 1}), "name_reserved: params.firebase_conversion is a name that Google keeps for itself", ""},
		{ev("login", map[string]any{"ua.tid": "UA-1", "gtag.x": 1}), "", ""},
		{props("first_open_time"), "name_reserved: user_properties.first_open_time is a name that Google keeps for itself", ""},
		{props(strings.Repeat("p", 25)), "name_too_long: user_properties." + strings.Repeat("p", 25) + " has 25 characters, at most 24", ""},
		{manyProps, "too_many_user_properties: user_properties has 26 entries, at most 25", ""},
		{ev("login", many), "too_many_params: params has 26 entries, at most 25", "too_many_params"},
		{ev("login", map[string]any{"a": []any{1}}), "value_invalid: params.a is neither a text nor a number nor a bool", ""},
		{ev("purchase", map[string]any{"transaction_id": "T", "value": int64(10), "items": item}), "currency_required: params.currency is required once there is a value, which says nothing without it", ""},
		{ev("add_to_cart", map[string]any{"currency": "EURO", "value": int64(10), "items": item}), `currency_invalid: params.currency is "EURO", not three letters of ISO 4217`, ""},
		{ev("purchase", map[string]any{"transaction_id": "", "currency": "EUR", "value": int64(1), "items": item}),
			"transaction_id_required: params.transaction_id is missing: Google tells purchases apart by it, and takes all with an empty one for the same", "transaction_id_required"},
		{ev("search", nil), "param_required: params.search_term is required of search", "param_required"},
		{ev("view_item", nil), "param_required: params.items is required of view_item", "param_required"},
		{shopEvent("view_item_list", sidetrack.Ecommerce{Items: make([]sidetrack.Item, 201)}), "too_many_items: params.items has 201 entries, at most 200", "param_required"},
		{shopEvent("view_item_list", sidetrack.Ecommerce{Items: []sidetrack.Item{{ID: "a"}, {Brand: "b"}}}), "item_id_required: params.items[1].item_id is missing, and item_name too", ""},
		{shopEvent("select_item", sidetrack.Ecommerce{Items: []sidetrack.Item{{ID: "a", Brand: strings.Repeat("b", 101)}}}), "value_too_long: params.items[0].item_brand has 101 characters, at most 100", ""},
		{old, "timestamp_too_old: timestamp_micros lies 73h0m0s in the past, at most 72h", ""},
		{ahead, "timestamp_in_future: timestamp_micros lies 1s in the future", "timestamp_in_future"},
		{&sidetrack.Event{Name: "login"}, "client_id_required: client_id is missing: send one, or put the visitor processor into intake", "client_id_required"},
	} {
		body, reasons, _ := made(t, reject, tt.e)
		want := ""
		if tt.reject != "" {
			want = "ga: " + tt.reject
		}
		if reasons[0] != want || (want != "") == (body != "") {
			t.Errorf("reject %s:\ngot  %s (%s)\nwant %s", tt.e.Name, reasons[0], body, want)
		}
		drop := bare()
		drop.Policy = map[string]Action{"default": Drop}
		body, reasons, notes := made(t, drop, tt.e)
		want = ""
		if tt.drop != "" {
			want = "dropped: " + tt.drop
		}
		if reasons[0] != want || (want != "") == (body != "") {
			t.Errorf("drop %s: %q, want %q", tt.e.Name, reasons[0], want)
		}
		if rule, _, _ := strings.Cut(tt.reject, ":"); body != "" && rule != "" && !strings.HasPrefix(fmt.Sprint(notes), "["+rule) {
			t.Errorf("drop %s: notes %q say nothing of %s", tt.e.Name, notes, rule)
		}
	}
}

func TestTwoHundredItems(t *testing.T) {
	c := sidetrack.Ecommerce{ListID: "l"}
	var want strings.Builder
	for i := range 200 {
		c.Items = append(c.Items, sidetrack.Item{ID: fmt.Sprint("S", i)})
		if i > 0 {
			want.WriteByte(',')
		}
		fmt.Fprintf(&want, `{"item_id":"S%d"}`, i)
	}
	e := shopEvent("view_item_list", c)
	exact := events(`{"name":"view_item_list","params":{"item_list_id":"l","items":[` + want.String() + `]}}`)
	if body, _, notes := made(t, bare(), e); body != exact || len(notes) > 0 {
		t.Errorf("%v %s", notes, body)
	}
	e.Ecommerce.Items = append(e.Ecommerce.Items, sidetrack.Item{ID: "one too many"})
	if body, _, notes := made(t, bare(), e); body != exact || fmt.Sprint(notes) != "[too_many_items: params.items has 201 entries, at most 200: made to fit]" {
		t.Errorf("%v %s", notes, body)
	}
}

func TestOneRequestForTheEventsThatMayLeave(t *testing.T) {
	a, b, c := ev("a", nil), ev("session_start", nil), ev("c", nil)
	a.Time, b.Time, c.Time = now.Add(-3*time.Second), now.Add(-2*time.Second), now.Add(-time.Second)
	body, reasons, _ := made(t, bare(), b, a, ev("user_engagement", nil), c)
	if want := `{"client_id":"1.2","events":[{"name":"a","timestamp_micros":1769860827000000},{"name":"c","timestamp_micros":1769860829000000}]}`; body != want {
		t.Errorf("got %s", body)
	}
	if fmt.Sprint(reasons) != "map[0:dropped: name_reserved 2:dropped: name_reserved]" {
		t.Errorf("%v", reasons)
	}
	body, _, _ = made(t, bare(), a, c)
	if want := `{"client_id":"1.2","timestamp_micros":1769860827000000,"events":[{"name":"a"},{"name":"c","timestamp_micros":1769860829000000}]}`; body != want {
		t.Errorf("got %s", body)
	}
}

func TestRecommendedEventsPassTheMock(t *testing.T) {
	full := sidetrack.Ecommerce{Currency: "EUR", Value: money("3"), HasValue: true, TransactionID: "T", PaymentType: "card", ShippingTier: "air", ListID: "l", ListName: "L",
		Items: []sidetrack.Item{{ID: "a", Price: money("3"), HasPrice: true}}, Promotion: sidetrack.Promotion{ID: "p"}}
	params := map[string]any{
		"score": int64(1), "search_term": "x", "virtual_currency_name": "g", "achievement_id": "a", "method": "m", "group_id": "g", "content_type": "c", "content_id": "i", "level": int64(1),
		"character": "c", "level_name": "n", "success": true, "lead_source": "s", "lead_status": "s", "disqualified_lead_reason": "r", "unconvert_lead_reason": "r", "customer_type": "new",
	}
	names := []string{"login", "sign_up", "select_content", "share", "join_group", "tutorial_begin", "tutorial_complete", "level_start", "level_end", "level_up", "earn_virtual_currency",
		"campaign_details", "select_promotion", "view_search_results", "page_view"}
	for name := range recommended {
		names = append(names, name)
	}
	for _, name := range names {
		e := shopEvent(name, full)
		e.Params = params
		g, err := newGenerator(config())
		if err != nil {
			t.Fatal(err)
		}
		r, err := g.Request(sidetrack.Unit{Events: []*sidetrack.Event{e}, At: now})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		u, err := url.Parse(r.URL)
		if err != nil {
			t.Fatal(err)
		}
		found := gamock.Check(now, http.MethodPost, u.Query(), r.Header, r.Body)
		if len(found) > 0 || len(r.Notes) != 1 || r.Notes[0].Rule != RuleTooManyParams {
			t.Errorf("%s: %v, notes %v", name, found, r.Notes)
		}
		e.Ecommerce, e.Params = nil, nil
		_, reasons, notes := made(t, bare(), e)
		need, listed := recommended[name]
		if required := listed && (need.items || len(need.params) > 0) || needsTransaction(name); len(reasons) > 0 || (len(notes) > 0) != required {
			t.Errorf("%s without anything: %v %v", name, reasons, notes)
		}
	}
}

func TestPolicyErrors(t *testing.T) {
	for want, set := range map[string]map[string]Action{
		"policy.name_reserved: cannot be \"clip\": use drop or reject":      {"name_reserved": Clip},
		"policy.value_to_long: is not a rule: default, name_required, name": {"value_to_long": Clip},
		"policy.default: cannot be \"send\"":                                {"default": "send"},
	} {
		cfg := config()
		cfg.Policy = set
		if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
