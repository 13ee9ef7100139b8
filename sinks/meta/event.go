package meta

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/flat"
)

// Rules by which an event is changed: the names of its notes.
const (
	RulePersonalData sidetrack.Reason = "personal_data" // plain personal data, which Meta must not get
	RuleUserData     sidetrack.Reason = "user_data"     // user data in a form that Meta cannot match
	RuleFutureTime   sidetrack.Reason = "time_in_future"
	RuleCustomData   sidetrack.Reason = "custom_data" // a value that is not what Meta expects under its name
)

// ReasonAnonymous is why an event of a visitor who asked not to be recognized is dropped: recognizing is all that Meta does with it.
const ReasonAnonymous sidetrack.Reason = "anonymous_profile"

// serverEvent is one event of a batch: Server Event Parameters.
type serverEvent struct {
	Name         string          `json:"event_name"`
	Time         int64           `json:"event_time"`
	ID           string          `json:"event_id"`
	ActionSource string          `json:"action_source"`
	SourceURL    string          `json:"event_source_url,omitempty"`
	ReferrerURL  string          `json:"referrer_url,omitempty"`
	OptOut       bool            `json:"opt_out,omitempty"`
	Options      *[]string       `json:"data_processing_options,omitempty"`
	Country      *int            `json:"data_processing_options_country,omitempty"`
	State        *int            `json:"data_processing_options_state,omitempty"`
	UserData     map[string]any  `json:"user_data"`
	CustomData   flat.Properties `json:"custom_data,omitempty"`
}

// writer makes one event and notes what it changes on the way.
type writer struct {
	g     *generator
	event int // in the unit
	at    time.Time
	notes []sidetrack.Note
}

func (w *writer) note(rule sidetrack.Reason, field, text string) {
	w.notes = append(w.notes, sidetrack.Note{Event: w.event, Rule: rule, Field: field, Text: text})
}

func (w *writer) serverEvent(e *sidetrack.Event) (serverEvent, error) {
	cfg := &w.g.cfg
	out := serverEvent{Name: w.clean("event_name", w.g.name(e)), ID: w.id(e), ActionSource: cfg.ActionSource}
	switch {
	case e.Visitor.AnonymousProfile:
		return out, sidetrack.Drop(ReasonAnonymous)
	case out.Name == "":
		return out, errors.New("meta_capi: an event without a name")
	case out.ID == "":
		return out, errors.New("meta_capi: an event without an id")
	case e.Time.Before(w.at.Add(-w.g.window)):
		return out, fmt.Errorf("meta_capi: the time is more than %d days ago", int(w.g.window.Hours()/24))
	}
	out.Time = w.time(e)
	out.SourceURL = w.url("event_source_url", e.Page.URL)
	out.ReferrerURL = w.url("referrer_url", e.Page.Referrer)
	if out.ActionSource == "website" && out.SourceURL == "" {
		out.ActionSource = "other"
	}
	var err error
	if out.UserData, err = w.userData(e); err != nil {
		return out, err
	}
	if out.ActionSource == "website" && out.UserData["client_user_agent"] == nil {
		return out, errors.New("meta_capi: no user agent, which Meta requires of events on a website")
	}
	if out.CustomData, err = w.customData(e, out.Name); err != nil {
		return out, err
	}
	switch cfg.OptOut {
	case "always":
		out.OptOut = true
	case "auto":
		out.OptOut = e.Consent.Get(sidetrack.AdPersonalization) != sidetrack.Granted
	}
	if cfg.DataProcessingOptions != nil {
		out.Options = &cfg.DataProcessingOptions
		if len(cfg.DataProcessingOptions) > 0 {
			out.Country, out.State = &cfg.DataProcessingOptionsCountry, &cfg.DataProcessingOptionsState
		}
	}
	return out, nil
}

// names are Meta's standard events (Meta Pixel, "Standard Events") for GA4's recommended ones, and for those that GA4 has no name for.
var names = map[string]string{
	sidetrack.PageView:       "PageView",
	sidetrack.ViewItem:       "ViewContent",
	sidetrack.ViewItemList:   "ViewContent",
	"search":                 "Search",
	"view_search_results":    "Search",
	sidetrack.AddToCart:      "AddToCart",
	sidetrack.AddToWishlist:  "AddToWishlist",
	sidetrack.BeginCheckout:  "InitiateCheckout",
	sidetrack.AddPaymentInfo: "AddPaymentInfo",
	sidetrack.Purchase:       purchase,
	"generate_lead":          "Lead",
	"sign_up":                "CompleteRegistration",
	"subscribe":              "Subscribe",
	"start_trial":            "StartTrial",
	"contact":                "Contact",
	"donate":                 "Donate",
	"schedule":               "Schedule",
	"submit_application":     "SubmitApplication",
	"customize_product":      "CustomizeProduct",
	"find_location":          "FindLocation",
}

const purchase = "Purchase"

func (g *generator) name(e *sidetrack.Event) string {
	if n, ok := g.cfg.Names[e.Name]; ok {
		return n
	}
	if n, ok := names[e.Name]; ok {
		return n
	}
	return flat.Clean(e.Name)
}

