package snowplow

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/hostile"
	"github.com/sidetrack-go/sidetrack/internal/sinkrun"
)

// Whatever is in an event, Enrich can read what is sent of it.
func TestHostile(t *testing.T) {
	for _, cfg := range []Config{config(), {Platform: "srv", Time: "ttm", Purchases: "transaction", Base64: true, ParamsSchema: "iglu:com.acme/params/jsonschema/1-0-0", UserSchema: "iglu:com.acme/user/jsonschema/1-0-0"}} {
		for name, e := range hostile.Events() {
			for _, as := range []string{e.Name, "purchase", "refund", "view_item", "view_promotion", "begin_checkout", "share", "timing_complete", "exception", "page_view", "screen_view"} {
				e := e.Clone()
				e.Name, e.App.Version, e.Device.Language = as, e.Page.Title, e.Page.Title
				e.Visitor.SessionID, e.Visitor.SessionNumber = e.Page.Title, math.MaxInt64
				e.UserProperties = e.Params
				if e.Ecommerce == nil {
					e.Ecommerce = &sidetrack.Ecommerce{Value: 1}
				}
				if c := e.Ecommerce; as != "page_view" {
					c.TransactionID, c.Currency, c.HasValue = "T", "EUR", true
					c.Items = append(c.Items, sidetrack.Item{ID: e.Page.Title, Name: "N", Price: math.MaxInt64, Quantity: math.Inf(1), Discount: math.MinInt64}, sidetrack.Item{ID: e.Page.Title, Price: 1}, sidetrack.Item{ID: "ok", Price: 1, Quantity: 1e9, Discount: math.MaxInt64})
				}
				t.Run(name+" as "+as[:min(len(as), 20)], func(t *testing.T) { _, _, _ = sent(t, cfg, e) })
			}
		}
	}
}

// What Snowplow does not keep is cut or left out, and said.
func TestNotes(t *testing.T) {
	long := strings.Repeat("x", 5000)
	item := sidetrack.Item{ID: "A", Price: 1}
	for rule, tt := range map[string]struct {
		e    sidetrack.Event
		want string
	}{
		"value_too_long: page":        {sidetrack.Event{Page: sidetrack.Page{Title: long}}, "e=se p=srv page=" + long[:2000] + " se_ac=x se_ca=event"},
		"value_too_long: url":         {sidetrack.Event{Page: sidetrack.Page{URL: "https://a.example/p?" + long}}, "e=se p=web se_ac=x se_ca=event url=https://a.example/p"},
		"url_invalid: url":            {sidetrack.Event{Page: sidetrack.Page{URL: "/p"}}, "e=se p=web se_ac=x se_ca=event"},
		"url_invalid: refr":           {sidetrack.Event{Page: sidetrack.Page{Referrer: "https://a.example/" + long}}, "e=se p=srv se_ac=x se_ca=event"},
		"product_incomplete: items[0": {sidetrack.Event{Ecommerce: &sidetrack.Ecommerce{Currency: "EUR", Items: []sidetrack.Item{{ID: "A"}}}}, "e=se p=srv se_ac=x se_ca=ecommerce"},
		"product_incomplete: items[1": {sidetrack.Event{Ecommerce: &sidetrack.Ecommerce{Currency: "EUR", Items: []sidetrack.Item{item, {HasPrice: true}}}}, `co=product{"category":"","currency":"EUR","id":"A","price":0} e=se p=srv se_ac=x se_ca=ecommerce`},
		"product_incomplete: items[]": {sidetrack.Event{Ecommerce: &sidetrack.Ecommerce{Items: []sidetrack.Item{item}}}, "e=se p=srv se_ac=x se_ca=ecommerce"},
		"value_out_of_range: list_pr": {sidetrack.Event{Ecommerce: &sidetrack.Ecommerce{Currency: "EUR", Items: []sidetrack.Item{{ID: "A", Price: 1, Discount: math.MaxInt64}}}}, `co=product{"category":"","currency":"EUR","id":"A","price":0} e=se p=srv se_ac=x se_ca=ecommerce`},
	} {
		tt.e.Name = "x"
		data, r, err := sent(t, config(), &tt.e)
		if err != nil {
			t.Fatal(err)
		}
		rule = strings.TrimSuffix(rule, "]")
		if got := show(data[0]); got != tt.want || len(r.Notes) != 1 || !strings.HasPrefix(r.Notes[0].String(), rule) {
			t.Errorf("%s: %.300s, want %.300s; notes %v", rule, got, tt.want, r.Notes)
		}
	}
}

