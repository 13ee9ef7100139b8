package plausible

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/sinkrun"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

func config() Config {
	cfg := Defaults()
	cfg.Domain = "shop.example"
	return cfg
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(config()) }, sinktest.Golden("testdata/golden"))
}

func TestConfig(t *testing.T) {
	sinktest.Fields(t, config(), New, map[string]func(*Config){
		"domain":    func(c *Config) { c.Domain = "" },
		"domain ":   func(c *Config) { c.Domain = "https://shop.example" },
		"endpoint":  func(c *Config) { c.Endpoint = "plausible.io" },
		"max_delay": func(c *Config) { c.MaxDelay = -1 },
		"props":     func(c *Config) { c.Props = make([]string, 31) },
	})
	if s, err := New(Config{Domain: "shop.example"}); err != nil || s.Spec().MaxAge != time.Hour || s.Spec().MaxEvents != 1 {
		t.Errorf("the zero value has not the defaults: %v", err)
	}
}

// TestMapping has the rows of the table in docs/sinks/plausible.md.
func TestMapping(t *testing.T) {
	page := sidetrack.Page{URL: "https://a.example/p?utm_source=x"}
	many := map[string]any{}
	for i := range 40 {
		many[fmt.Sprintf("p%02d", i)] = int64(i)
	}
	eur := sidetrack.MoneyOf
	for name, tt := range map[string]struct {
		e    *sidetrack.Event
		want string // JSON without url and domain, or the error after !
	}{
		"page view":         {&sidetrack.Event{Name: "page_view", Page: sidetrack.Page{URL: page.URL, Referrer: "https://b.example/"}}, `{"name":"pageview","referrer":"https://b.example/"}`},
		"screen":            {&sidetrack.Event{Name: "screen_view", App: sidetrack.App{Name: "Shop", Screen: "Cart"}}, `{"name":"pageview"}`},
		"custom":            {&sidetrack.Event{Name: "sign up", Page: page, Params: map[string]any{"a": "b", "n": int64(3), "f": 0.5, "ok": true, "list": []any{1}, "empty": ""}}, `{"name":"sign up","props":{"a":"b","f":"0.5","n":"3","ok":"true"}}`},
		"no interaction":    {&sidetrack.Event{Name: "x", Page: page, Params: map[string]any{"non_interaction": true}}, `{"interactive":false,"name":"x"}`},
		"user properties":   {&sidetrack.Event{Name: "x", Page: page, UserProperties: map[string]any{"plan": "gold"}, Visitor: sidetrack.Visitor{UserID: "u"}}, `{"name":"x"}`},
		"purchase":          {&sidetrack.Event{Name: "purchase", Page: page, Ecommerce: &sidetrack.Ecommerce{Currency: "EUR", Value: eur(59.97), HasValue: true, TransactionID: "T-1", Items: []sidetrack.Item{{ID: "A"}, {Name: "B"}}}}, `{"name":"purchase","props":{"item_count":"2","items":"A,B","transaction_id":"T-1"},"revenue":{"amount":59.97,"currency":"EUR"}}`},
		"no currency":       {&sidetrack.Event{Name: "purchase", Page: page, Ecommerce: &sidetrack.Ecommerce{Value: 1, HasValue: true, TransactionID: "T"}}, `{"name":"purchase","props":{"transaction_id":"T"}}`},
		"engagement":        {&sidetrack.Event{Name: "engagement", Page: page, Visitor: sidetrack.Visitor{Engagement: 1500 * time.Millisecond}, Params: map[string]any{"scroll_depth": int64(130)}}, `{"e":1500,"name":"engagement","sd":100}`},
		"engagement of GA":  {&sidetrack.Event{Name: "user_engagement", Page: page, Visitor: sidetrack.Visitor{Engagement: time.Second}}, `{"e":1000,"name":"engagement"}`},
		"empty engagement":  {&sidetrack.Event{Name: "engagement", Page: page}, "!without a time"},
		"pageview by name":  {&sidetrack.Event{Name: "pageview", Page: page}, "!would count as a page view"},
		"no name":           {&sidetrack.Event{Page: page}, "!without a name"},
		"long name":         {&sidetrack.Event{Name: strings.Repeat("x", 121), Page: page}, "!longer than 120"},
		"name that fits":    {&sidetrack.Event{Name: strings.Repeat("x", 120), Page: page}, `{"name":"` + strings.Repeat("x", 120) + `"}`},
		"nowhere":           {&sidetrack.Event{Name: "x"}, "!no address of a page"},
		"relative":          {&sidetrack.Event{Name: "x", Page: sidetrack.Page{URL: "/p"}}, "!no absolute URL"},
		"long path":         {&sidetrack.Event{Name: "x", Page: sidetrack.Page{URL: "https://a.example/" + strings.Repeat("x", 2000)}}, "!longer than 2000"},
		"more than 30":      {&sidetrack.Event{Name: "x", Page: page, Params: many}, "30"},
		"long query is cut": {&sidetrack.Event{Name: "x", Page: sidetrack.Page{URL: "https://a.example/?" + strings.Repeat("x", 2000)}}, `{"name":"x"}`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			tt.e.Network.IP = "203.0.113.0"
			r, err := cfg.request(tt.e)
			if want, ok := strings.CutPrefix(tt.want, "!"); ok {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want an error with %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(r.Body, &got); err != nil {
				t.Fatal(err)
			}
			if u, _ := got["url"].(string); len(u) > maxURL || u == "" || got["domain"] != "shop.example" {
				t.Errorf("%v", got)
			}
			delete(got, "url")
			delete(got, "domain")
			if tt.want == "30" {
				if p := got["props"].(map[string]any); len(p) != maxProps || p["p00"] == nil || p["p30"] != nil {
					t.Errorf("%v", slices.Sorted(maps.Keys(p)))
				}
				return
			}
			if s, _ := json.Marshal(got); string(s) != tt.want {
				t.Errorf("%s, want %s", s, tt.want)
			}
		})
	}
	cfg := config()
	if _, err := cfg.request(&sidetrack.Event{Name: "x", Page: page}); err == nil || !strings.Contains(err.Error(), "no address of the visitor") {
		t.Errorf("without the visitor's address: %v", err)
	}
	cfg.Props = []string{"b"}
	r, err := cfg.request(&sidetrack.Event{Name: "x", Page: page, Params: map[string]any{"a": "1", "b": "2"}, Network: sidetrack.Network{IP: "2001:db8::"}})
	if err != nil || !strings.Contains(string(r.Body), `"props":{"b":"2"}`) || r.Header.Get("X-Forwarded-For") != "2001:db8::" {
		t.Errorf("%s %v", r.Body, err)
	}
}

