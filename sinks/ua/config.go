package ua

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// Config is the configuration of the ua sink.
type Config struct {
	// Endpoint is the address hits are sent to, such as https://collector.example/collect. Google's own takes none any more.
	Endpoint string `yaml:"endpoint,required"`
	// TrackingID of the property, UA-XXXX-Y, or what the receiver wants in tid. Empty: what the hit said that an event
	// came from.
	TrackingID string `yaml:"tracking_id"`
	// Method is post, or get: then hits over 2,000 bytes are sent by POST all the same.
	Method string `yaml:"method" enum:"post,get"`
	// Batch sends up to 20 hits in a request to /batch beside the endpoint.
	Batch bool `yaml:"batch"`
	// Debug sends hits to /debug beside the endpoint, which records nothing and says what is wrong. Invalid ones become dead
	// letters that quote it.
	Debug bool `yaml:"debug"`
	// Ecommerce is enhanced: products ride on one hit; or classic: a purchase becomes a transaction and its items, which needs batch.
	Ecommerce string `yaml:"ecommerce" enum:"enhanced,classic"`
	// Params are added to each hit as they are, such as a token the receiver asks for. They are never shown.
	Params map[string]sidetrack.Secret `yaml:"params"`
	// Dimensions names custom dimensions by their number, for parameters and user properties of events and parameters of
	// items: {plan: 3}. Others are found under the names dimension1 to dimension200.
	Dimensions map[string]int `yaml:"dimensions"`
	// Metrics names custom metrics likewise. Others are found under metric1 to metric200.
	Metrics map[string]int `yaml:"metrics"`
	// CheckoutSteps gives events of a checkout their step: {begin_checkout: 1, add_shipping_info: 2, add_payment_info: 3}.
	CheckoutSteps map[string]int `yaml:"checkout_steps"`
	// Category of events that name none in event_category.
	Category string `yaml:"category"`
	// DataSource is what ds says where the event does not: web, app, crm, …
	DataSource string `yaml:"data_source"`
	// Host completes pages of which only the path is known.
	Host string `yaml:"host"`
	// OmitAIP does not ask the receiver to make addresses anonymous. By default each hit does, beside the address being
	// anonymous already.
	OmitAIP bool `yaml:"omit_aip"`
	// UnknownConsent says how a hit speaks of personalized advertising when the consent is unknown: denied, which sends npa=1; or omit.
	UnknownConsent string `yaml:"unknown_consent" enum:"denied,omit"`
	// TooLong is what to do with texts over their limit: clip, or reject the event.
	TooLong string `yaml:"too_long" enum:"clip,reject"`
	// MaxQueueTime is how old an event may be when it is sent. Google dropped hits of more than four hours.
	MaxQueueTime time.Duration `yaml:"max_queue_time"`
}

// Defaults returns the configuration that the ua sink completes.
func Defaults() Config {
	return Config{Method: "post", Ecommerce: "enhanced", Category: "event", UnknownConsent: "denied", TooLong: "clip", MaxQueueTime: 4 * time.Hour}
}

// Limits of a batch: the reference, "Batching".
const (
	maxBatch      = 20
	maxBatchBytes = 16384
)

// Rules of notes.
const (
	RuleTooLong sidetrack.Reason = "value_too_long"
	RuleNoPlace sidetrack.Reason = "no_place"      // the protocol cannot say it
	RuleNumber  sidetrack.Reason = "value_invalid" // neither negative nor fractional where the protocol wants a whole number
	RuleTooMany sidetrack.Reason = "too_many_hits" // an event that is more hits than a batch may have
)

