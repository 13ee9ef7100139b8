package ga

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// generator makes requests of the Measurement Protocol.
type generator struct {
	url   string
	app   bool // an app stream
	debug bool
}

// body is the request's JSON. The keys are those of Google's reference; it knows no others.
type body struct {
	ClientID       string             `json:"client_id,omitempty"`
	AppInstanceID  string             `json:"app_instance_id,omitempty"`
	UserID         string             `json:"user_id,omitempty"`
	UserProperties map[string]wrapped `json:"user_properties,omitempty"`
	Consent        *consent           `json:"consent,omitempty"`
	UserLocation   *location          `json:"user_location,omitempty"`
	IPOverride     string             `json:"ip_override,omitempty"`
	Device         *device            `json:"device,omitempty"`
	UserAgent      string             `json:"user_agent,omitempty"`
	Events         []event            `json:"events"`
}

type wrapped struct {
	Value any `json:"value"`
}

type consent struct {
	AdUserData        string `json:"ad_user_data"`
	AdPersonalization string `json:"ad_personalization"`
}

type location struct {
	City      string `json:"city,omitempty"`
	RegionID  string `json:"region_id,omitempty"`
	CountryID string `json:"country_id,omitempty"`
}

type device struct {
	Category         string `json:"category,omitempty"`
	Language         string `json:"language,omitempty"`
	ScreenResolution string `json:"screen_resolution,omitempty"`
	OS               string `json:"operating_system,omitempty"`
	OSVersion        string `json:"operating_system_version,omitempty"`
	Model            string `json:"model,omitempty"`
	Brand            string `json:"brand,omitempty"`
	Browser          string `json:"browser,omitempty"`
	BrowserVersion   string `json:"browser_version,omitempty"`
}

type event struct {
	Name            string         `json:"name"`
	TimestampMicros int64          `json:"timestamp_micros,omitempty"`
	Params          map[string]any `json:"params,omitempty"`
}

// Request makes the request of a unit whose events share everything that groupKey names.
func (g *generator) Request(u sidetrack.Unit) (*sidetrack.Request, error) {
	if len(u.Events) == 0 {
		return nil, errors.New("ga: no events")
	}
	first := u.Events[0]
	b := body{
		UserID:         gawire.Clip(first.Visitor.UserID, gawire.MaxUserID),
		UserProperties: userProperties(first),
		Consent:        &consent{adState(first, sidetrack.AdUserData), adState(first, sidetrack.AdPersonalization)},
		Events:         make([]event, 0, len(u.Events)),
	}
	switch {
	case g.app && first.Visitor.AppInstanceID == "":
		return nil, errors.New("ga: the event has no app_instance_id, which an app stream needs: only the Firebase SDK can give one")
	case g.app:
		b.AppInstanceID = first.Visitor.AppInstanceID
	case first.Visitor.ClientID == "":
		return nil, errors.New("ga: the event has no client_id: send one, or put the visitor processor into intake")
	default:
		b.ClientID = strings.ToValidUTF8(first.Visitor.ClientID, "\ufffd")
	}
	describe(&b, first)
	for _, e := range u.Events {
		ev, err := g.event(e, u)
		if err != nil {
			return nil, err
		}
		b.Events = append(b.Events, ev)
	}
	payload, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("ga: encode: %w", err)
	}
	return &sidetrack.Request{URL: g.url, Header: http.Header{"Content-Type": {"application/json"}}, Body: payload}, nil
}

// describe says where and with what the visitor is. A location outranks the address and a device the
// user agent, so only one of each is sent.
func describe(b *body, e *sidetrack.Event) {
	if n := e.Network; n.Country != "" {
		b.UserLocation = &location{City: n.City, RegionID: n.Region, CountryID: n.Country}
	} else {
		b.IPOverride = n.IP
	}
	if d := e.Device; d.Category != "" || d.OS != "" || d.Browser != "" || d.Model != "" {
		b.Device = &device{
			Category: d.Category, Language: d.Language, ScreenResolution: d.Screen, OS: d.OS, OSVersion: d.OSVersion,
			Model: d.Model, Brand: d.Brand, Browser: d.Browser, BrowserVersion: d.BrowserVer,
		}
	} else {
		b.UserAgent = strings.ToValidUTF8(d.UserAgent, "\ufffd")
	}
}

// adState is Google's word for the state; unknown is denied.
func adState(e *sidetrack.Event, p sidetrack.Purpose) string {
	if e.Consent.Get(p) == sidetrack.Granted {
		return "GRANTED"
	}
	return "DENIED"
}

// groupKey is what events of one request have in common: everything above the events.
func groupKey(e *sidetrack.Event) string {
	d, n := &e.Device, &e.Network
	key := strings.Join([]string{
		e.Visitor.ClientID, e.Visitor.AppInstanceID, e.Visitor.UserID, adState(e, sidetrack.AdUserData), adState(e, sidetrack.AdPersonalization),
		n.IP, n.Country, n.Region, n.City, d.UserAgent, d.Category, d.Language, d.Screen, d.OS, d.OSVersion, d.Model, d.Brand, d.Browser, d.BrowserVer,
	}, "\x00")
	if len(e.UserProperties) == 0 {
		return key
	}
	properties, err := json.Marshal(userProperties(e))
	if err != nil {
		return key + "\x00" + e.ID.String() // cannot be encoded: alone, so that it fails alone
	}
	return key + "\x00" + string(properties)
}

func userProperties(e *sidetrack.Event) map[string]wrapped {
	if len(e.UserProperties) == 0 {
		return nil
	}
	out := map[string]wrapped{}
	for _, name := range sortedKeys(e.UserProperties) {
		short := gawire.Name(name, gawire.MaxUserPropertyName)
		v, ok := scalar(e.UserProperties[name], gawire.MaxUserPropertyValue)
		if _, taken := out[short]; short == "" || taken || !ok || gawire.ReservedUserProperty(short) || len(out) == gawire.MaxUserProperties {
			continue
		}
		out[short] = wrapped{v}
	}
	return out
}

// scalar returns v as Google takes it: text cut to limit, a finite number, a bool.
func scalar(v any, limit int) (any, bool) {
	switch v := v.(type) {
	case string:
		return gawire.Clip(v, limit), v != ""
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case float32:
		return v, !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
	case bool, int64, int, int32, int16, int8, uint, uint64, uint32, uint16, uint8, sidetrack.Money:
		return v, true
	}
	return nil, false
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
