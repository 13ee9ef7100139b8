package umami

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/sinkrun"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

const website = "94db1cb1-74f4-4a40-ad6c-962362670409"

func config() Config { return Config{Website: website, Endpoint: "https://stats.shop.example"} }

func TestContract(t *testing.T) {
	sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(config()) }, sinktest.Golden("testdata/golden"))
}

func TestConfig(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"website":     func(c *Config) { c.Website = "" },
		"website ":    func(c *Config) { c.Website = "{" + website + "}" },
		"endpoint":    func(c *Config) { c.Endpoint = "" },
		"endpoint ":   func(c *Config) { c.Endpoint = "ftp://a.example" },
		"endpoint  ":  func(c *Config) { c.Endpoint = "https://a.example/?a=b" },
		"endpoint   ": func(c *Config) { c.Endpoint = "https://u:p@a.example" },
		"tag":         func(c *Config) { c.Tag = strings.Repeat("x", 51) },
	} {
		cfg := config()
		change(&cfg)
		_, err := New(cfg)
		if fe, ok := err.(*sidetrack.FieldError); !ok || fe.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	for endpoint, want := range map[string]string{"https://a.example/": "https://a.example/api/send", "https://a.example/x/collect": "https://a.example/x/collect"} {
		s, err := New(Config{Website: website, Endpoint: endpoint})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Spec().Generator.Request(sidetrack.Unit{Events: []*sidetrack.Event{{Name: "x", Visitor: sidetrack.Visitor{ClientID: "1"}}}})
		if err != nil || r.URL != want {
			t.Errorf("%v %v, want %s", r, err, want)
		}
	}
}