// Own schemas take the place of everything else, and entities have what they do not.
func TestOwnSchemas(t *testing.T) {
	cfg := config()
	cfg.Schemas = map[string]string{"signup": "iglu:com.acme/signup/jsonschema/1-0-0", "purchase": "iglu:com.acme/order/jsonschema/2-0-1"}
	cfg.ParamsSchema, cfg.UserSchema, cfg.AppID, cfg.Platform, cfg.Time = "iglu:com.acme/params/jsonschema/1-0-0", "iglu:com.acme/user/jsonschema/1-0-0", "app", "iot", "ttm"
	for want, e := range map[string]*sidetrack.Event{
		`aid=app co=user{"plan":"gold"} e=ue p=iot ttm=1769860830000 ue_pr=signup{"step":3}`:                                                       {Name: "signup", Site: "shop", Time: now, Params: map[string]any{"step": int64(3)}, UserProperties: map[string]any{"plan": "gold"}},
		`aid=app e=ue p=iot ue_pr=order{"gift":true,"order_id":"T","revenue":1,"total":1,"value":1}`:                                               {Name: "purchase", Params: map[string]any{"gift": true}, Ecommerce: &sidetrack.Ecommerce{TransactionID: "T", Value: sidetrack.MoneyOf(1), HasValue: true}},
		`aid=app co=web_page{"id":"ID"} co=params{"a":1} e=pv p=iot`:                                                                               {Name: "page_view", Params: map[string]any{"a": int64(1)}},
		`aid=app co=params{"n":[1,"b"]} e=se p=iot se_ac=x se_ca=event sid=50505050-0000-4000-8000-000000000003`:                                   {Name: "x", Visitor: sidetrack.Visitor{SessionID: "50505050-0000-4000-8000-000000000003"}, Params: map[string]any{"n": []any{int64(1), "b"}}},
		`aid=app co=params{"value":2} co=product{"category":"","currency":"EUR","id":"A","price":0} e=se p=iot se_ac=y se_ca=ecommerce se_va=2.01`: {Name: "y", Params: map[string]any{"value": int64(2)}, Ecommerce: &sidetrack.Ecommerce{Currency: "EUR", Value: sidetrack.MoneyOf(2.01), HasValue: true, Items: []sidetrack.Item{{ID: "A", HasPrice: true}}}},
	} {
		for _, base64 := range []bool{false, true} {
			cfg.Base64 = base64
			data, _, err := sent(t, cfg, e)
			if err != nil {
				t.Fatal(err)
			}
			_, plain := data[0]["co"]
			_, encoded := data[0]["cx"]
			if base64 && plain || !base64 && encoded {
				t.Errorf("base64 %t: %v", base64, data[0])
			}
			if got := strings.NewReplacer(" ue_px=", " ue_pr=", "cx=", "co=").Replace(show(data[0])); sorted(got) != sorted(want) {
				t.Errorf("\n%s, want\n%s", got, want)
			}
		}
	}
}

