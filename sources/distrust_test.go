package sources

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// TestCollectKeepsNoAddress plants the sentinel wherever a client can.
func TestCollectKeepsNoAddress(t *testing.T) {
	body := `{"name":"a","message_id":"m-` + sentinel + `","source":"x","received":"2020-01-01T00:00:00Z","marks":["bot:none"],
	"network":{"ip":"` + sentinel + `","country":"AT"},
	"visitor":{"client_id":"` + sentinel + `","user_id":"u` + sentinel + `"},
	"page":{"url":"https://shop.example/?ip=` + sentinel + `","title":"` + sentinel + `","referrer":"https://x.example/` + sentinel + `"},
	"params":{"ip":"` + sentinel + `","uip":"` + sentinel + `:80","note":"from ` + sentinel + `","context":{"ip":"198.51.100.4"},"list":["` + sentinel + `"],"version":"1.2.3.4"},
	"user_properties":{"_uip":"` + sentinel + `"},
	"exception":{"description":"failed for ` + sentinel + `"},
	"ecommerce":{"items":[{"item_id":"1","params":{"client_ip":"` + sentinel + `"}}]}}`
	f := &fake{}
	var log bytes.Buffer
	w := post(newCollector(t, f, CollectorConfig{Logger: slog.New(slog.NewTextHandler(&log, nil))}), body,
		"X-Forwarded-For", sentinel, "Forwarded", "for="+sentinel, "X-Real-Ip", sentinel, "Cookie", "ip="+sentinel, "User-Agent", "UA "+sentinel,
		"Referer", "https://shop.example/"+sentinel, "Sec-Ch-Ua-Model", sentinel, "Accept-Language", sentinel)
	if w.Code != 204 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	e := f.one(t)
	stored := asJSON(t, e) + fmt.Sprintf("%+v %v %#v", e, e, *e) + log.String() + w.Body.String()
	if strings.Contains(stored, sentinel) || strings.Contains(stored, "198.51.100.4") {
		t.Errorf("an address is stored: %s", stored)
	}
	if e.Param("version") != "1.2.3.4" {
		t.Errorf("a version was taken for an address: %v", e.Params)
	}
	if e.Source != "" || e.Marks != nil || !e.Received.IsZero() {
		t.Errorf("source %q, marks %v, received %v were believed", e.Source, e.Marks, e.Received)
	}
	if e.Origin().IP().String() != sentinel {
		t.Errorf("origin = %v", e.Origin().IP())
	}
}

// TestHideAddressesEverywhere plants the sentinel in every text an event has, also
// those that are added to it one day.
func TestHideAddressesEverywhere(t *testing.T) {
	e := &sidetrack.Event{}
	plant(reflect.ValueOf(e).Elem())
	if n := strings.Count(asJSON(t, e), sentinel); n < 90 {
		t.Fatalf("planted %d times only", n)
	}
	distrust(e)
	hideAddresses(e, netip.MustParseAddr(sentinel))
	if s := asJSON(t, e); strings.Contains(s, sentinel) {
		t.Errorf("an address stays: %s", s)
	}
}

func plant(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("a" + sentinel + "z")
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				plant(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		plant(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		plant(v.Index(0))
		plant(v.Index(1))
	case reflect.Map:
		if v.Type() == reflect.TypeFor[map[string]any]() {
			v.Set(reflect.ValueOf(map[string]any{
				"text": sentinel, "ip": sentinel, "key" + sentinel: true, "deep": map[string]any{"list": []any{sentinel, []any{"x" + sentinel}}},
			}))
			return
		}
		if v.Type() == reflect.TypeFor[map[string][]string]() {
			v.Set(reflect.ValueOf(map[string][]string{"fbc": {sentinel}, "key" + sentinel: {"x"}}))
			return
		}
		v.Set(reflect.ValueOf(map[string]string{"gclid": sentinel, "key" + sentinel: "x"}))
	}
}

// TestCollectKeepsLoopback: a page under development is seen by the machine it runs on.
func TestCollectKeepsLoopback(t *testing.T) {
	f := &fake{}
	r := httptest.NewRequest("POST", "/collect", strings.NewReader(`{"name":"a","page":{"url":"http://127.0.0.1:3000/x"}}`))
	r.RemoteAddr = "127.0.0.1:1"
	newCollector(t, f, CollectorConfig{}).ServeHTTP(httptest.NewRecorder(), r)
	if e := f.one(t); e.Page.URL != "http://127.0.0.1:3000/x" {
		t.Errorf("url = %s", e.Page.URL)
	}
}
