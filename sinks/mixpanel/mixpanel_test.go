package mixpanel

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
	cfg.Token = sidetrack.NewSecret("mp_token_1")
	return cfg
}

var answers = []sinktest.Answer{
	{Name: "two of three failed", Status: 400, Body: `{"code":400,"num_records_imported":1,"failed_records":[{"index":0,"field":"properties.time","message":"'properties.time' is invalid"},{"index":2}],"status":"Bad Request"}`,
		Want: []sidetrack.Class{sidetrack.Rejected, sidetrack.Delivered, sidetrack.Rejected}},
	{Name: "behind one that is left out", Status: 400, Body: `{"failed_records":[{"index":1}]}`, Events: []*sidetrack.Event{sinktest.Samples()[0], {Name: "nobody's"}, sinktest.Samples()[1]},
		Want: []sidetrack.Class{sidetrack.Delivered, sidetrack.Rejected, sidetrack.Rejected}},
	{Name: "of another request", Status: 400, Body: `{"failed_records":[{"index":2}]}`, Want: []sidetrack.Class{sidetrack.Rejected, sidetrack.Rejected}},
}

func FuzzSink(f *testing.F) {
	sinktest.Fuzz(f, func() (*sidetrack.Sink, error) { return New(config()) }, answers...)
}

func TestContract(t *testing.T) {
	account := config()
	account.Account, account.Secret, account.ProjectID, account.Region = "robot", sidetrack.NewSecret("accountsecret"), 7, "eu"
	for name, cfg := range map[string]Config{"token": config(), "account": account} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(cfg) }, sinktest.Golden("testdata/golden/"+name), sinktest.Answers(answers...))
		})
	}
}

func TestConfig(t *testing.T) {
	sinktest.Fields(t, config(), New, map[string]func(*Config){
		"token":    func(c *Config) { c.Token = sidetrack.Secret{} },
		"region":   func(c *Config) { c.Region = "mars" },
		"host":     func(c *Config) { c.Host = "api.mixpanel.com" },
		"account":  func(c *Config) { c.ProjectID = 7 },
		"account ": func(c *Config) { c.Account, c.Secret = "a", sidetrack.NewSecret("b") },
	})
}

var now = time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)

// sent is what the sink makes of one event.
func sent(t *testing.T, e *sidetrack.Event) (record, error) {
	t.Helper()
	if e.ID == uuid.Nil {
		e.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte("e"))
	}
	if e.Time.IsZero() {
		e.Time = now
	}
	g := &generator{token: "t"}
	r, err := g.Request(sidetrack.Unit{Events: []*sidetrack.Event{e}, At: now})
	if r == nil {
		return record{}, err
	}
	var out []record
	if e := json.Unmarshal(r.Body, &out); e != nil || len(out) != 1 {
		t.Fatalf("%s %v", r.Body, e)
	}
	return out[0], err
}