// What the vendor's tracker sends, sidetrack sends too, by the long names of the same keys.
func TestAgreesWithSDK(t *testing.T) {
	b, err := os.ReadFile("testdata/plausible-tracker-0.3.9.json")
	if err != nil {
		t.Fatal(err)
	}
	var captured []struct {
		UserAgent string         `json:"user_agent"`
		Body      map[string]any `json:"body"`
	}
	if err := json.Unmarshal(b, &captured); err != nil || len(captured) == 0 {
		t.Fatal(err)
	}
	for _, c := range captured {
		n, _ := c.Body["n"].(string)
		e := &sidetrack.Event{Name: n, Network: sidetrack.Network{IP: "203.0.113.9"}, Device: sidetrack.Device{UserAgent: c.UserAgent}}
		if n == "pageview" {
			e.Name = sidetrack.PageView
		}
		e.Page.URL, _ = c.Body["u"].(string)
		e.Page.Referrer, _ = c.Body["r"].(string)
		if props, ok := c.Body["p"].(string); ok {
			if err := json.Unmarshal([]byte(props), &e.Params); err != nil {
				t.Fatal(err)
			}
		}
		cfg := config()
		cfg.Domain, _ = c.Body["d"].(string)
		r, err := cfg.request(e)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(r.Body, &got); err != nil {
			t.Fatal(err)
		}
		for short, long := range map[string]string{"n": "name", "u": "url", "d": "domain", "r": "referrer"} {
			if want := c.Body[short]; want != nil && want != "" && got[long] != want {
				t.Errorf("%s is %v, the tracker sends %v", long, got[long], want)
			}
		}
		if r.Header.Get("User-Agent") != c.UserAgent {
			t.Errorf("user agent %q", r.Header.Get("User-Agent"))
		}
	}
}

