// Package meta delivers events to Meta (Facebook, Instagram) by the Conversions API.
//
// Facts of the protocol are from Meta's pages on the Conversions API (developers.facebook.com/docs/marketing-api/conversions-api: Using
// the API, Server Event Parameters, Customer Information Parameters, Custom Data Parameters) and on error handling of the Graph API.
package meta

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// Config is the configuration of the meta_capi sink.
type Config struct {
	// PixelID is the number of the pixel, which Meta also calls dataset.
	PixelID string `yaml:"pixel_id"`
	// AccessToken is that of the pixel: Events Manager, Settings, Conversions API.
	AccessToken sidetrack.Secret `yaml:"access_token"`
	// AppSecret is that of the app the token belongs to. With it requests carry appsecret_proof, which apps can demand.
	AppSecret sidetrack.Secret `yaml:"app_secret"`
	// Version of the Graph API, each of which lives for two years at least.
	Version string `yaml:"version"`
	// TestEventCode shows the events under Test events in Events Manager.
	TestEventCode string `yaml:"test_event_code"`
	// ActionSource says where the events happen. Events without a page are not from a website: they become other.
	ActionSource string `yaml:"action_source" enum:"website,email,phone_call,chat,physical_store,system_generated,business_messaging,other"`
	// EventID is what an event is known by at Meta: id, or message_id, the client's own, where it also gives that to the pixel as eventID. A
	// parameter event_id of the event wins.
	EventID string `yaml:"event_id" enum:"id,message_id"`
	// Names replaces the names of events, by theirs. Without, events of a shop have the names of Meta's standard events, such as
	// Purchase, and the others keep their own.
	Names map[string]string `yaml:"names"`
	// Currency completes events with a value that name none, ISO 4217.
	Currency string `yaml:"currency"`
	// Value is total, with tax and shipping, or net, as the event has it.
	Value string `yaml:"value" enum:"total,net"`
	// BrowserID says what is sent as fbp of a visitor whose cookie _fbp is not known: made, of the client id; or given, nothing.
	BrowserID string `yaml:"browser_id" enum:"made,given"`
	// OptOut tells Meta to use an event for measuring alone, not for the delivery of ads: auto, where ad_personalization is not granted;
	// always or never.
	OptOut string `yaml:"opt_out" enum:"auto,always,never"`
	// DataProcessingOptions is [LDU] for Limited Data Use in states of the USA, [] to state that it does not apply.
	DataProcessingOptions []string `yaml:"data_processing_options"`
	// DataProcessingOptionsCountry is 1 for the USA, 0 to let Meta find out.
	DataProcessingOptionsCountry int `yaml:"data_processing_options_country"`
	// DataProcessingOptionsState is Meta's number of the state, such as 1000 for California, 0 to let Meta find out.
	DataProcessingOptionsState int `yaml:"data_processing_options_state"`
	// MaxEvents of a request, 1 to 1,000.
	MaxEvents int `yaml:"max_events"`
	// Host replaces the address of the Graph API, for tests and proxies.
	Host string `yaml:"host"`
}

// Defaults is what the configuration holds before it is decoded. Zero values mean the same.
func Defaults() Config {
	return Config{
		Version: "v24.0", ActionSource: "website", EventID: "id", Value: "total", BrowserID: "made", OptOut: "auto", MaxEvents: 500,
		Host: "https://graph.facebook.com",
	}
}

// Limits: Using the API, "Limits"; Server Event Parameters, event_time. A size is not documented.
const (
	maxEvents = 1000
	maxBytes  = 1_000_000
	window    = 7 * 24 * time.Hour
	inStore   = 62 * 24 * time.Hour
	// margin is how long before the end of the window an event expires: one that ends on the way would cost its whole batch.
	margin = time.Minute
)

var (
	pixelID = regexp.MustCompile(`^[0-9]{5,20}$`)
	version = regexp.MustCompile(`^v[1-9][0-9]{0,2}\.[0-9]$`)
	iso4217 = regexp.MustCompile(`^[A-Z]{3}$`)
)

// Choices of the configuration.
var (
	actionSources = []string{"website", "email", "phone_call", "chat", "physical_store", "system_generated", "business_messaging", "other"}
	eventIDs      = []string{"id", "message_id"}
	values        = []string{"total", "net"}
	browserIDs    = []string{"made", "given"}
	optOuts       = []string{"auto", "always", "never"}
)

// New makes the sink. It needs ad_storage, as what it sends tells browsers apart and comes from cookies of ads, and ad_user_data. An
// event whose time is more than seven days ago expires, sixty-two days for the action source physical_store.
func New(cfg Config) (*sidetrack.Sink, error) {
	g, err := newGenerator(cfg)
	if err != nil {
		return nil, err
	}
	return sidetrack.HTTPSink(g,
		sidetrack.MaxEvents(g.cfg.MaxEvents), sidetrack.MaxBytes(maxBytes), sidetrack.MaxAge(g.window-margin),
		sidetrack.Needs(sidetrack.AdStorage, sidetrack.AdUserData),
		sidetrack.Classify(classify), sidetrack.Secrets(cfg.AccessToken, cfg.AppSecret, sidetrack.NewSecret(g.proof)),
	), nil
}

