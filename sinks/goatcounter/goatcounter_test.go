package goatcounter

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/sinkrun"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

const token = "gc-token-1"

func config() Config {
	return Config{Endpoint: "https://shop.goatcounter.com", Token: sidetrack.NewSecret(token)}
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(config()) }, sinktest.Golden("testdata/golden"))
}

func TestConfig(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"endpoint":   func(c *Config) { c.Endpoint = "" },
		"endpoint ":  func(c *Config) { c.Endpoint = "https://a.example/api/v0/count" },
		"endpoint  ": func(c *Config) { c.Endpoint = "https://u:p@a.example" },
		"token":      func(c *Config) { c.Token = sidetrack.Secret{} },
		"token ":     func(c *Config) { c.Token = sidetrack.NewSecret("a b") },
	} {
		cfg := config()
		change(&cfg)
		_, err := New(cfg)
		if fe, ok := err.(*sidetrack.FieldError); !ok || fe.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if s, err := New(config()); err != nil || s.Spec().Concurrency != 1 {
		t.Errorf("more than one request at once: %v", err)
	}
}

var now = time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)

// TestMapping has the rows of the table in docs/sinks/goatcounter.md.
func TestMapping(t *testing.T) {
	page := sidetrack.Page{URL: "https://a.example/p?utm_source=x", Title: "T", Referrer: "https://b.example/q"}
	long := strings.Repeat("x", 3000)
	for name, tt := range map[string]struct {
		e    sidetrack.Event
		want string // JSON and the fields of notes, or the error after !
	}{
		"page view":           {sidetrack.Event{Name: "page_view", Page: page, Time: now.Add(-time.Hour)}, `{"path":"/p?utm_source=x","title":"T","ref":"https://b.example/q","query":"utm_source=x","session":"1.2","created_at":"2026-01-31T11:00:30Z"} []`},
		"from the future":     {sidetrack.Event{Name: "page_view", Page: sidetrack.Page{URL: "https://a.example"}, Time: now.Add(time.Second)}, `{"path":"/","session":"1.2"} []`},
		"screen":              {sidetrack.Event{Name: "screen_view", App: sidetrack.App{Screen: "Cart"}}, `{"path":"/Cart","title":"Cart","session":"1.2"} []`},
		"view of nothing":     {sidetrack.Event{Name: "page_view"}, "!without an address"},
		"event on a page":     {sidetrack.Event{Name: "/sign up", Page: page, Params: map[string]any{"a": "b"}}, `{"path":"sign up","event":true,"ref":"https://b.example/q","query":"utm_source=x","session":"1.2"} []`},
		"purchase":            {sidetrack.Event{Name: "purchase", Ecommerce: &sidetrack.Ecommerce{TransactionID: "T", Value: 1, HasValue: true}}, `{"path":"purchase","event":true,"session":"1.2"} []`},
		"known user":          {sidetrack.Event{Name: "login", Visitor: sidetrack.Visitor{ClientID: "1.2", UserID: "u-7"}}, `{"path":"login","event":true,"session":"u-7"} []`},
		"device and place":    {sidetrack.Event{Name: "x", Device: sidetrack.Device{UserAgent: "Moz", Language: "de", Screen: "800x600"}, Network: sidetrack.Network{IP: "203.0.113.0", Country: "AT"}}, `{"path":"x","event":true,"size":[800,600,1],"user_agent":"Moz","language":"de","location":"AT","ip":"203.0.113.0","session":"1.2"} []`},
		"address and browser": {sidetrack.Event{Name: "x", Visitor: sidetrack.Visitor{SessionID: "1"}, Device: sidetrack.Device{UserAgent: "Moz"}, Network: sidetrack.Network{IP: "203.0.113.0"}}, `{"path":"x","event":true,"user_agent":"Moz","ip":"203.0.113.0"} []`},
		"nobody":              {sidetrack.Event{Name: "x", Visitor: sidetrack.Visitor{SessionID: "1"}, Network: sidetrack.Network{IP: "203.0.113.0"}}, "!neither a user id"},
		"no name":             {sidetrack.Event{Name: "//"}, "!without a name"},
		"long name":           {sidetrack.Event{Name: long}, "!longer than 2048"},
		"long query":          {sidetrack.Event{Name: "page_view", Page: sidetrack.Page{URL: "https://a.example/p?" + long}}, `{"path":"/p","query":"` + long + `","session":"1.2"} [path]`},
		"long path":           {sidetrack.Event{Name: "page_view", Page: sidetrack.Page{URL: "https://a.example/" + long}}, "!longer than 2048"},
		"long referrer":       {sidetrack.Event{Name: "x", Page: sidetrack.Page{Referrer: "https://a.example/?" + long}}, `{"path":"x","event":true,"ref":"https://a.example/","session":"1.2"} []`},
		"long title":          {sidetrack.Event{Name: "page_view", Page: sidetrack.Page{URL: "https://a.example/", Title: long}}, `{"path":"/","title":"` + long[:1024] + `","session":"1.2"} [title]`},
		"long user agent":     {sidetrack.Event{Name: "x", Device: sidetrack.Device{UserAgent: long}}, `{"path":"x","event":true,"user_agent":"` + long[:512] + `","session":"1.2"} [user_agent]`},
		"no year":             {sidetrack.Event{Name: "x", Time: time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)}, "!the year 1969"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.e.Visitor == (sidetrack.Visitor{}) {
				tt.e.Visitor.ClientID = "1.2"
			}
			h, err := makeHit(&tt.e, now)
			if want, ok := strings.CutPrefix(tt.want, "!"); ok {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v; want an error with %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			fields := []string{}
			for _, n := range h.notes {
				fields = append(fields, n.Field)
			}
			b, _ := json.Marshal(h)
			if got := fmt.Sprintf("%s %v", b, fields); got != tt.want {
				t.Errorf("\n%s, want\n%s", got, tt.want)
			}
		})
	}
}

