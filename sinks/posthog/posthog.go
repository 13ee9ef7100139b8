// Package posthog delivers events to PostHog by its batch endpoint.
//
// Facts of the protocol are from PostHog's capture API reference (posthog.com/docs/api/capture) and the source of its capture service.
package posthog

import (
	"crypto/sha256"
	"encoding/binary"
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

// Config is the configuration of the posthog sink.
type Config struct {
	// Key is the project's API key, phc_….
	Key sidetrack.Secret `yaml:"key"`
	// Host is where PostHog is, such as https://eu.i.posthog.com; empty: https://us.i.posthog.com.
	Host string `yaml:"host"`
	// Persons says whose events make or change a person's profile: identified, those with a user id; always, all but cookieless
	// ones; never, nobody's.
	Persons string `yaml:"persons" enum:"identified,always,never"`
	// IdentifyOn names the events that tie the client id to the user id, where both are known.
	IdentifyOn []string `yaml:"identify_on"`
}

// Defaults is what the configuration holds before it is decoded.
func Defaults() Config {
	return Config{Host: "https://us.i.posthog.com", Persons: "identified", IdentifyOn: []string{"login", "sign_up"}}
}

// Limits: the capture service. A batch may have 20 MB; smaller ones lose less time when repeated.
const (
	maxEvents = 500
	maxBytes  = 4 << 20
	maxName   = 200
	maxID     = 200
)

// New makes the sink. It needs analytics_storage.
func New(cfg Config) (*sidetrack.Sink, error) {
	d := Defaults()
	if cfg.Host == "" {
		cfg.Host = d.Host
	}
	if cfg.Persons == "" {
		cfg.Persons = d.Persons
	}
	u, err := url.Parse(cfg.Host)
	key := cfg.Key.Reveal()
	switch {
	case cfg.Key.IsZero():
		return nil, &sidetrack.FieldError{Field: "key", Problem: "is missing: the project's API key, phc_…"}
	case strings.HasPrefix(key, "phx_"):
		return nil, &sidetrack.FieldError{Field: "key", Problem: "is a personal key: events need the project's, phc_…"}
	case len(key) > 64 || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, &sidetrack.FieldError{Field: "key", Problem: "must be at most 64 printable ASCII characters"}
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return nil, &sidetrack.FieldError{Field: "host", Problem: "must be an absolute http or https URL without a path"}
	case cfg.Persons != "identified" && cfg.Persons != "always" && cfg.Persons != "never":
		return nil, &sidetrack.FieldError{Field: "persons", Problem: fmt.Sprintf("is %q: use identified, always or never", cfg.Persons)}
	}
	g := &generator{cfg: cfg, url: strings.TrimSuffix(cfg.Host, "/") + "/batch/"}
	encoding := sidetrack.Accepts(sidetrack.Gzip)
	if strings.HasSuffix(u.Hostname(), ".i.posthog.com") { // elsewhere it may be a proxy
		encoding = sidetrack.Compress(sidetrack.Gzip)
	}
	return sidetrack.HTTPSink(g, sidetrack.MaxEvents(maxEvents), sidetrack.MaxBytes(maxBytes), encoding, sidetrack.Secrets(cfg.Key)), nil
}

type generator struct {
	cfg Config
	url string
}

// capture is one event of a batch.
type capture struct {
	Event      string          `json:"event"`
	ID         string          `json:"distinct_id"`
	UUID       uuid.UUID       `json:"uuid"`
	Time       string          `json:"timestamp,omitempty"`
	Properties flat.Properties `json:"properties"`
}

// Request makes a batch. PostHog takes a batch whole or not at all, so that events it could not take are left out.
func (g *generator) Request(u sidetrack.Unit) (*sidetrack.Request, error) {
	if len(u.Events) == 0 {
		return nil, errors.New("posthog: no events")
	}
	failed := map[int]error{}
	batch := make([]capture, 0, len(u.Events))
	for i, e := range u.Events {
		c, err := g.capture(e)
		if err != nil {
			failed[i] = err
			continue
		}
		if id, ok := g.identify(e, c); ok {
			batch = append(batch, id)
		}
		batch = append(batch, c)
	}
	var err error
	if len(failed) > 0 {
		err = &sidetrack.PartialError{Failed: failed}
	}
	if len(batch) == 0 {
		return nil, err
	}
	r, encodeErr := sidetrack.PostJSON(g.url, struct {
		Key   string    `json:"api_key"`
		Batch []capture `json:"batch"`
	}{g.cfg.Key.Reveal(), batch})
	if encodeErr != nil {
		return nil, fmt.Errorf("posthog: %w", encodeErr)
	}
	return r, err
}

func (g *generator) capture(e *sidetrack.Event) (capture, error) {
	c := capture{UUID: e.ID, Event: name(e), ID: flat.Clean(e.Visitor.UserID)}
	if c.ID == "" {
		c.ID = flat.Clean(e.Visitor.ClientID)
	}
	switch {
	case c.Event == "":
		return c, errors.New("posthog: an event without a name")
	case len(c.Event) > maxName:
		return c, fmt.Errorf("posthog: the name is longer than %d bytes", maxName)
	case c.ID == "":
		return c, errors.New("posthog: neither a user id nor a client id: send one, or put the visitor processor into intake")
	case len(c.ID) > maxID:
		return c, fmt.Errorf("posthog: the visitor's id is longer than %d bytes, which PostHog would cut", maxID)
	case e.ID == uuid.Nil:
		return c, errors.New("posthog: an event without an id")
	}
	if y := e.Time.Year(); !e.Time.IsZero() && (y < 1970 || y > 9998) {
		return c, fmt.Errorf("posthog: the year %d is none", y)
	} else if !e.Time.IsZero() {
		c.Time = e.Time.UTC().Format(time.RFC3339Nano)
	}
	c.Properties = g.properties(e)
	return c, nil
}

func name(e *sidetrack.Event) string {
	switch e.Name {
	case sidetrack.PageView:
		return "$pageview"
	case sidetrack.ScreenView:
		return "$screen"
	}
	return flat.Clean(e.Name)
}

// identify makes the event that ties what the visitor did before to who they are: once more each time, which
// PostHog takes once.
func (g *generator) identify(e *sidetrack.Event, c capture) (capture, bool) {
	v := &e.Visitor
	if v.UserID == "" || v.ClientID == "" || v.Cookieless || !g.profile(e) || !slices.Contains(g.cfg.IdentifyOn, e.Name) {
		return capture{}, false
	}
	p := flat.Properties{"$anon_distinct_id": flat.Clean(v.ClientID), "$lib": "sidetrack", "$geoip_disable": true}
	if set, ok := c.Properties["$set"]; ok {
		p["$set"] = set
	}
	return capture{Event: "$identify", ID: c.ID, UUID: uuid.NewSHA1(e.ID, []byte("$identify")), Time: c.Time, Properties: p}, true
}

// profile reports whether the event may make or change a person's profile.
func (g *generator) profile(e *sidetrack.Event) bool {
	switch g.cfg.Persons {
	case "always":
		return !e.Visitor.Cookieless
	case "never":
		return false
	}
	return e.Visitor.UserID != ""
}

func (g *generator) properties(e *sidetrack.Event) flat.Properties {
	p := flat.Properties{"$lib": "sidetrack"}
	if g.profile(e) {
		set := flat.Properties{}
		set.Add(e.UserProperties, nil)
		if len(set) > 0 {
			p["$set"] = set
		}
	} else {
		p["$process_person_profile"] = false
	}
	p.Set("$current_url", e.Page.URL)
	if u, err := url.Parse(e.Page.URL); err == nil && u.Host != "" {
		p.Set("$host", u.Host)
		p.Set("$pathname", u.Path)
	}
	p.Set("$referrer", e.Page.Referrer)
	if u, err := url.Parse(e.Page.Referrer); err == nil {
		p.Set("$referring_domain", u.Host)
	}
	p.Set("title", e.Page.Title)
	p.Set("route", e.Page.Route)
	p.Set("$screen_name", e.App.Screen)
	p.Set("$app_name", e.App.Name)
	p.Set("$app_version", e.App.Version)
	if id, ok := session(e); ok {
		p["$session_id"] = id
	}
	device(p, &e.Device)
	place(p, &e.Network)
	campaign(p, &e.Campaign)
	p.Shop(e.Ecommerce)
	p.Special(e)
	// A $ is PostHog's own; the others would be read as the project's key and the visitor's id.
	p.Add(e.Params, func(k string) bool {
		return strings.HasPrefix(k, "$") || k == "token" || k == "api_key" || k == "distinct_id"
	})
	return p
}

func device(p flat.Properties, d *sidetrack.Device) {
	p.Set("$raw_user_agent", d.UserAgent)
	p.Set("$browser", d.Browser)
	p.Set("$browser_version", d.BrowserVer)
	p.Set("$browser_language", d.Language)
	p.Set("$os", d.OS)
	p.Set("$os_version", d.OSVersion)
	p.Set("$device_type", d.Category)
	if w, h, ok := flat.Size(d.Screen); ok {
		p["$screen_width"], p["$screen_height"] = w, h
	}
	if w, h, ok := flat.Size(d.Viewport); ok {
		p["$viewport_width"], p["$viewport_height"] = w, h
	}
}

// place hands over what is known. PostHog looks up no address: the one it would see is this server's, and the visitor's
// is anonymized.
func place(p flat.Properties, n *sidetrack.Network) {
	p["$geoip_disable"] = true
	if ip, err := netip.ParseAddr(n.IP); err == nil {
		p["$ip"] = ip.WithZone("").String()
	}
	p.Set("$geoip_country_code", n.Country)
	p.Set("$geoip_subdivision_1_code", strings.TrimPrefix(n.Region, n.Country+"-"))
	p.Set("$geoip_city_name", n.City)
}

func campaign(p flat.Properties, c *sidetrack.Campaign) {
	p.Set("utm_source", c.Source)
	p.Set("utm_medium", c.Medium)
	p.Set("utm_campaign", c.Name)
	p.Set("utm_term", c.Term)
	p.Set("utm_content", c.Content)
	p.Set("utm_id", c.ID)
	for k, v := range c.ClickIDs {
		p.Set(flat.Clean(k), v)
	}
}

// session makes PostHog's id of a session: a UUIDv7 whose time is its beginning, the same for all its events.
func session(e *sidetrack.Event) (string, bool) {
	began, err := strconv.ParseInt(e.Visitor.SessionID, 10, 64)
	if err != nil || began < 0 || began > 1<<33 {
		return "", false
	}
	sum := sha256.Sum256([]byte(e.Site + "\x00" + e.Visitor.ClientID + "\x00" + e.Visitor.SessionID))
	var id uuid.UUID
	copy(id[:], sum[:])
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(began*1000))
	copy(id[:6], ms[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id.String(), true
}