// sorted is s whatever the order of its parts.
func sorted(s string) string {
	parts := strings.Fields(s)
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// A session is the same for all its events and no other's.
func TestSession(t *testing.T) {
	e := &sidetrack.Event{Site: "a", Visitor: sidetrack.Visitor{ClientID: "1.2", SessionID: "1769860000"}}
	seen := map[string]bool{session(e): true}
	if again := session(e.Clone()); !seen[again] {
		t.Errorf("%s is another session", again)
	}
	for _, other := range []*sidetrack.Event{
		{Site: "b", Visitor: e.Visitor}, {Site: "a", Visitor: sidetrack.Visitor{ClientID: "3.4", SessionID: "1769860000"}},
		{Site: "a", Visitor: sidetrack.Visitor{ClientID: "1.2", SessionID: "1769870000"}}, {Site: "a", Visitor: sidetrack.Visitor{UserID: "u", SessionID: "1769860000"}},
	} {
		id := session(other)
		if _, err := uuid.Parse(id); err != nil || seen[id] {
			t.Errorf("%s %v", id, err)
		}
		seen[id] = true
	}
}

// The journey of the captured SDK, made by sidetrack: all it sends is the same, but for what docs/sinks/snowplow.md lists.
func TestAgreesWithSDK(t *testing.T) {
	b, err := os.ReadFile("testdata/snowplow-node-tracker-4.8.0.json")
	if err != nil {
		t.Fatal(err)
	}
	var captured []struct {
		Path, ContentType string
		Body              struct {
			Schema string
			Data   []map[string]string
		}
	}
	if err := json.Unmarshal(b, &captured); err != nil {
		t.Fatal(err)
	}
	m, compared := sidetrack.MoneyOf, map[string]int{}
	for _, request := range captured {
		var items []map[string]string // what is left of the purchase's payloads
		for _, want := range request.Body.Data {
			if want["e"] == "pp" {
				continue
			}
			cfg := Config{Endpoint: "https://sp.shop.example", AppID: want["aid"], Namespace: want["tna"], Platform: want["p"], Time: "dtm", Purchases: "transaction", UserSchema: "iglu:com.acme/user/jsonschema/1-0-0",
				Base64: want["cx"]+want["ue_px"] != ""}
			var at int64
			for _, k := range []string{"dtm", "ttm"} {
				if _, err := fmt.Sscan(want[k], &at); err == nil {
					cfg.Time = k
				}
			}
			e := &sidetrack.Event{
				ID: uuid.MustParse(want["eid"]), Time: time.UnixMilli(at), Visitor: sidetrack.Visitor{UserID: want["uid"], ClientID: want["duid"], SessionID: want["sid"], SessionNumber: 3},
				Network: sidetrack.Network{IP: "203.0.113.9"}, Device: sidetrack.Device{UserAgent: want["ua"], Language: "de-DE", Screen: "1920x1080", Viewport: "1200x800", Colors: 24},
			}
			user := map[string]any{"type": "tester", "emoji": "✓"}
			apart := []string{"tv", "stm", "tz", "nuid"}
			switch {
			case want["e"] == "pv":
				e.Name, e.UserProperties = "page_view", user
				e.Page = sidetrack.Page{URL: want["url"], Title: want["page"], Referrer: want["refr"]}
			case want["e"] == "se":
				e.Name, e.Params = "signup", map[string]any{"event_category": "auth", "event_label": "google", "event_property": "plan", "value": 12.5}
			case want["e"] == "tr":
				e.Name = "purchase"
				e.Ecommerce = &sidetrack.Ecommerce{TransactionID: "T-1001", Currency: "EUR", Affiliation: "Web", Value: m(49.97), HasValue: true, Tax: m(5), Shipping: m(5), Items: []sidetrack.Item{
					{ID: "SKU-1", Name: "T-shirt, blue", Categories: []string{"Apparel"}, Price: m(19.99), HasPrice: true, Quantity: 2}, {ID: "SKU-2", Name: `Cap & "hat"`, Categories: []string{"Accessories"}, Price: m(9.99), HasPrice: true, Quantity: 1},
				}}
				apart = append(apart, "tr_ci", "tr_st", "tr_co")
			case want["e"] == "ti":
				apart = append(apart, "eid", "dtm")
			case strings.Contains(show(want), "screen_view"):
				e.Name, e.App.Screen, e.ID = "screen_view", "Home", uuid.MustParse(want["eid"])
			default:
				e.Name, e.UserProperties = "signup", user
				cfg.Schemas = map[string]string{"signup": "iglu:com.acme/signup/jsonschema/1-0-0"}
				e.Params = map[string]any{"method": "google", "price": 12.5, "n": int64(3), "ok": true, "tags": []any{"a", "b"}}
			}
			var got map[string]string
			if want["e"] == "ti" {
				got, items = items[0], items[1:]
			} else {
				data, r, err := sent(t, cfg, e)
				if err != nil {
					t.Fatal(err)
				}
				if r.Header.Get("Content-Type") != request.ContentType || request.Path != path || request.Body.Schema != payloadSchema {
					t.Errorf("%v %s", r.Header, request.Path)
				}
				got, items = data[0], data[1:]
			}
			compared[want["e"]]++
			for k, v := range want {
				switch {
				case slices.Contains(apart, k):
				case k == "co" || k == "cx" || k == "ue_pr" || k == "ue_px":
					// A page view has the entity web_page besides; a screen's id is the event's.
					theirs := strings.ReplaceAll(show(map[string]string{k: v}), `"s1"`, `"`+want["eid"]+`"`)
					ours := strings.ReplaceAll(show(map[string]string{k: got[k]}), k+`=web_page{"id":"`+want["eid"]+`"} `, "")
					if ours != theirs {
						t.Errorf("%s: %s is %s, the SDK sends %s", want["e"], k, ours, theirs)
					}
				case got[k] != v:
					t.Errorf("%s: %s is %q, the SDK sends %q", want["e"], k, got[k], v)
				}
			}
			for _, k := range []string{"e", "p", "tv", "eid", "stm"} {
				if got[k] == "" {
					t.Errorf("%s: no %s, which is required", want["e"], k)
				}
			}
		}
		if len(items) != 0 {
			t.Errorf("%d items too many", len(items))
		}
	}
	if fmt.Sprint(compared) != "map[pv:2 se:2 ti:4 tr:2 ue:4]" {
		t.Errorf("compared %v", compared)
	}
}

// What an answer means: the statuses that Snowplow's trackers never repeat are refused or a person's to put right, nothing is lost by the others.
func TestAnswers(t *testing.T) {
	s, err := New(config())
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]sidetrack.Class{
		200: sidetrack.Delivered, 302: sidetrack.Misconfigured, 400: sidetrack.Rejected, 401: sidetrack.Misconfigured, 403: sidetrack.Misconfigured, 404: sidetrack.Misconfigured,
		408: sidetrack.Retry, 410: sidetrack.Misconfigured, 413: sidetrack.Rejected, 422: sidetrack.Rejected, 429: sidetrack.Throttled, 500: sidetrack.Retry, 502: sidetrack.Retry, 503: sidetrack.Retry, 504: sidetrack.Retry,
	} {
		if class, _ := sidetrack.ClassOf(s.Spec().Classify(sidetrack.Unit{}, &sidetrack.Response{Status: status, Header: http.Header{}})); class != want {
			t.Errorf("%d is %s, want %s", status, class, want)
		}
	}
}

