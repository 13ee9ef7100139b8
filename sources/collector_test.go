package sources

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/size"
)

func newCollector(t testing.TB, out sidetrack.Emitter, cfg CollectorConfig) *Collector {
	t.Helper()
	c, err := NewCollector(out, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// post sends body to /collect as the sentinel.
func post(h http.Handler, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "http://t.shop.example/collect", strings.NewReader(body))
	r.RemoteAddr = sentinel + ":4711"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func parseAnswer(t *testing.T, w *httptest.ResponseRecorder) answer {
	t.Helper()
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("answer %d %q: %v", w.Code, w.Body, err)
	}
	return a
}

func TestCollectForms(t *testing.T) {
	const a, b = `{"name":"a"}`, `{"name":"b","params":{"s":"}],[{\"\\"}}`
	tests := []struct {
		name, body string
		header     []string
		status     int
		names      string
	}{
		{"one event", a, nil, 204, "a"},
		{"white space and BOM", "\ufeff\r\n " + a + "\n\t", nil, 204, "a"},
		{"pretty printed", "{\n  \"name\": \"a\",\n  \"params\": {\n    \"x\": 1\n  }\n}", nil, 204, "a"},
		{"beacon", a, []string{"Content-Type", "text/plain;charset=UTF-8"}, 204, "a"},
		{"form label", a, []string{"Content-Type", "application/x-www-form-urlencoded"}, 204, "a"},
		{"array", "[" + a + " , " + b + "]", nil, 200, "a b"},
		{"array of one", "[" + a + "]", nil, 200, "a"},
		{"batch", `{"batch":[` + a + "," + b + "]}", nil, 200, "a b"},
		{"batch with sent_at", `{ "sent_at" : "2026-01-01T00:00:00Z", "batch" : [` + a + `] }`, nil, 200, "a"},
		{"an event that mentions batch", `{"name":"a","params":{"x":"\"batch\"","batch":[1]}}`, nil, 204, "a"},
		{"lines", a + "\n" + b + "\n", nil, 200, "a b"},
		{"lines with CRLF and blanks", a + "\r\n\r\n" + b, nil, 200, "a b"},
		{"one line, labelled", a + "\n", []string{"Content-Type", "application/x-ndjson"}, 200, "a"},
		{"gzip", gzipped(a), []string{"Content-Encoding", "gzip"}, 204, "a"},
		{"gzip without label", gzipped("[" + a + "]"), nil, 200, "a"},
		{"deflate", zlibbed(a), []string{"Content-Encoding", "deflate"}, 204, "a"},
		{"identity", a, []string{"Content-Encoding", "identity"}, 204, "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{}
			w := post(newCollector(t, f, CollectorConfig{}), tt.body, tt.header...)
			if w.Code != tt.status {
				t.Fatalf("status %d, want %d: %s", w.Code, tt.status, w.Body)
			}
			var names []string
			for _, e := range f.all() {
				names = append(names, e.Name)
			}
			if got := strings.Join(names, " "); got != tt.names {
				t.Errorf("events %q, want %q", got, tt.names)
			}
			if tt.status == 200 {
				if a := parseAnswer(t, w); a.Accepted != len(names) || a.Errors != nil {
					t.Errorf("answer %s", w.Body)
				}
			} else if w.Body.Len() > 0 {
				t.Errorf("body with 204: %q", w.Body)
			}
		})
	}
}

