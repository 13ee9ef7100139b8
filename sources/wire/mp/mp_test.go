package mp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sidetrack-go/sidetrack"
)

const web = "measurement_id=G-TEST123456&api_secret=s3cret"

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newDecoder(t testing.TB, cfg Config) *decoder {
	t.Helper()
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.(*decoder).now = func() time.Time { return now }
	return d.(*decoder)
}

func post(path, query, body string) *http.Request {
	r := httptest.NewRequest("POST", "http://collect.example"+path+"?"+query, strings.NewReader(body))
	r.Header.Set("User-Agent", "axios/1.18.1")
	r.Header.Set("Cookie", "_ga=GA1.1.9.9")
	return r
}

func decode(t *testing.T, cfg Config, query, body string) sidetrack.Decoded {
	t.Helper()
	out, err := newDecoder(t, cfg).Decode(post("/mp/collect", query, body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for _, e := range out.Events {
		if err := e.Validate(now); err != nil {
			t.Fatalf("%s: the pipeline would refuse it: %v", body, err)
		}
	}
	return out
}

var compare = cmp.Options{cmpopts.IgnoreUnexported(sidetrack.Event{}), cmp.Comparer(func(a, b sidetrack.Consent) bool { return a == b }), cmpopts.EquateEmpty()}

const hash1 = "d6117306485ed0e50afab3ac871e98f81699151f30281527d63ff5f233656c69"

func TestWeb(t *testing.T) {
	out := decode(t, Config{Grant: []sidetrack.Purpose{sidetrack.AnalyticsStorage, sidetrack.AdPersonalization}}, web, `{
		"client_id": "GA1.1.1234567890.1700000000", "user_id": 42, "timestamp_micros": 1772359200000000, "unknown": "x", "ip": "198.51.100.7",
		"user_properties": {"plan": {"value": "pro"}, "seats": {"value": 5, "timestamp_micros": 1772359100000000}, "bare": true, "none": {"value": null}},
		"user_data": {"sha256_email_address": ["`+strings.ToUpper(hash1)+`", "jane@example.org"], "address": [{"sha256_first_name": "Jane", "city": "wien", "country": "AT"}]},
		"consent": {"ad_user_data": "GRANTED"}, "non_personalized_ads": true,
		"user_location": {"city": "Wien", "region_id": "AT-9", "country_id": "AT", "subcontinent_id": "155", "continent_id": "150"},
		"ip_override": "203.0.113.9", "user_agent": "Mozilla/5.0", "validation_behavior": "RELAXED",
		"device": {"category": "mobile", "language": "de", "screen_resolution": "1x2", "operating_system": "Android", "operating_system_version": "15", "model": "P9", "brand": "G", "browser": "Chrome", "browser_version": "136"},
		"events": [
			{"name": "purchase", "timestamp_micros": 1772359201000000, "params": {
				"session_id": "1700000000", "session_number": 3, "engagement_time_msec": 1200, "page_location": "https://shop.example/", "page_title": "T", "page_referrer": "https://r.example/",
				"transaction_id": "T-1", "currency": "EUR", "value": 49.97, "tax": 4.9, "shipping": 5, "coupon": "S", "customer_type": "new", "nothing": null,
				"items": [{"item_id": "A", "item_name": "Shirt", "price": 19.99, "quantity": 2, "index": 0, "item_category": "a", "item_category2": "b", "colour": "red", "google_business_vertical": "retail"}, {"item_name": "Cap"}]}},
			{"name": "sign_up", "params": {"method": "google", "price": 12.5, "n": 3, "ok": true, "tags": ["a", "b"]}}
		]}`)
	base := sidetrack.Event{
		Time:     time.UnixMicro(1772359200000000).UTC(),
		Visitor:  sidetrack.Visitor{ClientID: "1234567890.1700000000", UserID: "42"},
		Network:  sidetrack.Network{Country: "AT", Region: "AT-9", City: "Wien", Continent: "150", Subcontinent: "155"},
		Device:   sidetrack.Device{UserAgent: "Mozilla/5.0", Category: "mobile", Language: "de", Screen: "1x2", OS: "Android", OSVersion: "15", Model: "P9", Brand: "G", Browser: "Chrome", BrowserVer: "136"},
		UserData: &sidetrack.UserData{Emails: []string{hash1}, Addresses: []sidetrack.AddressData{{City: "wien", Country: "AT"}}},
		UserProperties: map[string]any{
			"plan": "pro", "seats": map[string]any{"value": int64(5), "timestamp_micros": int64(1772359100000000)}, "bare": true,
		},
		Params: map[string]any{"mp.measurement_id": "G-TEST123456", "mp.unknown": "x"},
	}
	base.Consent.Set(sidetrack.AdUserData, sidetrack.Granted)
	base.Consent.Set(sidetrack.AdPersonalization, sidetrack.Denied) // what the request says stands
	base.Consent.Set(sidetrack.AnalyticsStorage, sidetrack.Granted)
	base.Consent.How = "payload+server"
	purchase, signUp := base.Clone(), base.Clone()
	purchase.Name, purchase.Time = "purchase", time.UnixMicro(1772359201000000).UTC()
	purchase.Visitor.SessionID, purchase.Visitor.SessionNumber, purchase.Visitor.Engagement = "1700000000", 3, 1200*time.Millisecond
	purchase.Page = sidetrack.Page{URL: "https://shop.example/", Title: "T", Referrer: "https://r.example/"}
	purchase.Params["customer_type"] = "new"
	purchase.Ecommerce = &sidetrack.Ecommerce{
		TransactionID: "T-1", Currency: "EUR", Value: 49_970_000, HasValue: true, Tax: 4_900_000, Shipping: 5_000_000, Coupon: "S",
		Items: []sidetrack.Item{
			{
				ID: "A", Name: "Shirt", Price: 19_990_000, HasPrice: true, Quantity: 2, HasIndex: true, Categories: []string{"a", "b"},
				Params: map[string]any{"colour": "red", "google_business_vertical": "retail"},
			},
			{Name: "Cap"},
		},
	}
	signUp.Name = "sign_up"
	for k, v := range map[string]any{"method": "google", "price": 12.5, "n": int64(3), "ok": true, "tags": []any{"a", "b"}} {
		signUp.Params[k] = v
	}
	if diff := cmp.Diff([]*sidetrack.Event{purchase, signUp}, out.Events, compare); diff != "" {
		t.Error(diff)
	}
	if out.Reply.Status != http.StatusNoContent {
		t.Error(out.Reply)
	}
	for _, e := range out.Events {
		line, err := e.MarshalJSON()
		if err != nil || strings.Contains(string(line), "s3cret") || strings.Contains(string(line), "203.0.113") || strings.Contains(string(line), "198.51") || strings.Contains(string(line), "jane") {
			t.Errorf("%s %v", line, err)
		}
		if o := e.Origin(); o == nil || o.IP().IsValid() || o.Header("Cookie") != "" || o.Host() != "collect.example" {
			t.Errorf("the sender's request shows: %q %q", o.IP(), o.Header("Cookie"))
		}
	}
}

func TestApp(t *testing.T) {
	const app = "firebase_app_id=1:1234567890:android:321abc456def7890&api_secret=x"
	out := decode(t, Config{TrustIPOverride: true}, app, `{"app_instance_id":"0123456789abcdef0123456789abcdef","ip_override":"203.0.113.9","events":[{"name":"screen_view","params":{"screen_name":"Home"}}]}`)
	e := out.Events[0]
	if e.Visitor.AppInstanceID != "0123456789abcdef0123456789abcdef" || e.App.Screen != "Home" || e.Params["mp.firebase_app_id"] != "1:1234567890:android:321abc456def7890" {
		t.Errorf("%+v", e)
	}
	if e.Origin().IP().String() != "203.0.113.9" || e.Network.IP != "" {
		t.Errorf("%v %q", e.Origin().IP(), e.Network.IP)
	}
}

func TestRefused(t *testing.T) {
	const event = `"events":[{"name":"x"}]`
	for _, tt := range []struct {
		cfg         Config
		query, body string
		field       string
		status      int
	}{
		{Config{}, web, ``, "body", 0},
		{Config{}, web, `{`, "body", 0},
		{Config{}, web, `[]`, "body", 0},
		{Config{}, web, `{` + event + `}`, "client_id", 0},
		{Config{}, web, `{"client_id":"1.2"}`, "events", 0},
		{Config{}, web, `{"client_id":"1.2","events":[]}`, "events", 0},
		{Config{}, web, `{"client_id":"1.2","events":[5]}`, "", 0},
		{Config{}, web, `{"client_id":"1.2","events":[{"params":{}}]}`, "name", 0},
		{Config{}, web, `{"client_id":"1.2","events":[{"name":"x","params":[]}]}`, "params", 0},
		{Config{}, web, `{"client_id":"1.2","timestamp_micros":1700000000000,` + event + `}`, "timestamp_micros", 0},
		{Config{}, web, `{"client_id":"1.2","events":[{"name":"x","timestamp_micros":"soon"}]}`, "timestamp_micros", 0},
		{Config{}, "api_secret=x", `{"client_id":"1.2",` + event + `}`, "measurement_id", 0},
		{Config{}, web + "&firebase_app_id=1:2:a:b", `{"client_id":"1.2",` + event + `}`, "firebase_app_id", 0},
		{Config{}, "firebase_app_id=1:2:a:b", `{"client_id":"1.2",` + event + `}`, "app_instance_id", 0},
		{Config{MeasurementIDs: []string{"G-1"}}, web, `{"client_id":"1.2",` + event + `}`, "measurement_id", 0},
		{Config{FirebaseAppIDs: []string{"1:3:a:b"}}, "firebase_app_id=1:2:a:b", `{"app_instance_id":"1",` + event + `}`, "firebase_app_id", 0},
		{Config{APISecrets: []sidetrack.Secret{sidetrack.NewSecret("other")}}, web, `{"client_id":"1.2",` + event + `}`, "api_secret", 403},
		{Config{}, web, `{"client_id":"` + strings.Repeat("1", maxBody) + `"}`, "body", 413},
	} {
		_, err := newDecoder(t, tt.cfg).Decode(post("/mp/collect", tt.query, tt.body))
		f, ok := errors.AsType[*sidetrack.FieldError](err)
		h, _ := errors.AsType[*sidetrack.HTTPError](err)
		if !ok || f.Field != tt.field || (h != nil) != (tt.status != 0) || h != nil && h.Status != tt.status {
			t.Errorf("%.80s: %v, want %s %d", tt.body, err, tt.field, tt.status)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the secret is in %v", err)
		}
	}
	decode(t, Config{APISecrets: []sidetrack.Secret{sidetrack.NewSecret("other"), sidetrack.NewSecret("s3cret")}}, web, `{"client_id":"1.2",`+event+`}`)
	if _, err := New(Config{APISecrets: []sidetrack.Secret{{}}}); err == nil {
		t.Error("an empty secret was taken")
	}
}

func TestBadElements(t *testing.T) {
	out := decode(t, Config{}, web, `{"client_id":"1.2","events":[{"name":"a"},7,{"name":"b","params":{"timestamp_micros":1772359200000000,"items":"x"}},{}]}`)
	if diff := cmp.Diff([]int{0, 2}, out.Indexes); diff != "" || len(out.Errors) != 2 || out.Errors[0].Index != 1 || out.Errors[1].Index != 3 {
		t.Errorf("%v %v", out.Indexes, out.Errors)
	}
	if e := out.Events[1]; !e.Time.Equal(time.UnixMicro(1772359200000000)) || e.Params["items"] != "x" {
		t.Errorf("%+v", e)
	}
	many := `{"client_id":"1.2","events":[{"name":"a","params":{"items":[` + strings.Repeat(`{"item_id":"A"},`, 201) + `{"item_id":"A"}]}}]}`
	if e := decode(t, Config{}, web, many).Events[0]; len(e.Ecommerce.Items) != 200 || e.Params["mp.items_dropped"] != int64(2) {
		t.Errorf("%d items, %v", len(e.Ecommerce.Items), e.Params)
	}
}

func TestValidation(t *testing.T) {
	long := strings.Repeat("x", 101)
	old := fmt.Sprint(now.Add(-73 * time.Hour).UnixMicro())
	for _, tt := range []struct {
		query, body string
		want        []string // path and code
	}{
		{web, `{"client_id":"1.2","events":[{"name":"login","params":{"method":"x","debug_mode":true}}]}`, nil},
		{"", `{"client_id":"1.2","events":[{"name":"login"}]}`, nil}, // neither secret nor id is looked at
		{web, `{`, []string{" VALUE_INVALID"}},
		{web, `{}`, []string{"client_id VALUE_REQUIRED", "events VALUE_REQUIRED"}},
		{web, `{"client_id":"1.2","events":[` + strings.Repeat(`{"name":"a"},`, 25) + `{"name":"a"}]}`, []string{"events EXCEEDED_MAX_ENTITIES"}},
		{web, `{"client_id":"1.2","clientid":1,"events":[{"name":"session_start"},{"name":"1st"},{"name":""},5,{"name":"` + long + `"},{"name":"screen_view"}]}`, []string{
			"clientid NAME_INVALID", "events[0].name NAME_RESERVED", "events[1].name NAME_INVALID", "events[2].name VALUE_REQUIRED", "events[3] VALUE_INVALID",
			"events[4].name NAME_INVALID", "events[5].name NAME_RESERVED",
		}},
		{web, `{"client_id":"1.2","events":[{"name":"a","params":{"ga_x":1,"_y":1,"ok":{},"items":[{},{"item_id":"a","google_x":1},7],"currency":"EURO","value":1}}]}`, []string{
			"events[0].params._y NAME_RESERVED", "events[0].params.ga_x NAME_RESERVED", "events[0].params.items[0] VALUE_REQUIRED", "events[0].params.items[2] VALUE_INVALID",
			"events[0].params.ok VALUE_INVALID", "events[0].params.currency VALUE_INVALID",
		}},
		{web, `{"client_id":"1.2","events":[{"name":"purchase","params":{"value":1,"transaction_id":""}},{"name":"my_event","params":{"value":1}}]}`, []string{
			"events[0].params.currency VALUE_REQUIRED", "events[0].params.transaction_id VALUE_REQUIRED",
		}},
		{web, `{"client_id":"1.2","user_properties":{"user_id":{"value":1},"x":1,"y":{"value":"z"}},"consent":{"ad_user_data":"granted","ad_storage":"GRANTED"},"events":[{"name":"a"}]}`, []string{
			"consent.ad_storage NAME_INVALID", "consent.ad_user_data VALUE_INVALID", "user_properties.user_id NAME_RESERVED", "user_properties.x VALUE_INVALID",
		}},
		{web, `{"client_id":"1.2","timestamp_micros":1700000000000,"events":[{"name":"a","timestamp_micros":1972359200000000,"params":{"v":"` + long + `"}},{"name":"b","timestamp_micros":` + old + `}]}`, []string{
			"timestamp_micros VALUE_INVALID", "events[0].timestamp_micros VALUE_OUT_OF_BOUNDS",
		}},
		{web, `{"client_id":"1.2","validation_behavior":"ENFORCE_RECOMMENDATIONS","events":[{"name":"a","params":{"v":"` + long + `","page_title":"` + long + `"}},{"name":"b","timestamp_micros":` + old + `}]}`, []string{
			"events[0].params.v VALUE_OUT_OF_BOUNDS", "events[1].timestamp_micros VALUE_OUT_OF_BOUNDS",
		}},
		{"firebase_app_id=1:2:a:b", `{"app_instance_id":"x","events":[{"name":"screen_view"}]}`, []string{"app_instance_id VALUE_INVALID"}},
	} {
		out, err := newDecoder(t, Config{}).Decode(post("/debug/mp/collect", tt.query, tt.body))
		if err != nil || len(out.Events) != 0 || out.Reply.Status != 200 {
			t.Fatalf("%v %v", out, err)
		}
		var answer struct {
			Messages *[]finding `json:"validationMessages"`
		}
		if err := json.Unmarshal(out.Reply.Body, &answer); err != nil || answer.Messages == nil {
			t.Fatalf("%s %v", out.Reply.Body, err)
		}
		var got []string
		for _, f := range *answer.Messages {
			got = append(got, f.Path+" "+f.Code)
			if f.Description == "" {
				t.Errorf("%s says nothing", f.Path)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%.200s: %s", tt.body, diff)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(web, `{"client_id":"1.2","user_properties":{"a":{"value":1}},"consent":{"ad_user_data":"GRANTED"},"events":[{"name":"purchase","params":{"value":-1,"items":[{"price":1e300}]}}]}`)
	f.Add("firebase_app_id=1:2:a:b", `{"app_instance_id":"x","user_data":{"address":{}},"events":[{"name":"a","params":{"session_id":"GS1.1.5.6"}},null]}`)
	f.Fuzz(func(t *testing.T, query, body string) {
		for _, path := range []string{"/mp/collect", "/debug/mp/collect"} {
			r := post(path, "", body)
			r.URL.RawQuery = query
			out, err := newDecoder(t, Config{TrustIPOverride: true}).Decode(r)
			if err != nil {
				continue
			}
			if path != "/mp/collect" && !json.Valid(out.Reply.Body) {
				t.Fatalf("answer %q", out.Reply.Body)
			}
			for _, e := range out.Events {
				if err := e.Validate(now); err != nil && !strings.HasPrefix(err.Error(), "time: ") && !strings.Contains(err.Error(), "nested deeper") &&
					!strings.Contains(err.Error(), "entries") {
					t.Fatalf("a decoded event is refused: %v", err)
				}
				if _, err := e.MarshalJSON(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
