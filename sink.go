package sidetrack

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
)

// Unit is the events of one outgoing request: what is sent, retried, and
// dead-lettered together. It is read-only.
type Unit struct {
	ID      uuid.UUID // UUIDv5 of the sink's name and the ordered event ids: the same unit has the same id on every attempt
	Events  []*Event  // at least one
	At      time.Time // of this attempt: the only clock a Generator may use
	Attempt int       // 1 for the first
}

// Generator makes the request that delivers a unit. Request is pure: no I/O, no
// clock but Unit.At, no randomness, the same bytes for the same unit, safe for
// concurrent use. That is why one call serves delivery, explain and golden tests.
//
// An error for a unit of several events makes the engine split it; for a unit of one event it
// is final and the event becomes a dead letter, or is counted as dropped when the error is one
// of Drop. A generator that knows which events are to blame returns a *PartialError instead, with the
// request of the others, nil when there are none: nothing needs to be split then.
type Generator interface {
	Request(u Unit) (*Request, error)
}

// GeneratorFunc is a function as a Generator.
type GeneratorFunc func(u Unit) (*Request, error)

// Request calls f.
func (f GeneratorFunc) Request(u Unit) (*Request, error) { return f(u) }

// Each makes a Generator for a tracker that takes one event a request. Sinks made
// of it must leave MaxEvents at its default of 1.
func Each(f func(*Event) (*Request, error)) Generator {
	return GeneratorFunc(func(u Unit) (*Request, error) {
		if len(u.Events) != 1 {
			return nil, fmt.Errorf("sidetrack: one event a request, got %d", len(u.Events))
		}
		return f(u.Events[0])
	})
}

// Writer delivers units by other means than one HTTP request. Write returns nil
// only when the whole unit is as durable as the backend promises; Permanent, RetryAfter,
// Misconfiguration and *PartialError say more. It must return when ctx ends.
//
// At most Concurrency calls run at once, one unless the option says more.
type Writer interface {
	Write(ctx context.Context, u Unit) error
}

// Request is one HTTP request, complete but for the connection.
type Request struct {
	Method string // POST when empty
	URL    string // absolute, http or https
	Header http.Header
	Body   []byte
	Notes  []Note // what of the events the backend gets in another form, or not

	// Records says for each record of the body, in order, of which of Unit.Events it is, where that is not one record for each event
	// that is not left out: several records for one event, another order. A Classifier gets it as Response.Records.
	Records []int
}

// Note is one thing that a generator changed or left out so that the backend takes the
// event. Notes are counted by rule when the request was delivered, and explain shows them.
type Note struct {
	Event int    // in Unit.Events
	Rule  Reason // a declared constant of the sink
	Field string // path of the field in the sink's terms, such as "params.page_title"
	Text  string // what was done: "has 101 characters, at most 100: cut"
}

// String is the rule, the field and the text.
func (n Note) String() string { return string(n.Rule) + ": " + n.Field + " " + n.Text }

// String shows the method and the host. Path and query often hold credentials.
func (r *Request) String() string {
	host := "?"
	if u, err := url.Parse(r.URL); err == nil {
		host = u.Scheme + "://" + u.Host
	}
	return fmt.Sprintf("%s %s (%d bytes)", r.MethodOrPost(), host, len(r.Body))
}

// LogValue is String.
func (r *Request) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MethodOrPost returns the method to use.
func (r *Request) MethodOrPost() string {
	if r.Method == "" {
		return http.MethodPost
	}
	return r.Method
}

// PostJSON makes a POST request with v as its JSON body.
func PostJSON(url string, v any) (*Request, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("sidetrack: encode request body: %w", err)
	}
	return &Request{URL: url, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}, nil
}

// Response is what a backend answered.
type Response struct {
	Status int
	Header http.Header
	Body   []byte // at most MaxResponseBytes of it
	// Records says for each record of the request, in order, of which event it is: an index in the events of the unit that the
	// classifier gets, -1 for none of them. The engine always sets it. See Event.
	Records []int
	Cut     bool // there was to be more of Body: it was too long, or the connection broke. What a classifier does not find in it may have been in the rest
}

// Event returns of which event of the unit a record is that an answer names by its number, from 0. It is false for a record
// that the request did not have.
func (r *Response) Event(record int) (event int, ok bool) {
	if record < 0 || record >= len(r.Records) || r.Records[record] < 0 {
		return 0, false
	}
	return r.Records[record], true
}

// MaxResponseBytes is how much of a backend's answer is read.
const MaxResponseBytes = 64 << 10

// Classifier turns an answer into an outcome: nil for delivered, or an error
// whose class says what to do next. See DefaultClassify. The unit is the one that was sent: without the events that the
// Generator left out by a *PartialError. It is safe for concurrent use.
type Classifier func(u Unit, r *Response) error

