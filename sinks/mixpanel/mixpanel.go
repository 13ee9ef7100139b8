// Package mixpanel delivers events to Mixpanel by its import endpoint, in strict mode.
//
// Facts of the protocol are from Mixpanel's ingestion reference (docs.mixpanel.com/reference/import-events).
package mixpanel

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/flat"
)

// Config is the configuration of the mixpanel sink.
type Config struct {
	// Token is the project's token.
	Token sidetrack.Secret `yaml:"token"`
	// Account and Secret are those of a service account, with ProjectID; without, the token alone authorizes.
	Account string `yaml:"account"`
	// Secret is the service account's.
	Secret sidetrack.Secret `yaml:"secret"`
	// ProjectID is the number of the project, needed with a service account.
	ProjectID int `yaml:"project_id"`
	// Region is where the project's data is: us, eu or in.
	Region string `yaml:"region" enum:"us,eu,in"`
	// Host replaces Mixpanel's address, for tests and proxies.
	Host string `yaml:"host"`
}

// Defaults is what the configuration holds before it is decoded.
func Defaults() Config { return Config{Region: "us"} }

var hosts = map[string]string{"": "https://api.mixpanel.com", "us": "https://api.mixpanel.com", "eu": "https://api-eu.mixpanel.com", "in": "https://api-in.mixpanel.com"}

// Limits: reference, "Import Events". A request may have 2,000 events and 10 MB.
const (
	maxEvents     = 1000
	maxBytes      = 2_000_000
	maxProperties = 254
	maxElements   = 255
	future        = time.Hour
)

// New makes the sink. It needs analytics_storage.
func New(cfg Config) (*sidetrack.Sink, error) {
	host, known := hosts[cfg.Region]
	if cfg.Host != "" {
		host = cfg.Host
	}
	u, err := url.Parse(host)
	account := cfg.Account != "" || !cfg.Secret.IsZero() || cfg.ProjectID != 0
	switch {
	case cfg.Token.IsZero():
		return nil, &sidetrack.FieldError{Field: "token", Problem: "is missing: the project's token"}
	case !known:
		return nil, &sidetrack.FieldError{Field: "region", Problem: fmt.Sprintf("is %q: use us, eu or in", cfg.Region)}
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return nil, &sidetrack.FieldError{Field: "host", Problem: "must be an absolute http or https URL without a path"}
	case account && (cfg.Account == "" || cfg.Secret.IsZero() || cfg.ProjectID < 1):
		return nil, &sidetrack.FieldError{Field: "account", Problem: "needs secret and project_id, and they need it"}
	}
	query := url.Values{"strict": {"1"}}
	basic := cfg.Token.Reveal() + ":"
	if account {
		basic = cfg.Account + ":" + cfg.Secret.Reveal()
		query.Set("project_id", fmt.Sprint(cfg.ProjectID))
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(basic))
	g := &generator{
		token: cfg.Token.Reveal(), url: strings.TrimSuffix(host, "/") + "/import?" + query.Encode(),
		header: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Basic " + encoded}},
	}
	encoding := sidetrack.Compress(sidetrack.Gzip)
	if cfg.Host != "" { // may be a proxy
		encoding = sidetrack.Accepts(sidetrack.Gzip)
	}
	return sidetrack.HTTPSink(g,
		sidetrack.MaxEvents(maxEvents), sidetrack.MaxBytes(maxBytes), encoding, sidetrack.Classify(classify),
		sidetrack.Secrets(cfg.Token, cfg.Secret, sidetrack.NewSecret(encoded)),
	), nil
}

type generator struct {
	token, url string
	header     http.Header
}

type record struct {
	Event      string          `json:"event"`
	Properties flat.Properties `json:"properties"`
}

// Request makes an import. Events that Mixpanel would refuse are left out.
func (g *generator) Request(u sidetrack.Unit) (*sidetrack.Request, error) {
	if len(u.Events) == 0 {
		return nil, errors.New("mixpanel: no events")
	}
	failed := map[int]error{}
	records := make([]record, 0, len(u.Events))
	for i, e := range u.Events {
		r, err := g.record(e, u.At)
		if err != nil {
			failed[i] = err
			continue
		}
		records = append(records, r)
	}
	var err error
	if len(failed) > 0 {
		err = &sidetrack.PartialError{Failed: failed}
	}
	if len(records) == 0 {
		return nil, err
	}
	body, encodeErr := json.Marshal(records)
	if encodeErr != nil {
		return nil, fmt.Errorf("mixpanel: encode: %w", encodeErr)
	}
	return &sidetrack.Request{URL: g.url, Header: g.header.Clone(), Body: body}, err
}

// classify reads strict mode's answer: 400 names the records that failed, and the others are stored.
func classify(u sidetrack.Unit, r *sidetrack.Response) error {
	if r.Status != http.StatusBadRequest {
		return sidetrack.DefaultClassify(u, r)
	}
	var answer struct {
		Failed []struct {
			Index   int    `json:"index"`
			Field   string `json:"field"`
			Message string `json:"message"`
		} `json:"failed_records"`
	}
	if json.Unmarshal(r.Body, &answer) != nil || len(answer.Failed) == 0 {
		return sidetrack.DefaultClassify(u, r)
	}
	failed := map[int]error{}
	for _, f := range answer.Failed {
		i, ok := r.Event(f.Index)
		if !ok {
			return sidetrack.DefaultClassify(u, r) // not an answer to this: repeats are harmless
		}
		failed[i] = sidetrack.Permanent(fmt.Errorf("mixpanel: %s: %s", flat.Clean(f.Field), flat.Clean(f.Message)))
	}
	return &sidetrack.PartialError{Failed: failed}
}

