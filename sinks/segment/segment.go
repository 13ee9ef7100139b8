// Package segment delivers events to Segment's HTTP Tracking API, and to RudderStack and Jitsu, which speak its
// dialects.
//
// Facts of the protocol are from Segment's HTTP API and Spec references (segment.com/docs/connections) and the source of RudderStack's gateway.
package segment

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
)

// Config is the configuration of the segment sink.
type Config struct {
	// Key is the write key of the source; at Jitsu, id:secret of a server's key.
	Key sidetrack.Secret `yaml:"key"`
	// Dialect is segment, rudderstack or jitsu.
	Dialect string `yaml:"dialect" enum:"segment,rudderstack,jitsu"`
	// Host is where the API is, such as https://hosted.rudderlabs.com; empty: https://api.segment.io.
	Host string `yaml:"host"`
	// Names replaces the names of events, by theirs. Without, shop events have Segment's names, such as Order Completed, and
	// the others keep their own.
	Names map[string]string `yaml:"names"`
	// IdentifyOn names the events before which the user is identified, where a user id is known.
	IdentifyOn []string `yaml:"identify_on"`
	// Integrations switches destinations on and off by Segment's names; All stands for all others.
	Integrations map[string]bool `yaml:"integrations"`
}

// Defaults is what the configuration holds before it is decoded.
func Defaults() Config {
	return Config{Dialect: "segment", IdentifyOn: []string{"login", "sign_up"}}
}

// Limits: Segment's HTTP API, "Max request size"; RudderStack's gateway takes 4,000 KB.
const (
	maxEvents       = 200
	maxMessage      = 32 << 10
	maxBytes        = 500_000
	maxRudderBytes  = 3_900_000
	statusSDKsRetry = 460 // of load balancers whose client went away
)

// New makes the sink. It needs analytics_storage; destinations behind it may need more.
func New(cfg Config) (*sidetrack.Sink, error) {
	if cfg.Dialect == "" {
		cfg.Dialect = "segment"
	}
	if cfg.Host == "" && cfg.Dialect == "segment" {
		cfg.Host = "https://api.segment.io"
	}
	u, err := url.Parse(cfg.Host)
	switch {
	case cfg.Key.IsZero():
		return nil, &sidetrack.FieldError{Field: "key", Problem: "is missing: the source's write key"}
	case cfg.Dialect != "segment" && cfg.Dialect != "rudderstack" && cfg.Dialect != "jitsu":
		return nil, &sidetrack.FieldError{Field: "dialect", Problem: fmt.Sprintf("is %q: use segment, rudderstack or jitsu", cfg.Dialect)}
	case cfg.Host == "":
		return nil, &sidetrack.FieldError{Field: "host", Problem: "is missing: where your " + cfg.Dialect + " is"}
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return nil, &sidetrack.FieldError{Field: "host", Problem: "must be an absolute http or https URL without a path"}
	case cfg.Dialect == "jitsu" && !strings.Contains(cfg.Key.Reveal(), ":"):
		return nil, &sidetrack.FieldError{Field: "key", Problem: "must be id:secret of a server's key"}
	case strings.ContainsFunc(cfg.Key.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, &sidetrack.FieldError{Field: "key", Problem: "must be printable ASCII"}
	}
	host := strings.TrimSuffix(cfg.Host, "/")
	g := &generator{cfg: cfg, url: host + "/v1/batch", header: http.Header{
		"Content-Type":  {"application/json"},
		"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(cfg.Key.Reveal()+":"))},
	}}
	opts := []sidetrack.SinkOption{sidetrack.Classify(classify), sidetrack.Secrets(cfg.Key, sidetrack.NewSecret(base64.StdEncoding.EncodeToString([]byte(cfg.Key.Reveal()+":"))))}
	switch cfg.Dialect {
	case "jitsu":
		g.url, g.header = host+"/api/s/s2s/", http.Header{"Content-Type": {"application/json"}, "X-Write-Key": {cfg.Key.Reveal()}}
		return sidetrack.HTTPSink(sidetrack.Each(g.single), opts...), nil
	case "rudderstack":
		g.maxMessage = maxRudderBytes
		opts = append(opts, sidetrack.MaxBytes(maxRudderBytes), sidetrack.Accepts(sidetrack.Gzip)) // as its own SDKs send
	default:
		g.maxMessage = maxMessage
		opts = append(opts, sidetrack.MaxBytes(maxBytes))
	}
	return sidetrack.HTTPSink(g, append(opts, sidetrack.MaxEvents(maxEvents))...), nil
}

func classify(u sidetrack.Unit, r *sidetrack.Response) error {
	if r.Status == statusSDKsRetry {
		return fmt.Errorf("status %d", r.Status)
	}
	return sidetrack.DefaultClassify(u, r)
}

type generator struct {
	cfg        Config
	url        string
	header     http.Header
	maxMessage int
}

// Request makes a batch. Messages that would be refused are left out, as one makes the whole batch refused.
func (g *generator) Request(u sidetrack.Unit) (*sidetrack.Request, error) {
	if len(u.Events) == 0 {
		return nil, errors.New("segment: no events")
	}
	failed := map[int]error{}
	batch := make([]json.RawMessage, 0, len(u.Events))
	for i, e := range u.Events {
		messages, err := g.messages(e)
		if err != nil {
			failed[i] = err
			continue
		}
		batch = append(batch, messages...)
	}
	var err error
	if len(failed) > 0 {
		err = &sidetrack.PartialError{Failed: failed}
	}
	if len(batch) == 0 {
		return nil, err
	}
	body, encodeErr := json.Marshal(struct {
		Batch  []json.RawMessage `json:"batch"`
		SentAt string            `json:"sentAt"`
	}{batch, stamp(u.At)})
	if encodeErr != nil {
		return nil, fmt.Errorf("segment: encode: %w", encodeErr)
	}
	return &sidetrack.Request{URL: g.url, Header: g.header.Clone(), Body: body}, err
}

// messages are the event's, after the one that identifies its user.
func (g *generator) messages(e *sidetrack.Event) ([]json.RawMessage, error) {
	var out []json.RawMessage
	m, err := g.message(e)
	if err != nil {
		return nil, err
	}
	list := []*message{m}
	if id := g.identify(e, m); id != nil {
		list = []*message{id, m}
	}
	for _, m := range list {
		b, err := json.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("segment: encode: %w", err)
		}
		if len(b) > g.maxMessage {
			return nil, fmt.Errorf("segment: the message has %d bytes, at most %d are taken", len(b), g.maxMessage)
		}
		out = append(out, b)
	}
	return out, nil
}

// single makes Jitsu's request of one event. Users are not identified: that would be a second one.
func (g *generator) single(e *sidetrack.Event) (*sidetrack.Request, error) {
	m, err := g.message(e)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("segment: encode: %w", err)
	}
	return &sidetrack.Request{URL: g.url + m.Type, Header: g.header.Clone(), Body: body}, nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// identifyID is the id of the message that identifies, the same whenever it is repeated.
func identifyID(e *sidetrack.Event) string { return uuid.NewSHA1(e.ID, []byte("identify")).String() }
