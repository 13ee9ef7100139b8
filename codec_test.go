package sidetrack_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sidetrack-go/sidetrack"
)

func eventsEqual(a, b *sidetrack.Event) string {
	return cmp.Diff(a, b, cmp.Comparer(func(x, y *sidetrack.Origin) bool { return x == y }),
		cmp.AllowUnexported(sidetrack.Event{}), cmp.Comparer(func(x, y sidetrack.Consent) bool { return x == y }))
}

// golden is testdata/event_v1.json: every field of the format has a value in it.
func golden(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/event_v1.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestGoldenEventIsStable(t *testing.T) {
	text := golden(t)
	e, err := sidetrack.ParseEvent(text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	var want, have any
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got, &have); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("the format has changed (-golden +written):\n%s", diff)
	}
	if err := e.Validate(e.Received); err != nil {
		t.Errorf("the golden event is not valid: %v", err)
	}
	if strings.Contains(string(got), "\n") {
		t.Error("more than one line")
	}
}

func TestBadJSONNamesTheField(t *testing.T) {
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for in, want := range map[string]string{
		``:                                    "unexpected end",
		`null`:                                "must be an object",
		`[]`:                                  "must be an object, not an array",
		`{"name":1}`:                          "name: must be a string, not a number",
		`{"name":"a"`:                         "expected ','",
		`{"name":"a"} x`:                      "unexpected text after the value",
		`{"name":"a",}`:                       "expected a key",
		`{"v":2}`:                             "v: is 2",
		`{"id":"x"}`:                          "id: must be a UUID",
		`{"time":"yesterday"}`:                "time: must be a time",
		`{"time":1e300}`:                      "time: is out of range",
		`{"time":NaN}`:                        "time: malformed JSON",
		`{"params":{"a":NaN}}`:                "params.a: malformed",
		`{"params":{"a":Infinity}}`:           "params.a: malformed",
		`{"params":{"a":1e999}}`:              "params.a: is out of range",
		`{"params":{"a":` + deep + `}}`:       "nested too deeply",
		`{"page":{"title":"` + "\xff" + `"}}`: "page.title: text is not valid UTF-8",
		`{"page":{"title":"a` + "\n" + `"}}`:  "page.title: unescaped control character",
		`{"page":{"status":99999999999}}`:     "page.status: is out of range",
		`{"visitor":{"engagement_msec":"1"}}`: "visitor.engagement_msec: must be a number",
		`{"ecommerce":{"items":[{},{"price":"x"}]}}`: "ecommerce.items[1].price: must be a decimal number",
		`{"ecommerce":{"items":[{"price":1e300}]}}`:  "ecommerce.items[0].price: is out of range",
		`{"ecommerce":{"items":{}}}`:                 "ecommerce.items: must be an array, not an object",
		`{"consent":{"analytics_storage":"maybe"}}`:  "consent.analytics_storage: must be granted, denied or unknown",
		`{"params":{"a":01}}`:                        "params.a: malformed number",
		`{"name":"\ud800x\q"}`:                       "name: unknown escape",
		`{"name":"\u12"}`:                            "name: malformed \\u escape",
	} {
		_, err := sidetrack.ParseEvent(in)
		fe, ok := errors.AsType[*sidetrack.FieldError](err)
		if !ok || !strings.Contains(fe.Error(), want) {
			t.Errorf("%.80q: %v, want %q", in, err, want)
		}
	}
}

func TestLenientWhereClientsDiffer(t *testing.T) {
	e, err := sidetrack.ParseEvent(`{"name":"a","unknown":{"x":[1,{"y":null}]},"time":1767225600123,"visitor":{"session_id":1700000001,"new":null},` +
		`"ecommerce":{"value":"19.90","items":null},"params":{"i":9007199254740993,"f":1.5,"n":null},"name":"b","exception":null}`)
	if err != nil {
		t.Fatal(err)
	}
	if e.Name != "b" || e.Visitor.SessionID != "1700000001" || e.Ecommerce.Value.String() != "19.9" || !e.Ecommerce.HasValue || e.Exception != nil {
		t.Errorf("%+v", e)
	}
	if got := e.Time; !got.Equal(time.UnixMilli(1767225600123)) {
		t.Errorf("time %v", got)
	}
	if e.Params["i"] != int64(9007199254740993) || e.Params["f"] != 1.5 || e.Params["n"] != nil {
		t.Errorf("params %#v", e.Params)
	}
}

