package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
)

// Config composes a pipeline. Only Sinks is required.
type Config struct {
	Sites []sidetrack.Site

	// Bus stores events between intake and sinks. The pipeline owns it from New on
	// and closes it. Required here; package standard supplies an in-memory one.
	Bus bus.Bus

	// Sources run from Start until Close. Handlers and middleware that push events
	// themselves need no entry here.
	Sources []SourceConfig

	// Intake runs in the caller of Emit, before anything is stored: the only place that
	// sees the request. Processors runs on the bus side, once for all sinks.
	Intake     []sidetrack.Processor
	Processors []sidetrack.Processor

	Sinks []SinkConfig

	// Queue bounds what waits between Emit and the bus. Zero: 20,000 events and 32 MiB.
	QueueEvents int
	QueueBytes  int64

	// Dedup recognizes events that come twice. The zero value does.
	Dedup Dedup

	// MaxBacklogBytes bounds the event topic of the bus; 0 leaves it to the bus.
	MaxBacklogBytes int64
	// DeadMaxAge and DeadMaxBytes bound the dead letters. Zero: 30 days, 256 MiB.
	DeadMaxAge   time.Duration
	DeadMaxBytes int64

	// DrainTimeout bounds Close for what is in flight. Zero: 10 s.
	DrainTimeout time.Duration

	// Logger gets state changes and failures, never payloads, addresses or secrets.
	// nil discards.
	Logger *slog.Logger

	// Client sends the requests of HTTP sinks. nil: one with pooled connections, no
	// redirects and no cookies. Timeouts are the engine's.
	Client *http.Client

	// Now is the wall clock: what events' ages and times are read from. Pauses and timeouts have
	// the system's own clock, which does not jump. nil: time.Now.
	Now func() time.Time

	// Observe, when set, is told about every fate of every event, synchronously:
	// for demos and tests, not for production rates. It must not keep the event.
	Observe func(context.Context, Fate)

	// ObserveAttempt, when set, is told about every attempt to deliver, as a rule many at once and from
	// several goroutines. It must return soon: the attempt ends with it.
	ObserveAttempt func(Attempt)

	ownClient bool // Client was made here
}

// SourceConfig is a source with its name, which becomes Event.Source.
type SourceConfig struct {
	Name   string
	Source sidetrack.Source
}

// SinkConfig is a sink with its name and what the engine does for it. The name
// identifies the sink's cursor on the bus: a new name starts at new events.
type SinkConfig struct {
	Name string // letters, digits, '-' and '_'
	Sink *sidetrack.Sink

	Sites      []string                    // only these sites; empty: all
	When       func(*sidetrack.Event) bool // only events for which it holds; nil: all
	Needs      []sidetrack.Purpose         // replaces the sink's own needs when NeedsSet
	NeedsSet   bool
	Sample     float64                  // share of visitors, (0, 1]; 0: all
	Processors []sidetrack.Processor    // for this sink alone, on its own copy
	Responses  []sidetrack.ResponseRule // how to read answers before the sink's own classifier does
	Delivery   Delivery
}

// Delivery bounds how a sink delivers. Zero values mean the defaults in parentheses.
type Delivery struct {
	Concurrency int           // units in flight (32; writers 1)
	Timeout     time.Duration // of one attempt (10 s)
	MaxAge      time.Duration // of an event since it was received; then it expires (72 h)
	// MaxBacklogBytes and MaxBacklogEvents bound what waits on the bus for this sink, whichever is
	// reached first; then its oldest events expire. Zero: 85 % of what the bus keeps of events, so that the
	// bus refuses nobody because of this sink; that one spares a sink that delivers while all others are as far behind.
	MaxBacklogBytes  int64
	MaxBacklogEvents int64
	// KeepExpired makes dead letters of what expires. Where they cannot be stored it expires all the same.
	KeepExpired bool
	Window      bus.Window // messages held (bus.DefaultWindow)
	Breaker     Breaker
	// Rate bounds how fast the sink sends (no bound).
	Rate Rate
	// Compression is the encoding of request bodies (the sink's own choice, mostly none). It must be one that the sink
	// accepts, or sidetrack.Uncompressed.
	Compression sidetrack.Encoding
	MinBackoff  time.Duration // first retry (1 s)
	MaxBackoff  time.Duration // longest pause between retries (1 min)
	Isolate     time.Duration // how long one unit may fail while others succeed before it leaves the window for the retry topic (1 min)
}

// Breaker bounds the harm of a sick backend.
type Breaker struct {
	Failures int           // consecutive failures that open it (5)
	Pause    time.Duration // how long it stays open before one probe (30 s)
}

// Fate is one thing that happened to one event, for Config.Observe.
type Fate struct {
	Event  *sidetrack.Event
	Sink   string           // "" in intake
	Column Column           // of the ledger
	Reason sidetrack.Reason // where the column has reasons
	Err    error
}

// Attempt is how one attempt to deliver a unit ended, for Config.ObserveAttempt.
type Attempt struct {
	Sink    string
	Outcome string        // a class, or "partial" when the backend refused some events, "unbuildable" when there was nothing to send
	Status  int           // of an HTTP answer; 0: none
	Events  int           // in the unit
	Took    time.Duration // from building the request to reading the answer
}

