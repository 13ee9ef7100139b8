package amplitude

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
	cfg.Key = sidetrack.NewSecret("amp_key_1")
	return cfg
}

// answers are about a purchase, which is three records with its products, and two page views.
var answers = []sinktest.Answer{
	{Name: "a product is invalid", Status: 400, Body: `{"code":400,"error":"Request missing required field","events_with_invalid_fields":{"price":[3]}}`,
		Events: []*sidetrack.Event{sinktest.Samples()[0], sinktest.Samples()[2], sinktest.Samples()[8]},
		Want:   []sidetrack.Class{sidetrack.Retry, sidetrack.Rejected, sidetrack.Retry}},
	{Name: "behind the products", Status: 400, Body: `{"code":400,"silenced_events":[4]}`,
		Events: []*sidetrack.Event{sinktest.Samples()[0], sinktest.Samples()[2], sinktest.Samples()[8]},
		Want:   []sidetrack.Class{sidetrack.Retry, sidetrack.Retry, sidetrack.Rejected}},
	{Name: "behind one that is left out", Status: 400, Body: `{"code":400,"silenced_events":[1]}`,
		Events: []*sidetrack.Event{sinktest.Samples()[0], {Name: "nobody's"}, sinktest.Samples()[8]},
		Want:   []sidetrack.Class{sidetrack.Retry, sidetrack.Rejected, sidetrack.Rejected}},
	{Name: "the day's quota of a user", Status: 429, Body: `{"code":429,"exceeded_daily_quota_users":{"u-77":1}}`,
		Events: []*sidetrack.Event{sinktest.Samples()[0], sinktest.Samples()[1]},
		Want:   []sidetrack.Class{sidetrack.Throttled, sidetrack.Rejected}},
}

func FuzzSink(f *testing.F) {
	sinktest.Fuzz(f, func() (*sidetrack.Sink, error) { return New(config()) }, answers...)
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(config()) }, sinktest.Golden("testdata/golden"), sinktest.Answers(answers...))
}

func TestConfig(t *testing.T) {
	sinktest.Fields(t, config(), New, map[string]func(*Config){
		"key":    func(c *Config) { c.Key = sidetrack.Secret{} },
		"region": func(c *Config) { c.Region = "in" },
		"host":   func(c *Config) { c.Host = "api2.amplitude.com" },
		"host ":  func(c *Config) { c.Host = "https://api2.amplitude.com/2/httpapi" },
	})
}

var now = time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)

// sent is what the sink makes of one event.
func sent(t *testing.T, e *sidetrack.Event) ([]map[string]any, error) {
	t.Helper()
	if e.ID == uuid.Nil {
		e.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte("e"))
	}
	if e.Time.IsZero() {
		e.Time = now
	}
	r, err := (&generator{key: "k"}).Request(sidetrack.Unit{Events: []*sidetrack.Event{e}, At: now})
	if r == nil {
		return nil, err
	}
	var body struct{ Events []map[string]any }
	if e := json.Unmarshal(r.Body, &body); e != nil {
		t.Fatal(e)
	}
	return body.Events, err
}

