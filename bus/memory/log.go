package memory

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack/bus"
)

// Usage tells how full a topic is.
func (b *Bus) Usage(ctx context.Context, topicName string) (bus.Usage, error) {
	t, err := b.topic(topicName)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return bus.Usage{}, fmt.Errorf("memory: usage: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(time.Now())
	u := bus.Usage{Bytes: t.used, MaxBytes: t.maxBytes, Events: t.cumEvents}
	for e := t.head; e != nil; e = e.next {
		u.Messages++
	}
	return u, nil
}

// Read returns the messages of a topic without groups.
func (b *Bus) Read(ctx context.Context, topicName string, from uint64) iter.Seq2[bus.Record, error] {
	return func(yield func(bus.Record, error) bool) {
		entries, err := b.snapshot(topicName, from)
		if err != nil {
			yield(bus.Record{}, fmt.Errorf("memory: read: %w", err))
			return
		}
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				yield(bus.Record{}, fmt.Errorf("memory: read: %w", err))
				return
			}
			m := message.NewMessage(e.uuid, e.payload)
			m.Metadata = maps.Clone(e.metadata)
			if !yield(bus.Record{Seq: e.seq, At: e.at, Message: m}, nil) {
				return
			}
		}
	}
}

func (b *Bus) snapshot(topicName string, from uint64) ([]*entry, error) {
	t, err := b.logTopic(topicName)
	if err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	t.expire(time.Now())
	var entries []*entry
	for e := t.head; e != nil; e = e.next {
		if e.seq >= from {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// Remove deletes messages of a topic without groups.
func (b *Bus) Remove(ctx context.Context, topicName string, seqs ...uint64) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memory: remove: %w", err)
	}
	t, err := b.logTopic(topicName)
	if err != nil {
		return fmt.Errorf("memory: remove: %w", err)
	}
	defer t.mu.Unlock()
	gone := make(map[uint64]bool, len(seqs))
	for _, seq := range seqs {
		gone[seq] = true
	}
	for e := t.head; e != nil; {
		next := e.next
		if gone[e.seq] {
			t.remove(e)
		}
		e = next
	}
	return nil
}

// logTopic returns a topic without groups, locked.
func (b *Bus) logTopic(topicName string) (*topic, error) {
	t, err := b.topic(topicName)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	if len(t.groups) > 0 {
		t.mu.Unlock()
		return nil, fmt.Errorf("topic %q has groups, whose messages are theirs", topicName)
	}
	return t, nil
}
