package googlevectors

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline/standard"
	"github.com/sidetrack-go/sidetrack/processors"
	"github.com/sidetrack-go/sidetrack/sources/wire/gtag"
	"github.com/sidetrack-go/sidetrack/sources/wire/ua"
)

// request makes the request a vector describes.
func request(in map[string]any) *http.Request {
	r := httptest.NewRequest(str(in["method"]), "http://collect.example"+str(in["path"]), strings.NewReader(str(in["body"])))
	r.URL.RawQuery = str(in["query"])
	return r
}

// failure checks that decoding failed as expected, by the request or by its only element.
func failure(t *testing.T, v vector, out sidetrack.Decoded, err error) {
	t.Helper()
	if err == nil && len(out.Events) == 0 && len(out.Errors) == 1 {
		err = out.Errors[0].Err
	}
	f, ok := errors.AsType[*sidetrack.FieldError](err)
	if !ok {
		t.Fatalf("got %d events and %v, want an error about %s", len(out.Events), err, v.ExpectedError.Field)
	}
	if f.Field != v.ExpectedError.Field {
		t.Errorf("error about %q, want %q", f.Field, v.ExpectedError.Field)
	}
	if required := strings.HasSuffix(v.ExpectedError.Code, "_required"); required != strings.HasPrefix(f.Problem, "is missing") {
		t.Errorf("problem %q for the code %s", f.Problem, v.ExpectedError.Code)
	}
}

