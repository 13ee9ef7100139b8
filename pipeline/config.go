package pipeline

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
)

// Config composes a pipeline. Only Sinks is required.
type Config struct {
	Sites []sidetrack.Site

	// Bus stores events between intake and sinks. The pipeline owns it from New on
	// and closes it. nil: an in-memory bus, supplied by package standard.
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

	// Observe, when set, is told about every fate of every event, synchronously:
	// for demos and tests, not for production rates. It must not keep the event.
	Observe func(context.Context, Fate)
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
	Sample     float64               // share of visitors, (0, 1]; 0: all
	Processors []sidetrack.Processor // for this sink alone, on its own copy
	Delivery   Delivery
}

// Delivery bounds how a sink delivers. Zero values mean the defaults in parentheses.
type Delivery struct {
	Concurrency int           // units in flight (32; writers 1)
	Timeout     time.Duration // of one attempt (10 s)
	MaxAge      time.Duration // of an event since it was received; then it expires (72 h)
	Window      bus.Window    // messages held (bus.DefaultWindow)
	Breaker     Breaker
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