func newGenerator(cfg Config) (*generator, error) {
	standard := Defaults()
	for _, f := range []struct {
		field   string
		value   *string
		usual   string
		choices []string
	}{
		{"version", &cfg.Version, standard.Version, nil},
		{"action_source", &cfg.ActionSource, standard.ActionSource, actionSources},
		{"event_id", &cfg.EventID, standard.EventID, eventIDs},
		{"value", &cfg.Value, standard.Value, values},
		{"browser_id", &cfg.BrowserID, standard.BrowserID, browserIDs},
		{"opt_out", &cfg.OptOut, standard.OptOut, optOuts},
		{"host", &cfg.Host, standard.Host, nil},
	} {
		if *f.value == "" {
			*f.value = f.usual
		}
		if f.choices != nil && !slices.Contains(f.choices, *f.value) {
			return nil, &sidetrack.FieldError{Field: f.field, Problem: fmt.Sprintf("is %q: use one of %s", *f.value, strings.Join(f.choices, ", "))}
		}
	}
	if cfg.MaxEvents == 0 {
		cfg.MaxEvents = standard.MaxEvents
	}
	u, err := url.Parse(cfg.Host)
	bad := func(field, problem string) (*generator, error) {
		return nil, &sidetrack.FieldError{Field: field, Problem: problem}
	}
	token := cfg.AccessToken.Reveal()
	switch {
	case cfg.PixelID == "":
		return bad("pixel_id", "is missing: the number of the pixel (dataset) in Events Manager")
	case !pixelID.MatchString(cfg.PixelID):
		return bad("pixel_id", "must be a number, such as 1234567890")
	case token == "":
		return bad("access_token", "is missing: Events Manager, Settings, Conversions API, Generate access token")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return bad("access_token", "must be printable ASCII without blanks")
	case !version.MatchString(cfg.Version):
		return bad("version", fmt.Sprintf("is %q: write it as v24.0", cfg.Version))
	case cfg.Currency != "" && !iso4217.MatchString(cfg.Currency):
		return bad("currency", "must be three upper-case letters, such as EUR (ISO 4217)")
	case len(cfg.DataProcessingOptions) > 1 || len(cfg.DataProcessingOptions) == 1 && cfg.DataProcessingOptions[0] != "LDU":
		return bad("data_processing_options", "must be [LDU] or []: there are no others")
	case cfg.DataProcessingOptionsCountry != 0 && cfg.DataProcessingOptionsCountry != 1:
		return bad("data_processing_options_country", "must be 0 or 1 (USA)")
	case cfg.DataProcessingOptionsState != 0 && (cfg.DataProcessingOptionsState < 1000 || cfg.DataProcessingOptionsState > 1100):
		return bad("data_processing_options_state", "must be 0, or Meta's number of a state from 1000")
	case (cfg.DataProcessingOptionsState == 0) != (cfg.DataProcessingOptionsCountry == 0):
		return bad("data_processing_options_state", "needs data_processing_options_country, and the other way round: both are 0, or neither")
	case len(cfg.DataProcessingOptions) == 0 && cfg.DataProcessingOptionsCountry != 0:
		return bad("data_processing_options_country", "needs data_processing_options: [LDU]")
	case cfg.MaxEvents < 1 || cfg.MaxEvents > maxEvents:
		return bad("max_events", fmt.Sprintf("is %d: use 1 to %d", cfg.MaxEvents, maxEvents))
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return bad("host", "must be an absolute http or https URL without a path")
	}
	for from, to := range cfg.Names {
		if strings.TrimSpace(to) == "" {
			return bad("names."+from, "is empty: leave events out with when")
		}
	}
	g := &generator{cfg: cfg, token: token, window: window, url: strings.TrimSuffix(cfg.Host, "/") + "/" + cfg.Version + "/" + cfg.PixelID + "/events"}
	if cfg.ActionSource == "physical_store" {
		g.window = inStore
	}
	if secret := cfg.AppSecret.Reveal(); secret != "" {
		mac := hmac.New(sha256.New, []byte(secret))
		_, _ = mac.Write([]byte(token)) // never fails
		g.proof = hex.EncodeToString(mac.Sum(nil))
	}
	return g, nil
}

type generator struct {
	cfg               Config
	token, proof, url string
	window            time.Duration
}

// body is a request: Using the API, "Send requests". The token is here and not in the query, because URLs are logged.
type body struct {
	Data      []serverEvent `json:"data"`
	TestCode  string        `json:"test_event_code,omitempty"`
	Partner   string        `json:"partner_agent"`
	Token     string        `json:"access_token"`
	AppSecret string        `json:"appsecret_proof,omitempty"`
}

// Request makes a batch. Meta takes a batch whole or not at all, so that events it would not take are left out.
func (g *generator) Request(u sidetrack.Unit) (*sidetrack.Request, error) {
	if len(u.Events) == 0 {
		return nil, errors.New("meta_capi: no events")
	}
	failed := map[int]error{}
	b := body{Data: make([]serverEvent, 0, len(u.Events)), TestCode: g.cfg.TestEventCode, Partner: "sidetrack", Token: g.token, AppSecret: g.proof}
	var notes []sidetrack.Note
	for i, e := range u.Events {
		w := writer{g: g, event: i, at: u.At}
		made, err := w.serverEvent(e)
		if err != nil {
			failed[i] = err
			continue
		}
		b.Data = append(b.Data, made)
		notes = append(notes, w.notes...)
	}
	var err error
	if len(failed) > 0 {
		err = &sidetrack.PartialError{Failed: failed}
	}
	if len(b.Data) == 0 {
		return nil, err
	}
	encoded, encodeErr := json.Marshal(b)
	if encodeErr != nil {
		return nil, fmt.Errorf("meta_capi: encode: %w", encodeErr)
	}
	return &sidetrack.Request{URL: g.url, Header: http.Header{"Content-Type": {"application/json"}}, Body: encoded, Notes: notes}, err
}
