package ga

import (
	"encoding/json"
	"errors"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gamock"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

func config() Config {
	return Config{MeasurementID: "G-TEST123456", APISecret: sidetrack.NewSecret("mp-secret-1")}
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(config()) }, sinktest.Golden("testdata"))
}

func TestConfigErrors(t *testing.T) {
	secret := sidetrack.NewSecret("x")
	for want, cfg := range map[string]Config{
		"measurement_id: is missing":         {APISecret: secret},
		"measurement_id: has not the form":   {MeasurementID: "UA-1234-1", APISecret: secret},
		"api_secret: is missing":             {MeasurementID: "G-ABCDEF"},
		"firebase_app_id: excludes":          {MeasurementID: "G-ABCDEF", FirebaseAppID: "1:2:web:3", APISecret: secret},
		"firebase_app_id: has not the form":  {FirebaseAppID: "com.example.app", APISecret: secret},
		"region: must be eu":                 {MeasurementID: "G-ABCDEF", APISecret: secret, Region: "us"},
		"endpoint: must be an absolute http": {MeasurementID: "G-ABCDEF", APISecret: secret, Endpoint: "localhost:80"},
	} {
		_, err := New(cfg)
		if _, ok := errors.AsType[*sidetrack.FieldError](err); !ok || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	cfg := config()
	cfg.Region = "eu"
	g, err := newGenerator(cfg)
	if err != nil || !strings.HasPrefix(g.url, "https://region1.google-analytics.com/mp/collect?") {
		t.Errorf("%v %v", g, err)
	}
}

// send makes the request of events and returns its body.
func send(t *testing.T, cfg Config, events ...*sidetrack.Event) map[string]any {
	t.Helper()
	g, err := newGenerator(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := g.Request(sidetrack.Unit{Events: events, At: time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	var b map[string]any
	if err := json.Unmarshal(r.Body, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func paramsOf(b map[string]any, i int) map[string]any {
	return b["events"].([]any)[i].(map[string]any)["params"].(map[string]any)
}

func TestLimitsAreKeptLocally(t *testing.T) {
	e := &sidetrack.Event{Name: "1 strange-name! that is much too long for Google Analytics", Visitor: sidetrack.Visitor{ClientID: "1.2", UserID: strings.Repeat("ü", 300)},
		Page: sidetrack.Page{URL: "https://x/" + strings.Repeat("u", 2000), Title: strings.Repeat("t", 400), Referrer: strings.Repeat("r", 500)}}
	e.Params = map[string]any{"_hidden": 1, "ga_x": 1, "firebase_conversion": 1, "ok name": strings.Repeat("é", 200), "nan": math.NaN(), "list": []any{1}}
	for i := range 40 {
		e.SetParam("p"+strings.Repeat("x", i), i)
	}
	e.UserProperties = map[string]any{"user_id": "no", "a_name_that_is_longer_than_24_characters": strings.Repeat("v", 50)}
	b := send(t, config(), e)
	p := paramsOf(b, 0)
	if len(p) > gawire.MaxParams {
		t.Errorf("%d parameters", len(p))
	}
	for _, k := range []string{"_hidden", "ga_x", "firebase_conversion", "nan", "list"} {
		if _, ok := p[k]; ok {
			t.Errorf("%s was sent", k)
		}
	}
	if n := b["events"].([]any)[0].(map[string]any)["name"]; n != "strange_name__that_is_much_too_long_for_" {
		t.Errorf("name %q", n)
	}
	if len(p["page_location"].(string)) != 1000 || len(p["page_title"].(string)) != 300 || len(p["page_referrer"].(string)) != 420 {
		t.Error("page fields are not clipped to their own limits")
	}
	if s := p["ok_name"].(string); s != strings.Repeat("é", 100) {
		t.Errorf("value of %d bytes", len(s))
	}
	if n := len([]rune(b["user_id"].(string))); n != 256 {
		t.Errorf("user_id of %d characters", n)
	}
	u := b["user_properties"].(map[string]any)
	if len(u) != 1 || len(u["a_name_that_is_longer_th"].(map[string]any)["value"].(string)) != 36 {
		t.Errorf("user properties %v", u)
	}
}

func TestTimestampsNeverLieInTheFuture(t *testing.T) {
	e := &sidetrack.Event{Name: "a", Time: time.Date(2026, 1, 31, 13, 0, 0, 0, time.UTC), Visitor: sidetrack.Visitor{ClientID: "1.2"}}
	past := &sidetrack.Event{Name: "a", Time: time.Date(2026, 1, 30, 13, 0, 0, 0, time.UTC), Visitor: sidetrack.Visitor{ClientID: "1.2"}}
	b := send(t, config(), e, past)
	events := b["events"].([]any)
	if _, ok := events[0].(map[string]any)["timestamp_micros"]; ok {
		t.Error("a time in the future was sent")
	}
	if got := events[1].(map[string]any)["timestamp_micros"]; got != float64(past.Time.UnixMicro()) {
		t.Errorf("timestamp %v", got)
	}
}

func TestAppStreams(t *testing.T) {
	cfg := Config{FirebaseAppID: "1:1234567890:android:321abc456def7890", APISecret: sidetrack.NewSecret("s")}
	e := &sidetrack.Event{Name: "screen_view", Visitor: sidetrack.Visitor{AppInstanceID: "0123456789abcdef0123456789abcdef"}, App: sidetrack.App{Screen: "Cart"}}
	b := send(t, cfg, e)
	if b["app_instance_id"] != e.Visitor.AppInstanceID || b["client_id"] != nil || b["events"].([]any)[0].(map[string]any)["name"] != "screen_view" {
		t.Errorf("%v", b)
	}
	g, err := newGenerator(cfg)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(g.url)
	if err != nil || u.Query().Get("firebase_app_id") != cfg.FirebaseAppID || u.Query().Has("measurement_id") {
		t.Errorf("%s", g.url)
	}
}

func TestEventsOfDifferentContextsAreKeptApart(t *testing.T) {
	edits := []func(*sidetrack.Event){
		func(e *sidetrack.Event) { e.Visitor.ClientID = "other" },
		func(e *sidetrack.Event) { e.Visitor.UserID = "other" },
		func(e *sidetrack.Event) { e.Consent.Set(sidetrack.AdUserData, sidetrack.Granted) },
		func(e *sidetrack.Event) { e.Consent.Set(sidetrack.AdPersonalization, sidetrack.Granted) },
		func(e *sidetrack.Event) { e.Network.IP = "other" },
		func(e *sidetrack.Event) { e.Network.City = "other" },
		func(e *sidetrack.Event) { e.Device.UserAgent = "other" },
		func(e *sidetrack.Event) { e.Device.Browser = "other" },
		func(e *sidetrack.Event) { e.UserProperties = map[string]any{"a": 1} },
	}
	g, err := newGenerator(config())
	if err != nil {
		t.Fatal(err)
	}
	first := func() *sidetrack.Event { return &sidetrack.Event{Visitor: sidetrack.Visitor{ClientID: "1.2"}} }
	base := g.groupKey(first())
	for i, edit := range edits {
		e := first()
		edit(e)
		if g.groupKey(e) == base {
			t.Errorf("edit %d shares a request with what it differs from", i)
		}
	}
	e := first()
	e.Name, e.Page.URL, e.Ecommerce = "a", "b", &sidetrack.Ecommerce{Currency: "EUR"}
	if g.groupKey(e) != base {
		t.Error("events of one visitor do not share a request")
	}
}

// FuzzRequest holds what the sink makes of any event against a mock that enforces Google's rules. By
// default a parameter that is required may be missing; when the policy drops, nothing may be wrong.
func FuzzRequest(f *testing.F) {
	f.Add(`{"name":"a","visitor":{"client_id":"1.2"},"params":{"a":1}}`)
	f.Add(`{"name":"purchase","visitor":{"client_id":"1.2"},"ecommerce":{"value":1e9,"items":[{"quantity":1e300,"params":{"x":"y"}}]},"user_properties":{"a":[1]}}`)
	f.Add(`{"name":"add_to_cart","visitor":{"client_id":"1.2","session_id":"x"},"params":{"value":"12.5","currency":"eur","items":[{"item_id":7,"price":"1.5","index":2,"x y":1},3]}}`)
	f.Add(`{"name":"screen_view","visitor":{"client_id":"1.2","app_instance_id":"0123456789abcdef0123456789abcdef"},"user_properties":{"a b":{"value":"x","timestamp_micros":5},"a_b":1,"c":{"value":[]}}}`)
	f.Add(`{"name":"search","visitor":{"client_id":"1.2"},"time":"2026-01-01T00:00:00Z","params":{"debug_mode":false,"":1,"gtag.x":1,"a.b":1,"a_b":2}}`)
	at := time.Unix(1_769_860_000, 0)
	var generators []*generator
	for _, cfg := range []Config{
		config(),
		{MeasurementID: "G-TEST123456", APISecret: sidetrack.NewSecret("s"), Policy: map[string]Action{"default": Drop, "timestamp_too_old": Clip}, Currency: "EUR"},
		{FirebaseAppID: "1:2:ios:3", APISecret: sidetrack.NewSecret("s"), Policy: map[string]Action{"default": Reject}, Debug: true},
	} {
		g, err := newGenerator(cfg)
		if err != nil {
			f.Fatal(err)
		}
		generators = append(generators, g)
	}
	f.Add(`{"name":"A","visitor":{"client_id":"0"},"params":{"items":[{"item_id":0,"price":"A","index":true}]}}`)
	f.Fuzz(func(t *testing.T, in string) {
		e, err := sidetrack.ParseEvent(in)
		if err != nil {
			return
		}
		for i, g := range generators {
			g.groupKey(e)
			r, err := g.Request(sidetrack.Unit{Events: []*sidetrack.Event{e, e.Clone()}, At: at})
			if r == nil {
				if _, ok := errors.AsType[*sidetrack.PartialError](err); !ok {
					t.Fatalf("neither a request nor a reason: %v", err)
				}
				continue
			}
			u, err := url.Parse(r.URL)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range gamock.Check(at, r.MethodOrPost(), u.Query(), r.Header, r.Body) {
				tooOld := m.ValidationCode == "VALUE_OUT_OF_BOUNDS" && strings.HasSuffix(m.FieldPath, "timestamp_micros")
				if i == 0 && (m.ValidationCode == "VALUE_REQUIRED" || tooOld) || m.FieldPath == "body" && m.ValidationCode == "VALUE_OUT_OF_BOUNDS" {
					continue // required parameters are kept missing, the pipeline expires, and splits by size
				}
				t.Fatalf("policy %d: %+v in %s", i, m, r.Body)
			}
		}
	})
}
