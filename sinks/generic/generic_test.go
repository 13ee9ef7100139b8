package generic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/sinkrun"
	"github.com/sidetrack-go/sidetrack/sinks/oauth"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

var now = time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)

type tree = map[string]any

// batch is a tracker that takes lists of events as JSON.
func batch() Config {
	return Config{
		URL: "https://tracker.example/v1/batch", Batch: tree{"sent": "{unit.time.unix}", "batch_id": "{unit.id}", "events": "{events}"},
		JSON: tree{
			"id": "{id!}", "type": "{name}", "ts": "{time.unix_msec}", "url": "{page.url|about:blank}", "title": "{page.title}", "status": "{page.status|0}",
			"who":   tree{"client": "{visitor.client_id}", "user": "{visitor.user_id}"},
			"order": tree{"id": "{ecommerce.transaction_id}", "sum": "{ecommerce.value}", "currency": "{ecommerce.currency}", "first": "{ecommerce.items.0.item_id}", "items": "{ecommerce.items}"},
			"label": "{site}/{name}: {page.title|no title}", "props": "{params}", "tags": []any{"web", "{params.plan}"}, "version": int64(1), "test": false, "none": nil,
		},
		Names: map[string]string{"page_view": "pageview"}, Headers: map[string]string{"X-Batch": "{unit.id}"},
		Auth: Auth{BearerToken: sidetrack.NewSecret("very-secret-token")}, MaxEvents: 7, MaxBytes: 4096,
	}
}

// form is one that takes forms.
func form() Config {
	return Config{
		URL: "https://tracker.example/{site}/hit", Query: map[string]string{"v": "1", "t": "{name}"},
		Form:    map[string]string{"url": "{page.url}", "uid": "{visitor.user_id}", "p": "{params}"},
		Headers: map[string]string{"User-Agent": "{device.user_agent}", "X-Forwarded-For": "{network.ip}"},
		Auth:    Auth{Basic: sidetrack.NewSecret("me:very secret"), Query: map[string]sidetrack.Secret{"key": sidetrack.NewSecret("a/secret+key")}, Headers: map[string]sidetrack.Secret{"X-Api-Key": sidetrack.NewSecret("{secret}")}},
	}
}

// pixel is one that takes images with a query.
func pixel() Config {
	return Config{URL: "https://tracker.example/i.gif", Method: "GET", Query: map[string]string{"e": "{name}", "u": "{page.url}", "rnd": "{id}"}, MaxAge: time.Hour}
}

func TestContract(t *testing.T) {
	for name, cfg := range map[string]Config{"batch": batch(), "form": form(), "pixel": pixel()} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(cfg) }, sinktest.Golden("testdata/golden/"+name))
		})
	}
}

