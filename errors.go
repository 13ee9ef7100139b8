package sidetrack

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Reason says in one word why an event did not go further. Reasons are declared
// constants of the component that uses them, never built from input: they
// become labels of the ledger and of metrics.
type Reason string

// Reasons the engine itself gives, and those that several components share.
const (
	ReasonConsent     Reason = "consent"     // a needed purpose is not granted
	ReasonOptOut      Reason = "opt_out"     // the visitor asked not to be counted
	ReasonNoSink      Reason = "no_sink"     // no configured sink takes events of this site
	ReasonSite        Reason = "site"        // filtered: not this sink's site
	ReasonWhen        Reason = "when"        // filtered: the sink's condition does not hold
	ReasonSample      Reason = "sample"      // filtered: not in the sink's sample
	ReasonDuplicate   Reason = "duplicate"   // an event with the same id was stored already
	ReasonInvalid     Reason = "invalid"     // the event breaks a rule of Validate
	ReasonTooLarge    Reason = "too_large"   // over MaxEventBytes
	ReasonOverloaded  Reason = "overloaded"  // intake is full
	ReasonUnavailable Reason = "unavailable" // the bus could not store it
	ReasonProcessor   Reason = "processor"   // a processor failed: fail closed
	ReasonClosed      Reason = "closed"      // emitted after Close
	ReasonSuppressed  Reason = "suppressed"  // withheld: the visitor withdrew consent or is to be forgotten
	ReasonRejected    Reason = "rejected"    // dead: the backend refuses it for good
	ReasonUnclear     Reason = "unclear"     // dead: the backend took a part of the request and does not say which
	ReasonUnbuildable Reason = "unbuildable" // dead: no request can be made of it
	ReasonMaxAge      Reason = "max_age"     // expired: older than the sink's max_age
	ReasonMaxBacklog  Reason = "max_backlog" // expired: more waited for the sink than its max_backlog
	ReasonOther       Reason = "other"       // a component gives more reasons than a ledger can hold
	ReasonUndecodable Reason = "undecodable" // dead: a stored message this version cannot read
)

// Class sorts the outcome of one attempt.
type Class uint8

// The classes. Retry is what any other error means.
const (
	Delivered     Class = iota
	Retry               // may work later: network errors, timeouts, 5xx
	Throttled           // the backend asks to wait: the whole sink pauses
	Rejected            // never works: dead letter, after isolating the event
	Misconfigured       // credentials or address are wrong: the sink pauses loudly, nothing is dead-lettered
)

// String returns the class in lower case.
func (c Class) String() string {
	switch c {
	case Delivered:
		return "delivered"
	case Throttled:
		return "throttled"
	case Rejected:
		return "rejected"
	case Misconfigured:
		return "misconfigured"
	}
	return "retry"
}

type classError struct {
	class Class
	err   error
	after time.Duration
}

func (e *classError) Error() string { return e.err.Error() }
func (e *classError) Unwrap() error { return e.err }

// Permanent marks err as one that the same unit will always meet. The engine
// isolates the event that causes it and dead-letters that one. nil stays nil.
func Permanent(err error) error { return withClass(err, Rejected, 0) }

// RetryAfter marks err as the backend's wish to be left alone for d (0: the
// engine's own backoff). The whole sink waits. nil stays nil.
func RetryAfter(err error, d time.Duration) error { return withClass(err, Throttled, d) }

// Misconfiguration marks err as something only a person can put right, such as wrong
// credentials. The sink pauses and says so; its events stay stored. nil stays nil.
func Misconfiguration(err error) error { return withClass(err, Misconfigured, 0) }

func withClass(err error, c Class, after time.Duration) error {
	if err == nil {
		return nil
	}
	return &classError{class: c, err: err, after: after}
}

// ClassOf returns the class of an outcome and, for Throttled, how long to wait.
func ClassOf(err error) (c Class, after time.Duration) {
	if err == nil {
		return Delivered, 0
	}
	if ce, ok := errors.AsType[*classError](err); ok {
		return ce.class, ce.after
	}
	return Retry, 0
}

// PartialError reports that some events of a unit were not taken. Events it does
// not name were delivered. Each failure has its own class.
type PartialError struct {
	Failed map[int]error // by index in Unit.Events
}

// Error counts the failures and shows one of them.
func (e *PartialError) Error() string {
	for i, err := range e.Failed {
		return fmt.Sprintf("%d events of the unit refused, among them %d: %v", len(e.Failed), i, err)
	}
	return "no event refused"
}

// Unclear is what a Classifier returns when a backend has taken some events of a unit for good and refused failed of them, without
// saying which, and counts twice what it gets twice. All of them become one dead letter for a person to look at, by the
// reason ReasonUnclear: sending any of them again would be a guess. nil stays nil.
func Unclear(failed int, err error) error {
	if err == nil {
		return nil
	}
	return Permanent(&UnclearError{failed, err})
}

// UnclearError is the error of Unclear.
type UnclearError struct {
	Failed int // events that were refused
	Err    error
}

// Error is the wrapped error's text.
func (e *UnclearError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *UnclearError) Unwrap() error { return e.Err }

type dropError struct{ reason Reason }

func (e *dropError) Error() string { return "dropped: " + string(e.reason) }

// Drop is what a Processor returns to end an event on purpose. It is counted under
// reason and is no failure.
func Drop(reason Reason) error { return &dropError{reason} }

// DropReason returns the reason of an error made by Drop.
func DropReason(err error) (Reason, bool) {
	if d, ok := errors.AsType[*dropError](err); ok {
		return d.reason, true
	}
	return "", false
}

// FieldError says what is wrong with one field of an event or request.
type FieldError struct {
	Field   string // path in JSON terms: "ecommerce.items[2].price"
	Problem string // "must not be negative"
}

// Error is the field and the problem.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Problem
	}
	return e.Field + ": " + e.Problem
}

// Refusal is one event that was not stored.
type Refusal struct {
	Index  int // in the arguments of Emit
	Reason Reason
	Err    error
}

// RefusedError is returned by Emitter.Emit when some events were not stored. The
// others were.
type RefusedError struct{ Refused []Refusal }

// Error lists at most three refusals.
func (e *RefusedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sidetrack: %d events refused", len(e.Refused))
	for i, r := range e.Refused {
		if i == 3 {
			b.WriteString("; …")
			break
		}
		fmt.Fprintf(&b, "; event %d: %v", r.Index, r.Err)
	}
	return b.String()
}

// Is matches ErrOverloaded, ErrUnavailable and ErrClosed when every refusal does.
func (e *RefusedError) Is(target error) bool {
	for _, r := range e.Refused {
		if !errors.Is(r.Err, target) {
			return false
		}
	}
	return len(e.Refused) > 0
}

// Conditions under which events are refused although nothing is wrong with them.
var (
	ErrOverloaded  = errors.New("sidetrack: intake is full, try again")
	ErrUnavailable = errors.New("sidetrack: storage is unavailable, try again")
	ErrClosed      = errors.New("sidetrack: closed")
)