// TestMapping has the rows of the table in docs/sinks/mixpanel.md.
func TestMapping(t *testing.T) {
	client := sidetrack.Visitor{ClientID: "1.2"}
	for name, tt := range map[string]struct {
		e    *sidetrack.Event
		want string // event and properties, without token, mp_lib, $insert_id, time
	}{
		"page view": {&sidetrack.Event{Name: "page_view", Visitor: client, Page: sidetrack.Page{URL: "https://a.example/p", Path: "/p", Title: "T", Referrer: "https://b.example/"}},
			`$mp_web_page_view {"$current_url":"https://a.example/p","$device_id":"1.2","$referrer":"https://b.example/","$referring_domain":"b.example","current_domain":"a.example","current_page_title":"T","current_url_path":"/p","distinct_id":"$device:1.2"}`},
		"screen":     {&sidetrack.Event{Name: "screen_view", Visitor: client, App: sidetrack.App{Screen: "Cart", Version: "1"}}, `screen_view {"$app_version_string":"1","$device_id":"1.2","distinct_id":"$device:1.2","screen_name":"Cart"}`},
		"known user": {&sidetrack.Event{Name: "x", Visitor: sidetrack.Visitor{ClientID: "1.2", UserID: "u-7"}, UserProperties: map[string]any{"plan": "gold"}}, `x {"$device_id":"1.2","$user_id":"u-7","distinct_id":"u-7"}`},
		"custom":     {&sidetrack.Event{Name: "x", Visitor: client, Params: map[string]any{"plan": "gold", "$insert_id": "z", "time": int64(1), "token": "q", "mp_lib": "q"}}, `x {"$device_id":"1.2","distinct_id":"$device:1.2","plan":"gold"}`},
		"purchase": {&sidetrack.Event{Name: "purchase", Visitor: client, Ecommerce: &sidetrack.Ecommerce{Currency: "EUR", Value: sidetrack.MoneyOf(5), HasValue: true, TransactionID: "T", Items: []sidetrack.Item{{ID: "A"}}}},
			`purchase {"$device_id":"1.2","currency":"EUR","distinct_id":"$device:1.2","order_id":"T","products":[{"product_id":"A","sku":"A"}],"revenue":5,"total":5,"value":5}`},
		"place":     {&sidetrack.Event{Name: "x", Visitor: client, Network: sidetrack.Network{IP: "203.0.113.0", Country: "AT", City: "Wien"}}, `x {"$city":"Wien","$device_id":"1.2","distinct_id":"$device:1.2","mp_country_code":"AT"}`},
		"address":   {&sidetrack.Event{Name: "x", Visitor: client, Network: sidetrack.Network{IP: "203.0.113.0"}}, `x {"$device_id":"1.2","distinct_id":"$device:1.2","ip":"203.0.113.0"}`},
		"exception": {&sidetrack.Event{Name: "exception", Visitor: client, Exception: &sidetrack.Failure{Description: "timeout"}}, `exception {"$device_id":"1.2","description":"timeout","distinct_id":"$device:1.2","fatal":false}`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := sent(t, tt.e)
			if err != nil {
				t.Fatal(err)
			}
			if r.Properties["token"] != "t" || r.Properties["time"] != float64(now.UnixMilli()) || r.Properties["$insert_id"] != tt.e.ID.String() {
				t.Errorf("%v", r.Properties)
			}
			for _, k := range []string{"token", "mp_lib", "$insert_id", "time"} {
				delete(r.Properties, k)
			}
			p, _ := json.Marshal(r.Properties)
			if got := r.Event + " " + string(p); got != tt.want {
				t.Errorf("\n%s, want\n%s", got, tt.want)
			}
		})
	}
	many, long := map[string]any{}, make([]any, 256)
	for i := range 300 {
		many[fmt.Sprint("p", i)] = int64(i)
	}
	for i := range long {
		long[i] = "x"
	}
	for want, e := range map[string]*sidetrack.Event{
		"without a name": {Visitor: client}, "neither a user id": {Name: "x"}, "before 1971": {Name: "x", Visitor: client, Time: time.Unix(0, 0)}, "an hour in the future": {Name: "x", Visitor: client, Time: now.Add(61 * time.Minute)},
		"stands for nobody": {Name: "x", Visitor: sidetrack.Visitor{UserID: "NULL"}}, "properties, at most": {Name: "x", Visitor: client, Params: many},
		"elements, at most": {Name: "x", Visitor: client, Params: map[string]any{"list": map[string]any{"deep": long}}},
	} {
		if r, err := sent(t, e); err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v %v", want, r, err)
		}
	}
}

// The journey of the captured SDK, made by sidetrack.
func TestAgreesWithSDK(t *testing.T) {
	b, err := os.ReadFile("testdata/mixpanel-0.24.0.json")
	if err != nil {
		t.Fatal(err)
	}
	var captured []record
	if err := json.Unmarshal(b, &captured); err != nil {
		t.Fatal(err)
	}
	m, compared := sidetrack.MoneyOf, 0
	for _, want := range captured {
		e := &sidetrack.Event{Name: want.Event, Visitor: sidetrack.Visitor{}}
		id, _ := want.Properties["distinct_id"].(string)
		// Differences listed in docs/sinks/mixpanel.md.
		apart := []string{"token", "mp_lib", "$lib_version", "$insert_id"}
		switch want.Event {
		case "$mp_web_page_view":
			e.Name, e.Visitor.ClientID = "page_view", id
			e.Page.URL, _ = want.Properties["current_url"].(string)
			e.Page.Referrer, _ = want.Properties["$referrer"].(string)
			e.Network.IP = "203.0.113.9"
			apart = append(apart, "distinct_id", "current_url")
		case "Signed Up":
			e.Visitor.UserID = id
			e.Params = map[string]any{"method": "google", "price": 12.5, "n": int64(3), "ok": true, "tags": []any{"a", "b"}, "note": want.Properties["note"]}
		case "Order Completed":
			e.Visitor.UserID = id
			e.Ecommerce = &sidetrack.Ecommerce{TransactionID: "T-1001", Currency: "EUR", Value: m(49.97), HasValue: true, Tax: m(5), Shipping: m(5), Coupon: "SUMMER", Affiliation: "Web", Items: []sidetrack.Item{
				{ID: "SKU-1", Name: "T-shirt, blue", Categories: []string{"Apparel"}, Brand: "Acme", Variant: "M", Price: m(19.99), Quantity: 2, HasIndex: true, Index: 1},
				{ID: "SKU-2", Name: `Cap & "hat"`, Categories: []string{"Accessories"}, Brand: "Acme", Price: m(9.99), Quantity: 1, HasIndex: true, Index: 2},
			}}
			apart = append(apart, "discount") // the items of the journey have none
		default:
			continue
		}
		compared++
		got, err := sent(t, e)
		if err != nil {
			t.Fatal(err)
		}
		if got.Event != want.Event {
			t.Errorf("event %s, the SDK sends %s", got.Event, want.Event)
		}
		for k, w := range want.Properties {
			a, _ := json.Marshal(got.Properties[k])
			b, _ := json.Marshal(w)
			if !slices.Contains(apart, k) && string(a) != string(b) {
				t.Errorf("%s: %s is %s, the SDK sends %s", want.Event, k, a, b)
			}
		}
	}
	if compared < 3 {
		t.Errorf("%d events compared", compared)
	}
}

