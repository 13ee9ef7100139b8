// Package amplitude delivers events to Amplitude by its batch endpoint.
//
// Facts of the protocol are from Amplitude's HTTP V2 and Batch Event Upload references (amplitude.com/docs/apis/analytics).
package amplitude

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/flat"
)

// Config is the configuration of the amplitude sink.
type Config struct {
	// Key is the project's API key.
	Key sidetrack.Secret `yaml:"key"`
	// Region is where the project's data is: us or eu.
	Region string `yaml:"region" enum:"us,eu"`
	// Host replaces Amplitude's address, for tests and proxies.
	Host string `yaml:"host"`
}

// Defaults is what the configuration holds before it is decoded.
func Defaults() Config { return Config{Region: "us"} }

var hosts = map[string]string{"": "https://api2.amplitude.com", "us": "https://api2.amplitude.com", "eu": "https://api.eu.amplitude.com"}

// Limits: Batch Event Upload. A request may have 2,000 events and 20 MB.
const (
	maxEvents = 500 // an order makes one more for each product
	maxSent   = 2000
	maxBytes  = 5_000_000
	// throttled is how long a user or device that sends too much wants to be left alone.
	throttled = 30 * time.Second
)

// New makes the sink. It needs analytics_storage.
func New(cfg Config) (*sidetrack.Sink, error) {
	host, known := hosts[cfg.Region]
	if cfg.Host != "" {
		host = cfg.Host
	}
	u, err := url.Parse(host)
	switch {
	case cfg.Key.IsZero():
		return nil, &sidetrack.FieldError{Field: "key", Problem: "is missing: the project's API key"}
	case !known:
		return nil, &sidetrack.FieldError{Field: "region", Problem: fmt.Sprintf("is %q: use us or eu", cfg.Region)}
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return nil, &sidetrack.FieldError{Field: "host", Problem: "must be an absolute http or https URL without a path"}
	}
	g := &generator{key: cfg.Key.Reveal(), url: strings.TrimSuffix(host, "/") + "/batch"}
	return sidetrack.HTTPSink(g, sidetrack.MaxEvents(maxEvents), sidetrack.MaxBytes(maxBytes), sidetrack.Accepts(sidetrack.Gzip), sidetrack.Classify(classify), sidetrack.Secrets(cfg.Key)), nil
}

type generator struct{ key, url string }

// Request makes a batch. Amplitude takes a batch whole or not at all, so that events it could not take are left out.
func (g *generator) Request(u sidetrack.Unit) (*sidetrack.Request, error) {
	if len(u.Events) == 0 {
		return nil, errors.New("amplitude: no events")
	}
	list, of, failed := records(u)
	var err error
	if len(failed) > 0 {
		err = &sidetrack.PartialError{Failed: failed}
	}
	if len(list) == 0 {
		return nil, err
	}
	if len(list) > maxSent {
		return nil, fmt.Errorf("amplitude: %d events with those of the products, at most %d are taken", len(list), maxSent)
	}
	type options struct {
		MinIDLength int `json:"min_id_length"`
	}
	body, encodeErr := json.Marshal(struct {
		Key     string  `json:"api_key"`
		Events  []event `json:"events"`
		Options options `json:"options"`
	}{g.key, list, options{1}})
	if encodeErr != nil {
		return nil, fmt.Errorf("amplitude: encode: %w", encodeErr)
	}
	return &sidetrack.Request{URL: g.url, Header: http.Header{"Content-Type": {"application/json"}}, Body: body, Records: of}, err
}

// records returns what is sent, the index of the unit's event that each is of, and what could not be sent.
func records(u sidetrack.Unit) (list []event, of []int, failed map[int]error) {
	failed = map[int]error{}
	for i, e := range u.Events {
		made, err := events(e)
		if err != nil {
			failed[i] = err
			continue
		}
		for range made {
			of = append(of, i)
		}
		list = append(list, made...)
	}
	return list, of, failed
}

// answer is what Amplitude says of a batch that it did not take.
type answer struct {
	Error         string           `json:"error"`
	MissingField  string           `json:"missing_field"`
	Invalid       map[string][]int `json:"events_with_invalid_fields"`
	Missing       map[string][]int `json:"events_with_missing_fields"`
	InvalidIDs    map[string][]int `json:"events_with_invalid_id_lengths"`
	Silenced      []int            `json:"silenced_events"`
	QuotaOfUser   map[string]any   `json:"exceeded_daily_quota_users"`
	QuotaOfDevice map[string]any   `json:"exceeded_daily_quota_devices"`
}

// classify reads 400 and 429, after which Amplitude has taken nothing: what it names is bad or over its quota of the
// day, everything else is sent again.
func classify(u sidetrack.Unit, r *sidetrack.Response) error {
	plain := sidetrack.DefaultClassify(u, r)
	if r.Status != http.StatusBadRequest && r.Status != http.StatusTooManyRequests {
		return plain
	}
	var a answer
	read := json.Unmarshal(r.Body, &a) == nil
	failed := map[int]error{}
	mark := func(what string, indexes []int) {
		for _, i := range indexes {
			if event, ok := r.Event(i); ok {
				failed[event] = sidetrack.Permanent(errors.New("amplitude: " + what))
			}
		}
	}
	if r.Status == http.StatusTooManyRequests {
		again := plain
		if _, wait := sidetrack.ClassOf(plain); wait == 0 {
			again = sidetrack.RetryAfter(errors.New("amplitude: too many events of one user or device"), throttled)
		}
		if !read || len(a.QuotaOfUser)+len(a.QuotaOfDevice) == 0 {
			return again
		}
		for i, e := range u.Events {
			id, client := flat.Clean(e.Visitor.UserID), flat.Clean(e.Visitor.ClientID)
			_, user := a.QuotaOfUser[id]
			_, device := a.QuotaOfDevice[client]
			if user && id != "" || device && client != "" {
				failed[i] = sidetrack.Permanent(errors.New("amplitude: the quota of the day of this user or device is used up"))
			}
		}
		return rest(u, failed, again)
	}
	switch {
	case !read:
		return plain
	case a.MissingField == "api_key" || strings.Contains(strings.ToLower(a.Error), "api key") || strings.Contains(a.Error, "api_key"):
		return sidetrack.Misconfiguration(errors.New("amplitude: the API key is missing or wrong"))
	}
	for field, indexes := range a.Invalid {
		mark("invalid "+printable(field), indexes)
	}
	for field, indexes := range a.Missing {
		mark("missing "+printable(field), indexes)
	}
	for field, indexes := range a.InvalidIDs {
		mark("the length of "+printable(field), indexes)
	}
	mark("silenced", a.Silenced)
	if len(failed) == 0 {
		return plain
	}
	return rest(u, failed, errors.New("amplitude: not taken because of another event"))
}

// rest adds err for every event that has no failure of its own.
func rest(u sidetrack.Unit, failed map[int]error, err error) error {
	for i := range u.Events {
		if failed[i] == nil {
			failed[i] = err
		}
	}
	return &sidetrack.PartialError{Failed: failed}
}

func printable(field string) string {
	if len(field) > 40 || strings.Trim(field, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.0123456789") != "" {
		return "field"
	}
	return field
}