// TestMapping has the rows of the table in docs/sinks/umami.md.
func TestMapping(t *testing.T) {
	page := sidetrack.Page{URL: "https://a.example/p?utm_source=x", Title: "T", Referrer: "https://b.example/q"}
	at := time.Date(2026, 1, 31, 12, 0, 0, 5e8, time.UTC)
	for name, tt := range map[string]struct {
		e    sidetrack.Event
		want string // payload without website, or the error after !
	}{
		"page view":         {sidetrack.Event{Name: "page_view", Page: page, Time: at, Params: map[string]any{"a": "b"}}, `{"hostname":"a.example","id":"1.2","referrer":"https://b.example/q","timestamp":1769860800,"title":"T","url":"/p?utm_source=x"}`},
		"screen":            {sidetrack.Event{Name: "screen_view", App: sidetrack.App{Name: "My Shop", Screen: "Cart x"}}, `{"hostname":"my-shop","id":"1.2","url":"/Cart%20x"}`},
		"view of nothing":   {sidetrack.Event{Name: "page_view"}, "!without an address"},
		"custom":            {sidetrack.Event{Name: "Signed Up", Params: map[string]any{"n": int64(3), "tags": []any{"a"}}, UserProperties: map[string]any{"plan": "gold"}}, `{"data":{"n":3,"tags":["a"]},"id":"1.2","name":"Signed Up"}`},
		"known user":        {sidetrack.Event{Name: "login", Visitor: sidetrack.Visitor{ClientID: "1.2", UserID: "u-7"}}, `{"id":"u-7","name":"login"}`},
		"purchase":          {sidetrack.Event{Name: "purchase", Ecommerce: &sidetrack.Ecommerce{TransactionID: "T", Currency: "EUR", Value: sidetrack.MoneyOf(5), HasValue: true, Items: []sidetrack.Item{{ID: "A"}}}}, `{"data":{"currency":"EUR","order_id":"T","products":[{"product_id":"A","sku":"A"}],"revenue":5,"total":5,"value":5},"id":"1.2","name":"purchase"}`},
		"exception":         {sidetrack.Event{Name: "exception", Exception: &sidetrack.Failure{Description: "timeout"}}, `{"data":{"description":"timeout","fatal":false},"id":"1.2","name":"exception"}`},
		"device and place":  {sidetrack.Event{Name: "x", Device: sidetrack.Device{UserAgent: "Moz", Language: "de-AT", Screen: "800x600"}, Network: sidetrack.Network{IP: "203.0.113.0", Country: "AT"}}, `{"id":"1.2","ip":"203.0.113.0","language":"de-AT","name":"x","screen":"800x600","userAgent":"Moz"}`},
		"screen of no size": {sidetrack.Event{Name: "x", Device: sidetrack.Device{Screen: "100000x100000"}}, `{"id":"1.2","name":"x"}`},
		"odd hosts":         {sidetrack.Event{Name: "x", Page: sidetrack.Page{URL: "https://a<b/p", Referrer: "https://1.2.3.400/"}}, `{"id":"1.2","name":"x"}`},
		"two slashes":       {sidetrack.Event{Name: "x", Page: sidetrack.Page{URL: "https://a.example//b:x"}}, `{"hostname":"a.example","id":"1.2","name":"x","url":"/b:x"}`},
		"no name":           {sidetrack.Event{}, "!without a name"},
		"nobody":            {sidetrack.Event{Name: "x", Visitor: sidetrack.Visitor{SessionID: "1"}}, "!this server would be the visitor"},
		"long id":           {sidetrack.Event{Name: "x", Visitor: sidetrack.Visitor{UserID: strings.Repeat("u", 51)}}, "!longer than 50"},
		"no year":           {sidetrack.Event{Name: "x", Time: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, "!the year 9999"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.e.Visitor == (sidetrack.Visitor{}) {
				tt.e.Visitor.ClientID = "1.2"
			}
			cfg := config()
			r, err := cfg.request(&tt.e)
			if want, ok := strings.CutPrefix(tt.want, "!"); ok {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v; want an error with %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var body struct {
				Type    string
				Payload map[string]any
			}
			if err := json.Unmarshal(r.Body, &body); err != nil || body.Type != "event" || body.Payload["website"] != website {
				t.Fatalf("%s %v", r.Body, err)
			}
			delete(body.Payload, "website")
			if got, _ := json.Marshal(body.Payload); string(got) != tt.want || len(r.Notes) > 0 {
				t.Errorf("\n%s %v, want\n%s", got, r.Notes, tt.want)
			}
		})
	}
	cfg := config()
	r, err := cfg.request(&sidetrack.Event{Name: strings.Repeat("ü", 26), Visitor: sidetrack.Visitor{ClientID: "1"}})
	if err != nil || len(r.Notes) != 1 || r.Notes[0].Rule != RuleTooLong || !strings.Contains(string(r.Body), `"`+strings.Repeat("ü", 25)+`"`) {
		t.Errorf("%v %v", r, err)
	}
}

// The journey of the captured SDK, made by sidetrack.
func TestAgreesWithSDK(t *testing.T) {
	b, err := os.ReadFile("testdata/umami-node-0.4.0.json")
	if err != nil {
		t.Fatal(err)
	}
	var captured []struct {
		Path string
		Body struct {
			Type    string
			Payload map[string]any
		}
	}
	if err := json.Unmarshal(b, &captured); err != nil {
		t.Fatal(err)
	}
	m, compared := sidetrack.MoneyOf, 0
	for _, c := range captured {
		if c.Body.Type != "event" {
			continue
		}
		want := c.Body.Payload
		text := func(k string) string { s, _ := want[k].(string); return s }
		e := &sidetrack.Event{Name: text("name"), Visitor: sidetrack.Visitor{UserID: text("id"), ClientID: "1.2"}, Network: sidetrack.Network{IP: text("ip")},
			Device: sidetrack.Device{Language: text("language"), Screen: text("screen"), UserAgent: text("userAgent")}}
		if h := text("hostname"); h != "" {
			e.Page = sidetrack.Page{URL: "https://" + h + text("url"), Title: text("title"), Referrer: text("referrer")}
		}
		var apart []string
		switch at, _ := want["timestamp"].(float64); e.Name {
		case "":
			e.Name = "page_view"
		case "purchase":
			e.Ecommerce = &sidetrack.Ecommerce{TransactionID: "T-1001", Currency: "EUR", Value: m(49.97), HasValue: true, Tax: m(5), Shipping: m(5), Coupon: "SUMMER", Affiliation: "Web", Items: []sidetrack.Item{
				{ID: "SKU-1", Name: "T-shirt, blue", Categories: []string{"Apparel"}, Brand: "Acme", Variant: "M", Price: m(19.99), Quantity: 2, HasIndex: true, Index: 1},
				{ID: "SKU-2", Name: `Cap & "hat"`, Categories: []string{"Accessories"}, Brand: "Acme", Price: m(9.99), Quantity: 1, HasIndex: true, Index: 2},
			}}
			apart = []string{"revenue", "discount"} // without tax and shipping; the items of the journey have no discount
		default:
			e.Params = map[string]any{"method": "google", "price": 12.5, "n": int64(3), "ok": true, "tags": []any{"a", "b"}}
			if at > 0 {
				e.Time = time.Unix(int64(at), 0)
			}
		}
		s, err := New(Config{Website: text("website"), Endpoint: "https://stats.example", Tag: text("tag")})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Spec().Generator.Request(sidetrack.Unit{Events: []*sidetrack.Event{e}})
		if err != nil || r.URL != "https://stats.example"+c.Path {
			t.Fatal(r, err)
		}
		var got struct {
			Type    string
			Payload map[string]any
		}
		if err := json.Unmarshal(r.Body, &got); err != nil || got.Type != c.Body.Type {
			t.Fatalf("%s: %v", r.Body, err)
		}
		compared++
		for _, p := range []map[string]any{want, got.Payload} {
			if d, ok := p["data"].(map[string]any); ok {
				for _, k := range apart {
					delete(d, k)
				}
			}
		}
		if d, ok := got.Payload["data"].(map[string]any); ok && e.Ecommerce != nil {
			delete(d, "value")
		}
		for k, v := range want {
			a, _ := json.Marshal(got.Payload[k])
			if b, _ := json.Marshal(v); string(a) != string(b) {
				t.Errorf("%s: %s is %s, the SDK sends %s", e.Name, k, a, b)
			}
		}
	}
	if compared != 4 {
		t.Errorf("%d events compared", compared)
	}
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		want   sidetrack.Class
	}{
		{200, `{"cache":"x","sessionId":"y","visitId":"z"}`, sidetrack.Delivered},
		{200, `{"beep":"boop"}`, sidetrack.Rejected},
		{403, `{"error":{"message":"Forbidden","code":"forbidden","status":403}}`, sidetrack.Rejected},
		{403, `<html>`, sidetrack.Misconfigured},
		{400, `{"error":{"message":"Bad request","code":"bad-request","status":400}}`, sidetrack.Rejected},
		{400, `{"error":{"message":"Website not found.","code":"bad-request","status":400}}`, sidetrack.Misconfigured},
		{500, `{"error":{"code":"server-error"}}`, sidetrack.Retry},
	} {
		if class, _ := sidetrack.ClassOf(classify(sidetrack.Unit{}, &sidetrack.Response{Status: tt.status, Header: http.Header{}, Body: []byte(tt.body)})); class != tt.want {
			t.Errorf("%d %s is %s, want %s", tt.status, tt.body, class, tt.want)
		}
	}
}

