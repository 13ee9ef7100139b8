// Package ga delivers events to Google Analytics 4 by the Measurement Protocol.
//
// Facts of the protocol are from Google's reference of the Measurement Protocol for web streams
// (developers.google.com/analytics/devguides/collection/protocol/ga4). Google answers 2xx to everything it receives,
// wrong secrets and malformed events included, so this package enforces the documented limits itself.
package ga

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// Config is the configuration of the ga4 sink.
type Config struct {
	// MeasurementID of a web stream, G-XXXXXXXXXX.
	MeasurementID string `yaml:"measurement_id"`
	// FirebaseAppID of an app stream, 1:1234567890:android:321abc456def7890, instead of a measurement id.
	FirebaseAppID string `yaml:"firebase_app_id"`
	// APISecret of the stream: Admin, Data streams, Measurement Protocol API secrets.
	APISecret sidetrack.Secret `yaml:"api_secret"`
	// Region is eu for Google's endpoint in the European Union; empty for the global one.
	Region string `yaml:"region" enum:"eu,"`
	// Endpoint replaces the address of Google's endpoint, for tests and proxies.
	Endpoint string `yaml:"endpoint"`
	// Debug shows the events in DebugView, beside counting them.
	Debug bool `yaml:"debug"`
	// Validate sends everything to Google's validation server, which records nothing and says what is wrong: relaxed, as
	// Google takes events in production, or strict, which also enforces its recommendations. Events with findings become
	// dead letters that quote them.
	Validate string `yaml:"validate" enum:"relaxed,strict"`
	// Currency completes commerce events that name none, ISO 4217.
	Currency string `yaml:"currency"`
	// Engagement says what is sent of a time of engagement that is unknown: minimum, one millisecond, without which Google
	// counts nobody as active; or omit.
	Engagement string `yaml:"engagement" enum:"minimum,omit"`
	// UnknownConsent says what is sent of ad_user_data and ad_personalization when they are unknown: denied; or omit, and
	// Google applies what the tags of your pages told it.
	UnknownConsent string `yaml:"unknown_consent" enum:"denied,omit"`
	// Policy says what to do where an event breaks one of Google's rules: clip, drop, reject or keep by name of the rule, or for all
	// of them by the name default. Without, what loses least.
	Policy map[string]Action `yaml:"policy"`
}

// Defaults returns the configuration that the ga4 sink completes: the same as zero values mean.
func Defaults() Config { return Config{Engagement: "minimum", UnknownConsent: "denied"} }

var (
	measurementID = regexp.MustCompile(`^G-[A-Z0-9]{4,16}$`)
	firebaseAppID = regexp.MustCompile(`^\d+:\d+:\w+:\w+$`)
)

// Endpoints of Google.
const (
	endpointGlobal = "https://www.google-analytics.com/mp/collect"
	endpointEU     = "https://region1.google-analytics.com/mp/collect"
)

// Limits of one request: Google's reference, "Limitations".
const (
	maxEvents = 25
	maxBytes  = 130_000
)

// MaxAge is how far back the time of an event may lie: Google's reference, "Override timestamp".
const MaxAge = 72 * time.Hour

// New makes the sink. A request carries up to 25 events of one client, user, consent, device
// and place. It needs analytics_storage.
func New(cfg Config) (*sidetrack.Sink, error) {
	g, err := newGenerator(cfg)
	if err != nil {
		return nil, err
	}
	opts := []sidetrack.SinkOption{
		sidetrack.MaxEvents(maxEvents),
		sidetrack.MaxBytes(maxBytes),
		sidetrack.GroupBy(g.groupKey),
		sidetrack.Secrets(cfg.APISecret),
	}
	if g.policy[RuleTooOld] == Drop {
		opts = append(opts, sidetrack.MaxAge(MaxAge))
	}
	if cfg.Validate != "" {
		opts = append(opts, sidetrack.Classify(classifyFindings))
	}
	return sidetrack.HTTPSink(g, opts...), nil
}

