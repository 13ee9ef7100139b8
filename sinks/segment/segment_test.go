package segment

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

func config() Config {
	cfg := Defaults()
	cfg.Key = sidetrack.NewSecret("wk_test_123")
	return cfg
}

func rudder() Config {
	cfg := config()
	cfg.Dialect, cfg.Host = "rudderstack", "https://rudder.example"
	return cfg
}

func jitsu() Config {
	cfg := config()
	cfg.Dialect, cfg.Host, cfg.Key = "jitsu", "https://jitsu.example", sidetrack.NewSecret("id:verysecret")
	return cfg
}

func TestContract(t *testing.T) {
	for name, cfg := range map[string]Config{"segment": config(), "rudderstack": rudder(), "jitsu": jitsu()} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(cfg) }, sinktest.Golden("testdata/golden/"+name))
		})
	}
}

func TestConfig(t *testing.T) {
	sinktest.Fields(t, config(), New, map[string]func(*Config){
		"key":     func(c *Config) { c.Key = sidetrack.Secret{} },
		"key ":    func(c *Config) { c.Key = sidetrack.NewSecret("a b") },
		"key  ":   func(c *Config) { c.Dialect, c.Host = "jitsu", "https://jitsu.example" },
		"dialect": func(c *Config) { c.Dialect = "other" },
		"host":    func(c *Config) { c.Dialect = "rudderstack" },
		"host ":   func(c *Config) { c.Host = "api.segment.io" },
		"host  ":  func(c *Config) { c.Host = "https://api.segment.io/v1" },
	})
}

var now = time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)

// sent is what the sink makes of one event.
func sent(t *testing.T, cfg Config, e *sidetrack.Event) ([]map[string]any, error) {
	t.Helper()
	if e.ID == uuid.Nil {
		e.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte("e"))
	}
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := sink.Spec().Generator.Request(sidetrack.Unit{Events: []*sidetrack.Event{e}, At: now})
	if r == nil {
		return nil, err
	}
	var body struct{ Batch []map[string]any }
	if e := json.Unmarshal(r.Body, &body); e != nil {
		t.Fatal(e)
	}
	return body.Batch, err
}

