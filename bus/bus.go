// Package bus is the contract between the pipeline and what stores its events:
// a Watermill publisher and subscriber with one durable cursor per group.
//
// The engine needs a little more than Watermill's two interfaces say: groups
// that exist before the first publish, a bounded window of unsettled messages
// instead of one, and a backlog it can read. A Bus adds exactly that. The suite
// in bus/bustest states every rule below as a test; an implementation is done
// when it passes.
package bus

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// Bus stores messages by topic and hands them to groups.
//
// All methods are safe for concurrent use. Close is idempotent.
type Bus interface {
	// Declare makes the topics and their groups exist. It is called once, before
	// the first Publish and the first Subscribe: a group that is declared later
	// has no claim to what was published before. Declaring what exists already
	// updates its limits and keeps its messages and cursors. Groups and topics that exist
	// in the store but are not declared any more are deleted and named in the
	// result, so that the caller can say so aloud.
	Declare(ctx context.Context, topics ...Topic) (removed []Group, err error)

	// Attach is Declare for work beside the run, such as on dead letters: it leaves groups and
	// topics that are not declared as they are.
	Attach(ctx context.Context, topics ...Topic) error

	// Publisher stores messages. Publish returns nil only when every message is
	// stored as durably as the bus promises. It is bounded in time (about two
	// seconds), after which and while the store is known to be unusable it
	// fails at once with an error matching ErrFull or ErrUnavailable. The payload may
	// be kept: nobody may change it any more. It needs
	// MetaEvents on every message and writes the cumulative counts itself.
	Publisher() message.Publisher

	// Subscriber hands out a group's messages, at most window unsettled ones at a
	// time, in the order they were stored until one is nacked. A held message is
	// kept for its holder however long that takes. Nack hands the message out
	// again without delay and lets others pass.
	//
	// When the context of Subscribe ends, no further message is handed out and the
	// channel is closed; messages already handed out can still be settled.
	// Close then gives back every message that was not settled, at once, without
	// waiting for their holders. Only one live subscriber per topic and group is
	// supported in one process. Payloads are for reading only: groups may share them.
	Subscriber(group string, window Window) message.Subscriber

	// Stats tells how far a group is behind on a topic.
	Stats(ctx context.Context, topic, group string) (Stats, error)

	// Usage tells how full a topic is.
	Usage(ctx context.Context, topic string) (Usage, error)

	// Read returns, in order, the messages of a topic without groups that are stored at the
	// time of the call and whose sequence number is at least from. Messages that are removed
	// meanwhile are left out. The messages are the caller's; settling them does nothing.
	Read(ctx context.Context, topic string, from uint64) iter.Seq2[Record, error]

	// Remove deletes messages of a topic without groups for good: a durable bus overwrites
	// their content in its files. Numbers of messages that are gone already are no error.
	Remove(ctx context.Context, topic string, seqs ...uint64) error

	// Durable reports whether a stored message survives the death of the process.
	Durable() bool

	// Exclusive reports whether no other process uses the store, as far as the bus can tell.
	Exclusive() bool

	// Close stops the bus; unsettled messages stay stored where the bus is durable.
	Close() error
}

// Topic is a named, ordered log of messages.
type Topic struct {
	Name string // letters, digits, '-' and '_'

	// Groups each get every message. A message is removed when all groups have
	// settled it. A topic without groups keeps messages until a limit is reached (a log
	// for reading on demand, such as dead letters).
	Groups []string

	MaxBytes int64         // 0: the bus's default. A full topic refuses (ErrFull); it never discards
	MaxAge   time.Duration // 0: no limit. Older messages are removed; groups that had not settled them see it in Stats.Expired
}

// Record is a stored message of a topic without groups.
type Record struct {
	Seq     uint64 // its place in the topic, for Read and Remove; never 0
	At      time.Time
	Message *message.Message
}

// Usage is how full a topic is.
type Usage struct {
	Messages int64 // stored
	Bytes    int64 // they take by the measure of MaxBytes
	MaxBytes int64 // the topic's limit
	Events   int64 // published on this topic ever, as MetaCumEvents counts them
}

// Group names one cursor.
type Group struct{ Topic, Group string }

// Window bounds the messages a subscriber holds unsettled. Whichever limit is
// reached first counts; a single message over Bytes is still handed out alone.
// The zero value means DefaultWindow.
type Window struct {
	Messages int
	Bytes    int64 // payload bytes
}

// DefaultWindow is large enough for a backend of 100 ms at thousands of events a
// second, and small enough that a dozen stalled sinks fit in a small container.
var DefaultWindow = Window{Messages: 2000, Bytes: 4 << 20}

// Stats is one group's position on a topic.
type Stats struct {
	Pending       int64 // messages stored and not settled by this group, handed out ones included
	PendingEvents int64 // events in them
	PendingBytes  int64 // payload bytes in them
	StoredBytes   int64 // about what they take by the measure of the topic's MaxBytes, rather too much than too little
	Expired       int64 // events that left the topic by age before this group settled them, since this process opened the bus
	Redelivered   int64 // messages handed out more than once, since this process opened the bus
}

// Keys of message metadata. They are part of the documented format of a topic.
const (
	MetaEvents      = "events"       // number of events in the message, decimal; set by the publishing side
	MetaContentType = "content-type" // of the payload
	MetaVersion     = "version"      // of the envelope
	MetaCumEvents   = "cum-events"   // events published on this topic up to and including this message; set by the bus
	MetaCumBytes    = "cum-bytes"    // payload bytes likewise; set by the bus
)

// Errors of Publish. Both mean that nothing was stored as far as the bus can
// know, and that the same call may succeed later.
var (
	ErrFull        = errors.New("bus: full")                // a limit of the topic or the free-space guard
	ErrUnavailable = errors.New("bus: storage unavailable") // no answer in time, or the store is being restarted
	ErrClosed      = errors.New("bus: closed")
)