// New makes the sink. Zero values of cfg mean the defaults. It needs analytics_storage.
func New(cfg Config) (*sidetrack.Sink, error) {
	g, err := newGenerator(cfg)
	if err != nil {
		return nil, err
	}
	opts := []sidetrack.SinkOption{sidetrack.MaxAge(g.cfg.MaxQueueTime), sidetrack.Secrets(slices.Collect(maps.Values(cfg.Params))...)}
	if cfg.Batch {
		opts = append(opts, sidetrack.MaxEvents(maxBatch), sidetrack.MaxBytes(maxBatchBytes))
	}
	if cfg.Debug {
		opts = append(opts, sidetrack.Classify(classifyParsing))
	}
	return sidetrack.HTTPSink(g, opts...), nil
}

type generator struct {
	cfg        Config
	url        string
	dimensions map[string]int
	metrics    map[string]int
}

func newGenerator(cfg Config) (*generator, error) {
	d := Defaults()
	for _, f := range []struct {
		field   string
		value   *string
		usual   string
		allowed []string
	}{
		{"method", &cfg.Method, d.Method, []string{"post", "get"}},
		{"ecommerce", &cfg.Ecommerce, d.Ecommerce, []string{"enhanced", "classic"}},
		{"unknown_consent", &cfg.UnknownConsent, d.UnknownConsent, []string{"denied", "omit"}},
		{"too_long", &cfg.TooLong, d.TooLong, []string{"clip", "reject"}},
		{"category", &cfg.Category, d.Category, nil},
	} {
		if *f.value == "" {
			*f.value = f.usual
		}
		if f.allowed != nil && !slices.Contains(f.allowed, *f.value) {
			return nil, &sidetrack.FieldError{Field: f.field, Problem: fmt.Sprintf("is %q: use %s", *f.value, strings.Join(f.allowed, " or "))}
		}
	}
	if cfg.MaxQueueTime == 0 {
		cfg.MaxQueueTime = d.MaxQueueTime
	}
	g := &generator{cfg: cfg, dimensions: cfg.Dimensions, metrics: cfg.Metrics}
	var err error
	if g.url, err = cfg.address(); err != nil {
		return nil, err
	}
	if cfg.Ecommerce == "classic" && !cfg.Batch {
		return nil, &sidetrack.FieldError{Field: "ecommerce", Problem: "classic makes several hits of one purchase: set batch too, or use enhanced"}
	}
	for _, m := range []struct {
		field string
		names map[string]int
	}{{"dimensions", cfg.Dimensions}, {"metrics", cfg.Metrics}} {
		used := map[int]string{}
		for _, name := range slices.Sorted(maps.Keys(m.names)) {
			n := m.names[name]
			if n < 1 || n > 200 {
				return nil, &sidetrack.FieldError{Field: m.field + "." + name, Problem: "must be a number from 1 to 200"}
			}
			if other := used[n]; other != "" {
				return nil, &sidetrack.FieldError{Field: m.field + "." + name, Problem: fmt.Sprintf("is number %d, as is %s", n, other)}
			}
			used[n] = name
		}
	}
	for _, k := range slices.Sorted(maps.Keys(cfg.Params)) {
		if !extraKey.MatchString(k) || k == "v" || k == "z" {
			return nil, &sidetrack.FieldError{Field: "params." + k, Problem: "is no name of a parameter that can be set"}
		}
	}
	return g, nil
}

// address is where requests go.
func (c *Config) address() (string, error) {
	if c.Endpoint == "" {
		return "", &sidetrack.FieldError{Field: "endpoint", Problem: "is missing: Google takes no such hits any more, so there is no default"}
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return "", &sidetrack.FieldError{Field: "endpoint", Problem: "must be an absolute http or https URL without a query"}
	}
	if !c.Batch && !c.Debug {
		return c.Endpoint, nil
	}
	base, ok := strings.CutSuffix(c.Endpoint, "/collect")
	switch {
	case !ok:
		return "", &sidetrack.FieldError{Field: "endpoint", Problem: "must end in /collect for batch and debug, which are beside it"}
	case c.Debug:
		return base + "/debug/collect", nil
	}
	return base + "/batch", nil
}