// events are ordinary ones of different visitors.
func events(n int) []*sidetrack.Event {
	out := make([]*sidetrack.Event, n)
	for i := range out {
		out[i] = &sidetrack.Event{
			MessageID: fmt.Sprint("e", i), Name: "page_view", Time: time.Now().Add(time.Duration(i-n) * time.Second), Page: sidetrack.Page{URL: fmt.Sprint("https://a.example/", i)},
			Visitor: sidetrack.Visitor{ClientID: fmt.Sprint(i, ".1"), SessionID: "1769860000"}, Consent: sidetrack.GrantAll("test"),
		}
	}
	return out
}

func deliver(t *testing.T, f *fake, change func(*Config), e ...*sidetrack.Event) sinkrun.Result {
	t.Helper()
	cfg := config()
	cfg.Endpoint = f.start().URL
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := sinkrun.Deliver(t, s, e...)
	for _, p := range f.failed {
		t.Errorf("failed event: %s", p)
	}
	return r
}

func TestDelivery(t *testing.T) {
	t.Run("all", func(t *testing.T) {
		f := &fake{t: t}
		if r := deliver(t, f, nil, events(450)...); len(r.Delivered) != 450 || len(f.rows) != 450 || f.requests < 3 || f.repeats != 0 {
			t.Errorf("%d delivered, %d rows in %d requests, %d repeated: %v", len(r.Delivered), len(f.rows), f.requests, f.repeats, r.Errors)
		}
	})
	t.Run("failures are repeated", func(t *testing.T) {
		f := &fake{t: t, answers: map[int]int{0: 503, 1: 429, 2: 500, 3: 502, 4: 504, 5: 408}}
		if r := deliver(t, f, nil, events(20)...); len(r.Delivered) != 20 || len(f.rows) != 20 || f.requests < 7 {
			t.Errorf("%d delivered, %d rows in %d requests: %v", len(r.Delivered), len(f.rows), f.requests, r.Errors)
		}
	})
	t.Run("a lost answer repeats events by their ids, unchanged", func(t *testing.T) {
		f := &fake{t: t, lose: true}
		e := events(20)
		e[3].Name, e[3].Ecommerce = "purchase", &sidetrack.Ecommerce{TransactionID: "T", Currency: "EUR", Items: []sidetrack.Item{{ID: "A", Price: 1}, {ID: "B", Price: 1}}}
		r := deliver(t, f, func(c *Config) { c.Purchases = "transaction" }, e...)
		if len(r.Delivered) != 20 || len(f.rows) != 22 || f.repeats == 0 {
			t.Errorf("%d delivered, %d rows, %d repeats: %v", len(r.Delivered), len(f.rows), f.repeats, r.Errors)
		}
	})
	t.Run("a poisonous and an unbuildable event cost only themselves", func(t *testing.T) {
		f := &fake{t: t, lose: true}
		e := events(60)
		e[13].Page.Title = "poison"
		e[20].Name = "purchase" // of nothing
		r := deliver(t, f, nil, e...)
		slices.Sort(r.Dead)
		if !slices.Equal(r.Dead, []string{"e13", "e20"}) || len(r.Delivered) != 58 || len(f.rows) != 58 {
			t.Errorf("dead %v, %d delivered, %d rows: %v", r.Dead, len(r.Delivered), len(f.rows), r.Errors)
		}
	})
	t.Run("what is too large for a proxy is halved", func(t *testing.T) {
		f := &fake{t: t, limit: 4000, path: "/com.acme/t1"}
		r := deliver(t, f, func(c *Config) { c.Endpoint += "/com.acme/t1" }, events(60)...)
		if len(r.Delivered) != 60 || len(f.rows) != 60 {
			t.Errorf("%d delivered, %d rows: %v", len(r.Delivered), len(f.rows), r.Errors)
		}
	})
}

