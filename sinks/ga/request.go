package ga

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// generator makes requests of the Measurement Protocol.
type generator struct {
	url            string
	app            bool // an app stream
	debug          bool // show in DebugView
	strict         bool // let the validation server be strict
	omitUnknown    bool // say nothing of consent that is unknown
	omitEngagement bool // say nothing of engagement that is unknown
	currency       string
	policy         policy
}

// Request makes the request of a unit whose events share everything that groupKey names. Events
// that the policy does not let through are left out.
func (g *generator) Request(u sidetrack.Unit) (*sidetrack.Request, error) {
	if len(u.Events) == 0 {
		return nil, errors.New("ga: no events")
	}
	w := &writer{policy: g.policy, b: make([]byte, 0, 512+1024*len(u.Events)), names: make([]string, 0, gawire.MaxParams)}
	failed := map[int]error{}
	g.context(w, u.Events[0])
	if err := w.err; err != nil { // of what all of them share
		for i := range u.Events {
			failed[i] = err
		}
		return nil, &sidetrack.PartialError{Failed: failed}
	}
	base := g.base(u)
	if base != 0 {
		w.key("timestamp_micros")
		w.b = strconv.AppendInt(w.b, base, 10)
	}
	if g.strict {
		w.member("validation_behavior", "ENFORCE_RECOMMENDATIONS")
	}
	w.key("events")
	w.raw("[")
	for i, e := range u.Events {
		mark, notes := len(w.b), len(w.notes)
		w.event = i
		if i > len(failed) {
			w.raw(",")
		}
		if g.writeEvent(w, e, u.At, base); w.err != nil {
			failed[i] = w.err
			w.b, w.notes, w.err = w.b[:mark], w.notes[:notes], nil
		}
	}
	w.raw("]}")
	var err error
	if len(failed) > 0 {
		err = &sidetrack.PartialError{Failed: failed}
	}
	if len(failed) == len(u.Events) {
		return nil, err
	}
	return &sidetrack.Request{URL: g.url, Header: http.Header{"Content-Type": {"application/json"}}, Body: w.b, Notes: w.notes}, err
}

// base is the time of the request: of the first event. Besides the events that have no other time
// it dates the user properties, which otherwise would count as set when the request arrives, after
// ones that were set later and sent earlier. 0: there is no use for one.
func (g *generator) base(u sidetrack.Unit) int64 {
	if len(u.Events) == 1 && len(u.Events[0].UserProperties) == 0 {
		return 0
	}
	for _, e := range u.Events {
		if stamp(e, u.At) == 0 || u.At.Sub(e.Time) > MaxAge {
			return 0
		}
	}
	return stamp(u.Events[0], u.At)
}

// stamp is the time of an event in microseconds, 0 for one that is unknown or in the future.
func stamp(e *sidetrack.Event, at time.Time) int64 {
	if e.Time.IsZero() || e.Time.Year() < 2000 || e.Time.After(at) {
		return 0
	}
	return e.Time.UnixMicro()
}

// groupKey is what events of one request have in common: everything above the events, as it is written.
func (g *generator) groupKey(e *sidetrack.Event) string {
	w := &writer{policy: g.policy, b: make([]byte, 0, 512)}
	g.context(w, e)
	if w.err != nil {
		return e.ID.String() // alone, so that it fails alone
	}
	return string(w.b)
}

// context opens the request and writes everything above the events.
func (g *generator) context(w *writer, e *sidetrack.Event) {
	v := &e.Visitor
	w.raw("{")
	switch {
	case g.app && !appInstance(v.AppInstanceID):
		w.brokeEvent(RuleClientRequired, "app_instance_id", "must be the 32 hexadecimal digits that only the Firebase SDK can give")
	case g.app:
		w.member("app_instance_id", v.AppInstanceID)
	case v.ClientID == "":
		w.brokeEvent(RuleClientRequired, "client_id", "is missing: send one, or put the visitor processor into intake")
	default:
		w.member("client_id", v.ClientID)
	}
	if id, ok := w.fit("", "user_id", v.UserID, gawire.MaxUserID); ok {
		w.member("user_id", id)
	}
	g.userProperties(w, e)
	if e.UserData != nil {
		g.userData(w, e)
	}
	g.consent(w, e)
	place(w, &e.Network)
	machine(w, &e.Device)
}

func appInstance(id string) bool {
	return len(id) == 32 && strings.Trim(strings.ToLower(id), "0123456789abcdef") == ""
}

