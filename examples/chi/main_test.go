package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/standard"
	"github.com/sidetrack-go/sidetrack/sinks/ga"
)

// google is a local stand-in for Google's endpoint.
type google struct {
	*httptest.Server
	mu       sync.Mutex
	requests []request
}

type request struct {
	query url.Values
	body  map[string]any
}

func newGoogle(t *testing.T) *google {
	g := &google{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var body map[string]any
		if err := json.Unmarshal(b, &body); err != nil {
			t.Errorf("%v: %s", err, b)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.requests = append(g.requests, request{r.URL.Query(), body})
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(g.Close)
	return g
}

// events returns the parameters of all events of a name, with their requests' bodies.
func (g *google) events(name string) (params, bodies []map[string]any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.requests {
		for _, e := range r.body["events"].([]any) {
			if e := e.(map[string]any); e["name"] == name {
				params, bodies = append(params, e["params"].(map[string]any)), append(bodies, r.body)
			}
		}
	}
	return params, bodies
}

func TestPagesReachGoogle(t *testing.T) {
	g := newGoogle(t)
	sink, err := ga.New(ga.Config{MeasurementID: "G-TEST123456", APISecret: sidetrack.NewSecret("s"), Endpoint: g.URL + "/mp/collect"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := standard.Start(t.Context(), pipeline.Config{Sinks: []pipeline.SinkConfig{{Name: "google", Sink: sink}}, Intake: intake()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close(t.Context()) }()
	handler := shop(p)
	get := func(method, path, cookies string) {
		r := httptest.NewRequest(method, "https://shop.example"+path, nil)
		r.RemoteAddr = "203.0.113.77:4711"
		r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
		r.Header.Set("Accept-Language", "de-AT,de;q=0.9")
		r.Header.Set("Referer", "https://search.example/?q=boots")
		r.Header.Set("Cookie", cookies)
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	const agreed = "consent=analytics_storage:granted; _ga=GA1.1.1234567890.1700000000"
	get("GET", "/product/42?utm_source=news", agreed)
	time.Sleep(20 * time.Millisecond)
	get("POST", "/buy/42", agreed)
	get("GET", "/product/43", "consent=analytics_storage:denied; _ga=GA1.1.999.888")
	get("GET", "/product/44", "")
	if err := p.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}

	views, bodies := g.events("page_view")
	if len(views) != 1 {
		t.Fatalf("%d page views, want the one of the visitor who agreed: %v", len(views), views)
	}
	for key, want := range map[string]any{
		"page_location": "https://shop.example/product/42?utm_source=news",
		"page_title":    "Product 42",
		"page_referrer": "https://search.example/?q=boots",
		"page_route":    "/product/{id}",
		"source":        "news",
	} {
		if views[0][key] != want {
			t.Errorf("%s is %v, want %v", key, views[0][key], want)
		}
	}
	if id, _ := views[0]["session_id"].(string); id == "" {
		t.Errorf("no session id: %v", views[0])
	}
	if ms, _ := views[0]["engagement_time_msec"].(float64); ms < 1 {
		t.Errorf("no engagement time: %v", views[0])
	}
	if b := bodies[0]; b["client_id"] != "1234567890.1700000000" || b["ip_override"] != "203.0.113.0" || !strings.Contains(b["user_agent"].(string), "Firefox") {
		t.Errorf("visitor: %v", b)
	}
	purchases, _ := g.events("purchase")
	if len(purchases) != 1 || purchases[0]["value"] != 49.9 || purchases[0]["transaction_id"] != "T-1001" {
		t.Fatalf("purchases %v", purchases)
	}
	if purchases[0]["session_id"] != views[0]["session_id"] {
		t.Error("the purchase is in another session")
	}
	if ms := purchases[0]["engagement_time_msec"].(float64); ms < 20 {
		t.Errorf("engagement of %v ms before the purchase", ms)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if q := g.requests[0].query; q.Get("measurement_id") != "G-TEST123456" || q.Get("api_secret") != "s" {
		t.Errorf("query %v", q)
	}
	if l := p.Ledger(); l.Dropped[sidetrack.ReasonConsent] != 2 {
		t.Errorf("ledger %+v", l)
	}
}