// genEvent draws events of all shapes that Validate accepts, and some it does not.
func genEvent(t *rapid.T) *sidetrack.Event {
	text := rapid.StringN(0, 20, -1)
	opt := func(label string) string { return text.Draw(t, label) }
	money := rapid.Map(rapid.Int64Range(0, 1e15), func(n int64) sidetrack.Money { return sidetrack.Money(n) })
	e := &sidetrack.Event{Name: opt("name"), MessageID: opt("mid"), Source: opt("source"), Site: opt("site")}
	copy(e.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	e.Time = time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "time")).UTC()
	e.Visitor = sidetrack.Visitor{ClientID: opt("cid"), SessionNumber: rapid.Int64().Draw(t, "n"), New: rapid.Bool().Draw(t, "new"),
		Engagement: time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "eng")) * time.Millisecond}
	e.Page = sidetrack.Page{URL: opt("url"), Title: opt("title"), Status: rapid.IntRange(0, 599).Draw(t, "status")}
	e.Device.Hints = rapid.Custom(func(t *rapid.T) map[string]string {
		m := rapid.MapOfN(text, text, 0, 3).Draw(t, "hints")
		if len(m) == 0 {
			return nil
		}
		return m
	}).Draw(t, "hints")
	for _, p := range sidetrack.Purposes() {
		e.Consent.Set(p, sidetrack.State(rapid.IntRange(0, 2).Draw(t, string(p))))
	}
	if rapid.Bool().Draw(t, "shop") {
		e.Ecommerce = &sidetrack.Ecommerce{Currency: "EUR", Value: money.Draw(t, "value"), HasValue: true, Tax: money.Draw(t, "tax")}
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			it := sidetrack.Item{ID: opt("item"), Price: money.Draw(t, "price"), HasPrice: true, Quantity: rapid.Float64Range(0, 1e6).Draw(t, "q")}
			if c := opt("category"); c != "" {
				it.Categories = []string{c, "x"}
			}
			e.Ecommerce.Items = append(e.Ecommerce.Items, it)
		}
	}
	if rapid.Bool().Draw(t, "user data") {
		e.UserData = &sidetrack.UserData{Emails: rapid.SliceOfN(rapid.Just("h"), 1, 3).Draw(t, "emails"), Addresses: []sidetrack.AddressData{{City: opt("city"), Street: "s"}}}
		if rapid.Bool().Draw(t, "match") {
			e.UserData.Match = map[string][]string{"em": {"h"}, "external_id": rapid.SliceOfN(text, 1, 3).Draw(t, "external ids")}
		}
	}
	e.Network = sidetrack.Network{City: opt("place"), Continent: opt("m49")}
	value := rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return text.Draw(t, "s")
		case 1:
			return rapid.Int64().Draw(t, "i")
		case 2: // never whole: a whole float64 is read back as an int64
			return float64(rapid.IntRange(-1e6, 1e6).Draw(t, "f")) + 0.5
		case 3:
			return rapid.Bool().Draw(t, "b")
		case 4:
			return []any{text.Draw(t, "s"), rapid.Int64().Draw(t, "i")}
		}
		return map[string]any{"k": text.Draw(t, "s")}
	})
	if m := rapid.MapOfN(text, value, 0, 4).Draw(t, "params"); len(m) > 0 {
		e.Params = m
	}
	return e
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := genEvent(rt)
		b, err := e.AppendJSON(nil)
		if err != nil {
			rt.Fatal(err)
		}
		if !json.Valid(b) {
			rt.Fatalf("not JSON: %s", b)
		}
		back, err := sidetrack.ParseEvent(string(b))
		if err != nil {
			rt.Fatalf("%v in %s", err, b)
		}
		if diff := eventsEqual(e, back); diff != "" {
			rt.Fatalf("%s\n%s", b, diff)
		}
		again, err := back.AppendJSON([]byte("prefix"))
		if err != nil || string(again) != "prefix"+string(b) {
			rt.Fatalf("not stable: %s", again)
		}
	})
}