func TestCollectRefusesWholeRequests(t *testing.T) {
	bomb := gzipped(strings.Repeat(" ", 2<<20) + "{}")
	tests := []struct {
		name, body string
		header     []string
		status     int
		field      string
	}{
		{"empty", "", nil, 400, "body"},
		{"blank", " \n ", nil, 400, "body"},
		{"no JSON", "hello", nil, 400, "body"},
		{"number", "42", nil, 400, "body"},
		{"form", "name=a&url=b", nil, 400, "body"},
		{"open bracket", `{"name":"a"`, nil, 400, "body"},
		{"open string", `{"name":"a`, nil, 400, "body"},
		{"open array", `[{"name":"a"}`, nil, 400, "body"},
		{"trailing comma", `[{"name":"a"},]`, nil, 400, "body"},
		{"no comma", `[{"name":"a"}{"name":"b"}]`, nil, 400, "body"},
		{"after the event", `{"name":"a"} x`, nil, 400, "body"},
		{"after the array", `[{"name":"a"}] x`, nil, 400, "body"},
		{"empty array", `[]`, nil, 400, "batch"},
		{"empty batch", `{"batch":[]}`, nil, 400, "batch"},
		{"batch is no array", `{"batch":{"name":"a"}}`, nil, 400, "batch"},
		{"consent beside batch", `{"batch":[{"name":"a"}],"consent":{"analytics_storage":"denied"}}`, nil, 400, "consent"},
		{"too many elements", "[" + strings.Repeat(`{"name":"a"},`, MaxElements) + `{"name":"a"}]`, nil, 413, "batch"},
		{"too many lines", strings.Repeat("{\"name\":\"a\"}\n", MaxElements+1), nil, 413, "batch"},
		{"10,000 elements", "[" + strings.Repeat(`{"name":"a"},`, 9999) + `{"name":"a"}]`, nil, 413, "batch"},
		{"too large", `{"name":"` + strings.Repeat("a", 1<<20) + `"}`, nil, 413, "body"},
		{"decompressed too large", bomb, []string{"Content-Encoding", "gzip"}, 413, "body"},
		{"truncated gzip", gzipped(`{"name":"a"}`)[:20], []string{"Content-Encoding", "gzip"}, 400, "body"},
		{"gzip header only", "\x1f\x8b", []string{"Content-Encoding", "gzip"}, 400, "body"},
		{"damaged gzip", gzipped(strings.Repeat(`{"name":"abc"}`, 9))[:30] + strings.Repeat("\xff", 20), nil, 400, "body"},
		{"gzip that is none", `{"name":"a"}`, []string{"Content-Encoding", "gzip"}, 400, "body"},
		{"truncated deflate", zlibbed(`{"name":"a"}`)[:10], []string{"Content-Encoding", "deflate"}, 400, "body"},
		{"unknown encoding", "x", []string{"Content-Encoding", "compress"}, 415, "body"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{}
			w := post(newCollector(t, f, CollectorConfig{MaxBody: size.MiB}), tt.body, tt.header...)
			a := parseAnswer(t, w)
			if w.Code != tt.status || len(a.Errors) != 1 || tt.field != "*" && a.Errors[0].Field != tt.field || len(a.Errors[0].Field) > 200 || a.Errors[0].Message == "" || a.Accepted != 0 {
				t.Errorf("%d %s, want %d for %s", w.Code, w.Body, tt.status, tt.field)
			}
			if len(f.all()) != 0 {
				t.Errorf("%d events", len(f.all()))
			}
		})
	}
}