func newGenerator(cfg Config) (*generator, error) {
	query := url.Values{}
	switch {
	case cfg.MeasurementID != "" && cfg.FirebaseAppID != "":
		return nil, &sidetrack.FieldError{Field: "firebase_app_id", Problem: "excludes measurement_id: give one of them"}
	case cfg.FirebaseAppID != "":
		if !firebaseAppID.MatchString(cfg.FirebaseAppID) {
			return nil, &sidetrack.FieldError{Field: "firebase_app_id", Problem: "has not the form 1:1234567890:android:321abc456def7890; the package name is something else"}
		}
		query.Set("firebase_app_id", cfg.FirebaseAppID)
	case cfg.MeasurementID == "":
		return nil, &sidetrack.FieldError{Field: "measurement_id", Problem: "is missing: Admin, Data streams, Measurement ID (G-…)"}
	case !measurementID.MatchString(cfg.MeasurementID):
		return nil, &sidetrack.FieldError{Field: "measurement_id", Problem: "has not the form G-XXXXXXXXXX; ids that begin with UA- are of the product that was switched off"}
	default:
		query.Set("measurement_id", cfg.MeasurementID)
	}
	if cfg.APISecret.IsZero() {
		return nil, &sidetrack.FieldError{Field: "api_secret", Problem: "is missing: Admin, Data streams, Measurement Protocol API secrets"}
	}
	query.Set("api_secret", cfg.APISecret.Reveal())
	endpoint, err := cfg.endpoint()
	if err != nil {
		return nil, err
	}
	g := &generator{app: cfg.FirebaseAppID != "", debug: cfg.Debug, strict: cfg.Validate == "strict", currency: cfg.Currency}
	for _, f := range []struct {
		field, value, usual, other string
		is                         *bool
	}{
		{"engagement", cfg.Engagement, "minimum", "omit", &g.omitEngagement},
		{"unknown_consent", cfg.UnknownConsent, "denied", "omit", &g.omitUnknown},
	} {
		if f.value != "" && f.value != f.usual && f.value != f.other {
			return nil, &sidetrack.FieldError{Field: f.field, Problem: fmt.Sprintf("is %q: use %s or %s", f.value, f.usual, f.other)}
		}
		*f.is = f.value == f.other
	}
	if cfg.Currency != "" && !isCurrency(cfg.Currency) {
		return nil, &sidetrack.FieldError{Field: "currency", Problem: "must be three upper-case letters, such as EUR (ISO 4217)"}
	}
	if g.policy, err = newPolicy(cfg.Policy); err != nil {
		return nil, err
	}
	g.url = endpoint + "?" + query.Encode()
	return g, nil
}

// endpoint is the address to send to, without the query.
func (cfg *Config) endpoint() (string, error) {
	endpoint := endpointGlobal
	switch cfg.Region {
	case "":
	case "eu":
		endpoint = endpointEU
	default:
		return "", &sidetrack.FieldError{Field: "region", Problem: "must be eu or empty"}
	}
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return "", &sidetrack.FieldError{Field: "endpoint", Problem: "must be an absolute http or https URL"}
		}
		if u.RawQuery != "" || u.Fragment != "" {
			return "", &sidetrack.FieldError{Field: "endpoint", Problem: "must end with its path: the query is made by the sink"}
		}
		endpoint = cfg.Endpoint
	}
	switch cfg.Validate {
	case "":
		return endpoint, nil
	case "relaxed", "strict":
	default:
		return "", &sidetrack.FieldError{Field: "validate", Problem: fmt.Sprintf("is %q: use relaxed or strict, or leave it out", cfg.Validate)}
	}
	base, ok := strings.CutSuffix(endpoint, "/mp/collect")
	if !ok {
		return "", &sidetrack.FieldError{Field: "validate", Problem: "needs an endpoint whose path ends in /mp/collect: its validation server is at /debug/mp/collect"}
	}
	return base + "/debug/mp/collect", nil
}