// What the page's own script sends of the journey, in the parameters of its endpoint, made by sidetrack.
func TestAgreesWithScript(t *testing.T) {
	b, err := os.ReadFile("testdata/count.js-c957f51c.json")
	if err != nil {
		t.Fatal(err)
	}
	var captured []map[string]string
	if err := json.Unmarshal(b, &captured); err != nil || len(captured) != 2 {
		t.Fatal(err)
	}
	for _, want := range captured {
		e := &sidetrack.Event{Name: "page_view", Visitor: sidetrack.Visitor{ClientID: "1.2"}, Device: sidetrack.Device{Screen: "1200x800"},
			Page: sidetrack.Page{URL: "https://shop.example.com/products?utm_source=news&utm_medium=email&gclid=TeSt", Title: "Products – Ünïcode", Referrer: "https://www.example.org/"}}
		if want["e"] != "" {
			e.Name = "signup"
			delete(want, "t") // an event's title is the script's own
		}
		h, err := makeHit(e, now)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{"p": h.Path, "r": h.Ref, "t": h.Title, "s": strconv.FormatInt(h.Size[0], 10), "q": "?" + h.Query, "b": "0"}
		if h.Event {
			got["e"] = "true"
		}
		for k, v := range want {
			if k != "rnd" && got[k] != v {
				t.Errorf("%s: %s is %q, the script sends %q", e.Name, k, got[k], v)
			}
		}
	}
}