// userProperties writes each property with its value and, where the source said so, when it was set.
func (g *generator) userProperties(w *writer, e *sidetrack.Event) {
	if len(e.UserProperties) == 0 {
		return
	}
	mark := len(w.b)
	w.key("user_properties")
	w.raw("{")
	w.begin(gawire.MaxUserProperties)
	for _, k := range w.sorted(e.UserProperties) {
		v, when := e.UserProperties[k], int64(0)
		if m, ok := v.(map[string]any); ok {
			if t, ok := integer(m["timestamp_micros"]); ok || m["timestamp_micros"] == nil {
				v, when = m["value"], t
			}
		}
		if v == nil || v == "" {
			continue
		}
		const prefix = "user_properties."
		name, ok := w.name(prefix, k, gawire.MaxUserPropertyName, gawire.ReservedUserProperty)
		if !ok {
			continue
		}
		if w.has(name) {
			w.broke(RuleNameDuplicated, prefix+k, "is "+name+" like another")
			continue
		}
		// The value is written as a member of its own object, which is taken back without one.
		at, names := len(w.b), len(w.names)
		if !w.claim(name) {
			continue
		}
		w.raw("{")
		inner := len(w.b)
		sub := writer{policy: w.policy, b: w.b, checking: w.checking, event: w.event}
		sub.begin(0)
		sub.property(prefix+name, v)
		w.b = sub.b
		w.notes, w.problems = append(w.notes, sub.notes...), append(w.problems, sub.problems...)
		if w.err == nil {
			w.err = sub.err
		}
		if len(w.b) == inner {
			w.b, w.names = w.b[:at], w.names[:names]
			continue
		}
		if when > 0 {
			w.key("timestamp_micros")
			w.b = strconv.AppendInt(w.b, when, 10)
		}
		w.raw("}")
	}
	w.raw("}")
	action := Clip
	if w.surplus > 0 {
		n := len(w.names) + w.surplus
		action = w.broke(RuleTooManyProperties, "user_properties", "has "+strconv.Itoa(n)+" entries, at most "+strconv.Itoa(gawire.MaxUserProperties))
	}
	if len(w.names) == 0 || action == Drop {
		w.b = w.b[:mark]
	}
}

// property writes the member "value".
func (w *writer) property(field string, v any) {
	if s, ok := v.(string); ok {
		if s, ok = w.fit(field, "", s, gawire.MaxUserPropertyValue); ok {
			w.member("value", s)
		}
		return
	}
	before := len(w.problems) + len(w.notes)
	w.value("", "value", v, gawire.MaxUserPropertyValue)
	// What went wrong is called by the property's name.
	if p, ok := w.err.(*Problem); ok {
		p.Field = field
	}
	if len(w.notes)+len(w.problems) > before {
		for i := range w.notes {
			w.notes[i].Field = field
		}
		for i := range w.problems {
			w.problems[i].Field = field
		}
	}
}

// userData writes the hashes, where the visitor allows it.
func (g *generator) userData(w *writer, e *sidetrack.Event) {
	u := e.UserData
	state := e.Consent.Get(sidetrack.AdUserData)
	switch {
	case u.IsZero():
		return
	case state == sidetrack.Granted, state == sidetrack.Unknown && g.omitUnknown:
	default:
		w.broke(RuleUserDataConsent, "user_data", "needs consent to ad_user_data, which is "+state.String())
		return
	}
	w.key("user_data")
	w.raw("{")
	w.list("sha256_email_address", u.Emails)
	w.list("sha256_phone_number", u.Phones)
	if len(u.Addresses) > 0 {
		w.key("address")
		w.raw("[")
		for i := range u.Addresses {
			a := &u.Addresses[i]
			if i > 0 {
				w.raw(",")
			}
			w.raw("{")
			w.member("sha256_first_name", a.FirstName)
			w.member("sha256_last_name", a.LastName)
			w.member("sha256_street", a.Street)
			w.member("city", a.City)
			w.member("region", a.Region)
			w.member("postal_code", a.PostalCode)
			w.member("country", a.Country)
			w.raw("}")
		}
		w.raw("]")
	}
	w.raw("}")
}

func (w *writer) list(name string, values []string) {
	if len(values) == 0 {
		return
	}
	w.key(name)
	w.raw("[")
	for i, v := range values {
		if i > 0 {
			w.raw(",")
		}
		w.raw(strconv.Quote(v)) // hexadecimal digits
	}
	w.raw("]")
}

// consent writes Google's two purposes in its words.
func (g *generator) consent(w *writer, e *sidetrack.Event) {
	data, ads := g.state(e, sidetrack.AdUserData), g.state(e, sidetrack.AdPersonalization)
	if data == "" && ads == "" {
		return
	}
	w.key("consent")
	w.raw("{")
	w.member("ad_user_data", data)
	w.member("ad_personalization", ads)
	w.raw("}")
}

func (g *generator) state(e *sidetrack.Event, p sidetrack.Purpose) string {
	switch s := e.Consent.Get(p); {
	case s == sidetrack.Granted:
		return "GRANTED"
	case s == sidetrack.Unknown && g.omitUnknown:
		return ""
	}
	return "DENIED"
}

// place says where the visitor is. A location outranks the address, so only one of them is sent.
func place(w *writer, n *sidetrack.Network) {
	if n.Country == "" && n.Region == "" && n.City == "" && n.Continent == "" && n.Subcontinent == "" {
		w.member("ip_override", n.IP)
		return
	}
	w.key("user_location")
	w.raw("{")
	w.member("city", n.City)
	w.member("region_id", n.Region)
	w.member("country_id", n.Country)
	w.member("subcontinent_id", n.Subcontinent)
	w.member("continent_id", n.Continent)
	w.raw("}")
}

// described reports whether the device is known by more than its user agent.
func described(d *sidetrack.Device) bool {
	return d.Category != "" || d.OS != "" || d.Browser != "" || d.Model != "" || d.Brand != ""
}

// machine says with what the visitor is there. A device outranks the user agent, so only one of
// them is sent.
func machine(w *writer, d *sidetrack.Device) {
	if !described(d) {
		w.member("user_agent", d.UserAgent)
		return
	}
	w.key("device")
	w.raw("{")
	w.member("category", d.Category)
	w.member("language", d.Language)
	w.member("screen_resolution", d.Screen)
	w.member("operating_system", d.OS)
	w.member("operating_system_version", d.OSVersion)
	w.member("model", d.Model)
	w.member("brand", d.Brand)
	w.member("browser", d.Browser)
	w.member("browser_version", d.BrowserVer)
	w.raw("}")
}
