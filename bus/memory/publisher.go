package memory

import (
	"fmt"
	"maps"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack/bus"
)

// overhead is what one stored message takes besides its payload: the entry, its
// metadata and its place in a few groups.
const overhead = 512

type publisher struct {
	bus    *Bus
	closed atomic.Bool
}

// Publish stores all messages or none. It never blocks.
func (p *publisher) Publish(topicName string, msgs ...*message.Message) error {
	if p.closed.Load() {
		return fmt.Errorf("memory: publish: %w", bus.ErrClosed)
	}
	t, err := p.bus.topic(topicName)
	if err != nil {
		return fmt.Errorf("memory: publish: %w", err)
	}
	now := time.Now()
	entries := make([]*entry, len(msgs))
	for i, m := range msgs {
		events, err := strconv.ParseInt(m.Metadata[bus.MetaEvents], 10, 64)
		if err != nil || events < 0 {
			return fmt.Errorf("memory: publish: message %s: metadata %s: want a number of events, got %q", m.UUID, bus.MetaEvents, m.Metadata[bus.MetaEvents])
		}
		entries[i] = &entry{
			uuid:     m.UUID,
			metadata: maps.Clone(m.Metadata),
			payload:  m.Payload,
			events:   events,
			at:       now,
		}
	}
	if err := t.append(now, entries); err != nil {
		return fmt.Errorf("memory: publish: topic %s: %w", topicName, err)
	}
	return nil
}

func (p *publisher) Close() error {
	p.closed.Store(true)
	return nil
}
