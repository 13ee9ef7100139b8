package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sidetrack-go/sidetrack/bus"
)

// Usage implements bus.Bus.
func (b *Bus) Usage(ctx context.Context, name string) (bus.Usage, error) {
	t, err := b.topic(name)
	if err != nil {
		return bus.Usage{}, fmt.Errorf("jetstream: usage: %w", err)
	}
	s, err := b.js.Stream(ctx, t.stream)
	if err != nil {
		return bus.Usage{}, fmt.Errorf("jetstream: usage of %s: %w", name, err)
	}
	info := s.CachedInfo()
	return bus.Usage{
		Messages: int64(info.State.Msgs), Bytes: int64(info.State.Bytes), MaxBytes: info.Config.MaxBytes,
		Events: t.last().events,
	}, nil
}

// Read implements bus.Bus.
func (b *Bus) Read(ctx context.Context, name string, from uint64) iter.Seq2[bus.Record, error] {
	return func(yield func(bus.Record, error) bool) {
		err := b.read(ctx, name, from, func(r bus.Record) bool { return yield(r, nil) })
		if err != nil {
			yield(bus.Record{}, fmt.Errorf("jetstream: read %s: %w", name, err))
		}
	}
}

func (b *Bus) read(ctx context.Context, name string, from uint64, yield func(bus.Record) bool) error {
	t, err := b.logTopic(name)
	if err != nil {
		return err
	}
	s, err := b.js.Stream(ctx, t.stream)
	if err != nil {
		return err
	}
	state := s.CachedInfo().State
	for seq := max(from, state.FirstSeq, 1); state.Msgs > 0 && seq <= state.LastSeq; {
		raw, err := s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(t.subject)) // the next one at or behind seq
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if raw.Sequence > state.LastSeq || !yield(bus.Record{Seq: raw.Sequence, At: raw.Time, Message: decode(raw.Header, raw.Data)}) {
			return nil
		}
		seq = raw.Sequence + 1
	}
	return nil
}

// Remove implements bus.Bus.
func (b *Bus) Remove(ctx context.Context, name string, seqs ...uint64) error {
	if err := b.remove(ctx, name, seqs); err != nil {
		return fmt.Errorf("jetstream: remove from %s: %w", name, err)
	}
	return nil
}

func (b *Bus) remove(ctx context.Context, name string, seqs []uint64) error {
	t, err := b.logTopic(name)
	if err != nil || len(seqs) == 0 {
		return err
	}
	s, err := b.js.Stream(ctx, t.stream)
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		if err := s.SecureDeleteMsg(ctx, seq); err != nil {
			// The client does not tell the reasons apart.
			if _, getErr := s.GetMsg(ctx, seq); !errors.Is(getErr, jetstream.ErrMsgNotFound) {
				return err
			}
		}
	}
	return nil
}

// logTopic returns a declared topic without groups.
func (b *Bus) logTopic(name string) (*topic, error) {
	t, err := b.topic(name)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(t.limits.Groups) > 0 {
		return nil, fmt.Errorf("topic %q has groups, whose messages are theirs", name)
	}
	return t, nil
}
