package meta

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/sinkrun"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

func serve(t *testing.T, g *graph, change func(*Config)) *sidetrack.Sink {
	t.Helper()
	s := httptest.NewServer(g)
	t.Cleanup(s.Close)
	cfg := config()
	cfg.Host = s.URL
	if change != nil {
		change(&cfg)
	}
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

// Through an engine: limits of three kinds, failures, an answer that gets lost, events that Meta or the sink refuse, and one that is too old.
func TestDelivery(t *testing.T) {
	soon := func(w http.ResponseWriter) { w.Header().Set("Retry-After", "0.01") }
	g := &graph{t: t, taken: map[string]int{}, refused: map[int]int{}, lost: true, first: map[int]func(http.ResponseWriter){
		0: func(w http.ResponseWriter) { soon(w); fail(w, 400, 4, 0, false, "Application request limit reached") },
		1: func(w http.ResponseWriter) {
			soon(w)
			fail(w, 403, 613, 0, false, "Calls to this api have exceeded the rate limit.")
		},
		2: func(w http.ResponseWriter) {
			soon(w)
			fail(w, 400, 80004, 2446079, true, "There have been too many calls")
		},
		3: func(w http.ResponseWriter) { fail(w, 500, 2, 0, true, "Service temporarily unavailable") },
		4: func(w http.ResponseWriter) { fail(w, 400, 100, 2804999, true, "Please retry") },
		5: func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
	}}
	sink := serve(t, g, nil)
	var events []*sidetrack.Event
	for i := range 120 {
		e := visit("page_view", nil)
		e.MessageID, e.Time = fmt.Sprint("e", i), time.Now()
		e.Visitor.ClientID = fmt.Sprintf("%d.1700000000", i+1)
		events = append(events, e)
	}
	events[3].Name, events[3].Ecommerce = "purchase", &sidetrack.Ecommerce{Currency: "EUR", TransactionID: "T", Items: []sidetrack.Item{{ID: "A", Price: sidetrack.MoneyOf(5), HasPrice: true}}}
	events[13].Params = map[string]any{"poison": true}
	events[20].Device.UserAgent = ""
	events[40].Time = time.Now().Add(-8 * 24 * time.Hour)
	events[60].Name = "purchase"
	events[77].Params = map[string]any{"poison": true}
	events[90].Visitor.AnonymousProfile = true
	r := sinkrun.Deliver(t, sink, events...)
	slices.Sort(r.Dead)
	if !slices.Equal(r.Dead, []string{"e13", "e20", "e60", "e77"}) || !slices.Equal(r.Expired, []string{"e40"}) || len(r.Delivered) != 114 || len(g.taken) != 114 {
		t.Errorf("dead %v, expired %v, %d delivered, %d taken: %v", r.Dead, r.Expired, len(r.Delivered), len(g.taken), r.Errors)
	}
	if g.refused[2804048] == 0 || len(g.refused) != 1 {
		t.Errorf("refused by subcode: %v", g.refused)
	}
	repeats := 0
	for _, n := range g.taken {
		repeats += n - 1
	}
	if repeats == 0 || g.lost {
		t.Error("no answer got lost")
	}
	if want := "meta_capi: status 400, code 100, subcode 2804048, OAuthException, Title, Invalid parameter: poison, AbC"; r.Errors["e13"] != want {
		t.Errorf("%q, want %q", r.Errors["e13"], want)
	}
	for _, e := range r.Errors {
		if strings.Contains(e, token) {
			t.Errorf("the token is in an error: %s", e)
		}
	}
	if events[40].Time.After(time.Now()) || slices.Max(g.sizes) < 100 {
		t.Errorf("sizes of batches: %v", g.sizes)
	}
}

// Batches keep to the number and to the bytes, whatever is in them.
func TestBatches(t *testing.T) {
	g := &graph{t: t, taken: map[string]int{}}
	sink := serve(t, g, func(c *Config) { c.MaxEvents = 1000 })
	var events []*sidetrack.Event
	for i := range 1500 {
		e := visit("page_view", nil)
		e.MessageID, e.Time = fmt.Sprint("e", i), time.Now()
		if i < 100 {
			e.Params = map[string]any{"text": strings.Repeat("<", 8000)} // 6 bytes each in JSON
		}
		events = append(events, e)
	}
	r := sinkrun.Deliver(t, sink, events...)
	if len(r.Delivered) != 1500 || len(g.taken) != 1500 {
		t.Errorf("%d delivered, %d taken, %v", len(r.Delivered), len(g.taken), r.Errors)
	}
	for i, b := range g.bodies {
		if len(b) > maxBytes || g.sizes[i] > maxEvents {
			t.Errorf("%d events in %d bytes", g.sizes[i], len(b))
		}
	}
}

func TestClassify(t *testing.T) {
	u := sidetrack.Unit{Events: sinktest.Samples()[:2], At: now}
	body := func(code, subcode int, transient bool) string {
		return fmt.Sprintf(`{"error":{"message":"m","type":"OAuthException","code":%d,"error_subcode":%d,"is_transient":%v,"fbtrace_id":"t"}}`, code, subcode, transient)
	}
	usage := func(minutes string) http.Header {
		return http.Header{"X-Business-Use-Case-Usage": {`{"1":[{"type":"ads_management","call_count":100,"estimated_time_to_regain_access":0}],"2":[{"estimated_time_to_regain_access":` + minutes + `}]}`}}
	}
	for _, tt := range []struct {
		name   string
		status int
		body   string
		header http.Header
		want   sidetrack.Class
		after  time.Duration
	}{
		{"ok", 200, `{"events_received":2,"messages":[],"fbtrace_id":"t"}`, nil, sidetrack.Delivered, 0},
		{"with warnings", 200, `{"events_received":2,"messages":["w"]}`, nil, sidetrack.Delivered, 0},
		{"fewer than sent", 200, `{"events_received":1}`, nil, sidetrack.Rejected, 0},
		{"an error that is called ok", 200, body(100, 2804007, false), nil, sidetrack.Rejected, 0},
		{"limit of the app", 400, body(4, 0, false), nil, sidetrack.Throttled, time.Minute},
		{"limit of the user", 400, body(17, 2446079, false), http.Header{"Retry-After": {"7"}}, sidetrack.Throttled, 7 * time.Second},
		{"limit of the page", 403, body(32, 0, false), usage("5"), sidetrack.Throttled, 5 * time.Minute},
		{"limit of calls", 429, body(613, 0, false), usage("1e9"), sidetrack.Throttled, time.Hour},
		{"limit of the business", 400, body(80004, 0, true), usage(`"x"`), sidetrack.Throttled, time.Minute},
		{"limit of the account", 400, body(80014, 0, false), nil, sidetrack.Throttled, time.Minute},
		{"token", 400, body(190, 463, false), nil, sidetrack.Misconfigured, 0},
		{"token, as 401", 401, body(190, 460, false), nil, sidetrack.Misconfigured, 0},
		{"session", 400, body(102, 0, false), nil, sidetrack.Misconfigured, 0},
		{"permission", 403, body(200, 0, false), nil, sidetrack.Misconfigured, 0},
		{"permission", 403, body(10, 0, false), nil, sidetrack.Misconfigured, 0},
		{"capability", 400, body(3, 0, false), nil, sidetrack.Misconfigured, 0},
		{"no such pixel", 400, body(100, 33, false), nil, sidetrack.Misconfigured, 0},
		{"version that ended", 400, body(2635, 0, false), nil, sidetrack.Misconfigured, 0},
		{"wrong proof", 400, `{"error":{"message":"Invalid appsecret_proof provided in the API argument","type":"GraphMethodException","code":100}}`, nil, sidetrack.Misconfigured, 0},
		{"bad event", 400, body(100, 2804003, false), nil, sidetrack.Rejected, 0},
		{"bad event, subcode unknown", 400, body(100, 1, false), nil, sidetrack.Rejected, 0},
		{"said to pass", 400, body(100, 2804003, true), nil, sidetrack.Retry, 0},
		{"unknown error", 500, body(1, 99, false), nil, sidetrack.Retry, 0},
		{"service", 503, body(2, 0, true), http.Header{"Retry-After": {"3"}}, sidetrack.Throttled, 3 * time.Second},
		{"blocked for a while", 400, body(368, 0, false), nil, sidetrack.Retry, 0},
		{"unknown code", 400, body(99999, 0, false), nil, sidetrack.Rejected, 0},
		{"unknown code, 500", 500, body(99999, 0, false), nil, sidetrack.Retry, 0},
		{"unknown code, 403", 403, body(99999, 0, false), nil, sidetrack.Misconfigured, 0},
		{"unknown code, 200", 200, body(99999, 0, false), nil, sidetrack.Retry, 0},
		{"a proxy", 502, "<html>", nil, sidetrack.Retry, 0},
	} {
		class, after := sidetrack.ClassOf(classify(u, &sidetrack.Response{Status: tt.status, Header: tt.header, Body: []byte(tt.body)}))
		if class != tt.want || after != tt.after {
			t.Errorf("%s: %s after %s, want %s after %s", tt.name, class, after, tt.want, tt.after)
		}
	}
	err := classify(u, &sidetrack.Response{Status: 400, Body: []byte(`{"error":{"code":100,"message":"bad value jane@shop.example ` + strings.Repeat("x", 1000) + `"}}`)})
	if s := err.Error(); strings.Contains(s, "jane") || len(s) > 300 {
		t.Errorf("%q", s)
	}
}

// The hash vectors of Meta's SDK, from a value to a request.
func TestHashVectors(t *testing.T) {
	b, err := os.ReadFile("../../testdata/meta_hash_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Field, Input, SHA256 string }
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors) != 39 {
		t.Fatalf("%d vectors, %v", len(vectors), err)
	}
	seen := map[string]bool{}
	for _, v := range vectors {
		seen[v.Field] = true
		e := visit("page_view", func(e *sidetrack.Event) { e.UserData = new(sidetrack.UserData) })
		var want any = []any{v.SHA256}
		switch v.Field {
		case "dobd", "dobm", "doby":
			want = v.SHA256
		}
		if err := e.UserData.AddMatch(v.Field, v.Input); err != nil {
			t.Errorf("%s %q: %v", v.Field, v.Input, err)
		}
		got, _, err := try(t, config(), e)
		if user, _ := got["user_data"].(map[string]any); err != nil || asJSON(user[v.Field]) != asJSON(want) {
			t.Errorf("%s %q: %v %v", v.Field, v.Input, got, err)
		}
		// The same from where an event has it otherwise.
		other := visit("page_view", func(e *sidetrack.Event) { e.UserData = new(sidetrack.UserData) })
		switch v.Field {
		case "em":
			err = other.UserData.AddEmail(v.Input)
		case "ph":
			if strings.HasPrefix(v.Input, "(") {
				continue // no country code
			}
			err = other.UserData.AddPhone(v.Input)
		case "fn":
			other.UserData.AddAddress(sidetrack.PostalAddress{FirstName: v.Input})
		case "ln":
			other.UserData.AddAddress(sidetrack.PostalAddress{LastName: v.Input})
		case "ct":
			other.UserData.AddAddress(sidetrack.PostalAddress{City: v.Input})
		case "st":
			other.UserData.AddAddress(sidetrack.PostalAddress{Region: v.Input})
		case "zp":
			other.UserData.AddAddress(sidetrack.PostalAddress{PostalCode: v.Input})
		case "country":
			other.UserData.AddAddress(sidetrack.PostalAddress{Country: v.Input})
		case "external_id":
			other.Visitor.UserID = v.Input
		default:
			continue
		}
		if err != nil {
			t.Errorf("%s %q: %v", v.Field, v.Input, err)
		}
		got, _, err = try(t, config(), other)
		if user, _ := got["user_data"].(map[string]any); err != nil || !strings.Contains(asJSON(user[v.Field]), v.SHA256) {
			t.Errorf("%s %q by another way: %v %v", v.Field, v.Input, got, err)
		}
	}
	if len(seen) != 13 {
		t.Errorf("vectors of %d fields: %v", len(seen), seen)
	}
}

// The journey of the captured SDK, made by sidetrack: every field is compared, and what differs is what docs/sinks/meta_capi.md lists.
func TestAgreesWithSDK(t *testing.T) {
	b, err := os.ReadFile("testdata/facebook-nodejs-business-sdk-24.0.1.json")
	if err != nil {
		t.Fatal(err)
	}
	var captured []struct {
		Path string
		Body map[string]any
	}
	if err := json.Unmarshal(b, &captured); err != nil || len(captured) != 1 {
		t.Fatal(err)
	}
	want := captured[0].Body
	const (
		page = "https://shop.example.com/products?utm_source=news&utm_medium=email&gclid=TeSt"
		ua   = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
		fbp  = "fb.1.1714557600123.1098115397"
		fbc  = "fb.1.1714557600123.IwAR2F4-dbP0l7Mn1IawQQGCINEz7PYXQvwjNwB_qa2ofrHyiLjcbCRxTDMgk"
	)
	m := sidetrack.MoneyOf
	event := func(name, id string, user map[string][]string) *sidetrack.Event {
		e := visit(name, nil)
		e.Time, e.MessageID, e.Visitor.ClientID, e.Page.URL, e.Device.UserAgent, e.Network.IP = time.Unix(1714557600, 0), id, "anon-7f3c2a10", page, ua, "203.0.113.9"
		e.UserData = new(sidetrack.UserData)
		for k, values := range user {
			for _, v := range values {
				if err := e.UserData.AddMatch(k, v); err != nil {
					t.Fatal(err)
				}
			}
		}
		return e
	}
	order := event("purchase", "evt-1", map[string][]string{
		"em": {" Jane.Doe@Example.com ", "alt@example.com"}, "ph": {"+1 (650) 555-0123"}, "fn": {"Jane"}, "ln": {"Doe-Müller "}, "ge": {"F"}, "dobd": {"31"}, "dobm": {"12"}, "doby": {"1990"},
		"ct": {"San Francisco"}, "st": {"CA"}, "zp": {"94035-1234"}, "country": {"US"}, "fbp": {fbp}, "fbc": {fbc},
	})
	order.Visitor.UserID, order.Params = "user-42", map[string]any{"content_name": "Order"}
	order.Ecommerce = &sidetrack.Ecommerce{TransactionID: "T-1001", Currency: "EUR", Value: m(49.97), HasValue: true, Tax: m(5), Shipping: m(5), Coupon: "SUMMER", Items: []sidetrack.Item{
		{ID: "SKU-1", Name: "T-shirt, blue", Categories: []string{"Apparel"}, Brand: "Acme", Price: m(19.99), Quantity: 2},
		{ID: "SKU-2", Name: `Cap & "hat"`, Categories: []string{"Accessories"}, Brand: "Acme", Price: m(9.99), Quantity: 1},
	}}
	view := event("page_view", "evt-2", map[string][]string{"fbp": {fbp}})
	cfg := config()
	cfg.EventID, cfg.TestEventCode, cfg.AccessToken, cfg.DataProcessingOptions = "message_id", "TEST123", sidetrack.NewSecret("ACCESS_TOKEN"), []string{"LDU"}
	g, err := newGenerator(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := g.Request(sidetrack.Unit{Events: []*sidetrack.Event{order, view}, At: time.Unix(1714557630, 0)})
	if err != nil || !strings.HasSuffix(r.URL, captured[0].Path) {
		t.Fatal(r, err)
	}
	var got map[string]any
	if err := json.Unmarshal(r.Body, &got); err != nil {
		t.Fatal(err)
	}
	var differences []string
	var compare func(path string, got, want any)
	compare = func(path string, got, want any) {
		g, ok1 := got.(map[string]any)
		w, ok2 := want.(map[string]any)
		if ok1 && ok2 {
			keys := map[string]bool{}
			for k := range g {
				keys[k] = true
			}
			for k := range w {
				keys[k] = true
			}
			for k := range keys {
				compare(path+"."+k, g[k], w[k])
			}
			return
		}
		gl, ok1 := got.([]any)
		wl, ok2 := want.([]any)
		if ok1 && ok2 && len(gl) == len(wl) {
			for i := range gl {
				compare(fmt.Sprintf("%s[%d]", path, i), gl[i], wl[i])
			}
			return
		}
		if asJSON(got) != asJSON(want) {
			differences = append(differences, path)
		}
	}
	compare("", got, want)
	slices.Sort(differences)
	listed := []string{
		".data[0].user_data.external_id[0]", // hashed
		// Limited Data Use is the sink's and not one event's.
		".data[1].data_processing_options", ".data[1].data_processing_options_country", ".data[1].data_processing_options_state",
		".partner_agent",
	}
	if !slices.Equal(differences, listed) {
		t.Errorf("differences\n%s\nlisted\n%s", strings.Join(differences, "\n"), strings.Join(listed, "\n"))
	}
	// The fields that Meta requires are among those that were compared.
	for _, e := range got["data"].([]any) {
		for _, k := range []string{"event_name", "event_time", "action_source", "event_source_url", "user_data", "event_id"} {
			if e.(map[string]any)[k] == nil {
				t.Errorf("no %s", k)
			}
		}
	}
}
