package googlevectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
	"github.com/sidetrack-go/sidetrack/sinks/ga"
)

// sent is what a sink makes of one unit.
type sent struct {
	req *sidetrack.Request
	err error
}

func (s sent) body(t *testing.T) any {
	t.Helper()
	var out any
	if err := json.Unmarshal(s.req.Body, &out); err != nil {
		t.Fatalf("%s: %v", s.req.Body, err)
	}
	return out
}

// send makes units of the events as delivery does, by group and size, and a request of each.
func send(t *testing.T, sink *sidetrack.Sink, at time.Time, events []*sidetrack.Event) (out []sent) {
	t.Helper()
	spec := sink.Spec()
	var order []string
	groups := map[string][]*sidetrack.Event{}
	for _, e := range events {
		key := ""
		if spec.GroupBy != nil {
			key = spec.GroupBy(e)
		}
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], e)
	}
	for _, key := range order {
		for chunk := range slices.Chunk(groups[key], max(1, spec.MaxEvents)) {
			req, err := spec.Generator.Request(sidetrack.Unit{Events: chunk, At: at, Attempt: 1})
			out = append(out, sent{req, err})
		}
	}
	return out
}

// ga4 makes the sink of a vector. It adds nothing that the input does not say.
func ga4(t *testing.T, in map[string]any) *sidetrack.Sink {
	t.Helper()
	sink, err := ga.New(ga4Config(in))
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

func ga4Config(in map[string]any) ga.Config {
	cfg := ga.Config{MeasurementID: "G-TEST123456", APISecret: sidetrack.NewSecret("mp-secret-1"), Engagement: "omit", UnknownConsent: "omit", Region: str(in["region"])}
	if in["app_instance_id"] != nil {
		cfg.MeasurementID, cfg.FirebaseAppID = "", "1:1234567890:android:321abc456def7890"
	}
	if id, ok := in["measurement_id"]; ok {
		cfg.MeasurementID = str(id)
	}
	if s, ok := in["api_secret"]; ok {
		cfg.APISecret = sidetrack.NewSecret(str(s))
	}
	cfg.Debug = in["debug"] == true
	if in["validate"] == true {
		cfg.Validate = "relaxed"
	}
	return cfg
}

// requestKeys are the keys of an input that are not parameters of its event.
var requestKeys = []string{
	"client_id", "app_instance_id", "user_id", "event", "events", "events_generated", "params", "user_properties", "user_data", "debug", "validate", "region", "api_secret",
	"measurement_id", "sent_for", "occurred", "non_personalized_ads", "consent", "ip", "user_agent", "user_location", "device", "now_micros", "timestamp_micros", "name",
}

// eventsOf makes the events an input describes.
func eventsOf(t *testing.T, in map[string]any) []*sidetrack.Event {
	t.Helper()
	base := new(sidetrack.Event)
	v := &base.Visitor
	v.ClientID, v.AppInstanceID, v.UserID = str(in["client_id"]), str(in["app_instance_id"]), str(in["user_id"])
	base.UserProperties = object(plainInts(in["user_properties"]))
	base.Network.IP, base.Device.UserAgent = str(in["ip"]), str(in["user_agent"])
	if in["non_personalized_ads"] == true {
		base.Consent.Set(sidetrack.AdPersonalization, sidetrack.Denied)
	}
	for p, s := range object(in["consent"]) {
		state, ok := sidetrack.ParseState(strings.ToLower(str(s)))
		if !ok || !base.Consent.Set(sidetrack.Purpose(p), state) {
			t.Fatalf("consent %s %v", p, s)
		}
	}
	loc, dev := object(in["user_location"]), object(in["device"])
	base.Network.Country, base.Network.Region, base.Network.City = str(loc["country_id"]), str(loc["region_id"]), str(loc["city"])
	base.Network.Continent, base.Network.Subcontinent = str(loc["continent_id"]), str(loc["subcontinent_id"])
	for key, field := range map[string]*string{
		"category": &base.Device.Category, "language": &base.Device.Language, "screen_resolution": &base.Device.Screen, "operating_system": &base.Device.OS,
		"operating_system_version": &base.Device.OSVersion, "model": &base.Device.Model, "brand": &base.Device.Brand, "browser": &base.Device.Browser, "browser_version": &base.Device.BrowserVer,
	} {
		*field = str(dev[key])
	}
	if u := object(in["user_data"]); u != nil {
		base.UserData = new(sidetrack.UserData)
		if s := str(u["email"]); s != "" {
			if err := base.UserData.AddEmail(s); err != nil {
				t.Fatal(err)
			}
		}
		if s := str(u["phone"]); s != "" {
			if err := base.UserData.AddPhone(s); err != nil {
				t.Fatal(err)
			}
		}
		address := sidetrack.PostalAddress{
			FirstName: str(u["first_name"]), LastName: str(u["last_name"]), Street: str(u["street"]), City: str(u["city"]), Region: str(u["region"]),
			PostalCode: str(u["postal_code"]), Country: str(u["country"]),
		}
		if address != (sidetrack.PostalAddress{}) {
			base.UserData.AddAddress(address)
		}
		base.Consent.Set(sidetrack.AdUserData, sidetrack.Granted) // such data leaves with consent only
	}
	base.Time = timeOf(t, in["sent_for"])
	if n, ok := in["timestamp_micros"].(float64); ok {
		base.Time = time.UnixMicro(int64(n))
	}
	make := func(name string, own map[string]any) *sidetrack.Event {
		e := base.Clone()
		e.Name = name
		fillParams(t, e, own)
		return e
	}
	var out []*sidetrack.Event
	if g := object(in["events_generated"]); g != nil {
		for i := int(g["from"].(float64)); i <= int(g["to"].(float64)); i++ {
			out = append(out, make(fmt.Sprintf(str(g["name_pattern"]), i), nil))
		}
		return out
	}
	if list, ok := in["events"].([]any); ok {
		for _, one := range list {
			if name, ok := one.(string); ok {
				out = append(out, make(name, nil))
				continue
			}
			m := object(one)
			var e *sidetrack.Event
			if name, ok := m["name"].(string); ok {
				e = make(name, without(m))
			}
			for name, params := range m {
				if e == nil && !slices.Contains(requestKeys, name) {
					e = make(name, object(params))
				}
			}
			if id := str(m["client_id"]); id != "" {
				e.Visitor.ClientID = id
			}
			if at := timeOf(t, m["occurred"]); !at.IsZero() {
				e.Time = at
			}
			out = append(out, e)
		}
		return out
	}
	own := without(in)
	for k, v := range object(in["params"]) {
		own[k] = v
	}
	return append(out, make(str(in["event"]), own))
}

// without returns what is a parameter of the event itself.
func without(in map[string]any) map[string]any {
	own := map[string]any{}
	for k, v := range in {
		if !slices.Contains(requestKeys, k) {
			own[k] = v
		}
	}
	return own
}

// plainInts turns the whole numbers of JSON into what an event holds.
func plainInts(v any) any {
	switch v := v.(type) {
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	case map[string]any:
		out := map[string]any{}
		for k, inner := range v {
			out[k] = plainInts(inner)
		}
		return out
	}
	return v
}

func timeOf(t *testing.T, v any) time.Time {
	t.Helper()
	if v == nil {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, str(v))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func fillParams(t *testing.T, e *sidetrack.Event, own map[string]any) {
	t.Helper()
	var params []gawire.Param
	for k, v := range own {
		switch k {
		case "items":
			list, ok := v.([]any)
			if !ok {
				t.Fatalf("items %v", v)
			}
			e.Ecommerce = &sidetrack.Ecommerce{Items: make([]sidetrack.Item, len(list))}
			for i, one := range list {
				for name, value := range object(one) {
					p := gawire.AnyParam(name, value)
					gawire.SetItem(&e.Ecommerce.Items[i], &p)
				}
			}
		case "items_generated":
			e.Ecommerce = &sidetrack.Ecommerce{}
			for i := range int(v.(float64)) {
				e.Ecommerce.Items = append(e.Ecommerce.Items, sidetrack.Item{ID: fmt.Sprintf("I%d", i)})
			}
		default:
			params = append(params, gawire.AnyParam(k, v))
		}
	}
	gawire.Place(e, params)
}

// at is the time of sending: long enough after the times that inputs state.
func at(in map[string]any) time.Time {
	if n, ok := in["now_micros"].(float64); ok {
		return time.UnixMicro(int64(n))
	}
	return time.Unix(1_700_000_100, 0)
}

func encodeGA4(t *testing.T, v vector) {
	got := send(t, ga4(t, v.Input), at(v.Input), eventsOf(t, v.Input))
	if len(got) != len(v.ExpectedWire) {
		t.Fatalf("%d requests, want %d", len(got), len(v.ExpectedWire))
	}
	for i, w := range v.ExpectedWire {
		if got[i].err != nil {
			t.Fatal(got[i].err)
		}
		u, err := url.Parse(got[i].req.URL)
		if err != nil {
			t.Fatal(err)
		}
		method := got[i].req.Method
		if method == "" {
			method = "POST"
		}
		if method != w.Method || u.Host != w.Host || u.Path != w.Path {
			t.Errorf("%s %s%s, want %s %s%s", method, u.Host, u.Path, w.Method, w.Host, w.Path)
		}
		for key, want := range w.Headers {
			if got := got[i].req.Header.Get(key); got != want {
				t.Errorf("%s: %q, want %q", key, got, want)
			}
		}
		query := map[string]any{}
		for key, values := range u.Query() {
			query[key] = values[0]
		}
		same(t, "query", w.Query, query)
		if w.Compare == "count-only" {
			within(t, "count", w.Count, map[string]any{"events": len(object(got[i].body(t))["events"].([]any))})
			continue
		}
		same(t, "body", w.Body, bodyOf(v, got[i].body(t)))
	}
	if v.Response != nil {
		text, err := json.Marshal(v.Response["json"])
		if err != nil {
			t.Fatal(err)
		}
		findings, err := ga.ReadFindings(text)
		if err != nil {
			t.Fatal(err)
		}
		codes := []any{}
		for _, f := range findings {
			codes = append(codes, f.Code)
		}
		within(t, "result", object(v.result(t)), map[string]any{"valid": len(findings) == 0, "codes": codes})
	}
}

// bodyOf leaves out what the sink adds by a decision of its own: the consent that lets user data leave,
// which the vector says nothing about.
func bodyOf(v vector, body any) any {
	m := object(body)
	if v.Input["user_data"] != nil && v.Input["consent"] == nil {
		delete(m, "consent")
	}
	for _, e := range m["events"].([]any) {
		if p, ok := object(e)["params"]; ok && len(object(p)) == 0 {
			delete(object(e), "params") // the vectors allow an empty object
		}
	}
	return m
}

func rejectGA4(t *testing.T, v vector) {
	cfg := ga4Config(v.Input)
	cfg.Policy = map[string]ga.Action{"default": ga.Reject}
	sink, err := ga.New(cfg)
	if err != nil {
		f, ok := errors.AsType[*sidetrack.FieldError](err)
		if !ok || f.Field != v.ExpectedError.Field || v.ExpectedError.Code != f.Field+"_required" || !strings.HasPrefix(f.Problem, "is missing") {
			t.Errorf("%v, want %s", err, v.ExpectedError.Code)
		}
		return
	}
	for _, s := range send(t, sink, at(v.Input), eventsOf(t, v.Input)) {
		if s.err == nil {
			t.Fatalf("sends %s", s.req.Body)
		}
		partial, ok := errors.AsType[*sidetrack.PartialError](s.err)
		if !ok {
			t.Fatal(s.err)
		}
		var rule *ga.Problem
		if !errors.As(partial.Failed[0], &rule) {
			t.Fatalf("%v", partial.Failed[0])
		}
		if string(rule.Rule) != v.ExpectedError.Code {
			t.Errorf("rule %s, want %s", rule.Rule, v.ExpectedError.Code)
		}
		want := strings.TrimPrefix(strings.TrimPrefix(v.ExpectedError.Field, "events[0]."), "params.")
		if field := rule.Field; !strings.HasSuffix(field, want) {
			t.Errorf("field %q, want %q", field, v.ExpectedError.Field)
		}
	}
}

func responseGA4(t *testing.T, v vector) {
	sink := ga4(t, nil)
	e := &sidetrack.Event{Name: "login", Visitor: sidetrack.Visitor{ClientID: "1.2"}}
	want, _ := v.result(t).([]any)
	for i, r := range v.Input["responses"].([]any) {
		var err error = context.DeadlineExceeded // a timeout is what delivery makes of a transport error
		if status, ok := object(r)["status"].(float64); ok {
			classify := sink.Spec().Classify
			if classify == nil {
				classify = sidetrack.DefaultClassify
			}
			err = classify(sidetrack.Unit{Events: []*sidetrack.Event{e}}, &sidetrack.Response{Status: int(status)})
		}
		class, _ := sidetrack.ClassOf(err)
		got := map[sidetrack.Class]string{sidetrack.Delivered: "success", sidetrack.Rejected: "permanent", sidetrack.Retry: "policy-retry"}[class]
		if got != str(want[i]) {
			t.Errorf("%v is %s, want %s", r, class, want[i])
		}
	}
}