// fake is a strict Plausible.
type fake struct {
	t        *testing.T
	mu       sync.Mutex
	requests int
	answers  map[int]int // status by number of the request
	counted  []string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	status := f.answers[f.requests]
	f.requests++
	if status != 0 {
		w.Header().Set("Retry-After", "0.01")
		w.WriteHeader(status)
		return
	}
	if kind := r.Header.Get("Content-Type"); r.Method != http.MethodPost || r.URL.Path != "/api/event" || kind != "application/json" && kind != "text/plain" {
		f.t.Errorf("%s %s %s", r.Method, r.URL, kind)
	}
	body, _ := io.ReadAll(r.Body)
	var h struct {
		Name, URL, Domain, Referrer string
		Props                       map[string]string
		Revenue                     *struct{ Currency string }
		SD, E                       *int
	}
	if json.Unmarshal(body, &h) != nil || h.Name == "" || len(h.Name) > 120 || h.URL == "" || len(h.URL) > 2000 || h.Domain == "" || len(h.Props) > 30 ||
		h.Name == "engagement" && h.SD == nil && h.E == nil || h.Revenue != nil && len(h.Revenue.Currency) != 3 {
		w.WriteHeader(400)
		fmt.Fprint(w, `{"errors":{"event":["invalid"]}}`)
		return
	}
	w.WriteHeader(func() int {
		ip, err := netip.ParseAddr(r.Header.Get("X-Forwarded-For"))
		if err != nil || ip.IsLoopback() || strings.Contains(r.UserAgent(), "bot") || strings.Contains(r.UserAgent(), "Go-http-client") || h.Domain != "shop.example" {
			w.Header().Set("X-Plausible-Dropped", "1")
			return 202
		}
		f.counted = append(f.counted, h.URL)
		return 202
	}())
	fmt.Fprint(w, "ok")
}

func TestDelivery(t *testing.T) {
	f := &fake{t: t, answers: map[int]int{1: 500, 3: 429, 4: 503}}
	s := httptest.NewServer(f)
	defer s.Close()
	cfg := config()
	cfg.Endpoint = s.URL + "/api/event"
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var events []*sidetrack.Event
	for i := range 20 {
		events = append(events, &sidetrack.Event{
			MessageID: fmt.Sprint("e", i), Name: "page_view", Time: time.Now(), Page: sidetrack.Page{URL: fmt.Sprint("https://shop.example/", i)},
			Network: sidetrack.Network{IP: "203.0.113.0"}, Device: sidetrack.Device{UserAgent: "Mozilla/5.0"}, Consent: sidetrack.GrantAll("test"),
		})
	}
	events[5].Device.UserAgent = "somebot"
	events[7].Network.IP = ""
	events[9].Time = time.Now().Add(-2 * time.Hour)
	events[11].Device.UserAgent = "" // sends none, not Go's
	r := sinkrun.Deliver(t, sink, events...)
	slices.Sort(r.Dead)
	if !slices.Equal(r.Dead, []string{"e5", "e7"}) || !slices.Equal(r.Expired, []string{"e9"}) || len(f.counted) != 17 || len(r.Delivered) != 17 {
		t.Errorf("dead %v, expired %v, %d counted: %v", r.Dead, r.Expired, len(f.counted), r.Errors)
	}
	slices.Sort(f.counted)
	if n := len(slices.Compact(f.counted)); n != 17 {
		t.Errorf("%d different events counted", n)
	}
}