// FuzzParseEvent holds the codec against encoding/json: both agree on what is JSON, and what
// is read can be written and read again.
func FuzzParseEvent(f *testing.F) {
	f.Add(golden(f))
	f.Add(`{"name":"a","params":{"x":[1,2.5,"\ud83d\ude00",{"y":null}]},"marks":["a"]}`)
	f.Add(`{"name":"\u0000\ud800","time":1.5e12,"ecommerce":{"value":-0.0000005}}`)
	f.Add(`{"a":[[[[{}]]]],"b":-0,"c":1E+2}`)
	f.Fuzz(func(t *testing.T, in string) {
		e, err := sidetrack.ParseEvent(in)
		if err != nil {
			if _, ok := errors.AsType[*sidetrack.FieldError](err); !ok {
				t.Fatalf("error of type %T: %v", err, err)
			}
			return
		}
		if !json.Valid([]byte(in)) {
			t.Fatalf("taken although it is no JSON: %q", in)
		}
		b, err := e.AppendJSON(nil)
		if err != nil {
			return // a depth the scanner reads and the writer refuses
		}
		if !json.Valid(b) {
			t.Fatalf("%q was written as %q", in, b)
		}
		back, err := sidetrack.ParseEvent(string(b))
		if err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		c, err := back.AppendJSON(nil)
		if err != nil || string(c) != string(b) {
			t.Fatalf("%s became %s (%v)", b, c, err)
		}
		_ = e.Validate(time.Now())
	})
}

func TestUnwritableParamsNameTheField(t *testing.T) {
	nan := 0.0
	nan /= nan
	for _, tt := range []struct {
		v    any
		want string
	}{
		{nan, "params.x: must be a finite number"},
		{[]any{1, map[string]any{"y": nan}}, "params.x[1].y: must be a finite number"},
		{struct{}{}, "params.x: is a struct {}"},
		{func() {}, "params.x: is a func()"},
	} {
		e := &sidetrack.Event{Name: "e", Params: map[string]any{"x": tt.v}}
		if b, err := e.AppendJSON([]byte("kept")); err == nil || !strings.HasPrefix(err.Error(), tt.want) || string(b) != "kept" {
			t.Errorf("%T: %v, %q", tt.v, err, b)
		}
	}
	ok := &sidetrack.Event{Name: "e", Params: map[string]any{"a": 1, "b": uint8(2), "c": float32(1.5), "d": sidetrack.MoneyOf(2.5)}}
	if b, err := ok.AppendJSON(nil); err != nil || !strings.Contains(string(b), `{"a":1,"b":2,"c":1.5,"d":2.5}`) {
		t.Errorf("%s, %v", b, err)
	}
}