// TestTokens has the sink get a token, and the backend refuse it once.
func TestTokens(t *testing.T) {
	var calls atomic.Int64
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "robot" || password != "cl1ent-secret" || r.FormValue("scope") != "write" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"t0ken-%d","expires_in":3600}`, calls.Add(1))
	}))
	defer login.Close()
	tracker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t0ken-2" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer tracker.Close()
	cfg := Config{URL: tracker.URL, JSON: tree{"name": "{name}"}, Auth: Auth{OAuth2: &oauth.Config{
		TokenURL: login.URL, ClientID: "robot", ClientSecret: sidetrack.NewSecret("cl1ent-secret"), Scopes: []string{"write"},
	}}}
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var events []*sidetrack.Event
	for _, name := range []string{"a", "b", "c", "d"} {
		events = append(events, &sidetrack.Event{MessageID: name, Name: name, Consent: sidetrack.GrantAll("test")})
	}
	if got := sinkrun.Deliver(t, sink, events...); len(got.Delivered) != len(events) || calls.Load() != 2 {
		t.Errorf("%+v after %d tokens", got, calls.Load())
	}
	for field, change := range map[string]func(*Auth){
		"auth.oauth2":           func(a *Auth) { a.BearerToken = sidetrack.NewSecret("x") },
		"auth.oauth2 ":          func(a *Auth) { a.Headers = map[string]sidetrack.Secret{"authorization": sidetrack.NewSecret("x")} },
		"auth.oauth2.token_url": func(a *Auth) { a.OAuth2 = &oauth.Config{} },
	} {
		bad := cfg
		change(&bad.Auth)
		_, err := New(bad)
		if fe, ok := err.(*sidetrack.FieldError); !ok || fe.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		field, problem string
		change         func(*Config)
	}{
		{"url", "is missing", func(c *Config) { c.URL = "" }},
		{"url", "absolute", func(c *Config) { c.URL = "tracker.example" }},
		{"url", "absolute", func(c *Config) { c.URL = "https://{site}.example/" }},
		{"url", "absolute", func(c *Config) { c.URL = "https://tracker.example{site}" }},
		{"url", "query", func(c *Config) { c.URL = "https://tracker.example/?key=1" }},
		{"url", "user", func(c *Config) { c.URL = "https://a:b@tracker.example/" }},
		{"url", "does not exist here", func(c *Config) { c.URL += "/{name}" }}, // a batch has many names
		{"url", "behind its placeholders", func(c *Config) { c.URL += "/{unit.id}/%zz" }},
		{"method", "must be", func(c *Config) { c.Method = "DELETE" }},
		{"method", "with a body", func(c *Config) { c.Method = "GET" }},
		{"form", "exclude", func(c *Config) { c.Form = map[string]string{} }},
		{"json", "is missing", func(c *Config) { c.JSON, c.Batch, c.MaxEvents = nil, nil, 1 }},
		{"batch", "needs json", func(c *Config) { c.JSON, c.Form = nil, map[string]string{} }},
		{"batch", "once", func(c *Config) { c.Batch = tree{"a": "b"} }},
		{"batch", "once", func(c *Config) { c.Batch = []any{"{events}", "{events}"} }},
		{"batch", "once", func(c *Config) { c.Batch = "list: {events}" }},
		{"batch.a", "does not exist", func(c *Config) { c.Batch = tree{"a": "{page.url}"} }},
		{"max_events", "needs batch", func(c *Config) { c.Batch = nil }},
		{"max_events", "1 to 5000", func(c *Config) { c.MaxEvents = 5001 }},
		{"max_bytes", "negative", func(c *Config) { c.MaxBytes = -1 }},
		{"max_age", "negative", func(c *Config) { c.MaxAge = -1 }},
		{"auth.bearer_token", "exclude", func(c *Config) { c.Auth.Basic = sidetrack.NewSecret("a:b") }},
		{"auth.bearer_token", "ASCII", func(c *Config) { c.Auth.BearerToken = sidetrack.NewSecret("a\nb") }},
		{"auth.basic", "user:password", func(c *Config) { c.Auth = Auth{Basic: sidetrack.NewSecret("a")} }},
		{"auth.headers.a b", "name of a header", func(c *Config) { c.Auth.Headers = map[string]sidetrack.Secret{"a b": sidetrack.NewSecret("x")} }},
		{"headers.Host", "set by the sink", func(c *Config) { c.Headers = map[string]string{"Host": "a"} }},
		{"json.a.b[1]", "page.ulr, which does not exist", func(c *Config) { c.JSON = tree{"a": tree{"b": []any{"x", "{page.ulr}"}}} }},
		{"json.a", "does not exist", func(c *Config) { c.JSON = tree{"a": "{name.first}"} }},
		{"json.a", "does not exist", func(c *Config) { c.JSON = tree{"a": "{name.unix}"} }},
		{"json.a", "does not exist", func(c *Config) { c.JSON = tree{"a": "{ecommerce.items.first.id}"} }},
		{"json.a", "not closed", func(c *Config) { c.JSON = tree{"a": "{name"} }},
		{"json.a", "closes nothing", func(c *Config) { c.JSON = tree{"a": "name}"} }},
		{"json.a", "write {path}", func(c *Config) { c.JSON = tree{"a": "{}"} }},
		{"json.a", "write {path}", func(c *Config) { c.JSON = tree{"a": "{ name }"} }},
		{"json.a", "write text", func(c *Config) { c.JSON = tree{"a": struct{}{}} }},
	} {
		cfg := batch()
		tt.change(&cfg)
		_, err := New(cfg)
		if fe, ok := err.(*sidetrack.FieldError); !ok || fe.Field != tt.field || !strings.Contains(fe.Problem, tt.problem) {
			t.Errorf("%v, want %s %s", err, tt.field, tt.problem)
		}
	}
}

// TestValues has the rules for placeholders that docs/sinks/generic.md states.
func TestValues(t *testing.T) {
	e := &sidetrack.Event{
		ID: uuid.NewSHA1(uuid.NameSpaceOID, []byte("e")), Name: "view", Time: now, Page: sidetrack.Page{Status: 200, Title: `"a" {b}`},
		Params:    map[string]any{"n": int64(9007199254740993), "f": 0.5, "yes": true, "nothing": nil, "a.b": "dotted", "empty": "", "list": []any{"x", int64(2)}, "m": map[string]any{"k": "v"}},
		Ecommerce: &sidetrack.Ecommerce{Value: sidetrack.MoneyOf(59.9), HasValue: true},
	}
	for _, tt := range []struct{ template, want string }{
		{"{params.n}", `9007199254740993`},
		{"{params.f}", `0.5`},
		{"{params.yes}", `true`},
		{"{params.nothing}", `left out`},
		{"{params.nothing|none}", `"none"`},
		{"{params.a.b}", `"dotted"`},
		{"{params.empty|x}", `""`},
		{"{params.list}", `["x",2]`},
		{"{params.list.1}", `2`},
		{"{params.list.2}", `left out`},
		{"{params.m.k}", `"v"`},
		{"{ecommerce.value}", `59.9`},
		{"{page.title}", `"\"a\" {b}"`},
		{"{page.url}", `left out`},
		{"{page.url|}", `""`},
		{"{page.url|0}", `0`},
		{"{page.url|1.50}", `1.50`},
		{"{page.url|true}", `true`},
		{"{page.url|null}", `null`},
		{"{page.url|\"0\"}", `"\"0\""`},
		{"{page.url|a|b}", `"a|b"`},
		{"{page.url!}", `error: generic: the event has no page.url`},
		{"x{page.url!}", `error: generic: the event has no page.url`},
		{"{name} {page.status} {params.list} {page.url}.", `"view 200 [\"x\",2] ."`},
		{"{{name}} {name}", `"{name} view"`},
		{"{time.unix}", `1769860830`},
		{"{time.unix_msec}", `1769860830000`},
		{"{time}", `"2026-01-31T12:00:30Z"`},
		{"{unit.time.unix}", `1769860890`},
		{"", `""`},
	} {
		sink, err := New(Config{URL: "https://a.example/", JSON: tree{"v": tt.template}})
		if err != nil {
			t.Errorf("%s: %v", tt.template, err)
			continue
		}
		r, err := sink.Spec().Generator.Request(sidetrack.Unit{Events: []*sidetrack.Event{e}, At: now.Add(time.Minute)})
		var got string
		switch {
		case err != nil:
			got = "error: " + err.Error()
		case string(r.Body) == "{}":
			got = "left out"
		default:
			got = strings.TrimSuffix(strings.TrimPrefix(string(r.Body), `{"v":`), "}")
		}
		if got != tt.want {
			t.Errorf("%s is %s, want %s", tt.template, got, tt.want)
		}
	}
}

// What an event holds can neither leave its segment of the path nor add parameters or headers.
func TestInjection(t *testing.T) {
	cfg := form()
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := &sidetrack.Event{Name: "a&key=b", Site: "../x?y#z", Device: sidetrack.Device{UserAgent: "a\r\nX-Api-Key: b"}}
	r, err := sink.Spec().Generator.Request(sidetrack.Unit{Events: []*sidetrack.Event{e}, At: now})
	if err != nil {
		t.Fatal(err)
	}
	if r.URL != "https://tracker.example/..%2Fx%3Fy%23z/hit?key=a%2Fsecret%2Bkey&t=a%26key%3Db&v=1" || r.Header.Get("X-Api-Key") != "{secret}" || r.Header.Get("User-Agent") != "aX-Api-Key: b" {
		t.Errorf("%s %v", r.URL, r.Header)
	}
	for _, site := range []string{"", ".", ".."} {
		e.Site = site
		if _, err := sink.Spec().Generator.Request(sidetrack.Unit{Events: []*sidetrack.Event{e}, At: now}); err == nil {
			t.Errorf("%q in the path", site)
		}
	}
}

// A parameter or header of the same name does not replace a credential.
func TestCredentialsWin(t *testing.T) {
	cfg := form()
	cfg.Query["key"], cfg.Headers["x-api-key"] = "{name}", "{name}"
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := sink.Spec().Generator.Request(sidetrack.Unit{Events: sinktest.Samples()[:1], At: now})
	if err != nil || !strings.Contains(r.URL, "?key=a%2Fsecret%2Bkey&t=page_view&v=1") || r.Header.Get("X-Api-Key") != "{secret}" {
		t.Errorf("%s %v %v", r.URL, r.Header, err)
	}
}

// Any text either does not compile or fills to valid JSON.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"{name}", "{{}}", "{page.url|a}{time.unix}", "{ecommerce.items.0.item_id!}", "}{", "{params.a.b|1e999}", "{params.a.b|1e9 }", "{page.url|-}"} {
		f.Add(s)
	}
	e := sinktest.Samples()[2]
	f.Fuzz(func(t *testing.T, s string) {
		tpl, err := eventCompiler().text("json", s)
		if err != nil {
			if _, ok := err.(*sidetrack.FieldError); !ok {
				t.Errorf("%T", err)
			}
			return
		}
		sc := scope{}
		if err := new(generator).add(sc, e); err != nil {
			t.Fatal(err)
		}
		v, _, err := tpl.fill(sc)
		if err != nil {
			return
		}
		if b, err := json.Marshal(v); err != nil || !json.Valid(b) {
			t.Errorf("%q gives %q: %v", s, b, err)
		}
	})
}

// tracker is a strict stand-in of a tracker that takes batches.
type tracker struct {
	t        *testing.T
	mu       sync.Mutex
	requests int
	answers  map[int]int
	taken    []string
}

func (f *tracker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	if status := f.answers[f.requests]; status != 0 {
		w.Header().Set("Retry-After", "0.01")
		w.WriteHeader(status)
		return
	}
	var b struct {
		Sent    int64
		BatchID uuid.UUID `json:"batch_id"`
		Events  []struct {
			ID    uuid.UUID
			Type  string
			TS    int64
			URL   string
			Order *struct{ ID string }
		}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&b); err != nil || r.Method != http.MethodPost || r.URL.String() != "/v1/batch" || r.Header.Get("Content-Type") != "application/json" ||
		r.Header.Get("Authorization") != "Bearer very-secret-token" || r.Header.Get("X-Batch") != b.BatchID.String() || len(body) > 4096 ||
		len(b.Events) == 0 || len(b.Events) > 7 || b.Sent < time.Now().Unix()-60 {
		f.t.Errorf("%s %s %v %.300s: %v", r.Method, r.URL, r.Header, body, err)
	}
	for _, e := range b.Events {
		if e.Type == "poison" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if e.Type != "pageview" || e.TS == 0 || e.Order != nil {
			f.t.Errorf("%+v", e)
		}
	}
	for _, e := range b.Events {
		f.taken = append(f.taken, e.URL)
	}
}

func TestDelivery(t *testing.T) {
	f := &tracker{t: t, answers: map[int]int{1: 500, 3: 429, 5: 503}}
	s := httptest.NewServer(f)
	defer s.Close()
	cfg := batch()
	cfg.URL = s.URL + "/v1/batch"
	cfg.JSON["title"] = "{page.title!}"
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var events []*sidetrack.Event
	for i := range 40 {
		events = append(events, &sidetrack.Event{MessageID: fmt.Sprint("e", i), Name: "page_view", Time: time.Now(), Page: sidetrack.Page{URL: fmt.Sprint("https://shop.example/", i), Title: "T"}, Consent: sidetrack.GrantAll("test")})
	}
	events[11].Name = "poison"
	events[17].Page.Title = "" // required
	events[23].Params = map[string]any{"long": strings.Repeat("x", 5000)}
	r := sinkrun.Deliver(t, sink, events...)
	slices.Sort(r.Dead)
	if !slices.Equal(r.Dead, []string{"e11", "e17", "e23"}) || len(r.Delivered) != 37 || !strings.Contains(r.Errors["e17"], "no page.title") {
		t.Errorf("dead %v, %d delivered: %v", r.Dead, len(r.Delivered), r.Errors)
	}
	slices.Sort(f.taken)
	if n := len(slices.Compact(slices.Clone(f.taken))); n != 37 || len(f.taken) != 37 {
		t.Errorf("%d events, %d different", len(f.taken), n)
	}
}

// An event that cannot be sent leaves the others of its batch in one request.
func TestPartial(t *testing.T) {
	sink, err := New(batch())
	if err != nil {
		t.Fatal(err)
	}
	events := append(sinktest.Samples()[:2:2], &sidetrack.Event{Name: "no id"}, sinktest.Samples()[3])
	r, err := sink.Spec().Generator.Request(sidetrack.Unit{Events: events, At: now})
	partial, ok := err.(*sidetrack.PartialError)
	if !ok || len(partial.Failed) != 1 || partial.Failed[2] == nil || r == nil || bytes.Count(r.Body, []byte(`"version":1`)) != 3 {
		t.Errorf("%v: %v", r, err)
	}
}