// TestMapping has the rows of the table in docs/sinks/segment.md.
func TestMapping(t *testing.T) {
	client, user := sidetrack.Visitor{ClientID: "1.2"}, sidetrack.Visitor{ClientID: "1.2", UserID: "u-7"}
	shop := func(name string, c sidetrack.Ecommerce) *sidetrack.Event {
		return &sidetrack.Event{Name: name, Visitor: client, Ecommerce: &c}
	}
	boots := sidetrack.Item{ID: "A", Name: "Boots", Price: sidetrack.MoneyOf(5), HasPrice: true, Quantity: 2}
	for name, tt := range map[string]struct {
		e    *sidetrack.Event
		want []string // type, event or name, userId, anonymousId, properties or traits
	}{
		"page view": {&sidetrack.Event{Name: "page_view", Visitor: client, Page: sidetrack.Page{URL: "https://a.example/p?x=1", Title: "T", Route: "/p"}}, []string{`page /p <nil> 1.2 {"path":"/p","search":"?x=1","title":"T","url":"https://a.example/p?x=1"}`}},
		"screen":    {&sidetrack.Event{Name: "screen_view", Visitor: client, App: sidetrack.App{Screen: "Cart"}}, []string{`screen Cart <nil> 1.2 null`}},
		"custom":    {&sidetrack.Event{Name: "newsletter", Visitor: user, Params: map[string]any{"plan": "gold", "tags": []any{"a"}}}, []string{`track newsletter u-7 1.2 {"plan":"gold","tags":["a"]}`}},
		"login": {&sidetrack.Event{Name: "login", Visitor: user, UserProperties: map[string]any{"plan": "gold"}, Params: map[string]any{"method": "google"}}, []string{
			`identify <nil> u-7 1.2 {"plan":"gold"}`, `track Signed In u-7 1.2 {"method":"google"}`,
		}},
		"login of nobody": {&sidetrack.Event{Name: "login", Visitor: client}, []string{`track Signed In <nil> 1.2 null`}},
		"purchase": {shop("purchase", sidetrack.Ecommerce{Currency: "EUR", Value: sidetrack.MoneyOf(10), HasValue: true, Tax: sidetrack.MoneyOf(2), TransactionID: "T", Items: []sidetrack.Item{boots}}),
			[]string{`track Order Completed <nil> 1.2 {"currency":"EUR","order_id":"T","products":[{"name":"Boots","price":5,"product_id":"A","quantity":2,"sku":"A"}],"revenue":10,"tax":2,"total":12,"value":10}`}},
		"refund": {shop("refund", sidetrack.Ecommerce{TransactionID: "T"}), []string{`track Order Refunded <nil> 1.2 {"order_id":"T"}`}},
		"into the cart": {shop("add_to_cart", sidetrack.Ecommerce{Items: []sidetrack.Item{boots}}),
			[]string{`track Product Added <nil> 1.2 {"name":"Boots","price":5,"product_id":"A","products":[{"name":"Boots","price":5,"product_id":"A","quantity":2,"sku":"A"}],"quantity":2,"sku":"A"}`}},
		"promotion": {shop("select_promotion", sidetrack.Ecommerce{Promotion: sidetrack.Promotion{ID: "P", Name: "Spring", Creative: "banner", Slot: "top"}}), []string{`track Promotion Clicked <nil> 1.2 {"creative":"banner","position":"top","promotion_id":"P","promotion_name":"Spring"}`}},
		"search":    {&sidetrack.Event{Name: "search", Visitor: client, Params: map[string]any{"search_term": "boots"}}, []string{`track Products Searched <nil> 1.2 {"query":"boots","search_term":"boots"}`}},
		"exception": {&sidetrack.Event{Name: "exception", Visitor: client, Exception: &sidetrack.Failure{Description: "timeout"}}, []string{`track exception <nil> 1.2 {"description":"timeout","fatal":false}`}},
	} {
		t.Run(name, func(t *testing.T) {
			messages, err := sent(t, config(), tt.e)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range messages {
				what, data := m["event"], m["properties"]
				if what == nil {
					what = m["name"]
				}
				if m["type"] == "identify" {
					data = m["traits"]
				}
				p, _ := json.Marshal(data)
				got = append(got, fmt.Sprintf("%s %v %v %v %s", m["type"], what, m["userId"], m["anonymousId"], p))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
	cfg := config()
	cfg.Names, cfg.Integrations = map[string]string{"purchase": "Bought"}, map[string]bool{"All": false, "Mixpanel": true}
	e := shop("purchase", sidetrack.Ecommerce{})
	e.Consent.Set(sidetrack.AnalyticsStorage, sidetrack.Granted)
	e.Consent.Set(sidetrack.AdStorage, sidetrack.Denied)
	m, err := sent(t, cfg, e)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(m)
	for _, want := range []string{`"event":"Bought"`, `"integrations":{"All":false,"Mixpanel":true}`, `"categoryPreferences":{"ad_storage":false,"analytics_storage":true}`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in %s", want, b)
		}
	}
	for want, e := range map[string]*sidetrack.Event{
		"without a name": {Visitor: client}, "neither a user id": {Name: "x"}, "is none": {Name: "x", Visitor: client, Time: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		"at most 32768": {Name: "x", Visitor: client, Params: map[string]any{"a": strings.Repeat("x", 8000), "b": strings.Repeat("x", 8000), "c": strings.Repeat("x", 8000), "d": strings.Repeat("x", 8000), "e": strings.Repeat("x", 8000)}},
	} {
		if m, err := sent(t, config(), e); err == nil || m != nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v %v", want, m, err)
		}
	}
}

// The journey of the captured SDK, made by sidetrack.
func TestAgreesWithSDK(t *testing.T) {
	b, err := os.ReadFile("testdata/segment-analytics-node-3.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	var captured []map[string]any
	if err := json.Unmarshal(b, &captured); err != nil {
		t.Fatal(err)
	}
	m, compared := sidetrack.MoneyOf, 0
	for _, want := range captured {
		at, err := time.Parse(time.RFC3339Nano, want["timestamp"].(string))
		if err != nil {
			t.Fatal(err)
		}
		e := &sidetrack.Event{Time: at, Network: sidetrack.Network{IP: "203.0.113.9"}, Device: sidetrack.Device{Language: "de-DE"}, Campaign: sidetrack.Campaign{Source: "news", Medium: "email"}}
		ctx := want["context"].(map[string]any)
		e.Device.UserAgent, _ = ctx["userAgent"].(string)
		if page, ok := ctx["page"].(map[string]any); ok {
			e.Page = sidetrack.Page{URL: page["url"].(string), Title: page["title"].(string), Referrer: page["referrer"].(string)}
		}
		e.Visitor.ClientID, _ = want["anonymousId"].(string)
		e.Visitor.UserID, _ = want["userId"].(string)
		// Differences listed in docs/sinks/segment.md.
		apart := []string{"category"}
		switch {
		case want["type"] == "page":
			e.Name, e.Page.Route = "page_view", want["name"].(string)
		case want["event"] == "Signed Up":
			e.Name, e.Params = "Signed Up", map[string]any{"method": "google", "price": 12.5, "n": int64(3), "ok": true, "tags": []any{"a", "b"}}
		case want["event"] == "Order Completed":
			e.Name = "purchase"
			e.Ecommerce = &sidetrack.Ecommerce{TransactionID: "T-1001", Currency: "EUR", Value: m(49.97), HasValue: true, Tax: m(5), Shipping: m(5), Coupon: "SUMMER", Affiliation: "Web", Items: []sidetrack.Item{
				{ID: "SKU-1", Name: "T-shirt, blue", Categories: []string{"Apparel"}, Brand: "Acme", Variant: "M", Price: m(19.99), Quantity: 2, HasIndex: true, Index: 1},
				{ID: "SKU-2", Name: `Cap & "hat"`, Categories: []string{"Accessories"}, Brand: "Acme", Price: m(9.99), Quantity: 1, HasIndex: true, Index: 2},
			}}
			apart = append(apart, "discount") // the items of the journey have none
		default:
			continue
		}
		compared++
		got, err := sent(t, config(), e)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"type", "event", "name", "timestamp", "userId", "anonymousId"} {
			if fmt.Sprint(got[0][k]) != fmt.Sprint(want[k]) {
				t.Errorf("%v: %s is %v, the SDK sends %v", want["type"], k, got[0][k], want[k])
			}
		}
		for group, parts := range map[string]any{"properties": want["properties"], "context": ctx} {
			for k, w := range parts.(map[string]any) {
				g, _ := json.Marshal(got[0][group].(map[string]any)[k])
				x, _ := json.Marshal(w)
				if k != "library" && !slices.Contains(apart, k) && string(g) != string(x) {
					t.Errorf("%v %v: %s.%s is %s, the SDK sends %s", want["type"], want["event"], group, k, g, x)
				}
			}
		}
	}
	if compared != 3 {
		t.Errorf("%d messages compared", compared)
	}
}

// fake is a strict gateway: one bad message makes the batch refused, and message ids are taken once.
type fake struct {
	t       *testing.T
	answers map[int]int

	mu       sync.Mutex
	requests int
	taken    map[string]string // type by message id
	repeats  int
	lost     bool // the first batch that was taken was answered 460
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	status := f.answers[f.requests]
	f.requests++
	body, _ := io.ReadAll(r.Body)
	var b struct {
		Batch []struct {
			Type, Event         string
			MessageID           string `json:"messageId"`
			UserID, AnonymousID string
			Timestamp           time.Time
			Properties          map[string]any
		}
		SentAt time.Time
	}
	key, password, ok := r.BasicAuth()
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/v1/batch":
		f.t.Errorf("%s %s", r.Method, r.URL)
	case !ok || key != "wk_test_123" || password != "":
		w.WriteHeader(401)
		return
	case len(body) > 500_000 || json.Unmarshal(body, &b) != nil || len(b.Batch) == 0 || b.SentAt.IsZero():
		w.WriteHeader(400)
		return
	}
	for _, m := range b.Batch {
		if m.MessageID == "" || len(m.MessageID) > 100 || m.UserID == "" && m.AnonymousID == "" || m.Type == "track" && m.Event == "" || m.Properties["poison"] != nil {
			w.WriteHeader(400)
			fmt.Fprint(w, "request neither has anonymousId nor userId")
			return
		}
	}
	if status == 429 || status == 503 {
		w.Header().Set("Retry-After", "0.01")
		w.WriteHeader(status)
		return
	}
	for _, m := range b.Batch {
		if _, again := f.taken[m.MessageID]; again {
			f.repeats++
		}
		f.taken[m.MessageID] = m.Type
	}
	if !f.lost {
		f.lost = true
		w.WriteHeader(460)
		return
	}
	fmt.Fprint(w, `{"success":true}`)
}

func TestDelivery(t *testing.T) {
	f := &fake{t: t, taken: map[string]string{}, answers: map[int]int{0: 503, 2: 429}}
	s := httptest.NewServer(f)
	defer s.Close()
	cfg := config()
	cfg.Host = s.URL
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var events []*sidetrack.Event
	for i := range 60 {
		events = append(events, &sidetrack.Event{MessageID: fmt.Sprint("e", i), Name: "page_view", Time: time.Now(), Visitor: sidetrack.Visitor{ClientID: fmt.Sprint(i, ".1")}, Consent: sidetrack.GrantAll("test")})
	}
	events[13].Params = map[string]any{"poison": true}
	events[20].Visitor.ClientID = ""
	events[30].Name, events[30].Visitor.UserID = "login", "u-1"
	r := sinkrun.Deliver(t, sink, events...)
	slices.Sort(r.Dead)
	if !slices.Equal(r.Dead, []string{"e13", "e20"}) || len(r.Delivered) != 58 || len(f.taken) != 59 { // and identify
		t.Errorf("dead %v, %d delivered, %d taken: %v", r.Dead, len(r.Delivered), len(f.taken), r.Errors)
	}
	if f.repeats == 0 {
		t.Error("the lost answer led to no repeat: the test shows nothing of deduplication")
	}
}
