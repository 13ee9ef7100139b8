package config

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/internal/size"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// Site is one property that events belong to. Its key in the file is its name,
// which is part of every event, of the visitor hash and of the ledger.
type Site struct {
	// Hosts of the site's pages: shop.example, or *.shop.example for all below it.
	Hosts []string `yaml:"hosts"`
	// Origins whose pages may send from a browser: https://shop.example.
	Origins []string `yaml:"origins"`
	// Keys by which clients may name the site. They are not secret.
	Keys []string `yaml:"keys"`
}

// Validate checks the form of hosts and origins.
func (s Site) Validate() error {
	var errs []error
	for i, h := range s.Hosts {
		bare := strings.TrimPrefix(h, "*.")
		if bare == "" || strings.ContainsAny(bare, "*/: ") {
			errs = append(errs, &sidetrack.FieldError{Field: index("hosts", i), Problem: quote(h) + ` is not a host: write shop.example or *.shop.example`})
		}
	}
	for i, o := range s.Origins {
		rest, ok := strings.CutPrefix(o, "https://")
		if !ok {
			rest, ok = strings.CutPrefix(o, "http://")
		}
		if !ok || rest == "" || strings.ContainsAny(rest, "/*? ") {
			errs = append(errs, &sidetrack.FieldError{Field: index("origins", i), Problem: quote(o) + ` is not an origin: write https://shop.example, without a path`})
		}
	}
	return errors.Join(errs...)
}

// Sink is what the engine does for a sink, beside the one key that names its type.
type Sink struct {
	// Sites whose events the sink takes. Default: all.
	Sites []string `yaml:"sites"`
	// Needs are the purposes that must be granted. Default: the sink's own, which is
	// analytics_storage for most. An empty list needs no consent: for your own copy.
	Needs []sidetrack.Purpose `yaml:"needs"`
	// Sample is the share of visitors whose events the sink takes: 10% or 0.1. Default: 100%.
	Sample Share `yaml:"sample"`
	// Responses says how to read answers of the backend that would be read otherwise. The first rule that fits counts.
	Responses []Response `yaml:"responses"`
	// Delivery bounds how the sink delivers.
	Delivery Delivery `yaml:"delivery"`
}

// Response is one rule of how to read an answer: {status: 409, as: delivered}.
type Response struct {
	// Status of the answer: 409, 5xx or 500-503. Default: any.
	Status sidetrack.StatusRange `yaml:"status"`
	// Body is a text that the answer contains, in whatever case. Default: any.
	Body string `yaml:"body"`
	// As is what the answer means: delivered, retry, throttled, rejected or misconfigured.
	As sidetrack.Class `yaml:"as,required" enum:"delivered,retry,throttled,rejected,misconfigured"`
	// After is how long to wait when throttled and the answer does not say. Default: the pause of retries.
	After time.Duration `yaml:"after"`
}

// Validate rejects what cannot be done. That a rule has a condition is checked where the keys are known.
func (r Response) Validate() error {
	rule := r.rule()
	if rule.Status == (sidetrack.StatusRange{}) && rule.Body == "" {
		rule.Body = "any"
	}
	return rule.Validate()
}

func (r Response) rule() sidetrack.ResponseRule {
	return sidetrack.ResponseRule{Status: r.Status, Body: r.Body, As: r.As, After: r.After}
}

// Delivery bounds how a sink delivers.
type Delivery struct {
	// Concurrency is how many requests are in flight. Default: 32, for writers 1.
	Concurrency int `yaml:"concurrency"`
	// Rate is how many requests a second, minute or hour are sent: 100/s, 3000/m; or how many events: 2000 events/s. Others wait. Default: no bound.
	Rate Rate `yaml:"rate"`
	// Burst is how many of them may go at once after a pause. Default: as many as a second allows.
	Burst int `yaml:"burst"`
	// Compression of request bodies, for backends that take it: gzip, zstd or none. Default: the sink's, which is none for most.
	Compression sidetrack.Encoding `yaml:"compression" enum:"gzip,zstd,none"`
	// Timeout of one attempt. Default: 10s.
	Timeout time.Duration `yaml:"timeout"`
	// MaxAge of an event since it was received. Older ones expire. Default: 72h.
	MaxAge time.Duration `yaml:"max_age"`
	// MaxBacklog is how many bytes may wait for this sink; then its oldest events expire. Default: 85% of what the bus keeps.
	MaxBacklog size.Bytes `yaml:"max_backlog"`
	// MaxBacklogEvents is how many events may wait for this sink. Default: as many as fit.
	MaxBacklogEvents int64 `yaml:"max_backlog_events"`
	// KeepExpired makes dead letters of events that expire. Default: they are only counted.
	KeepExpired bool `yaml:"keep_expired"`
	// Window bounds the messages that are held unsettled.
	Window Window `yaml:"window"`
	// Breaker stops sending to a backend that fails.
	Breaker Breaker `yaml:"breaker"`
	// MinBackoff is the pause before the first retry. Default: 1s.
	MinBackoff time.Duration `yaml:"min_backoff"`
	// MaxBackoff is the longest pause between retries. Default: 1m.
	MaxBackoff time.Duration `yaml:"max_backoff"`
	// Isolate is how long one request may fail while others succeed before it waits apart from them. Default: 1m.
	Isolate time.Duration `yaml:"isolate"`
}

// Window bounds the messages that a sink holds unsettled, whichever is reached first.
type Window struct {
	// Messages held. Default: 2000.
	Messages int `yaml:"messages"`
	// Bytes held. Default: 4MiB.
	Bytes size.Bytes `yaml:"bytes"`
}