// TestMapping has the rows of the table in docs/sinks/amplitude.md.
func TestMapping(t *testing.T) {
	client := sidetrack.Visitor{ClientID: "1.2"}
	eur := sidetrack.MoneyOf
	shop := func(c sidetrack.Ecommerce) *sidetrack.Event {
		return &sidetrack.Event{Name: "purchase", Visitor: client, Ecommerce: &c}
	}
	for name, tt := range map[string]struct {
		e    *sidetrack.Event
		want []string // events without time, insert_id, library
	}{
		"page view": {&sidetrack.Event{Name: "page_view", Visitor: client, Page: sidetrack.Page{URL: "https://a.example/p", Title: "T", Referrer: "https://b.example/"}},
			[]string{`{"device_id":"1.2","event_properties":{"[Amplitude] Page Domain":"a.example","[Amplitude] Page Path":"/p","[Amplitude] Page Title":"T","[Amplitude] Page URL":"https://a.example/p","referrer":"https://b.example/","referring_domain":"b.example"},"event_type":"[Amplitude] Page Viewed","session_id":-1}`}},
		"screen": {&sidetrack.Event{Name: "screen_view", Visitor: client, App: sidetrack.App{Screen: "Cart", Version: "1"}}, []string{`{"app_version":"1","device_id":"1.2","event_properties":{"[Amplitude] Screen Name":"Cart"},"event_type":"screen_view","session_id":-1}`}},
		"known user": {&sidetrack.Event{Name: "x", Visitor: sidetrack.Visitor{ClientID: "1.2", UserID: "u", SessionID: "1769860000"}, UserProperties: map[string]any{"plan": "gold", "$set": "no"}},
			[]string{`{"device_id":"1.2","event_type":"x","session_id":1769860000000,"user_id":"u","user_properties":{"plan":"gold"}}`}},
		"custom": {&sidetrack.Event{Name: "x", Visitor: client, Params: map[string]any{"plan": "gold", "n": int64(3)}}, []string{`{"device_id":"1.2","event_properties":{"n":3,"plan":"gold"},"event_type":"x","session_id":-1}`}},
		"purchase": {shop(sidetrack.Ecommerce{Currency: "EUR", Value: eur(25), HasValue: true, TransactionID: "T", Items: []sidetrack.Item{{ID: "A", Price: eur(10), Quantity: 2}, {ID: "B", Price: eur(10), Quantity: 0.5}}}), []string{
			`{"device_id":"1.2","event_properties":{"currency":"EUR","order_id":"T","products":[{"price":10,"product_id":"A","quantity":2,"sku":"A"},{"price":10,"product_id":"B","quantity":0.5,"sku":"B"}],"revenue":25,"total":25,"value":25},"event_type":"purchase","session_id":-1}`,
			`{"currency":"EUR","device_id":"1.2","event_properties":{"order_id":"T","price":10,"product_id":"A","quantity":2,"sku":"A"},"event_type":"purchase_item","price":10,"productId":"A","quantity":2,"revenueType":"purchase","session_id":-1}`,
			`{"currency":"EUR","device_id":"1.2","event_properties":{"order_id":"T","price":10,"product_id":"B","quantity":0.5,"sku":"B"},"event_type":"purchase_item","price":5,"productId":"B","quantity":1,"revenueType":"purchase","session_id":-1}`,
		}},
		"purchase of nothing": {shop(sidetrack.Ecommerce{Currency: "EUR", Value: eur(25), HasValue: true}),
			[]string{`{"currency":"EUR","device_id":"1.2","event_properties":{"currency":"EUR","revenue":25,"total":25,"value":25},"event_type":"purchase","revenue":25,"revenueType":"purchase","session_id":-1}`}},
		"place":   {&sidetrack.Event{Name: "x", Visitor: client, Network: sidetrack.Network{IP: "203.0.113.0", Country: "AT", City: "Wien"}}, []string{`{"city":"Wien","country":"AT","device_id":"1.2","event_type":"x","session_id":-1}`}},
		"address": {&sidetrack.Event{Name: "x", Visitor: client, Network: sidetrack.Network{IP: "203.0.113.0"}}, []string{`{"device_id":"1.2","event_type":"x","ip":"203.0.113.0","session_id":-1}`}},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := sent(t, tt.e)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			ids := map[any]bool{}
			for _, e := range events {
				ids[e["insert_id"]] = true
				for _, k := range []string{"time", "insert_id", "library"} {
					delete(e, k)
				}
				b, _ := json.Marshal(e)
				got = append(got, string(b))
			}
			if !slices.Equal(got, tt.want) || len(ids) != len(tt.want) {
				t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
	for want, e := range map[string]*sidetrack.Event{
		"without a name": {Visitor: client}, "neither a user id": {Name: "x"}, "is reserved": {Name: "session_start", Visitor: client}, `"[Amplitude] x" is reserved`: {Name: "[Amplitude] x", Visitor: client},
		"stands for nobody": {Name: "x", Visitor: sidetrack.Visitor{UserID: "NULL"}}, "before 1970": {Name: "x", Visitor: client, Time: time.Unix(-1000, 0)},
	} {
		if events, err := sent(t, e); err == nil || events != nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v %v", want, events, err)
		}
	}
}

// The journey of the captured SDK, made by sidetrack.
func TestAgreesWithSDK(t *testing.T) {
	b, err := os.ReadFile("testdata/amplitude-analytics-node-1.5.73.json")
	if err != nil {
		t.Fatal(err)
	}
	var captured []map[string]any
	if err := json.Unmarshal(b, &captured); err != nil {
		t.Fatal(err)
	}
	m, compared := sidetrack.MoneyOf, 0
	for _, want := range captured {
		e := &sidetrack.Event{Time: time.UnixMilli(int64(want["time"].(float64))), Name: want["event_type"].(string)}
		e.Visitor.ClientID, _ = want["device_id"].(string)
		e.Visitor.UserID, _ = want["user_id"].(string)
		e.Device.UserAgent, _ = want["user_agent"].(string)
		e.Device.Language, _ = want["language"].(string)
		e.Network.IP, _ = want["ip"].(string)
		if s, ok := want["session_id"].(float64); ok {
			e.Visitor.SessionID = fmt.Sprint(int64(s) / 1000)
		}
		// Differences listed in docs/sinks/amplitude.md.
		apart := []string{"event_id", "library", "insert_id", "groups", "event_properties"}
		props, _ := want["event_properties"].(map[string]any)
		skip := []string{}
		switch want["event_type"] {
		case "[Amplitude] Page Viewed":
			e.Name = "page_view"
			e.Page = sidetrack.Page{URL: props["[Amplitude] Page URL"].(string), Title: props["[Amplitude] Page Title"].(string), Referrer: props["referrer"].(string)}
		case "Signed Up":
			e.Params = map[string]any{"method": "google", "price": 12.5, "n": int64(3), "ok": true, "tags": []any{"a", "b"}}
		case "Order Completed":
			e.Name = "purchase"
			e.Ecommerce = &sidetrack.Ecommerce{TransactionID: "T-1001", Currency: "EUR", Value: m(49.97), HasValue: true, Tax: m(5), Shipping: m(5), Coupon: "SUMMER", Affiliation: "Web", Items: []sidetrack.Item{
				{ID: "SKU-1", Name: "T-shirt, blue", Categories: []string{"Apparel"}, Brand: "Acme", Variant: "M", Price: m(19.99), Quantity: 2, HasIndex: true, Index: 1},
				{ID: "SKU-2", Name: `Cap & "hat"`, Categories: []string{"Accessories"}, Brand: "Acme", Price: m(9.99), Quantity: 1, HasIndex: true, Index: 2},
			}}
			apart, skip = append(apart, "event_type", "session_id"), []string{"discount"} // the items of the journey have none
		default:
			continue
		}
		compared++
		got, err := sent(t, e)
		if err != nil {
			t.Fatal(err)
		}
		same := func(where string, g, w map[string]any, apart []string) {
			for k := range w {
				a, _ := json.Marshal(g[k])
				b, _ := json.Marshal(w[k])
				if !slices.Contains(apart, k) && string(a) != string(b) {
					t.Errorf("%s: %s%s is %s, the SDK sends %s", want["event_type"], where, k, a, b)
				}
			}
		}
		same("", got[0], want, apart)
		same("event_properties.", got[0]["event_properties"].(map[string]any), props, skip)
	}
	if compared != 3 {
		t.Errorf("%d events compared", compared)
	}
}

// fake is a strict batch endpoint: a batch is taken whole or not at all, an insert id once.
type fake struct {
	t       *testing.T
	answers map[int]int

	mu       sync.Mutex
	requests int
	taken    map[string]bool
	repeats  int
	lost     bool // the first batch that was taken was answered 500
	quota    int  // how often a device was over its quota
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	status := f.answers[f.requests]
	f.requests++
	body, _ := io.ReadAll(r.Body)
	var b struct {
		Key    string `json:"api_key"`
		Events []struct {
			Type     string         `json:"event_type"`
			UserID   string         `json:"user_id"`
			DeviceID string         `json:"device_id"`
			Time     *int64         `json:"time"`
			InsertID string         `json:"insert_id"`
			Props    map[string]any `json:"event_properties"`
		}
	}
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/batch":
		f.t.Errorf("%s %s", r.Method, r.URL)
	case json.Unmarshal(body, &b) != nil || len(b.Events) == 0 || len(b.Events) > 2000:
		w.WriteHeader(400)
		fmt.Fprint(w, `{"code":400,"error":"Invalid request"}`)
		return
	case b.Key != "amp_key_1":
		w.WriteHeader(400)
		fmt.Fprint(w, `{"code":400,"error":"Invalid API key: nope"}`)
		return
	case status != 0:
		w.Header().Set("Retry-After", "0.01")
		w.WriteHeader(status)
		return
	}
	var invalid []int
	over := false
	for i, e := range b.Events {
		if e.Type == "" || e.Time == nil || e.UserID == "" && e.DeviceID == "" || e.Props["poison"] != nil {
			invalid = append(invalid, i)
		}
		over = over || e.DeviceID == "over.1"
	}
	switch {
	case len(invalid) > 0:
		w.WriteHeader(400)
		_ = json.NewEncoder(w).Encode(map[string]any{"code": 400, "error": "Request has invalid fields", "events_with_invalid_fields": map[string]any{"time": invalid}})
		return
	case over:
		f.quota++
		w.Header().Set("Retry-After", "0.01")
		w.WriteHeader(429)
		fmt.Fprint(w, `{"code":429,"error":"Too many requests for some devices and users","exceeded_daily_quota_devices":{"over.1":500001},"throttled_events":[]}`)
		return
	}
	for _, e := range b.Events {
		if f.taken[e.InsertID] {
			f.repeats++
		}
		f.taken[e.InsertID] = true
	}
	if !f.lost {
		f.lost = true
		w.WriteHeader(500)
		return
	}
	fmt.Fprintf(w, `{"code":200,"events_ingested":%d}`, len(b.Events))
}

