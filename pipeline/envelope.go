package pipeline

import (
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
)

// Topics of the bus. They are a public interface: anything that can read the bus
// may read them. The payload of "events" and of the retry topics is the events'
// documented JSON, one a line.
const (
	TopicEvents = "events"
	TopicDead   = "dead"
	TopicState  = "state" // the ledger; for the pipeline alone

	// Who is to be forgotten, as keyed hashes, and the key; for the pipeline alone.
	TopicSuppressed     = "suppressed"
	TopicSuppressionKey = "suppression-key"
)

// TopicRetry names the topic that holds a sink's stubborn events.
func TopicRetry(sink string) string { return "retry-" + sink }

const (
	contentTypeEvents = "application/x-ndjson"
	contentTypeDead   = "application/json"
	contentTypeState  = "application/json"

	contentTypeSuppressed = "application/json"
	contentTypeKey        = "application/octet-stream"

	envelopeVersion = "1"

	// Bounds of one message; a single event may reach sidetrack.MaxEventBytes.
	maxBatchEvents = 500
	maxBatchBytes  = 512 << 10

	metaAttempt   = "attempt"    // retry topics: attempts so far; absent: no failed unit, the events wait like new ones
	metaNotBefore = "not-before" // retry topics: Unix milliseconds of the next attempt
	metaWait      = "wait"       // retry topics: milliseconds from storing it to not-before, for when the clock is put back
	metaFirstFail = "first-fail" // retry topics: Unix milliseconds
	metaReplayed  = "replayed"   // retry topics: Unix milliseconds of the replay from which the events' age counts
)

func newMessage(payload []byte, events int, contentType string) *message.Message {
	id, err := uuid.NewV7()
	if err != nil { // the system has no randomness; a name that is merely likely unique is still right for a message
		id = uuid.NewSHA1(uuid.Nil, payload)
	}
	m := message.NewMessage(id.String(), payload)
	m.Metadata = message.Metadata{
		bus.MetaEvents:      strconv.Itoa(events),
		bus.MetaContentType: contentType,
		bus.MetaVersion:     envelopeVersion,
	}
	return m
}

// decodeBatch reads a message of the event topic. Lines that do not parse are
// returned with their errors, and cost nobody else. The events share memory with payload, which
// nobody may change: a bus hands payloads out for reading only.
func decodeBatch(payload []byte) *batch {
	text := unsafe.String(unsafe.SliceData(payload), len(payload))
	out := &batch{events: make([]verdict, 0, strings.Count(text, "\n")+1)}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" {
			continue
		}
		e, err := sidetrack.ParseEvent(line)
		if err != nil {
			out.bad = append(out.bad, badLine{line, err})
			continue
		}
		out.events = append(out.events, verdict{event: e, line: line})
	}
	return out
}

type badLine struct {
	line string
	err  error
}

// eventsIn is how many events a message says it holds.
func eventsIn(m *message.Message) int64 { return parseCount(m.Metadata[bus.MetaEvents]) }

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

func fromMillis(s string) time.Time {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