// SinkSpec is everything the engine knows of a sink. Set it by options.
type SinkSpec struct {
	Generator   Generator // exactly one of Generator and Writer
	Writer      Writer
	MaxEvents   int                        // events of a unit, at most; default 1
	MaxBytes    int                        // bytes of a request body, at most; 0: no limit
	GroupBy     func(*Event) string        // only events with equal keys share a unit; nil: all do
	SplitAge    []time.Duration            // ages that events of one unit are all below, or all not
	Needs       []Purpose                  // purposes that must be granted; default analytics_storage
	Classify    Classifier                 // for Generator; default DefaultClassify
	Concurrency int                        // units in flight, at most; 0: the engine's default for generators, 1 for writers
	MaxAge      time.Duration              // how old an event the backend still takes; 0: no own limit
	Secrets     []Secret                   // masked in everything the engine prints about the sink
	Preview     func(Unit) ([]byte, error) // what a Writer would write, for explain; nil: the events as JSON
	Close       func() error               // called once, after the last Write
	Tokens      TokenSource                // for Generator: authorizes each request; nil: the Generator does
	Accepts     []Encoding                 // for Generator: encodings in which the backend takes bodies
	Compress    Encoding                   // of them, the one that is used unless the configuration says otherwise; empty: none
	DDL         string                     // statements that make the tables the sink writes to, for a person to run; empty: it needs none

	// Erase deletes what was delivered of the events of a person, for a sink that can, and returns how many. It may run
	// beside Write. nil: what was delivered is out of reach.
	Erase func(ctx context.Context, p Person) (int64, error)
}

// Sink delivers events to one backend. It is made by HTTPSink or WriterSink and
// run by the engine, which adds the queue, units, timeouts, retries, breaker, dead letters and
// metrics: a sink contains none of that and cannot opt out.
type Sink struct{ spec SinkSpec }

// Spec returns a copy of the sink's specification.
func (s *Sink) Spec() SinkSpec { return s.spec }

// SinkOption sets one part of a sink.
type SinkOption func(*SinkSpec)

// HTTPSink makes a sink that sends each unit as one HTTP request.
func HTTPSink(g Generator, opts ...SinkOption) *Sink {
	return newSink(SinkSpec{Generator: g, Classify: DefaultClassify}, opts)
}

// WriterSink makes a sink that hands each unit to w.
func WriterSink(w Writer, opts ...SinkOption) *Sink {
	return newSink(SinkSpec{Writer: w, Concurrency: 1}, opts)
}

func newSink(spec SinkSpec, opts []SinkOption) *Sink {
	spec.MaxEvents = 1
	spec.Needs = []Purpose{AnalyticsStorage}
	for _, o := range opts {
		o(&spec)
	}
	return &Sink{spec}
}

// MaxEvents sets how many events share a request, at most.
func MaxEvents(n int) SinkOption { return func(s *SinkSpec) { s.MaxEvents = max(1, n) } }

// MaxBytes sets how large a request body may be. A larger unit is split; a larger
// single event becomes a dead letter.
func MaxBytes(n int) SinkOption { return func(s *SinkSpec) { s.MaxBytes = n } }

// GroupBy sets what events of one request must have in common, as a string.
func GroupBy(key func(*Event) string) SinkOption { return func(s *SinkSpec) { s.GroupBy = key } }

// SplitAge makes units whose events are all younger than each of ages at Unit.At, or all as old or older, by their Time. It is for
// a backend that wants old events by another way: the Generator looks at the age of any one.
func SplitAge(ages ...time.Duration) SinkOption {
	return func(s *SinkSpec) { s.SplitAge = append(s.SplitAge, ages...) }
}

// Needs sets the purposes that must be granted. Needs() without any states that
// the sink needs none, as for the owner's own copy.
func Needs(p ...Purpose) SinkOption {
	return func(s *SinkSpec) { s.Needs = append([]Purpose{}, p...) }
}

// Classify sets how answers are read.
func Classify(c Classifier) SinkOption { return func(s *SinkSpec) { s.Classify = c } }

// Concurrency sets how many units may be in flight.
func Concurrency(n int) SinkOption { return func(s *SinkSpec) { s.Concurrency = n } }

// MaxAge sets how old an event, by its Time, the backend still takes.
func MaxAge(d time.Duration) SinkOption { return func(s *SinkSpec) { s.MaxAge = d } }

// Secrets names values that must never be printed.
func Secrets(v ...Secret) SinkOption {
	return func(s *SinkSpec) { s.Secrets = append(s.Secrets, v...) }
}

// Preview sets what explain shows for a Writer.
func Preview(f func(Unit) ([]byte, error)) SinkOption { return func(s *SinkSpec) { s.Preview = f } }

// Close sets what releases the sink's resources.
func Close(f func() error) SinkOption { return func(s *SinkSpec) { s.Close = f } }

// DDL sets the statements that make the tables the sink writes to.
func DDL(statements string) SinkOption { return func(s *SinkSpec) { s.DDL = statements } }

// Erase sets what deletes delivered events, for a backend that is the owner's own.
func Erase(f func(ctx context.Context, p Person) (int64, error)) SinkOption {
	return func(s *SinkSpec) { s.Erase = f }
}

// Person names a visitor by the ids that events carry. An empty id names nobody.
type Person struct {
	ClientID string `json:"client_id,omitempty"`
	UserID   string `json:"user_id,omitempty"`
}

// Is reports whether e has one of the ids.
func (p Person) Is(e *Event) bool {
	return p.ClientID != "" && e.Visitor.ClientID == p.ClientID || p.UserID != "" && e.Visitor.UserID == p.UserID
}