// No request is larger than the collector keeps, encoded as it is sent: it would answer 200 and keep nothing.
func TestLimits(t *testing.T) {
	for _, base64 := range []bool{false, true} {
		f := &fake{t: t}
		e := events(60)
		for i := range e {
			e[i].Params = map[string]any{"quotes": strings.Repeat(`"<\`, 2500), "more": strings.Repeat("ü", 3000)}
		}
		r := deliver(t, f, func(c *Config) { c.ParamsSchema, c.Base64 = "iglu:com.acme/params/jsonschema/1-0-0", base64 }, e...)
		if len(r.Delivered) != 60 || len(f.rows) != 60 || f.requests < 3 {
			t.Errorf("base64 %t: %d delivered, %d rows in %d requests: %v", base64, len(r.Delivered), len(f.rows), f.requests, r.Errors)
		}
	}
}

// A unit's good events are sent although others cannot be.
func TestPartial(t *testing.T) {
	s, err := New(config())
	if err != nil {
		t.Fatal(err)
	}
	e := events(3)
	for i := range e {
		e[i].ID = uuid.NewSHA1(uuid.Nil, []byte{byte(i)})
	}
	e[1].Name, e[2].Page.Title = "", strings.Repeat("x", 3000)
	r, err := s.Spec().Generator.Request(sidetrack.Unit{Events: e, At: now})
	partial, ok := errors.AsType[*sidetrack.PartialError](err)
	if !ok || len(partial.Failed) != 1 || partial.Failed[1] == nil || len(r.Notes) != 1 || r.Notes[0].Event != 2 {
		t.Fatalf("%v %v", r, err)
	}
	if data, _ := enrich(r.Body); len(data) != 2 {
		t.Errorf("%d sent", len(data))
	}
}
