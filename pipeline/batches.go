package pipeline

import (
	"container/list"
	"context"
	"sync"

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
	once sync.Once
	done *batch
}

// Bounds of the cache, in payload bytes and messages.
const (
	cacheBytes    = 4 << 20
	cacheMessages = 256
)

func newBatches(processors []sidetrack.Processor) *batches {
	return &batches{processors: processors, byID: map[string]*list.Element{}}
}

func (b *batches) get(m *message.Message) *batch {
	b.mu.Lock()
	el, ok := b.byID[m.UUID]
	if ok {
		b.order.MoveToFront(el)
	} else {
		el = b.order.PushFront(&slot{id: m.UUID, size: len(m.Payload)})
		b.byID[m.UUID] = el
		b.bytes += len(m.Payload)
		for b.order.Len() > 1 && (b.bytes > cacheBytes || b.order.Len() > cacheMessages) {
			old := b.order.Remove(b.order.Back()).(*slot)
			delete(b.byID, old.id)
			b.bytes -= old.size
		}
	}
	s := el.Value.(*slot)
	b.mu.Unlock()
	s.once.Do(func() { s.done = b.decode(m.Payload) })
	return s.done
}

func (b *batches) decode(payload []byte) *batch {
	out := decodeBatch(payload)
	for i := range out.events {
		v := &out.events[i]
		v.reason, v.err = runProcessors(context.Background(), b.processors, v.event)
	}
	return out
}