// placeholders are ids that Mixpanel refuses, as they stand for nobody and would make one person of all.
var placeholders = []string{
	"", "anon", "anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "0", "-1", "true", "false", "[]", "{}", "00000000-0000-0000-0000-000000000000",
}

func (g *generator) record(e *sidetrack.Event, at time.Time) (record, error) {
	r := record{Event: name(e), Properties: flat.Properties{"token": g.token, "mp_lib": "sidetrack", "$insert_id": e.ID.String()}}
	p := r.Properties
	user, device := flat.Clean(e.Visitor.UserID), flat.Clean(e.Visitor.ClientID)
	switch {
	case r.Event == "":
		return r, errors.New("mixpanel: an event without a name")
	case e.ID == uuid.Nil:
		return r, errors.New("mixpanel: an event without an id")
	case user == "" && device == "":
		return r, errors.New("mixpanel: neither a user id nor a client id: send one, or put the visitor processor into intake")
	case user != "" && slices.Contains(placeholders, strings.ToLower(user)):
		return r, fmt.Errorf("mixpanel: the user id %q stands for nobody, which Mixpanel refuses", user)
	case e.Time.Year() < 1971 || e.Time.After(at.Add(future)):
		return r, errors.New("mixpanel: the time is before 1971 or more than an hour in the future")
	}
	p["time"] = e.Time.UnixMilli()
	p.Set("$device_id", device)
	if user != "" {
		p["distinct_id"], p["$user_id"] = user, user
	} else {
		p["distinct_id"] = "$device:" + device
	}
	page(p, e)
	p.Set("$browser", e.Device.Browser)
	p.Set("$browser_version", e.Device.BrowserVer)
	p.Set("$os", e.Device.OS)
	p.Set("$device", e.Device.Model)
	p.Set("$brand", e.Device.Brand)
	if w, h, ok := flat.Size(e.Device.Screen); ok {
		p["$screen_width"], p["$screen_height"] = w, h
	}
	p.Set("session_id", e.Visitor.SessionID)
	place(p, &e.Network)
	p.Shop(e.Ecommerce)
	p.Special(e)
	p.Add(e.Params, func(k string) bool {
		return strings.HasPrefix(k, "$") || strings.HasPrefix(k, "mp_") || slices.Contains([]string{"token", "distinct_id", "time", "ip"}, k)
	})
	if len(p) > maxProperties {
		return r, fmt.Errorf("mixpanel: %d properties, at most %d are taken", len(p), maxProperties)
	}
	for k, v := range p {
		if n := widest(v); n > maxElements {
			return r, fmt.Errorf("mixpanel: property %q has %d elements, at most %d are taken", k, n, maxElements)
		}
	}
	return r, nil
}

// widest is the number of elements of the largest list or object in v.
func widest(v any) (n int) {
	switch v := v.(type) {
	case []any:
		n = len(v)
		for _, e := range v {
			n = max(n, widest(e))
		}
	case map[string]any:
		n = len(v)
		for _, e := range v {
			n = max(n, widest(e))
		}
	case flat.Properties:
		n = len(v)
		for _, e := range v {
			n = max(n, widest(e))
		}
	}
	return n
}

func name(e *sidetrack.Event) string {
	if e.Name == sidetrack.PageView {
		return "$mp_web_page_view"
	}
	return flat.Clean(e.Name)
}

func page(p flat.Properties, e *sidetrack.Event) {
	p.Set("$current_url", e.Page.URL)
	if e.Name == sidetrack.PageView {
		p.Set("current_url_path", e.Page.Path)
		p.Set("current_page_title", e.Page.Title)
		if u, err := url.Parse(e.Page.URL); err == nil {
			p.Set("current_domain", u.Host)
		}
	}
	p.Set("route", e.Page.Route)
	p.Set("$referrer", e.Page.Referrer)
	if u, err := url.Parse(e.Page.Referrer); err == nil {
		p.Set("$referring_domain", u.Host)
	}
	p.Set("screen_name", e.App.Screen)
	p.Set("$app_version_string", e.App.Version)
	c := &e.Campaign
	p.Set("utm_source", c.Source)
	p.Set("utm_medium", c.Medium)
	p.Set("utm_campaign", c.Name)
	p.Set("utm_term", c.Term)
	p.Set("utm_content", c.Content)
	for k, v := range c.ClickIDs {
		p.Set(flat.Clean(k), v)
	}
}

// place is as sidetrack knows it, or for Mixpanel to find out from the anonymized address.
func place(p flat.Properties, n *sidetrack.Network) {
	if n.Country != "" {
		p.Set("mp_country_code", n.Country)
		p.Set("$region", n.Region)
		p.Set("$city", n.City)
		return
	}
	if ip, err := netip.ParseAddr(n.IP); err == nil {
		p["ip"] = ip.WithZone("").String()
	}
}