func decodeGtag(t *testing.T, v vector) {
	d, err := gtag.New(gtag.Config{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.Decode(request(v.Input))
	if v.ExpectedError != nil {
		failure(t, v, out, err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range out.Events {
		if err := e.Validate(time.Now()); err != nil {
			t.Errorf("the pipeline would refuse it: %v", err)
		}
	}
	if v.ExpectedResult != nil {
		if len(out.Events) != 1 {
			t.Fatalf("%d events", len(out.Events))
		}
		within(t, "result", object(v.result(t)), map[string]any{
			"client_hints": hints(out.Events[0].Device.Hints), "consent": consentOf(out.Events[0].Consent),
		})
		return
	}
	if len(out.Events) != len(v.ExpectedEvents) {
		t.Fatalf("%d events, want %d; errors %v", len(out.Events), len(v.ExpectedEvents), out.Errors)
	}
	for i, want := range v.ExpectedEvents {
		got := gtagModel(out.Events[i])
		w := object(want)
		if _, ok := w["flags"]; ok {
			list, _ := w["flags"].([]any)
			slices.SortFunc(list, func(a, b any) int { return strings.Compare(str(a), str(b)) })
		}
		within(t, "event "+strconv.Itoa(i), w, got)
		for _, key := range []string{"session_id", "session_number", "session_engaged", "user_id"} {
			if _, expected := w[key]; !expected && got[key] != nil {
				t.Errorf("%s is %v, want none", key, got[key])
			}
		}
	}
}

// gtagModel is an event in the words of the vectors.
func gtagModel(e *sidetrack.Event) map[string]any {
	params, flags, own := paramsOf(e), []string{}, map[string]string{}
	for k, v := range e.Params {
		if name, ok := strings.CutPrefix(k, gtag.Namespace); ok {
			own[name] = str(v)
			delete(params, k)
		}
	}
	for flag, set := range map[string]bool{
		"first_visit": e.Visitor.New, "session_start": e.Visitor.NewSession, "conversion": own["_c"] != "", "external_event": own["_ee"] != "", "new_to_site": own["_nsi"] != "",
	} {
		if set {
			flags = append(flags, flag)
		}
	}
	slices.Sort(flags)
	m := map[string]any{
		"name": e.Name, "params": params, "user_properties": e.UserProperties, "items": itemsOf(e), "flags": flags,
		"client_id": e.Visitor.ClientID, "measurement_id": own["tid"], "consent": consentOf(e.Consent),
	}
	if e.UserProperties == nil {
		m["user_properties"] = map[string]any{}
	}
	set(m, "user_id", e.Visitor.UserID)
	set(m, "session_id", e.Visitor.SessionID)
	if e.Visitor.SessionNumber != 0 {
		m["session_number"] = e.Visitor.SessionNumber
	}
	if seg := own["seg"]; seg != "" {
		m["session_engaged"] = seg == "1"
	}
	return m
}

func set(m map[string]any, key, v string) {
	if v != "" {
		m[key] = v
	}
}

// paramsOf puts what an event has places for back under Google's names.
func paramsOf(e *sidetrack.Event) map[string]any {
	m := map[string]any{}
	for k, v := range e.Params {
		m[k] = v
	}
	set(m, "page_location", e.Page.URL)
	set(m, "page_title", e.Page.Title)
	set(m, "page_referrer", e.Page.Referrer)
	set(m, "language", e.Device.Language)
	set(m, "screen_resolution", e.Device.Screen)
	c := &e.Campaign
	for key, v := range map[string]string{
		"campaign_id": c.ID, "campaign_name": c.Name, "campaign_source": c.Source, "campaign_medium": c.Medium, "campaign_term": c.Term, "campaign_content": c.Content,
	} {
		set(m, key, v)
	}
	if ms := e.Visitor.Engagement.Milliseconds(); ms != 0 {
		m["engagement_time_msec"] = ms
	}
	if s := e.Ecommerce; s != nil {
		for key, v := range map[string]string{
			"currency": s.Currency, "transaction_id": s.TransactionID, "affiliation": s.Affiliation, "coupon": s.Coupon, "payment_type": s.PaymentType,
			"shipping_tier": s.ShippingTier, "item_list_id": s.ListID, "item_list_name": s.ListName,
		} {
			set(m, key, v)
		}
		promotion(m, s.Promotion)
		if s.HasValue {
			m["value"] = s.Value
		}
		if s.Tax != 0 {
			m["tax"] = s.Tax
		}
		if s.Shipping != 0 {
			m["shipping"] = s.Shipping
		}
	}
	if f := e.Exception; f != nil {
		set(m, "description", f.Description)
		m["fatal"] = strconv.FormatBool(f.Fatal)
	}
	if d := e.Timing; d != nil {
		set(m, "name", d.Variable)
		set(m, "event_category", d.Category)
		set(m, "event_label", d.Label)
		m["value"] = d.Value.Milliseconds()
	}
	if s := e.Social; s != nil {
		set(m, "method", s.Network)
		set(m, "content_type", s.Action)
		set(m, "item_id", s.Target)
	}
	return m
}

func promotion(m map[string]any, p sidetrack.Promotion) {
	set(m, "promotion_id", p.ID)
	set(m, "promotion_name", p.Name)
	set(m, "creative_name", p.Creative)
	set(m, "creative_slot", p.Slot)
}

func itemsOf(e *sidetrack.Event) []any {
	out := []any{}
	if e.Ecommerce == nil {
		return out
	}
	for _, it := range e.Ecommerce.Items {
		m := map[string]any{}
		for k, v := range it.Params {
			m[k] = v
		}
		for key, v := range map[string]string{
			"item_id": it.ID, "item_name": it.Name, "item_brand": it.Brand, "item_variant": it.Variant, "affiliation": it.Affil, "coupon": it.Coupon,
			"item_list_id": it.ListID, "item_list_name": it.ListName, "location_id": it.LocationID,
		} {
			set(m, key, v)
		}
		promotion(m, it.Promotion)
		for i, c := range it.Categories {
			key := "item_category"
			if i > 0 {
				key += strconv.Itoa(i + 1)
			}
			set(m, key, c)
		}
		if it.HasPrice {
			m["price"] = it.Price
		}
		if it.Discount != 0 {
			m["discount"] = it.Discount
		}
		if it.Quantity != 0 {
			m["quantity"] = it.Quantity
		}
		if it.HasIndex {
			m["index"] = it.Index
		}
		out = append(out, m)
	}
	return out
}

// hints reads the headers back into the words of the vectors.
func hints(h map[string]string) map[string]any {
	unquote := func(name string) any {
		v, ok := h[name]
		if !ok {
			return nil
		}
		s, err := strconv.Unquote(v)
		if err != nil {
			return v
		}
		return s
	}
	truth := func(name string) any {
		if v, ok := h[name]; ok {
			return v == "?1"
		}
		return nil
	}
	var list []any
	if v := h["sec-ch-ua-full-version-list"]; v != "" {
		for _, part := range strings.Split(v, ", ") {
			brand, version, _ := strings.Cut(part, ";v=")
			b, err1 := strconv.Unquote(brand)
			n, err2 := strconv.Unquote(version)
			if err1 == nil && err2 == nil {
				list = append(list, []any{b, n})
			}
		}
	}
	return map[string]any{
		"architecture": unquote("sec-ch-ua-arch"), "bitness": unquote("sec-ch-ua-bitness"), "model": unquote("sec-ch-ua-model"), "platform": unquote("sec-ch-ua-platform"),
		"platform_version": unquote("sec-ch-ua-platform-version"), "mobile": truth("sec-ch-ua-mobile"), "wow64": truth("sec-ch-ua-wow64"), "full_version_list": list,
	}
}

func consentOf(c sidetrack.Consent) map[string]any {
	m := map[string]any{}
	for _, p := range sidetrack.Purposes() {
		if s := c.Get(p); s != sidetrack.Unknown {
			m[string(p)] = s.String()
		}
	}
	return m
}

// encodeGtag checks the other way round, because sidetrack receives these requests and never sends
// them: what Google's client makes of the events must be read as the same events, sent one by one.
func encodeGtag(t *testing.T, v vector) {
	d, err := gtag.New(gtag.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var got []*sidetrack.Event
	for _, w := range v.ExpectedWire {
		out, err := d.Decode(request(map[string]any{"method": w.Method, "path": w.Path, "query": w.Query, "body": w.Body}))
		if err != nil || len(out.Errors) > 0 {
			t.Fatal(err, out.Errors)
		}
		got = append(got, out.Events...)
	}
	list := func(many, one string) []any {
		if l, ok := v.Input[many].([]any); ok {
			return l
		}
		return []any{v.Input[one]}
	}
	shared, events := list("shared", "shared"), list("events", "event")
	if len(got) != len(events) {
		t.Fatalf("%d events, want %d", len(got), len(events))
	}
	for i := range events {
		query := ""
		for _, group := range []any{v.Input["base"], shared[min(i, len(shared)-1)], events[i]} {
			for key, value := range object(group) {
				if s := str(value); strings.HasSuffix(s, "times the letter d") { // a long text in words
					n, _, _ := strings.Cut(s, " ")
					count, _ := strconv.Atoi(n)
					value = strings.Repeat("d", count)
				}
				query += "&" + key + "=" + escape(str(value))
			}
		}
		out, err := d.Decode(request(map[string]any{"method": "GET", "path": "/g/collect", "query": query[1:]}))
		if err != nil || len(out.Events) != 1 {
			t.Fatal(err)
		}
		same(t, "event", gtagModel(out.Events[0]), gtagModel(got[i]))
	}
}

// escape is encodeURIComponent, as far as tests need it.
func escape(s string) string {
	return strings.NewReplacer("%", "%25", "&", "%26", "+", "%2B", "=", "%3D", "#", "%23", " ", "%20").Replace(s)
}

// route asks the built-in decoders where they are mounted.
func route(t *testing.T, v vector) {
	mux := http.NewServeMux()
	for _, f := range standard.Registry().Decoders() {
		if f.Name != "gtag" && f.Name != "mp" && f.Name != "ua" {
			continue
		}
		for _, p := range f.Paths {
			mux.HandleFunc(p, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Decoder", f.Name) })
		}
	}
	protocols := map[string]string{"gtag-v2": "gtag", "ua-v1": "ua", "ua-v1-batch": "ua", "ga4-mp": "mp", "ga4-mp-validate": "mp"}
	for path, want := range object(v.result(t)) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("POST", path, nil))
		if got := w.Header().Get("Decoder"); got != protocols[str(want)] || got == "" {
			t.Errorf("%s goes to %q, want %s", path, got, want)
		}
	}
}

func consent(t *testing.T, v vector) {
	read := func(in any) any {
		ad, analytics, ok := gtag.ParseGCS(str(in))
		if !ok {
			return nil
		}
		return map[string]any{"ad_storage": ad.String(), "analytics_storage": analytics.String()}
	}
	if in, ok := v.Input["gcs"]; ok {
		if list, ok := in.([]any); ok {
			var got []any
			for _, one := range list {
				got = append(got, read(one))
			}
			same(t, "gcs", v.result(t), got)
			return
		}
		same(t, "gcs", v.result(t), read(in))
		return
	}
	g, ok := gtag.ParseGCD(str(v.Input["gcd"]))
	if !ok {
		same(t, "gcd", v.result(t), nil)
		return
	}
	signal := func(s gtag.Signal) any {
		m := map[string]any{"default": nil, "update": nil}
		if s.Default != sidetrack.Unknown {
			m["default"] = s.Default.String()
		}
		if s.Update != sidetrack.Unknown {
			m["update"] = s.Update.String()
		}
		return m
	}
	same(t, "gcd", v.result(t), map[string]any{
		"ad_storage": signal(g.AdStorage), "analytics_storage": signal(g.AnalyticsStorage), "ad_user_data": signal(g.AdUserData), "ad_personalization": signal(g.AdPersonalization),
	})
}

// cookie reads a cookie by itself, and asks the visitor processor what it makes of it.
func cookie(t *testing.T, v vector) {
	name, value := str(v.Input["name"]), str(v.Input["value"])
	want := object(v.result(t))
	if name == "_ga" || strings.HasSuffix(name, "_ga") {
		var got any
		if id, ok := gtag.ClientID(value); ok {
			got = id
		}
		same(t, "client_id", want["client_id"], got)
		if name == "_ga" {
			same(t, "processor", str(want["client_id"]), visitorOf(t, name, value, time.Now()).ClientID)
		}
		return
	}
	s, ok := gtag.ParseSession(name, value)
	got := map[string]any{}
	if ok {
		got = map[string]any{
			"measurement_id": s.MeasurementID, "session_id": s.ID, "session_number": s.Number, "session_engaged": s.Engaged, "join_timer_sec": s.JoinTimer, "logged_in": s.SignedIn,
		}
		if !s.LastEvent.IsZero() {
			got["last_event_time"] = s.LastEvent.Unix()
		}
		if s.EnhancedID != "" {
			got["enhanced_client_id"] = s.EnhancedID
		}
	}
	within(t, "session", want, got)
	if visitor := visitorOf(t, name, value, s.LastEvent); visitor.SessionID != str(want["session_id"]) || str(visitor.SessionNumber) != str(want["session_number"]) {
		t.Errorf("the processor says session %q number %d", visitor.SessionID, visitor.SessionNumber)
	}
}

func visitorOf(t *testing.T, name, value string, at time.Time) sidetrack.Visitor {
	t.Helper()
	cfg := processors.VisitorDefaults()
	cfg.Cookieless = "off"
	p, err := processors.NewVisitor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", name+"="+value)
	e := &sidetrack.Event{Name: "page_view", Received: at, Consent: sidetrack.GrantAll("test")}
	e.SetOrigin(sidetrack.NewOrigin(e.Origin().IP(), r))
	if err := p.Process(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	return e.Visitor
}

func decodeUA(t *testing.T, v vector) {
	d, err := ua.New(ua.Config{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.Decode(request(v.Input))
	if v.ExpectedError != nil {
		failure(t, v, out, err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	hits, _ := object(v.result(t))["hits"].([]any)
	if len(hits) != len(out.Events) {
		t.Fatalf("%d events, want %d", len(out.Events), len(hits))
	}
	for i, want := range hits {
		within(t, "hit", object(want), uaModel(out.Events[i]))
	}
}

// uaModel is the event of a hit in the words of the vectors.
func uaModel(e *sidetrack.Event) map[string]any {
	own := func(key string) any { return e.Params[ua.Namespace+key] }
	action := own("ea")
	if action == nil {
		action = e.Name
	}
	m := map[string]any{
		"type": own("t"), "category": e.Params["event_category"], "action": action, "label": e.Params["event_label"], "value": e.Params["value"],
		"screen_name": e.App.Screen, "path": own("dp"), "host": own("dh"), "title": e.Page.Title, "location": e.Page.URL, "referrer": e.Page.Referrer,
		"client_id": e.Visitor.ClientID, "user_id": e.Visitor.UserID, "tracking_id": own("tid"), "product_action": own("pa"), "promotion_action": own("promoa"),
	}
	campaign := map[string]any{}
	for key, v := range map[string]string{
		"name": e.Campaign.Name, "source": e.Campaign.Source, "medium": e.Campaign.Medium, "keyword": e.Campaign.Term, "content": e.Campaign.Content, "id": e.Campaign.ID,
	} {
		set(campaign, key, v)
	}
	m["campaign"] = campaign
	m["dimensions"], m["metrics"] = numbered(e.Params)
	if e.Ecommerce == nil {
		return m
	}
	numbers := strings.Split(str(own("indexes")), ",")
	var products, promotions []any
	for i, it := range e.Ecommerce.Items {
		n := i + 1
		if len(numbers) == len(e.Ecommerce.Items) {
			if k, err := strconv.Atoi(numbers[i]); err == nil {
				n = k
			}
		}
		one := map[string]any{"index": n}
		if it.Promotion != (sidetrack.Promotion{}) {
			set(one, "id", it.Promotion.ID)
			set(one, "name", it.Promotion.Name)
			set(one, "creative", it.Promotion.Creative)
			set(one, "position", it.Promotion.Slot)
			promotions = append(promotions, one)
			continue
		}
		set(one, "id", it.ID)
		set(one, "name", it.Name)
		if dims, metrics := numbered(it.Params); true {
			if len(dims) > 0 {
				one["dimensions"] = dims
			}
			if len(metrics) > 0 {
				one["metrics"] = metrics
			}
		}
		products = append(products, one)
	}
	m["products"], m["promotions"] = products, promotions
	return m
}

func numbered(params map[string]any) (dims, metrics map[string]any) {
	dims, metrics = map[string]any{}, map[string]any{}
	for k, v := range params {
		if n, ok := strings.CutPrefix(k, "dimension"); ok {
			dims[n] = v
		} else if n, ok := strings.CutPrefix(k, "metric"); ok {
			metrics[n] = v
		}
	}
	return dims, metrics
}

// mapUA goes the whole way: a hit of Universal Analytics in, a request of GA4 out.
func mapUA(t *testing.T, v vector) {
	d, err := ua.New(ua.Config{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.Decode(request(map[string]any{"method": "POST", "path": "/collect", "body": v.Input["ua"]}))
	if err != nil || len(out.Events) != 1 {
		t.Fatalf("%v %v", out, err)
	}
	requests := send(t, ga4(t, nil), time.Now(), out.Events)
	if len(requests) != 1 || requests[0].err != nil {
		t.Fatalf("%d requests, %v", len(requests), requests[0].err)
	}
	body := object(requests[0].body(t))
	list, _ := body["events"].([]any)
	if len(list) != 1 {
		t.Fatalf("%d events", len(list))
	}
	e := object(list[0])
	within(t, "event", object(v.result(t)), map[string]any{
		"name": e["name"], "client_id": body["client_id"], "params": e["params"], "user_id": body["user_id"], "note": object(v.result(t))["note"],
	})
}