// deadMaxBytes bounds the dead letters unless the configuration says otherwise.
const deadMaxBytes = 256 << 20

func (c *Config) complete() error {
	var errs []error
	if c.Bus == nil {
		errs = append(errs, errors.New("pipeline: config: a bus is required"))
	}
	if len(c.Sinks) == 0 {
		errs = append(errs, errors.New("pipeline: config: at least one sink is required"))
	}
	if err := c.Dedup.complete(); err != nil {
		errs = append(errs, err)
	}
	names := map[string]bool{}
	sinks := make([]SinkConfig, 0, len(c.Sinks))
	name := regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	for i, s := range c.Sinks {
		switch {
		case s.Sink == nil:
			errs = append(errs, fmt.Errorf("pipeline: config: sink %d %q: no sink given", i, s.Name))
			continue
		case !name.MatchString(s.Name):
			errs = append(errs, fmt.Errorf("pipeline: config: sink %d: name %q: use 1 to 64 letters, digits, '-' and '_'", i, s.Name))
		case names[s.Name]:
			errs = append(errs, fmt.Errorf("pipeline: config: sink %q is named twice", s.Name))
		}
		if d := s.Delivery; d.MaxBacklogBytes < 0 || d.MaxBacklogEvents < 0 {
			errs = append(errs, fmt.Errorf("pipeline: config: sink %q: max_backlog must not be negative", s.Name))
		}
		if err := s.Delivery.Rate.check(); err != nil {
			errs = append(errs, fmt.Errorf("pipeline: config: sink %q: %w", s.Name, err))
		}
		if e := s.Delivery.Compression; e != "" && e != sidetrack.Uncompressed && !slices.Contains(s.Sink.Spec().Accepts, e) {
			errs = append(errs, fmt.Errorf("pipeline: config: sink %q: compression %q: the sink accepts %v", s.Name, e, s.Sink.Spec().Accepts))
		}
		if spec := s.Sink.Spec(); spec.Generator == nil && (spec.Tokens != nil || len(spec.Accepts) > 0) {
			errs = append(errs, fmt.Errorf("pipeline: config: sink %q: authorization and compression are for sinks that send requests: this one writes", s.Name))
		}
		if s.Sample < 0 || s.Sample > 1 {
			errs = append(errs, fmt.Errorf("pipeline: config: sink %q: sample %v: use a share between 0 and 1", s.Name, s.Sample))
		}
		for i, r := range s.Responses {
			if err := r.Validate(); err != nil {
				errs = append(errs, fmt.Errorf("pipeline: config: sink %q: response rule %d: %w", s.Name, i+1, err))
			}
		}
		if len(s.Responses) > 0 && s.Sink.Spec().Generator == nil {
			errs = append(errs, fmt.Errorf("pipeline: config: sink %q: response rules are for sinks that send requests: this one writes", s.Name))
		}
		names[s.Name] = true
		s.Delivery.complete(s.Sink.Spec())
		sinks = append(sinks, s)
	}
	c.Sinks = sinks
	c.QueueEvents = cmp.Or(c.QueueEvents, 20_000)
	c.QueueBytes = cmp.Or(c.QueueBytes, 32<<20)
	c.DeadMaxAge = cmp.Or(c.DeadMaxAge, 30*24*time.Hour)
	c.DeadMaxBytes = cmp.Or(c.DeadMaxBytes, deadMaxBytes)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Client == nil {
		c.Client = newClient(c.Sinks)
		c.ownClient = true
	}
	return errors.Join(errs...)
}

func (d *Delivery) complete(spec sidetrack.SinkSpec) {
	limit := spec.Concurrency
	if limit == 0 {
		limit = 32
	}
	if d.Concurrency == 0 || (spec.Concurrency > 0 && d.Concurrency > spec.Concurrency) {
		d.Concurrency = limit
	}
	d.Timeout = cmp.Or(d.Timeout, 10*time.Second)
	d.MaxAge = cmp.Or(d.MaxAge, 72*time.Hour)
	d.Window.Messages = cmp.Or(d.Window.Messages, bus.DefaultWindow.Messages)
	d.Window.Bytes = cmp.Or(d.Window.Bytes, bus.DefaultWindow.Bytes)
	d.Breaker.Failures = cmp.Or(d.Breaker.Failures, 5)
	d.Breaker.Pause = cmp.Or(d.Breaker.Pause, 30*time.Second)
	d.MinBackoff = cmp.Or(d.MinBackoff, time.Second)
	d.MaxBackoff = cmp.Or(d.MaxBackoff, time.Minute)
	d.Isolate = cmp.Or(d.Isolate, time.Minute)
	d.Rate.complete(spec)
}

// compression is the encoding that is used, empty for none.
func (d *Delivery) compression(spec sidetrack.SinkSpec) sidetrack.Encoding {
	switch d.Compression {
	case "":
		return spec.Compress
	case sidetrack.Uncompressed:
		return ""
	}
	return d.Compression
}
