package pipeline

import (
	"container/list"
	"context"
	"sync"
	"unsafe"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack"
)

// batch is one decoded message after the shared processors. It is read-only and
// shared by all sinks of the process.
type batch struct {
	events []verdict
	bad    []badLine
}

// verdict is an event and, when a shared processor ended it, why.
type verdict struct {
	event  *sidetrack.Event
	line   string // as stored
	reason sidetrack.Reason
	err    error
}

// batches decodes each message once for all sinks. Sinks run close together, so a
// small cache does; one that has fallen behind decodes for itself.
type batches struct {
	processors []sidetrack.Processor

	mu    sync.Mutex
	byID  map[string]*list.Element // of *slot
	order list.List                // most recent first
	bytes int
}

type slot struct {
	id   string
	size int

	known *batch // before the shared processors, where it need not be decoded; set before the message is published
	once  sync.Once
	done  *batch
}

// Bounds of the cache, in payload bytes and messages.
const (
	cacheBytes    = 4 << 20
	cacheMessages = 256
)

func newBatches(processors []sidetrack.Processor) *batches {
	return &batches{processors: processors, byID: map[string]*list.Element{}}
}

// put enters a message that is about to be published, together with the events in it, which belong to
// the cache from now on. They are exactly what decoding would give.
func (b *batches) put(m *message.Message, items []*encoded) {
	text := unsafe.String(unsafe.SliceData(m.Payload), len(m.Payload))
	known := &batch{events: make([]verdict, len(items))}
	for i, it := range items {
		known.events[i] = verdict{event: it.event, line: text[:len(it.json)]}
		text = text[len(it.json)+1:]
	}
	// Besides the payload the events keep what they were decoded from, and themselves.
	b.slot(m.UUID, 3*len(m.Payload)).known = known
}

// forget takes out what put entered.
func (b *batches) forget(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if el, ok := b.byID[id]; ok {
		b.remove(el)
	}
}

func (b *batches) get(m *message.Message) *batch {
	s := b.slot(m.UUID, len(m.Payload))
	s.once.Do(func() {
		s.done = s.known
		if s.done == nil {
			s.done = decodeBatch(m.Payload)
		}
		b.process(s.done)
	})
	return s.done
}

// slot returns the slot of a message, a new one when it has none.
func (b *batches) slot(id string, size int) *slot {
	b.mu.Lock()
	defer b.mu.Unlock()
	if el, ok := b.byID[id]; ok {
		b.order.MoveToFront(el)
		return el.Value.(*slot)
	}
	s := &slot{id: id, size: size}
	b.byID[id] = b.order.PushFront(s)
	b.bytes += size
	for b.order.Len() > 1 && (b.bytes > cacheBytes || b.order.Len() > cacheMessages) {
		b.remove(b.order.Back())
	}
	return s
}

func (b *batches) remove(el *list.Element) {
	old := b.order.Remove(el).(*slot)
	delete(b.byID, old.id)
	b.bytes -= old.size
}

// process runs the shared processors.
func (b *batches) process(out *batch) {
	for i := range out.events {
		v := &out.events[i]
		v.reason, v.err = runProcessors(context.Background(), b.processors, v.event)
	}
}
