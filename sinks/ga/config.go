// Package ga delivers events to Google Analytics 4 by the Measurement Protocol.
//
// Facts of the protocol are from Google's reference of the Measurement Protocol for web streams
// (developers.google.com/analytics/devguides/collection/protocol/ga4). Google answers 2xx to everything it receives,
// wrong secrets and malformed events included, so this package enforces the documented limits itself.
package ga

import (
	"net/url"
	"regexp"
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
	// Debug shows the events in DebugView.
	Debug bool `yaml:"debug"`
}

var (
	measurementID = regexp.MustCompile(`^G-[A-Z0-9]{4,16}$`)
	firebaseAppID = regexp.MustCompile(`^\d+:\d+:\w+:\w+$`)
)

// Endpoints of Google.
const (
	endpointGlobal = "https://www.google-analytics.com/mp/collect"
	endpointEU     = "https://region1.google-analytics.com/mp/collect"
)

// Limits of one request.
const (
	maxEvents = 25
	maxBytes  = 130_000
	maxAge    = 72 * time.Hour // how far back a timestamp may lie
)

// New makes the sink. A request carries up to 25 events of one client, user, consent, device
// and place. It needs analytics_storage.
func New(cfg Config) (*sidetrack.Sink, error) {
	g, err := newGenerator(cfg)
	if err != nil {
		return nil, err
	}
	return sidetrack.HTTPSink(g,
		sidetrack.MaxEvents(maxEvents),
		sidetrack.MaxBytes(maxBytes),
		sidetrack.MaxAge(maxAge),
		sidetrack.GroupBy(groupKey),
		sidetrack.Secrets(cfg.APISecret),
	), nil
}

func newGenerator(cfg Config) (*generator, error) {
	endpoint, query := endpointGlobal, url.Values{}
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
	switch cfg.Region {
	case "":
	case "eu":
		endpoint = endpointEU
	default:
		return nil, &sidetrack.FieldError{Field: "region", Problem: "must be eu or empty"}
	}
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, &sidetrack.FieldError{Field: "endpoint", Problem: "must be an absolute http or https URL"}
		}
		endpoint = cfg.Endpoint
	}
	return &generator{url: endpoint + "?" + query.Encode(), app: cfg.FirebaseAppID != "", debug: cfg.Debug}, nil
}
