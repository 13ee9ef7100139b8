package sidetrack

import (
	"context"
	"net/http"
)

// Emitter takes events and stores them. It is safe for concurrent use.
//
// Emit returns nil when every event was stored or dropped on purpose (exclusion,
// consent). A *RefusedError names the ones that were not stored; the others were.
// Emit waits for storage, at most as long as ctx allows: when ctx ends first its error is
// returned and the events may or may not have been stored.
type Emitter interface {
	Emit(ctx context.Context, events ...*Event) error
}

// Queue takes events without ever waiting: the way in for code that serves a
// page. It is safe for concurrent use. A full queue refuses; events that were
// taken are stored soon after, or counted as refused.
type Queue interface {
	Enqueue(events ...*Event) error
}

// Source produces events until ctx ends or it has no more. Run returns nil in
// both cases; it must not return before everything it emitted was answered.
type Source interface {
	Run(ctx context.Context, out Emitter) error
}

// Decoder speaks one wire protocol of the collector. It is safe for concurrent use and never
// keeps r. The body of r is already decompressed and bounded.
//
// An error means that the request as a whole is unusable: a *FieldError or an
// *HTTPError for the answer. Bad elements of a batch go to Decoded.Errors instead.
type Decoder interface {
	Decode(r *http.Request) (Decoded, error)
}

// Decoded is what a Decoder made of one request.
//
// An event that has an origin already speaks for somebody else than the sender of the
// request, who is a server between: the collector leaves that origin, and takes neither device nor
// page from the headers.
type Decoded struct {
	Events  []*Event       // without source, id and received time: the collector adds them, and the origin where there is none
	Indexes []int          // element number of each event in the request; nil: 0, 1, 2, …
	Errors  []ElementError // elements that are not among Events
	Keys    []string       // the key by which the client names the site, for each event; a single one holds for all
	Reply   Reply          // for success; the zero value lets the collector choose
}

// ElementError is what is wrong with one element of a batch.
type ElementError struct {
	Index int // in the order of the request, counting all elements
	Err   error
}

// Reply is the answer a protocol's clients expect. Status 0 lets the collector choose.
type Reply struct {
	Status      int
	ContentType string
	Body        []byte
}

// HTTPError is an error that has a status of its own.
type HTTPError struct {
	Status int
	Err    error
}

// Error is the wrapped error's text.
func (e *HTTPError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *HTTPError) Unwrap() error { return e.Err }

// Processor looks at one event: it changes it, keeps it, or ends it with Drop.
// Any other error refuses the event: nothing that a processor failed on is stored
// or delivered. It is safe for concurrent use and keeps no reference to the event.
//
// A processor on the bus must be a deterministic function of the event and its own config,
// because the event may pass it again after a crash. What needs state or the request belongs to intake.
type Processor interface {
	Process(ctx context.Context, e *Event) error
}

// ProcessorFunc is a function as a Processor.
type ProcessorFunc func(ctx context.Context, e *Event) error

// Process calls f.
func (f ProcessorFunc) Process(ctx context.Context, e *Event) error { return f(ctx, e) }
