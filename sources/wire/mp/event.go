package mp

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/clientip"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// events makes the events of a request. What stands above them holds for each.
func (d *decoder) events(r *http.Request, s stream, root map[string]any) (sidetrack.Decoded, error) {
	list, ok := root["events"].([]any)
	if !ok || len(list) == 0 {
		return sidetrack.Decoded{}, &sidetrack.FieldError{Field: "events", Problem: "is missing or empty, want a list"}
	}
	if len(list) > maxEvents {
		return sidetrack.Decoded{}, &sidetrack.HTTPError{
			Status: http.StatusRequestEntityTooLarge, Err: &sidetrack.FieldError{Field: "events", Problem: fmt.Sprintf("has more than %d elements", maxEvents)},
		}
	}
	base, err := d.base(r, s, root)
	if err != nil {
		return sidetrack.Decoded{}, err
	}
	out := sidetrack.Decoded{
		Events: make([]*sidetrack.Event, 0, len(list)), Indexes: make([]int, 0, len(list)),
		Reply: sidetrack.Reply{Status: http.StatusNoContent, Body: []byte{}},
	}
	for i, v := range list {
		e, err := event(base, v)
		if err != nil {
			if len(list) == 1 {
				return sidetrack.Decoded{}, err
			}
			out.Errors = append(out.Errors, sidetrack.ElementError{Index: i, Err: err})
			continue
		}
		out.Events, out.Indexes = append(out.Events, e), append(out.Indexes, i)
	}
	return out, nil
}

// maxEvents bounds a request. Google takes 25, but there is no reason to lose the others here.
const maxEvents = 5000

// base is what all events of the request share.
func (d *decoder) base(r *http.Request, s stream, root map[string]any) (*sidetrack.Event, error) {
	e := new(sidetrack.Event)
	e.Visitor.ClientID, e.Visitor.AppInstanceID, e.Visitor.UserID = clientID(root["client_id"]), word(root["app_instance_id"]), word(root["user_id"])
	switch {
	case s.measurementID != "" && e.Visitor.ClientID == "":
		return nil, &sidetrack.FieldError{Field: "client_id", Problem: "is missing"}
	case s.firebaseAppID != "" && e.Visitor.AppInstanceID == "":
		return nil, &sidetrack.FieldError{Field: "app_instance_id", Problem: "is missing"}
	}
	keep(e, "measurement_id", s.measurementID)
	keep(e, "firebase_app_id", s.firebaseAppID)
	if v, there := root["timestamp_micros"]; there && v != nil {
		t, err := moment(v)
		if err != nil {
			return nil, err
		}
		e.Time = t
	}
	var address netip.Addr
	for key, v := range root {
		switch key {
		case "client_id", "app_instance_id", "user_id", "timestamp_micros", "events", "validation_behavior", "validationBehavior":
		case "user_properties":
			userProperties(e, v)
		case "user_data":
			e.UserData = userData(v)
		case "consent":
			stated, _ := v.(map[string]any)
			consent(e, sidetrack.AdUserData, stated["ad_user_data"])
			consent(e, sidetrack.AdPersonalization, stated["ad_personalization"])
		case "non_personalized_ads":
		case "user_location":
			location(e, v)
		case "device":
			device(e, v)
		case "user_agent":
			e.Device.UserAgent = word(v)
		case "ip_override":
			if d.cfg.TrustIPOverride {
				address, _ = clientip.Parse(word(v))
			}
		default:
			keep(e, key, v)
		}
	}
	if root["non_personalized_ads"] == true { // deprecated: Google's name for the denial today is in consent
		e.Consent.Set(sidetrack.AdPersonalization, sidetrack.Denied)
	}
	if !e.Consent.IsZero() {
		e.Consent.How = "payload"
	}
	gawire.Grant(&e.Consent, d.cfg.Grant)
	// The sender is a server. Nothing of its request says anything about the visitor but where it went.
	e.SetOrigin(sidetrack.NewOrigin(address, &http.Request{Host: r.Host}))
	return e, nil
}

// event makes one event.
func event(base *sidetrack.Event, v any) (*sidetrack.Event, error) {
	raw, ok := v.(map[string]any)
	if !ok {
		return nil, &sidetrack.FieldError{Problem: "is no JSON object"}
	}
	e := base.Clone()
	name, ok := raw["name"].(string)
	if e.Name = gawire.ParamName(name); !ok || e.Name == "" {
		return nil, &sidetrack.FieldError{Field: "name", Problem: "is missing"}
	}
	values, ok := raw["params"].(map[string]any)
	if !ok && raw["params"] != nil {
		return nil, &sidetrack.FieldError{Field: "params", Problem: "is no JSON object"}
	}
	at := raw["timestamp_micros"]
	if at == nil { // some readers of the reference take it for a parameter
		at = values["timestamp_micros"]
	}
	if at != nil {
		t, err := moment(at)
		if err != nil {
			return nil, err
		}
		e.Time = t
	}
	params := make([]gawire.Param, 0, len(values))
	for name, v := range values {
		switch {
		case v == nil || name == "timestamp_micros":
		case name == "items":
			if !items(e, v) {
				params = append(params, gawire.AnyParam(name, v))
			}
		default:
			if name = gawire.ParamName(name); name != "" {
				params = append(params, gawire.AnyParam(name, clean(v)))
			}
		}
	}
	gawire.Place(e, params)
	return e, nil
}