// Breaker stops sending to a backend that fails. Events wait meanwhile.
type Breaker struct {
	// Failures in a row that open the breaker. Default: 5.
	Failures int `yaml:"failures"`
	// Pause before the next probe. Default: 30s.
	Pause time.Duration `yaml:"pause"`
}

// Validate rejects what is negative.
func (d Delivery) Validate() error {
	return errors.Join(
		notNegative("concurrency", d.Concurrency),
		d.checkBurst(),
		notNegative("max_backlog", d.MaxBacklog),
		notNegative("max_backlog_events", d.MaxBacklogEvents),
		notNegative("window.messages", d.Window.Messages),
		notNegative("breaker.failures", d.Breaker.Failures),
	)
}

func (d Delivery) checkBurst() error {
	if d.Burst > 0 && d.Rate == (Rate{}) {
		return &sidetrack.FieldError{Field: "burst", Problem: "needs a rate: write rate: 100/s"}
	}
	return notNegative("burst", d.Burst)
}

func (d Delivery) pipeline() pipeline.Delivery {
	return pipeline.Delivery{
		Concurrency: d.Concurrency,
		Timeout:     d.Timeout,
		Rate:        pipeline.Rate{PerSecond: d.Rate.PerSecond, Burst: d.Burst, Events: d.Rate.Events},
		Compression: d.Compression,
		MaxAge:      d.MaxAge,

		MaxBacklogBytes:  int64(d.MaxBacklog),
		MaxBacklogEvents: d.MaxBacklogEvents,
		KeepExpired:      d.KeepExpired,

		Window:     bus.Window{Messages: d.Window.Messages, Bytes: int64(d.Window.Bytes)},
		Breaker:    pipeline.Breaker{Failures: d.Breaker.Failures, Pause: d.Breaker.Pause},
		MinBackoff: d.MinBackoff,
		MaxBackoff: d.MaxBackoff,
		Isolate:    d.Isolate,
	}
}

// Queue bounds what waits in memory between a source and the bus. A full queue refuses.
type Queue struct {
	// Events that wait. Default: 20000.
	Events int `yaml:"events"`
	// Bytes that wait. Default: 32MiB.
	Bytes size.Bytes `yaml:"bytes"`
}

// Validate rejects what is negative.
func (q Queue) Validate() error { return notNegative("events", q.Events) }

// Admin is where whoever runs sidetrack looks at it. It tells of no visitor and no secret, but whoever reaches
// it sees how much goes where.
type Admin struct {
	// Listen is an address, such as 127.0.0.1:9464, that answers GET /metrics for Prometheus and GET /ledger
	// with JSON. Empty: nothing is opened.
	Listen string `yaml:"listen"`
}

// Validate checks the address.
func (a Admin) Validate() error {
	if a.Listen == "" {
		return nil
	}
	if _, port, err := net.SplitHostPort(a.Listen); err != nil || port == "" {
		return &sidetrack.FieldError{Field: "listen", Problem: strconv.Quote(a.Listen) + " is no address: write 127.0.0.1:9464 or :9464"}
	}
	return nil
}

// Dedup makes one event of what is sent twice. See pipeline.Dedup.
type Dedup struct {
	// Off stores duplicates like everything else.
	Off bool `yaml:"off"`
	// Window is how long an id is remembered, at least, and at most twice as long. Default: 1h.
	Window time.Duration `yaml:"window"`
	// IDs that are remembered, at most, at about 25 bytes each. Default: 200000.
	IDs int `yaml:"ids"`
	// Transactions makes purchases of one site with the same transaction id duplicates, whoever
	// reports them: the browser or the server. The first one stays.
	Transactions bool `yaml:"transactions"`
}

// Validate rejects what is negative.
func (d Dedup) Validate() error { return notNegative("ids", d.IDs) }

// DeadLetters bounds how long events that can never be delivered are kept.
type DeadLetters struct {
	// MaxAge of a dead letter. Default: 30d.
	MaxAge time.Duration `yaml:"max_age"`
	// MaxBytes of all dead letters. Default: 256MiB.
	MaxBytes size.Bytes `yaml:"max_bytes"`
}

// Rate is how many requests or events go in a time, above 0, written as 100/s, 3000/m or 2000 events/s.
type Rate struct {
	PerSecond float64
	Events    bool
}

// UnmarshalText reads 100/s, 3000/m, 10/h or 2000 events/s.
func (r *Rate) UnmarshalText(text []byte) error {
	problem := errors.New("is not a rate: write 100/s, 3000/m, 10/h or 2000 events/s")
	count, unit, ok := strings.Cut(string(text), "/")
	seconds, known := map[string]float64{"s": 1, "m": 60, "h": 3600}[strings.TrimSpace(unit)]
	count, events := strings.CutSuffix(strings.TrimSpace(count), "events")
	n, err := strconv.ParseFloat(strings.TrimSpace(count), 64)
	if !ok || !known || err != nil || !(n > 0) || n > 1e9 {
		return problem
	}
	*r = Rate{PerSecond: n / seconds, Events: events}
	return nil
}

// Share is a part of the whole, above 0 and at most 1, written as 10% or 0.1.
type Share float64

// UnmarshalText reads 10% or 0.1.
func (s *Share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil {
		return errors.New("is not a share: write 10% or 0.1")
	}
	if percent {
		f /= 100
	}
	if !(f > 0 && f <= 1) {
		return errors.New("is not a share above 0 and at most 100%: write 10% or 0.1")
	}
	*s = Share(f)
	return nil
}

func notNegative[N int | int64 | size.Bytes](field string, n N) error {
	if n < 0 {
		return &sidetrack.FieldError{Field: field, Problem: "must not be negative: use 0 for the default, or more"}
	}
	return nil
}

func index(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }
