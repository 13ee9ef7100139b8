// Package snowplow delivers events to a Snowplow collector by the tracker protocol, version tp2.
//
// Facts of the protocol are from Snowplow's tracker protocol reference (docs.snowplow.io/docs/events/http-requests,
// docs.snowplow.io/docs/fundamentals/canonical-event), the schemas of Iglu Central and the parameter table of Snowplow Enrich.
//
// The collector answers 200 to nearly everything and validates nothing: an event that breaks a schema or a length is
// found by Enrich later, and ends among the failed events where nobody looks. So this package keeps to both before sending.
package snowplow

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// Config is the configuration of the snowplow sink.
type Config struct {
	// Endpoint is the address of the collector, such as https://sp.shop.example. A path replaces that of the protocol, for collectors
	// with a path of their own.
	Endpoint string `yaml:"endpoint"`
	// AppID is Snowplow's app_id; empty: the event's site.
	AppID string `yaml:"app_id"`
	// Namespace is the tracker's name.
	Namespace string `yaml:"namespace"`
	// Platform is Snowplow's platform of all events; auto: web for those of a page, mob or app for those of an app, else srv.
	Platform string `yaml:"platform" enum:"auto,web,mob,pc,srv,app,tv,cnsl,iot,headset"`
	// Time says what an event's time is: dtm, the tracker's clock, which Snowplow corrects by its own; or ttm, the true time, taken as it is.
	Time string `yaml:"time" enum:"dtm,ttm"`
	// Purchases says how a purchase is sent: ecommerce, by the schemas of that name; or transaction, the older tr and ti events.
	Purchases string `yaml:"purchases" enum:"ecommerce,transaction"`
	// Schemas are your own schemas of events, by name, such as iglu:com.acme/signup/jsonschema/1-0-0. Their data are the event's params.
	Schemas map[string]string `yaml:"schemas"`
	// ParamsSchema is your schema of an entity with the params of an event that has no schema of its own; empty: they are not sent.
	ParamsSchema string `yaml:"params_schema"`
	// UserSchema is your schema of an entity with the user properties; empty: they are not sent.
	UserSchema string `yaml:"user_schema"`
	// Base64 sends self-describing JSON encoded, as trackers in browsers do.
	Base64 bool `yaml:"base64"`
}

// Defaults is what the configuration holds before it is decoded.
func Defaults() Config {
	return Config{Namespace: "sidetrack", Platform: "auto", Time: "dtm", Purchases: "ecommerce"}
}

// Limits. The collector keeps nothing of a payload over 1 MB, and answers 200 all the same (maxPayloadSize); what it wraps an event in
// counts too.
const (
	maxEvents = 200
	maxBytes  = 500_000
	path      = "/com.snowplowanalytics.snowplow/tp2"
)

// platforms are those that Enrich knows.
var platforms = []string{"auto", "web", "mob", "pc", "srv", "app", "tv", "cnsl", "iot", "headset"}

var iglu = regexp.MustCompile(`^iglu:[a-zA-Z0-9_.-]+/[a-zA-Z0-9_-]+/jsonschema/[1-9][0-9]*-(0|[1-9][0-9]*)-(0|[1-9][0-9]*)$`)

// New makes the sink. It needs analytics_storage.
func New(cfg Config) (*sidetrack.Sink, error) {
	d := Defaults()
	cfg.Namespace, cfg.Platform = cmp.Or(cfg.Namespace, d.Namespace), cmp.Or(cfg.Platform, d.Platform)
	cfg.Time, cfg.Purchases = cmp.Or(cfg.Time, d.Time), cmp.Or(cfg.Purchases, d.Purchases)
	u, err := url.Parse(cfg.Endpoint)
	switch {
	case cfg.Endpoint == "":
		return nil, &sidetrack.FieldError{Field: "endpoint", Problem: "is missing: the address of the collector"}
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil:
		return nil, &sidetrack.FieldError{Field: "endpoint", Problem: "must be an absolute http or https URL without query and user"}
	case len(cfg.AppID) > maxAppID:
		return nil, &sidetrack.FieldError{Field: "app_id", Problem: fmt.Sprintf("is longer than %d bytes", maxAppID)}
	case len(cfg.Namespace) > maxNamespace:
		return nil, &sidetrack.FieldError{Field: "namespace", Problem: fmt.Sprintf("is longer than %d bytes", maxNamespace)}
	case !slices.Contains(platforms, cfg.Platform):
		return nil, &sidetrack.FieldError{Field: "platform", Problem: fmt.Sprintf("is %q: use one of %s", cfg.Platform, strings.Join(platforms, ", "))}
	case cfg.Time != "dtm" && cfg.Time != "ttm":
		return nil, &sidetrack.FieldError{Field: "time", Problem: fmt.Sprintf("is %q: use dtm or ttm", cfg.Time)}
	case cfg.Purchases != "ecommerce" && cfg.Purchases != "transaction":
		return nil, &sidetrack.FieldError{Field: "purchases", Problem: fmt.Sprintf("is %q: use ecommerce or transaction", cfg.Purchases)}
	}
	schemas := map[string]string{"params_schema": cfg.ParamsSchema, "user_schema": cfg.UserSchema}
	for name, schema := range cfg.Schemas {
		schemas["schemas."+name] = cmp.Or(schema, "nothing")
	}
	for _, field := range slices.Sorted(maps.Keys(schemas)) {
		schema := schemas[field]
		if schema != "" && !iglu.MatchString(schema) {
			return nil, &sidetrack.FieldError{Field: field, Problem: fmt.Sprintf("is %q: write iglu:vendor/name/jsonschema/1-0-0", schema)}
		}
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = path
	}
	u.Fragment = ""
	g := &generator{cfg: cfg, url: u.String()}
	return sidetrack.HTTPSink(g, sidetrack.MaxEvents(maxEvents), sidetrack.MaxBytes(maxBytes)), nil
}

type generator struct {
	cfg Config
	url string
}

// payloadSchema is of the body: the data's values are all strings (Iglu Central, payload_data).
const payloadSchema = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"

// Request makes a batch. The collector takes a batch whole, whatever is in it, so that events Snowplow could not use are left out.
func (g *generator) Request(u sidetrack.Unit) (*sidetrack.Request, error) {
	if len(u.Events) == 0 {
		return nil, errors.New("snowplow: no events")
	}
	failed := map[int]error{}
	var data []payload
	var notes []sidetrack.Note
	for i, e := range u.Events {
		d, err := g.event(e)
		if err != nil {
			failed[i] = fmt.Errorf("snowplow: %w", err)
			continue
		}
		for _, p := range d.out {
			p["stm"] = number(u.At.UnixMilli())
			data = append(data, p)
		}
		for _, n := range d.notes {
			n.Event = i
			notes = append(notes, n)
		}
	}
	var err error
	if len(failed) > 0 {
		err = &sidetrack.PartialError{Failed: failed}
	}
	if len(data) == 0 {
		return nil, err
	}
	body, encodeErr := json.Marshal(struct {
		Schema string    `json:"schema"`
		Data   []payload `json:"data"`
	}{payloadSchema, data})
	if encodeErr != nil {
		return nil, fmt.Errorf("snowplow: encode: %w", encodeErr)
	}
	return &sidetrack.Request{URL: g.url, Body: body, Notes: notes, Header: http.Header{
		"Content-Type": {"application/json; charset=UTF-8"},
		// The collector would take this server's address and a cookie of its own for the visitor's.
		"Sp-Anonymous": {"*"},
	}}, err
}
