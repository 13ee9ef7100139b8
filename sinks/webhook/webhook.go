// Package webhook delivers signed batches of events to an address of one's own, and verifies them there.
//
// Headers and signature are those of the Standard Webhooks specification (standardwebhooks.com), version 1, symmetric
// signatures: its libraries verify what this sink sends.
package webhook

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/header"
	"github.com/sidetrack-go/sidetrack/sinks/oauth"
)

// Config is the configuration of the webhook sink.
type Config struct {
	// URL is where batches are posted to.
	URL string `yaml:"url"`
	// Secret signs: whsec_ and the base64 of 24 to 64 random bytes.
	Secret sidetrack.Secret `yaml:"secret"`
	// PreviousSecret signs as well, while receivers move from it to secret.
	PreviousSecret sidetrack.Secret `yaml:"previous_secret"`
	// Headers are sent with each batch; their values are kept secret.
	Headers map[string]sidetrack.Secret `yaml:"headers"`
	// Auth says who sends, where the signature is not enough.
	Auth Auth `yaml:"auth"`
	// MaxEvents is how many events a batch has, at most.
	MaxEvents int `yaml:"max_events"`
	// MaxBytes is how large the body of a batch is, at most.
	MaxBytes int `yaml:"max_bytes"`
}

// Auth is how requests say who sends them.
type Auth struct {
	// OAuth2 gets a token by OAuth 2.0 and sends it in the Authorization header.
	OAuth2 *oauth.Config `yaml:"oauth2"`
}

// Defaults is what the configuration holds before it is decoded.
func Defaults() Config { return Config{MaxEvents: 100, MaxBytes: 256 << 10} }

// Type is what the body of each batch says it is.
const Type = "sidetrack.events"

// maxEvents and minBytes bound what can be configured: an encoded event has 64 KiB at most, and the frame must fit too.
const (
	maxEvents = 5000
	minBytes  = 1 << 10
)

// New makes the sink. It needs analytics_storage.
func New(cfg Config) (*sidetrack.Sink, error) {
	if cfg.MaxEvents == 0 {
		cfg.MaxEvents = Defaults().MaxEvents
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = Defaults().MaxBytes
	}
	u, err := url.Parse(cfg.URL)
	switch {
	case cfg.URL == "":
		return nil, &sidetrack.FieldError{Field: "url", Problem: "is missing: where batches are posted to"}
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, &sidetrack.FieldError{Field: "url", Problem: "must be an absolute http or https URL"}
	case u.User != nil:
		return nil, &sidetrack.FieldError{Field: "url", Problem: "must not hold a user: write it as headers: {Authorization: …}"}
	case cfg.Secret.IsZero():
		return nil, &sidetrack.FieldError{Field: "secret", Problem: "is missing: " + secretForm}
	case cfg.MaxEvents < 1 || cfg.MaxEvents > maxEvents:
		return nil, &sidetrack.FieldError{Field: "max_events", Problem: fmt.Sprintf("is %d: write 1 to %d", cfg.MaxEvents, maxEvents)}
	case cfg.MaxBytes < minBytes:
		return nil, &sidetrack.FieldError{Field: "max_bytes", Problem: fmt.Sprintf("is %d: write at least %d", cfg.MaxBytes, minBytes)}
	}
	g := &generator{url: cfg.URL, header: http.Header{}}
	var secrets []sidetrack.Secret
	for _, s := range []struct {
		field string
		value sidetrack.Secret
	}{{"secret", cfg.Secret}, {"previous_secret", cfg.PreviousSecret}} {
		if s.value.IsZero() {
			continue
		}
		key, err := parseSecret(s.value)
		if err != nil {
			return nil, &sidetrack.FieldError{Field: s.field, Problem: err.Error()}
		}
		g.keys = append(g.keys, key)
		secrets = append(secrets, s.value, sidetrack.NewSecret(strings.TrimPrefix(s.value.Reveal(), secretPrefix)))
	}
	for name, value := range cfg.Headers {
		if problem := headerProblem(name, value.Reveal()); problem != "" {
			return nil, &sidetrack.FieldError{Field: "headers." + name, Problem: problem}
		}
		if cfg.Auth.OAuth2 != nil && strings.EqualFold(name, "Authorization") {
			return nil, &sidetrack.FieldError{Field: "headers." + name, Problem: "and auth.oauth2 exclude each other"}
		}
		g.header.Set(name, value.Reveal())
		secrets = append(secrets, value)
	}
	g.header.Set("Content-Type", "application/json")
	opts := []sidetrack.SinkOption{
		sidetrack.MaxEvents(cfg.MaxEvents), sidetrack.MaxBytes(cfg.MaxBytes), sidetrack.Accepts(sidetrack.Gzip, sidetrack.Zstd), sidetrack.Secrets(secrets...),
	}
	if cfg.Auth.OAuth2 != nil {
		source, err := oauth.New(*cfg.Auth.OAuth2)
		if err != nil {
			return nil, oauth.Under("auth.oauth2", err)
		}
		opts = append(opts, source.Option())
	}
	return sidetrack.HTTPSink(g, opts...), nil
}

// headerProblem says why a header cannot be set, if so.
func headerProblem(name, value string) string {
	if strings.HasPrefix(strings.ToLower(name), "webhook-") {
		return "is set by the sink"
	}
	return cmp.Or(header.NameProblem(name, "Content-Type"), header.ValueProblem(value))
}

type generator struct {
	url    string
	header http.Header
	keys   [][]byte
}

// Request makes a batch. Its body is the same on every attempt; the timestamp, and with it the signature, is the attempt's.
func (g *generator) Request(u sidetrack.Unit) (*sidetrack.Request, error) {
	if len(u.Events) == 0 {
		return nil, errors.New("webhook: no events")
	}
	failed := map[int]error{}
	body := []byte(`{"type":"` + Type + `","data":[`)
	good := 0
	for i, e := range u.Events {
		start := len(body)
		if good > 0 {
			body = append(body, ',')
		}
		longer, err := e.AppendJSON(body)
		if err != nil {
			body = body[:start]
			failed[i] = fmt.Errorf("webhook: encode: %w", err)
			continue
		}
		body = longer
		good++
	}
	var err error
	if len(failed) > 0 {
		err = &sidetrack.PartialError{Failed: failed}
	}
	if good == 0 {
		return nil, err
	}
	body = append(body, "]}"...)
	h := g.header.Clone()
	sign(h, u.ID.String(), u.At, body, g.keys)
	return &sidetrack.Request{URL: g.url, Header: h, Body: body}, err
}
