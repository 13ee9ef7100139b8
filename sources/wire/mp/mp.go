// Package mp decodes requests of GA4's Measurement Protocol, for web and app streams, as
// servers and apps send them to /mp/collect, and answers /debug/mp/collect as Google's
// validation server does.
//
// Facts of the protocol are from Google's reference of the Measurement Protocol
// (developers.google.com/analytics/devguides/collection/protocol/ga4); docs/protocols-in-google.md
// has the mapping.
package mp

import (
	"bytes"
	"crypto/subtle"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// Paths returns where the clients of this protocol send.
func Paths() []string { return []string{"POST /mp/collect", "POST /debug/mp/collect"} }

// Namespace begins the names of parameters that an event has no place for: "mp.measurement_id".
const Namespace = "mp."

// maxBody bounds a request. Google asks for less than 130 kB.
const maxBody = 256 << 10

// Config configures the decoder. The zero value takes requests for every stream, with any secret.
type Config struct {
	// MeasurementIDs are the web streams whose requests are taken, such as G-XXXXXXXXXX. Empty: all.
	MeasurementIDs []string `yaml:"measurement_ids"`
	// FirebaseAppIDs are the app streams whose requests are taken. Empty: all.
	FirebaseAppIDs []string `yaml:"firebase_app_ids"`
	// APISecrets are what senders may put into api_secret. Empty: anything, which is
	// forgotten in any case.
	APISecrets []sidetrack.Secret `yaml:"api_secrets"`
	// TrustIPOverride believes the address in ip_override. Intake then treats it like the
	// address of any client. Otherwise it is discarded; it is never stored as it came.
	TrustIPOverride bool `yaml:"trust_ip_override"`
	// Grant are purposes that the visitors have agreed to for whom requests are sent here: the
	// protocol can state ad_user_data and ad_personalization, but not analytics_storage.
	Grant []sidetrack.Purpose `yaml:"grant"`
}

// New returns the decoder. Every element of events is one event.
func New(cfg Config) (sidetrack.Decoder, error) {
	for _, s := range cfg.APISecrets {
		if s.IsZero() {
			return nil, &sidetrack.FieldError{Field: "api_secrets", Problem: "holds an empty one"}
		}
	}
	return &decoder{cfg: cfg, now: time.Now, buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }}}, nil
}

type decoder struct {
	cfg     Config
	now     func() time.Time
	buffers sync.Pool // of *bytes.Buffer
}

// Decode implements sidetrack.Decoder.
func (d *decoder) Decode(r *http.Request) (sidetrack.Decoded, error) {
	body, err := d.read(r)
	if err != nil {
		return sidetrack.Decoded{}, err
	}
	if strings.HasSuffix(r.URL.Path, "/debug/mp/collect") {
		return validate(body, streamOf(r.URL.RawQuery), d.now())
	}
	s := streamOf(r.URL.RawQuery)
	if err := d.admit(s); err != nil {
		return sidetrack.Decoded{}, err
	}
	root, err := object(body)
	if err != nil {
		return sidetrack.Decoded{}, err
	}
	return d.events(r, s, root)
}

func (d *decoder) read(r *http.Request) (string, error) {
	if r.Body == nil {
		return "", nil
	}
	buf := d.buffers.Get().(*bytes.Buffer)
	defer d.buffers.Put(buf)
	buf.Reset()
	n, err := buf.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return "", err
	}
	if n > maxBody {
		return "", &sidetrack.HTTPError{Status: http.StatusRequestEntityTooLarge, Err: &sidetrack.FieldError{Field: "body", Problem: "is larger than 262144 bytes"}}
	}
	return buf.String(), nil
}

// object reads the body.
func object(body string) (map[string]any, error) {
	body = strings.TrimPrefix(body, "\ufeff")
	if strings.TrimSpace(body) == "" {
		return nil, &sidetrack.FieldError{Field: "body", Problem: "is empty, want JSON"}
	}
	v, err := sidetrack.ParseValue(body)
	if err != nil {
		return nil, &sidetrack.FieldError{Field: "body", Problem: err.Error()}
	}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, &sidetrack.FieldError{Field: "body", Problem: "is no JSON object"}
	}
	return root, nil
}

// stream is what the query says: the property, and what shows that the sender may write to it.
type stream struct{ measurementID, firebaseAppID, secret string }

func streamOf(query string) (s stream) {
	var room [4]gawire.Pair
	for _, p := range gawire.AppendPairs(room[:0], query) {
		switch p.Key {
		case "measurement_id":
			s.measurementID = gawire.Word(p.Value)
		case "firebase_app_id":
			s.firebaseAppID = gawire.Word(p.Value)
		case "api_secret":
			s.secret = p.Value
		}
	}
	return s
}

// admit checks the stream and the secret.
func (d *decoder) admit(s stream) error {
	switch {
	case s.measurementID == "" && s.firebaseAppID == "":
		return &sidetrack.FieldError{Field: "measurement_id", Problem: "is missing, and so is firebase_app_id"}
	case s.measurementID != "" && s.firebaseAppID != "":
		return &sidetrack.FieldError{Field: "firebase_app_id", Problem: "excludes measurement_id"}
	case s.measurementID != "" && len(d.cfg.MeasurementIDs) > 0 && !slices.Contains(d.cfg.MeasurementIDs, s.measurementID):
		return &sidetrack.FieldError{Field: "measurement_id", Problem: "is not collected here"}
	case s.firebaseAppID != "" && len(d.cfg.FirebaseAppIDs) > 0 && !slices.Contains(d.cfg.FirebaseAppIDs, s.firebaseAppID):
		return &sidetrack.FieldError{Field: "firebase_app_id", Problem: "is not collected here"}
	}
	if len(d.cfg.APISecrets) == 0 {
		return nil
	}
	known := 0
	for _, own := range d.cfg.APISecrets {
		known |= subtle.ConstantTimeCompare([]byte(own.Reveal()), []byte(s.secret))
	}
	if known == 0 {
		return &sidetrack.HTTPError{Status: http.StatusForbidden, Err: &sidetrack.FieldError{Field: "api_secret", Problem: "is not one of those configured here"}}
	}
	return nil
}