// id is what Meta tells repeats by, together with the name.
func (w *writer) id(e *sidetrack.Event) string {
	if s, ok := e.Params["event_id"].(string); ok {
		if id := w.clean("event_id", flat.Clean(s)); id != "" && id == s {
			return id
		}
	}
	if w.g.cfg.EventID == "message_id" && e.MessageID != "" {
		if id := w.clean("event_id", flat.Clean(e.MessageID)); id == e.MessageID {
			return id
		}
	}
	if e.ID == uuid.Nil {
		return ""
	}
	return e.ID.String()
}

// time is in seconds. How much of the future Meta takes is not documented.
func (w *writer) time(e *sidetrack.Event) int64 {
	t := e.Time
	if t.After(w.at) {
		t = w.at
		if r := e.Received; !r.IsZero() && r.Before(w.at) && r.After(w.at.Add(-w.g.window)) {
			t = r
		}
		w.note(RuleFutureTime, "event_time", "is in the future: the time of receipt is sent")
	}
	return t.Unix()
}

// url is an address on the web, without personal data.
func (w *writer) url(field, s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	clean, changed := withoutPersonalData(u)
	if changed {
		w.note(RulePersonalData, field, "has personal data: taken out")
	}
	return clean
}

// userData is what Meta recognizes the visitor by: Customer Information Parameters.
func (w *writer) userData(e *sidetrack.Event) (map[string]any, error) {
	u := w.hashes(e)
	out := map[string]any{}
	for key, values := range u.Match {
		switch key {
		case "dobd", "dobm", "doby", "fbp", "fbc":
			out[key] = values[0]
		default:
			out[key] = values
		}
	}
	if _, known := out["fbp"]; !known && w.g.cfg.BrowserID == "made" && !e.Visitor.Cookieless {
		if id := browserID(e.Visitor.ClientID); id != "" {
			out["fbp"] = id
		}
	}
	w.click(out, e)
	if ip, err := netip.ParseAddr(e.Network.IP); err == nil {
		out["client_ip_address"] = ip.WithZone("").String()
	}
	if ua := flat.Clean(e.Device.UserAgent); ua != "" {
		out["client_user_agent"] = ua
	}
	if tooBroad(out) {
		return nil, errors.New("meta_capi: nothing that Meta recognizes a visitor by: a user id, user data, a cookie or client id, or the address")
	}
	return out, nil
}

// hashes is the event's user data and user id by Meta's names.
func (w *writer) hashes(e *sidetrack.Event) sidetrack.UserData {
	var u sidetrack.UserData
	add := func(key, field, value string) {
		if err := u.AddMatch(key, value); err != nil {
			w.note(RuleUserData, field, "has no form that Meta can match: left out") // what is broken costs itself and not the event
		}
	}
	if d := e.UserData; d != nil {
		for _, key := range sidetrack.MatchKeys() {
			for _, v := range d.Match[key] {
				add(key, "user_data."+key, v)
			}
		}
		for _, v := range d.Emails {
			add("em", "user_data.em", v)
		}
		if len(d.Phones) > 0 && len(d.Match["ph"]) == 0 {
			w.note(RuleUserData, "user_data.ph", "is the hash of a number with +, and Meta knows it without: left out")
		}
		for i := range d.Addresses {
			a := &d.Addresses[i]
			for _, f := range [...]struct{ key, value string }{
				{"fn", a.FirstName}, {"ln", a.LastName}, {"ct", a.City}, {"st", a.Region}, {"zp", a.PostalCode}, {"country", a.Country},
			} {
				add(f.key, "user_data."+f.key, f.value)
			}
		}
	}
	add("external_id", "user_data.external_id", flat.Clean(e.Visitor.UserID))
	return u
}

// browserID makes the content of the cookie _fbp of a client id "random.seconds", as the page on fbp and fbc has it: version, level of the
// domain, milliseconds, random number. The same client has the same at all times.
func browserID(clientID string) string {
	random, seconds, ok := strings.Cut(clientID, ".")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if !ok || err != nil || len(seconds) != 10 || n < 0 || random == "" || len(random) > 20 || strings.Trim(random, "0123456789") != "" {
		return ""
	}
	return "fb.1." + seconds + "000." + random
}

// click adds fbc. A click that the cookie does not know yet is newer than the cookie.
func (w *writer) click(out map[string]any, e *sidetrack.Event) {
	id := e.Campaign.ClickIDs["fbclid"]
	if known, _ := out["fbc"].(string); id == "" || strings.Contains(known, "."+id) {
		return
	}
	made := fmt.Sprintf("fb.1.%d.%s", min(e.Time.UnixMilli(), w.at.UnixMilli()), id)
	var u sidetrack.UserData
	if err := u.AddMatch("fbc", made); err != nil {
		w.note(RuleUserData, "user_data.fbc", "cannot be made of this fbclid: left out")
		return
	}
	out["fbc"] = made
}

// broad are the combinations by which Meta recognizes nobody (Best Practices, "Required and Recommended Parameters"): an event
// that has no more than one of them is refused, and its batch with it.
var broad = [][]string{
	{"ct", "country", "st", "zp", "ge", "client_user_agent"},
	{"db", "dobd", "dobm", "doby", "client_user_agent"},
	{"fn", "ge"},
	{"ln", "ge"},
}

func tooBroad(user map[string]any) bool {
	return slices.ContainsFunc(broad, func(few []string) bool {
		for key := range user {
			if !slices.Contains(few, key) {
				return false
			}
		}
		return true
	})
}