// fake is an Umami that is strict about its schema, knows bots, and blocks an address.
type fake struct {
	t       *testing.T
	answers map[int]int

	mu       sync.Mutex
	requests int
	stored   []string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	status := f.answers[f.requests]
	f.requests++
	var b struct {
		Type    string
		Payload hit
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&b); r.Method != http.MethodPost || r.URL.Path != "/api/send" || r.Header.Get("Content-Type") != "application/json" || err != nil {
		f.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	p := b.Payload
	fail := func(status int, code, message string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"message":%q,"code":%q,"status":%d}}`, message, code, status)
	}
	_, idErr := uuid.Parse(p.Website)
	switch {
	case status == http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "0.01")
		w.WriteHeader(status)
	case status != 0:
		fail(status, "server-error", "no database")
	case b.Type != "event" || idErr != nil || len(p.Name) > 50 || len(p.Hostname) > 100 || len(p.Language) > 35 || len(p.Screen) > 11 || len(p.Tag) > 50 || p.Data["poison"] != nil:
		fail(http.StatusBadRequest, "bad-request", "Bad request")
	case p.Website != website:
		fail(http.StatusBadRequest, "bad-request", "Website not found.")
	case p.UserAgent == "" || strings.Contains(p.UserAgent, "bot"):
		_, _ = io.WriteString(w, `{"beep":"boop"}`)
	case p.IP == "203.0.113.66":
		fail(http.StatusForbidden, "forbidden", "Forbidden")
	default:
		f.stored = append(f.stored, p.ID)
		_, _ = io.WriteString(w, `{"cache":"x","sessionId":"y","visitId":"z"}`)
	}
}

func TestDelivery(t *testing.T) {
	f := &fake{t: t, answers: map[int]int{0: 500, 1: 429, 2: 503}}
	s := httptest.NewServer(f)
	defer s.Close()
	cfg := config()
	cfg.Endpoint = s.URL
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var events []*sidetrack.Event
	for i := range 60 {
		events = append(events, &sidetrack.Event{MessageID: fmt.Sprint("e", i), Name: "page_view", Time: time.Now(), Page: sidetrack.Page{URL: "https://a.example/"}, Consent: sidetrack.GrantAll("test"),
			Visitor: sidetrack.Visitor{ClientID: fmt.Sprint(i, ".1")}, Device: sidetrack.Device{UserAgent: "Mozilla/5.0"}, Network: sidetrack.Network{IP: "203.0.113.0"}})
	}
	events[13].Name, events[13].Params = "x", map[string]any{"poison": true}
	events[20].Visitor.UserID = strings.Repeat("u", 51)
	events[30].Device.UserAgent = "Googlebot/2.1"
	events[40].Network.IP = "203.0.113.66"
	r := sinkrun.Deliver(t, sink, events...)
	slices.Sort(r.Dead)
	slices.Sort(f.stored)
	if !slices.Equal(r.Dead, []string{"e13", "e20", "e30", "e40"}) || len(r.Delivered) != 56 || len(f.stored) != 56 || len(slices.Compact(f.stored)) != 56 {
		t.Errorf("dead %v, %d delivered, %d stored: %v", r.Dead, len(r.Delivered), len(f.stored), r.Errors)
	}
}