// The answer to a batch of which some were refused speaks of those alone, by their place in the request.
func TestAnswers(t *testing.T) {
	events := []*sidetrack.Event{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	for _, e := range events {
		e.Visitor.ClientID = "1"
	}
	u := sidetrack.Unit{Events: events, At: now}
	err := classify(u, &sidetrack.Response{Status: 400, Records: []int{0, 1, 2}, Body: []byte(`{"errors":{"1":"path: too bad","7":"of nothing"}}`)})
	partial, ok := errors.AsType[*sidetrack.PartialError](err)
	if !ok || len(partial.Failed) != 1 || !strings.Contains(fmt.Sprint(partial.Failed[1]), "too bad") {
		t.Fatalf("%v", err)
	}
	if class, _ := sidetrack.ClassOf(partial.Failed[1]); class != sidetrack.Rejected {
		t.Errorf("%s", class)
	}
	for body, want := range map[string]sidetrack.Class{`{"error":"no hits"}`: sidetrack.Rejected, `{"errors":{"9":"x"}}`: sidetrack.Rejected} {
		if class, _ := sidetrack.ClassOf(classify(u, &sidetrack.Response{Status: 400, Records: []int{0, 1, 2}, Body: []byte(body)})); class != want {
			t.Errorf("%s is %s", body, class)
		}
	}
}

// fake is a GoatCounter that validates each hit, counts the others of a refused request, and takes few requests.
type fake struct {
	t       *testing.T
	answers map[int]int
	most    int // hits of a request

	mu       sync.Mutex
	requests int
	counted  []string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	status := f.answers[f.requests]
	f.requests++
	var b struct {
		Filter []string
		Hits   []hit
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil || r.Method != http.MethodPost || r.URL.Path != "/api/v0/count" || r.Header.Get("Content-Type") != "application/json" || b.Filter == nil {
		f.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer "+token:
		w.WriteHeader(http.StatusUnauthorized)
		return
	case status == http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "0.01")
		w.WriteHeader(status)
		return
	case status != 0:
		w.WriteHeader(status)
		return
	case len(b.Hits) == 0 || len(b.Hits) > f.most:
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":"maximum amount of pageviews in one batch is %d"}`, f.most)
		return
	}
	refused := map[string]string{}
	for i, h := range b.Hits {
		at, err := time.Parse(time.RFC3339, h.CreatedAt)
		switch {
		case h.Path == "" || len(h.Path) > 2048 || len(h.Title) > 1024 || len(h.Ref) > 2048 || len(h.UserAgent) > 512 || strings.Contains(h.Path, "poison"):
			refused[strconv.Itoa(i)] = "path: must be valid"
		case h.Session == "" && (h.UserAgent == "" || h.IP == ""):
			refused[strconv.Itoa(i)] = "session or browser/IP not set"
		case h.CreatedAt != "" && (err != nil || at.After(time.Now().Add(5*time.Second))):
			refused[strconv.Itoa(i)] = "created_at: in the future"
		default:
			f.counted = append(f.counted, h.Session)
		}
	}
	if len(refused) > 0 {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": refused})
		return
	}
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprint(w, `{"status":"ok"}`)
}

func TestDelivery(t *testing.T) {
	for name, tt := range map[string]struct{ events, most int }{"batches": {60, 500}, "an older server takes 100": {450, 100}} {
		t.Run(name, func(t *testing.T) {
			f := &fake{t: t, answers: map[int]int{0: 503, 1: 429, 2: 500}, most: tt.most}
			s := httptest.NewServer(f)
			defer s.Close()
			cfg := config()
			cfg.Endpoint = s.URL
			sink, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			var events []*sidetrack.Event
			for i := range tt.events {
				events = append(events, &sidetrack.Event{MessageID: fmt.Sprint("e", i), Name: "page_view", Time: time.Now(), Page: sidetrack.Page{URL: fmt.Sprint("https://a.example/", i)},
					Visitor: sidetrack.Visitor{ClientID: fmt.Sprint(i, ".1")}, Consent: sidetrack.GrantAll("test")})
			}
			events[3].Name, events[3].Page.URL = "page_view", "" // of nothing
			events[13].Page.URL = "https://a.example/poison"
			events[40].Page.URL = "https://a.example/poison/2"
			events[20].Time = time.Now().Add(time.Hour)
			r := sinkrun.Deliver(t, sink, events...)
			slices.Sort(r.Dead)
			slices.Sort(f.counted)
			want := tt.events - 3
			if !slices.Equal(r.Dead, []string{"e13", "e3", "e40"}) || len(r.Delivered) != want || len(f.counted) != want || len(slices.Compact(f.counted)) != want {
				t.Errorf("dead %v, %d delivered, %d counted: %v", r.Dead, len(r.Delivered), len(f.counted), r.Errors)
			}
		})
	}
}