// items reads the items. It reports whether v is a list of objects.
func items(e *sidetrack.Event, v any) bool {
	list, ok := v.([]any)
	if !ok {
		return false
	}
	if len(list) > sidetrack.MaxItems {
		keep(e, "items_dropped", int64(len(list)-sidetrack.MaxItems))
		list = list[:sidetrack.MaxItems]
	}
	out := make([]sidetrack.Item, 0, len(list))
	for _, v := range list {
		members, ok := v.(map[string]any)
		if !ok {
			return false
		}
		out = append(out, sidetrack.Item{})
		for name, v := range members {
			if name = gawire.ParamName(name); name != "" && v != nil {
				p := gawire.AnyParam(name, clean(v))
				gawire.SetItem(&out[len(out)-1], &p)
			}
		}
	}
	if len(out) > 0 {
		e.Ecommerce = &sidetrack.Ecommerce{Items: out}
	}
	return true
}

// clean bounds the texts of a value, and takes out what no event may hold.
func clean(v any) any {
	switch v := v.(type) {
	case string:
		return gawire.Text(v)
	case []any:
		for i := range v {
			v[i] = clean(v[i])
		}
	case map[string]any:
		for k, inner := range v {
			if name := gawire.ParamName(k); name != k || name == "" {
				delete(v, k)
				continue
			}
			v[k] = clean(inner)
		}
	}
	return v
}

// keep keeps what an event has no place for under the namespace of this protocol.
func keep(e *sidetrack.Event, key string, v any) {
	name := gawire.ParamName(Namespace + key)
	text, isText := v.(string)
	if v == nil || isText && text == "" || !gawire.Keepable(key, text) || len(e.Params) == sidetrack.MaxParams {
		return
	}
	e.SetParam(name, clean(v))
}

// word returns text or a number as text of one line; "" for anything else.
func word(v any) string {
	switch v := v.(type) {
	case string:
		return gawire.Word(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// clientID also takes the whole value of a _ga cookie, as the reference allows.
func clientID(v any) string {
	s := word(v)
	if strings.HasPrefix(s, "GA1.") {
		if id, ok := gawire.ClientID(s); ok {
			return id
		}
	}
	return s
}

// moment reads a timestamp in microseconds.
func moment(v any) (time.Time, error) {
	n, err := strconv.ParseInt(word(v), 10, 64)
	if err != nil {
		return time.Time{}, &sidetrack.FieldError{Field: "timestamp_micros", Problem: "is no whole number of microseconds"}
	}
	t := time.UnixMicro(n).UTC()
	if t.Year() < 2000 {
		return time.Time{}, &sidetrack.FieldError{Field: "timestamp_micros", Problem: "is before the year 2000: it must be in microseconds"}
	}
	return t, nil
}

func userProperties(e *sidetrack.Event, v any) {
	all, _ := v.(map[string]any)
	for name, v := range all {
		property, wrapped := v.(map[string]any)
		if wrapped {
			v = property["value"]
			if at, ok := property["timestamp_micros"].(int64); ok && v != nil {
				v = map[string]any{"value": v, "timestamp_micros": at} // as the ga4 sink takes it
			}
		}
		if name = gawire.ParamName(name); name == "" || v == nil || len(e.UserProperties) == sidetrack.MaxParams {
			continue
		}
		if e.UserProperties == nil {
			e.UserProperties = make(map[string]any, len(all))
		}
		e.UserProperties[name] = clean(v)
	}
}

func consent(e *sidetrack.Event, p sidetrack.Purpose, v any) {
	switch strings.ToUpper(word(v)) {
	case "GRANTED":
		e.Consent.Set(p, sidetrack.Granted)
	case "DENIED":
		e.Consent.Set(p, sidetrack.Denied)
	}
}

func location(e *sidetrack.Event, v any) {
	m, _ := v.(map[string]any)
	e.Network = sidetrack.Network{
		City: word(m["city"]), Region: word(m["region_id"]), Country: word(m["country_id"]), Subcontinent: word(m["subcontinent_id"]), Continent: word(m["continent_id"]),
	}
}

func device(e *sidetrack.Event, v any) {
	m, _ := v.(map[string]any)
	ua := e.Device.UserAgent
	e.Device = sidetrack.Device{
		UserAgent: ua, Category: word(m["category"]), Language: word(m["language"]), Screen: word(m["screen_resolution"]),
		OS: word(m["operating_system"]), OSVersion: word(m["operating_system_version"]), Model: word(m["model"]), Brand: word(m["brand"]),
		Browser: word(m["browser"]), BrowserVer: word(m["browser_version"]),
	}
}

// userData takes over hashes. What is no hash would be somebody's address in the clear, so it goes
// no further.
func userData(v any) *sidetrack.UserData {
	m, _ := v.(map[string]any)
	u := &sidetrack.UserData{Emails: hashes(m["sha256_email_address"]), Phones: hashes(m["sha256_phone_number"])}
	addresses, ok := m["address"].([]any)
	if !ok && m["address"] != nil {
		addresses = []any{m["address"]}
	}
	for _, v := range addresses {
		a, ok := v.(map[string]any)
		if !ok || len(u.Addresses) == sidetrack.MaxUserData {
			continue
		}
		one := sidetrack.AddressData{
			FirstName: hash(a["sha256_first_name"]), LastName: hash(a["sha256_last_name"]), Street: hash(a["sha256_street"]),
			City: word(a["city"]), Region: word(a["region"]), PostalCode: word(a["postal_code"]), Country: word(a["country"]),
		}
		if one != (sidetrack.AddressData{}) {
			u.Addresses = append(u.Addresses, one)
		}
	}
	if u.IsZero() {
		return nil
	}
	return u
}

// hashes reads a list of hashes, or a single one.
func hashes(v any) (out []string) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, v := range list {
		if h := hash(v); h != "" && len(out) < sidetrack.MaxUserData {
			out = append(out, h)
		}
	}
	return out
}

func hash(v any) string {
	s := strings.ToLower(word(v))
	if len(s) != 64 || strings.Trim(s, "0123456789abcdef") != "" {
		return ""
	}
	return s
}