func TestDelivery(t *testing.T) {
	f := &fake{t: t, taken: map[string]bool{}, answers: map[int]int{0: 503, 2: 429}}
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
		events = append(events, &sidetrack.Event{MessageID: fmt.Sprint("e", i), Name: "page_view", Time: time.Now(), Visitor: sidetrack.Visitor{ClientID: fmt.Sprint("c", i, ".1")}, Consent: sidetrack.GrantAll("test")})
	}
	events[3].Name, events[3].Ecommerce = "purchase", &sidetrack.Ecommerce{TransactionID: "T", Items: []sidetrack.Item{{ID: "A"}, {ID: "B"}}} // shifts what follows
	events[13].Params = map[string]any{"poison": true}
	events[20].Visitor.ClientID = "null"
	events[40].Visitor.ClientID = "over.1"
	r := sinkrun.Deliver(t, sink, events...)
	slices.Sort(r.Dead)
	if !slices.Equal(r.Dead, []string{"e13", "e20", "e40"}) || len(r.Delivered) != 57 || len(f.taken) != 59 { // and two products
		t.Errorf("dead %v, %d delivered, %d taken: %v", r.Dead, len(r.Delivered), len(f.taken), r.Errors)
	}
	if f.repeats == 0 || f.quota == 0 {
		t.Errorf("%d repeats, %d times over the quota", f.repeats, f.quota)
	}
}

func TestWrongKey(t *testing.T) {
	u := sidetrack.Unit{Events: sinktest.Samples()[:1], At: now}
	for _, body := range []string{`{"code":400,"error":"Invalid API key: x"}`, `{"code":400,"error":"Request missing required field","missing_field":"api_key"}`} {
		if c, _ := sidetrack.ClassOf(classify(u, &sidetrack.Response{Status: 400, Body: []byte(body)})); c != sidetrack.Misconfigured {
			t.Errorf("%s: %s", body, c)
		}
	}
	if c, wait := sidetrack.ClassOf(classify(u, &sidetrack.Response{Status: 429, Body: []byte(`{"code":429,"throttled_events":[0]}`)})); c != sidetrack.Throttled || wait != throttled {
		t.Errorf("%s after %s", c, wait)
	}
}