func TestValidate(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	valid := func() *sidetrack.Event {
		return &sidetrack.Event{ID: uuid.New(), Name: "purchase", Time: now, Received: now, Page: sidetrack.Page{URL: "https://shop.example/"},
			Ecommerce: &sidetrack.Ecommerce{Currency: "EUR", Items: []sidetrack.Item{{ID: "a", Quantity: 1}, {ID: "b"}}}, Params: map[string]any{"a": 1.5}}
	}
	if err := valid().Validate(now); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 64<<10)
	deep := any("x")
	for range 20 {
		deep = []any{deep}
	}
	many := map[string]any{}
	for i := range 300 {
		many[strings.Repeat("k", 1+i%100)+string(rune('a'+i/100))] = 1
	}
	inf := math.Inf(1)
	for want, edit := range map[string]func(e *sidetrack.Event){
		"name: is missing":                                  func(e *sidetrack.Event) { e.Name = "" },
		"name: is longer":                                   func(e *sidetrack.Event) { e.Name = long },
		"name: must not contain control":                    func(e *sidetrack.Event) { e.Name = "a\x00b" },
		"message_id: is longer":                             func(e *sidetrack.Event) { e.MessageID = long },
		"site: is not valid UTF-8":                          func(e *sidetrack.Event) { e.Site = "\xff" },
		"time: is before":                                   func(e *sidetrack.Event) { e.Time = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) },
		"time: is more than":                                func(e *sidetrack.Event) { e.Time = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) },
		"page.url: must be absolute":                        func(e *sidetrack.Event) { e.Page.URL = "/cart" },
		"page.url: is longer":                               func(e *sidetrack.Event) { e.Page.URL = "https://" + long },
		"page.referrer: must not contain":                   func(e *sidetrack.Event) { e.Page.Referrer = "https://a\r\nX: y" },
		"page.title: is longer":                             func(e *sidetrack.Event) { e.Page.Title = long },
		"device.user_agent: must not contain":               func(e *sidetrack.Event) { e.Device.UserAgent = "a\x1b[0m" },
		"device.hints.x: is longer":                         func(e *sidetrack.Event) { e.Device.Hints = map[string]string{"x": long} },
		"ecommerce.currency: must be three":                 func(e *sidetrack.Event) { e.Ecommerce.Currency = "eur" },
		"ecommerce.value: must not be neg":                  func(e *sidetrack.Event) { e.Ecommerce.Value = -1 },
		"ecommerce.items[1].price: must not":                func(e *sidetrack.Event) { e.Ecommerce.Items[1].Price = -1 },
		"ecommerce.items[0].quantity: must be":              func(e *sidetrack.Event) { e.Ecommerce.Items[0].Quantity = inf },
		"ecommerce.items: has more":                         func(e *sidetrack.Event) { e.Ecommerce.Items = make([]sidetrack.Item, 201) },
		"params.a: must be a finite":                        func(e *sidetrack.Event) { e.Params["a"] = inf },
		"params.a: is longer":                               func(e *sidetrack.Event) { e.Params["a"] = long },
		"params.a[0][0]":                                    func(e *sidetrack.Event) { e.Params["a"] = deep },
		"params: has more than":                             func(e *sidetrack.Event) { e.Params = many },
		"user_properties.a.b: is not valid":                 func(e *sidetrack.Event) { e.UserProperties = map[string]any{"a": map[string]any{"b": "\xff"}} },
		"marks: has more than":                              func(e *sidetrack.Event) { e.Marks = make([]string, 33) },
		"user_data.sha256_email_address: must be a SHA-256": func(e *sidetrack.Event) { e.UserData = &sidetrack.UserData{Emails: []string{"jane@shop.example"}} },
		"user_data.address[1].sha256_street: must be": func(e *sidetrack.Event) {
			e.UserData = &sidetrack.UserData{Addresses: []sidetrack.AddressData{{City: "wien"}, {Street: "Main Street 1"}}}
		},
		"user_data.match.em: must be a SHA-256": func(e *sidetrack.Event) {
			e.UserData = &sidetrack.UserData{Match: map[string][]string{"em": {"jane@shop.example"}}}
		},
		"user_data.match.x: does not exist": func(e *sidetrack.Event) { e.UserData = &sidetrack.UserData{Match: map[string][]string{"x": nil}} },
		"user_data.match.fbp: must have the form fb": func(e *sidetrack.Event) {
			e.UserData = &sidetrack.UserData{Match: map[string][]string{"fbp": {"jane"}}}
		},
		"user_data.match.ph: has more than": func(e *sidetrack.Event) {
			e.UserData = &sidetrack.UserData{Match: map[string][]string{"ph": make([]string, 11)}}
		},
		"user_data: has more than":    func(e *sidetrack.Event) { e.UserData = &sidetrack.UserData{Phones: make([]string, 11)} },
		"timing.value_msec: must not": func(e *sidetrack.Event) { e.Timing = &sidetrack.Duration{Value: -time.Second} },
	} {
		e := valid()
		edit(e)
		err := e.Validate(now)
		if _, ok := errors.AsType[*sidetrack.FieldError](err); !ok || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	e, err := sidetrack.ParseEvent(typical)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if buf, err = e.AppendJSON(buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseEvent(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(typical)))
	for b.Loop() {
		if _, err := sidetrack.ParseEvent(typical); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncodingJSON decodes the same text by encoding/json into a map: what the codec is held against.
func BenchmarkEncodingJSON(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		var v map[string]any
		if err := json.Unmarshal([]byte(typical), &v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	e, err := sidetrack.ParseEvent(typical)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	now := time.Now()
	for b.Loop() {
		if err := e.Validate(now); err != nil {
			b.Fatal(err)
		}
	}
}

// typical is an event of about 800 bytes as a site would send it.
const typical = `{"v":1,"id":"01990a2b-7c00-7000-8000-000000000001","name":"purchase","time":"2026-01-31T12:00:00.123Z","received":"2026-01-31T12:00:00.2Z","source":"web","site":"shop",` +
	`"visitor":{"client_id":"1234567890.1700000000","session_id":"1700000123"},` +
	`"page":{"url":"https://shop.example/checkout/thanks?order=10042","title":"Thank you for your order","referrer":"https://shop.example/checkout"},` +
	`"device":{"user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36","language":"de-AT","screen":"1920x1080"},` +
	`"network":{"ip":"203.0.113.0"},"consent":{"analytics_storage":"granted","ad_user_data":"denied"},` +
	`"ecommerce":{"currency":"EUR","value":59.9,"transaction_id":"T-10042","items":[{"item_id":"SKU-1","item_name":"Walking boots","price":49.9,"quantity":1},{"item_id":"SKU-2","item_name":"Socks","price":5,"quantity":2}]},` +
	`"params":{"theme":"dark","logged_in":true,"step":3}}`