// fake is a strict import endpoint: it names what failed and stores the rest, once for each insert id.
type fake struct {
	t       *testing.T
	answers map[int]int

	mu       sync.Mutex
	requests int
	stored   map[string]bool
	repeats  int
	lost     bool // the first batch that was stored was answered 500
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	status := f.answers[f.requests]
	f.requests++
	body, _ := io.ReadAll(r.Body)
	user, _, _ := r.BasicAuth()
	var records []record
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/import" || r.URL.Query().Get("strict") != "1":
		f.t.Errorf("%s %s", r.Method, r.URL)
	case user != "mp_token_1":
		w.WriteHeader(401)
		return
	case json.Unmarshal(body, &records) != nil || len(records) == 0 || len(records) > 2000:
		w.WriteHeader(400)
		return
	case status != 0:
		w.WriteHeader(status)
		return
	}
	type failure struct {
		Index   int    `json:"index"`
		Field   string `json:"field"`
		Message string `json:"message"`
	}
	var failed []failure
	for i, e := range records {
		id, _ := e.Properties["$insert_id"].(string)
		at, _ := e.Properties["time"].(float64)
		distinct, _ := e.Properties["distinct_id"].(string)
		switch {
		case e.Properties["poison"] != nil, e.Event == "", distinct == "", len(id) != 36, time.UnixMilli(int64(at)).After(time.Now().Add(time.Hour)):
			failed = append(failed, failure{i, "properties.poison", "is bad"})
		default:
			if f.stored[id] {
				f.repeats++
			}
			f.stored[id] = true
		}
	}
	switch {
	case !f.lost:
		f.lost = true
		w.WriteHeader(500)
	case len(failed) > 0:
		w.WriteHeader(400)
		_ = json.NewEncoder(w).Encode(map[string]any{"code": 400, "error": "some data points in the request failed validation", "num_records_imported": len(records) - len(failed), "failed_records": failed})
	default:
		fmt.Fprintf(w, `{"code":200,"status":"OK","num_records_imported":%d}`, len(records))
	}
}

func TestDelivery(t *testing.T) {
	f := &fake{t: t, stored: map[string]bool{}, answers: map[int]int{0: 503, 2: 429}}
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
	events[40].Params = map[string]any{"poison": true}
	r := sinkrun.Deliver(t, sink, events...)
	slices.Sort(r.Dead)
	if !slices.Equal(r.Dead, []string{"e13", "e20", "e40"}) || len(r.Delivered) != 57 || len(f.stored) != 57 {
		t.Errorf("dead %v, %d delivered, %d stored: %v", r.Dead, len(r.Delivered), len(f.stored), r.Errors)
	}
	if f.repeats == 0 || f.requests > 12 { // named failures need no halving
		t.Errorf("%d repeats, %d requests", f.repeats, f.requests)
	}
	if !strings.Contains(r.Errors["e13"], "properties.poison: is bad") {
		t.Errorf("%v", r.Errors)
	}
}

func TestCompression(t *testing.T) {
	cfg := config()
	for host, want := range map[string]sidetrack.Encoding{"": sidetrack.Gzip, "https://proxy.example": ""} {
		cfg.Host = host
		s, err := New(cfg)
		if err != nil || s.Spec().Compress != want || !slices.Contains(s.Spec().Accepts, sidetrack.Gzip) {
			t.Errorf("%q: %v, %v", host, s.Spec().Compress, err)
		}
	}
}