// TestCollectKeepsGoodElements: a bad element costs only itself and is named.
func TestCollectKeepsGoodElements(t *testing.T) {
	id := uuid.NewString()
	bad := []struct{ name, element, field string }{
		{"no object", `7`, ""},
		{"broken inside", `{"name" "a"}`, ""},
		{"wrong type", `{"name":7}`, "name"},
		{"deep", `{"name":"a","params":{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}}`, ""},
		{"very deep", `{"name":"a","params":{"x":` + strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000) + `}}`, ""},
		{"NaN", `{"name":"a","params":{"x":NaN}}`, "params.x"},
		{"bad time", `{"name":"a","time":"yesterday"}`, "time"},
		{"bad id", `{"id":"7","name":"a"}`, "id"},
		{"same id", `{"id":"` + id + `","name":"a"}`, "id"},
		{"same message id", `{"message_id":"m","name":"a"}`, "message_id"},
		{"invalid UTF-8", "{\"name\":\"a\",\"page\":{\"title\":\"\xff\"}}", "page.title"},
	}
	for _, form := range []string{"array", "lines"} {
		for _, tt := range bad {
			t.Run(form+"/"+tt.name, func(t *testing.T) {
				elements := []string{`{"id":"` + id + `","name":"first","message_id":"m"}`, tt.element, `{"name":"last"}`}
				body := "[" + strings.Join(elements, ",") + "]"
				if form == "lines" {
					body = strings.Join(elements, "\n")
				}
				f := &fake{}
				w := post(newCollector(t, f, CollectorConfig{}), body)
				a := parseAnswer(t, w)
				if w.Code != 200 || a.Accepted != 2 || len(a.Errors) != 1 || a.Errors[0].Index == nil || *a.Errors[0].Index != 1 || a.Errors[0].Message == "" {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
				if tt.field != "" && a.Errors[0].Field != tt.field {
					t.Errorf("field %q, want %q (%s)", a.Errors[0].Field, tt.field, a.Errors[0].Message)
				}
				if events := f.all(); len(events) != 2 || events[0].Name != "first" || events[1].Name != "last" {
					t.Errorf("%d events", len(events))
				}
			})
		}
	}
	for _, tt := range bad[:8] {
		t.Run("alone/"+tt.name, func(t *testing.T) {
			for _, body := range []string{tt.element, "[" + tt.element + "]"} {
				w := post(newCollector(t, &fake{}, CollectorConfig{}), body)
				if a := parseAnswer(t, w); w.Code != 400 || len(a.Errors) != 1 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
}

func TestCollectMapsRefusals(t *testing.T) {
	invalid := &sidetrack.FieldError{Field: "ecommerce.items[0].price", Problem: "must not be negative"}
	big := &sidetrack.FieldError{Problem: "event is too large"}
	const one, three = `{"name":"a"}`, `[{"name":"a"},7,{"name":"b"}]`
	tests := []struct {
		name, body string
		err        error
		status     int
		accepted   int
		errs       string // index:field
	}{
		{"one of two", three, refusing(invalid, sidetrack.ReasonInvalid, 1), 200, 1, "1: 2:ecommerce.items[0].price"},
		{"first of two", three, refusing(invalid, sidetrack.ReasonInvalid, 0), 200, 1, "0:ecommerce.items[0].price 1:"},
		{"all", three, refusing(invalid, sidetrack.ReasonInvalid, 0, 1), 400, 0, "0:ecommerce.items[0].price 1: 2:ecommerce.items[0].price"},
		{"single", one, refusing(invalid, sidetrack.ReasonInvalid, 0), 400, 0, "-:ecommerce.items[0].price"},
		{"single too large", one, refusing(big, sidetrack.ReasonTooLarge, 0), 413, 0, "-:"},
		{"a processor failed", one, refusing(errors.New("secret inside"), sidetrack.ReasonProcessor, 0), 500, 0, "-:"},
		{"overloaded", three, refusing(sidetrack.ErrOverloaded, sidetrack.ReasonOverloaded, 0, 1), 503, 0, "-:"},
		{"partly overloaded", three, refusing(sidetrack.ErrOverloaded, sidetrack.ReasonOverloaded, 1), 503, 0, "-:"},
		{"unavailable", one, refusing(fmt.Errorf("bus: %w", sidetrack.ErrUnavailable), sidetrack.ReasonUnavailable, 0), 503, 0, "-:"},
		{"closed", one, refusing(sidetrack.ErrClosed, sidetrack.ReasonClosed, 0), 503, 0, "-:"},
		{"timeout", one, fmt.Errorf("emit: %w", context.DeadlineExceeded), 503, 0, "-:"},
		{"other", one, errors.New("secret inside"), 500, 0, "-:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{emit: func(context.Context, []*sidetrack.Event) error { return tt.err }}
			w := post(newCollector(t, f, CollectorConfig{RetryAfter: 7 * time.Second}), tt.body)
			a := parseAnswer(t, w)
			var errs []string
			for _, e := range a.Errors {
				index := "-"
				if e.Index != nil {
					index = fmt.Sprint(*e.Index)
				}
				errs = append(errs, index+":"+e.Field)
			}
			if w.Code != tt.status || a.Accepted != tt.accepted || strings.Join(errs, " ") != tt.errs {
				t.Errorf("%d %s, want %d and %q", w.Code, w.Body, tt.status, tt.errs)
			}
			if got := w.Header().Get("Retry-After"); (got == "7") != (tt.status == 503) {
				t.Errorf("Retry-After %q with %d", got, w.Code)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("the answer tells about the inside: %s", w.Body)
			}
		})
	}
}

func TestCollectStoreTimeout(t *testing.T) {
	f := &fake{emit: func(ctx context.Context, _ []*sidetrack.Event) error { <-ctx.Done(); return ctx.Err() }}
	w := post(newCollector(t, f, CollectorConfig{StoreTimeout: time.Millisecond}), `{"name":"a"}`)
	if w.Code != 503 {
		t.Errorf("status %d", w.Code)
	}
}

func TestCollectCompletes(t *testing.T) {
	f := &fake{}
	c := newCollector(t, f, CollectorConfig{TrustedProxies: []string{"10.0.0.0/8"}})
	r := httptest.NewRequest("POST", "http://t.shop.example/collect", strings.NewReader(
		`[{"name":"a"},{"name":"b","page":{"url":"https://u:p@shop.example/b?utm_source=mail#x","referrer":"https://e:f@other.example/#y"},
		"device":{"user_agent":"Own/1","language":"fr"}},{"name":"c","app":{"name":"App"}}]`))
	r.RemoteAddr = "10.0.0.1:1"
	r.Header.Set("X-Forwarded-For", "198.51.100.1, "+sentinel)
	r.Header.Set("Referer", "https://shop.example/page?gclid=G1#frag")
	r.Header.Set("User-Agent", "Mozilla/5.0\x01 \xff")
	r.Header.Set("Accept-Language", "pt-BR,pt;q=0.8")
	r.Header.Set("Sec-Ch-Ua-Mobile", "?0")
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	events := f.all()
	if len(events) != 3 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	a, b, app := events[0], events[1], events[2]
	for what, pair := range map[string][2]string{
		"page is the caller":    {a.Page.URL, "https://shop.example/page?gclid=G1"},
		"no referrer from it":   {a.Page.Referrer, ""},
		"path":                  {a.Page.Path, "/page"},
		"click id":              {a.Campaign.ClickIDs["gclid"], "G1"},
		"user agent":            {a.Device.UserAgent, "Mozilla/5.0 "},
		"language":              {a.Device.Language, "pt-BR"},
		"hint":                  {a.Device.Hints["sec-ch-ua-mobile"], "?0"},
		"own url":               {b.Page.URL, "https://shop.example/b?utm_source=mail"},
		"own referrer":          {b.Page.Referrer, "https://other.example/"},
		"own user agent":        {b.Device.UserAgent, "Own/1"},
		"own language":          {b.Device.Language, "fr"},
		"campaign of own url":   {b.Campaign.Source, "mail"},
		"an app has no page":    {app.Page.URL, ""},
		"client behind a proxy": {app.Origin().IP().String(), sentinel},
		"host":                  {app.Origin().Host(), "t.shop.example"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %q, want %q", what, pair[0], pair[1])
		}
	}
}

// TestCollectBadInput lets the events be validated as the pipeline does.
func TestCollectBadInput(t *testing.T) {
	long := strings.Repeat("x", 64<<10)
	for name, tt := range map[string]struct{ element, field string }{
		"year 0":                  {`{"name":"a","time":"0000-01-01T00:00:00Z"}`, "time"},
		"year 9999":               {`{"name":"a","time":"9999-12-31T23:59:59Z"}`, "time"},
		"negative price":          {`{"name":"purchase","ecommerce":{"items":[{"item_id":"1","price":-1}]}}`, "ecommerce.items[0].price"},
		"huge price":              {`{"name":"purchase","ecommerce":{"value":1e300}}`, "ecommerce.value"},
		"64 KiB title":            {`{"name":"a","page":{"title":"` + long + `"}}`, "page.title"},
		"64 KiB URL":              {`{"name":"a","page":{"url":"https://shop.example/` + long + `"}}`, "page.url"},
		"64 KiB name":             {`{"name":"` + long + `"}`, "name"},
		"64 KiB parameter":        {`{"name":"a","params":{"x":"` + long + `"}}`, "params.x"},
		"no name":                 {`{"page":{"title":"x"}}`, "name"},
		"control byte in name":    {`{"name":"a\u0000b"}`, "name"},
		"raw control byte":        {"{\"name\":\"a\x01b\"}", "name"},
		"relative URL":            {`{"name":"a","page":{"url":"/x"}}`, "page.url"},
		"unknown consent":         {`{"name":"a","consent":{"analytics_storage":"maybe"}}`, "consent.analytics_storage"},
		"infinite number":         {`{"name":"a","params":{"x":1e999}}`, "params.x"},
		"deep in a skipped key":   {`{"name":"a","unknown":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}`, "*"},
		"a bad, long key":         {`{"name":"a","params":{"` + long + `":NaN}}`, "*"},
		"lone surrogate in a key": {`{"name":"a","params":{"\ud800":1}}`, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{emit: func(_ context.Context, events []*sidetrack.Event) error {
				for i, e := range events {
					if err := e.Validate(time.Now()); err != nil {
						return refusing(err, sidetrack.ReasonInvalid, i)
					}
				}
				return nil
			}}
			c := newCollector(t, f, CollectorConfig{})
			for body, index := range map[string]int{tt.element: -1, "[" + tt.element + `,7]`: 0} {
				w := post(c, body)
				if tt.field == "-" { // either way, but no panic
					continue
				}
				a := parseAnswer(t, w)
				got := -1
				if a.Errors[0].Index != nil {
					got = *a.Errors[0].Index
				}
				if w.Code != 400 || tt.field != "*" && a.Errors[0].Field != tt.field || len(a.Errors[0].Field) > 200 || a.Errors[0].Message == "" || got != index {
					t.Errorf("%d %.200s", w.Code, w.Body)
				}
			}
		})
	}
}

// decoder is a wire protocol for tests.
type decoder func(*http.Request) (sidetrack.Decoded, error)

func (d decoder) Decode(r *http.Request) (sidetrack.Decoded, error) { return d(r) }

func TestMount(t *testing.T) {
	f := &fake{}
	var log bytes.Buffer
	c := newCollector(t, f, CollectorConfig{MaxBody: 16, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	mount := func(pattern string, d decoder) {
		if err := c.Mount(pattern, d); err != nil {
			t.Fatal(err)
		}
	}
	event := func() []*sidetrack.Event { return []*sidetrack.Event{{Name: "a"}} }
	mount("POST /vendor", func(r *http.Request) (sidetrack.Decoded, error) {
		if _, err := io.ReadAll(r.Body); err != nil {
			return sidetrack.Decoded{}, fmt.Errorf("vendor: read: %w", err)
		}
		return sidetrack.Decoded{
			Events: event(), Errors: []sidetrack.ElementError{{Index: 1, Err: &sidetrack.FieldError{Problem: "bad"}}},
			Reply: sidetrack.Reply{ContentType: "text/plain", Body: []byte("1")},
		}, nil
	})
	mount("/config", func(*http.Request) (sidetrack.Decoded, error) {
		return sidetrack.Decoded{Reply: sidetrack.Reply{Status: 200, ContentType: "application/json", Body: []byte("{}")}}, nil
	})
	mount("/teapot", func(*http.Request) (sidetrack.Decoded, error) {
		return sidetrack.Decoded{}, &sidetrack.HTTPError{Status: 418, Err: errors.New("short and stout")}
	})
	mount("/broken", func(*http.Request) (sidetrack.Decoded, error) {
		return sidetrack.Decoded{}, errors.New("secret " + sentinel)
	})
	mount("/panics", func(*http.Request) (sidetrack.Decoded, error) { panic("secret " + sentinel) })

	for _, tt := range []struct {
		path, body string
		status     int
		answer     string
		events     int
	}{
		{"/vendor", "x", 200, "1", 1},
		{"/vendor", strings.Repeat("x", 17), 413, "larger", 0},
		{"/vendor", gzipped(strings.Repeat("x", 17)), 413, "larger", 0},
		{"/config", "", 200, "{}", 0},
		{"/teapot", "", 418, "stout", 0},
		{"/broken", "", 500, "internal error", 0},
		{"/panics", "", 500, "internal error", 0},
		{"/healthz", "", 405, "", 0},
		{"/nowhere", "", 404, "", 0},
	} {
		f.events = nil
		r := httptest.NewRequest("POST", tt.path, strings.NewReader(tt.body))
		r.RemoteAddr = sentinel + ":1"
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.answer) || len(f.all()) != tt.events {
			t.Errorf("%s: %d %q, %d events", tt.path, w.Code, w.Body, len(f.all()))
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: the answer tells about the inside", tt.path)
		}
	}
	if log.Len() == 0 || strings.Contains(log.String(), "secret") || strings.Contains(log.String(), sentinel) {
		t.Errorf("log: %s", log.String())
	}
	for _, pattern := range []string{"POST /collect", "no slash", ""} {
		if err := c.Mount(pattern, decoder(nil)); err == nil {
			t.Errorf("Mount(%q) = nil error", pattern)
		}
	}
}

func TestHealthz(t *testing.T) {
	w := httptest.NewRecorder()
	newCollector(t, &fake{}, CollectorConfig{}).ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil))
	if w.Code != 200 || w.Body.String() != "ok\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestCollectorConfigErrors(t *testing.T) {
	for name, cfg := range map[string]CollectorConfig{
		"proxy":         {TrustedProxies: []string{"localhost"}},
		"origin":        {Origins: []string{"shop.example"}},
		"origin's path": {Origins: []string{"https://shop.example/"}},
		"negative":      {MaxBody: -1},
		"wait":          {RetryAfter: -1},
	} {
		if _, err := NewCollector(nil, cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func benchmarkCollect(b *testing.B, body string) {
	c := newCollector(b, discard{}, CollectorConfig{})
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if w := post(c, body, "User-Agent", "Mozilla/5.0", "Accept-Language", "de"); w.Code >= 300 {
			b.Fatal(w.Code, w.Body)
		}
	}
}

// sample is an event of about 800 bytes.
const sample = `{"name":"purchase","message_id":"b7a1c2d3-0001","time":"2026-05-17T10:05:03.123Z","visitor":{"client_id":"1234567890.1700000000","user_id":"u-42"},"page":{"url":"https://shop.example/checkout/done?utm_source=news&utm_medium=mail","title":"Thank you","referrer":"https://shop.example/checkout"},"device":{"screen":"1920x1080","viewport":"1200x800","encoding":"UTF-8"},"consent":{"analytics_storage":"granted","ad_storage":"denied"},"ecommerce":{"currency":"EUR","value":129.9,"transaction_id":"T-1001","tax":21.65,"shipping":4.9,"items":[{"item_id":"SKU-1","item_name":"Lamp","price":59.95,"quantity":2,"item_categories":["Home","Light"]},{"item_id":"SKU-2","item_name":"Bulb","price":10,"quantity":1}]},"params":{"checkout_step":4,"variant":"b","newsletter":true}}`

func BenchmarkCollectOne(b *testing.B) { benchmarkCollect(b, sample) }

func BenchmarkCollectBatch100(b *testing.B) {
	var s []string
	for i := range 100 {
		s = append(s, strings.Replace(sample, "0001", fmt.Sprintf("%04d", i), 1))
	}
	benchmarkCollect(b, "["+strings.Join(s, ",")+"]")
}
