package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sidetrack-go/sidetrack/bus"
)

// Codes of the server's answers, from its errors.json.
const (
	codeInsufficientResources = 10023
	codeStorageExceeded       = 10047
	codeStoreFailed           = 10077
)

// publisher implements message.Publisher for all topics of a bus.
type publisher struct{ b *Bus }

// Publish stores the messages in order, one commit each. When one fails, those
// in front of it are stored.
func (p publisher) Publish(name string, msgs ...*message.Message) error {
	if err := p.b.publish(name, msgs); err != nil {
		return fmt.Errorf("jetstream: publish to %s: %w", name, err)
	}
	return nil
}

// Close does nothing: the bus owns the connection.
func (publisher) Close() error { return nil }

func (b *Bus) publish(name string, msgs []*message.Message) error {
	t, err := b.topic(name)
	if err != nil || len(msgs) == 0 {
		return err
	}
	weights := make([]weight, len(msgs))
	for i, msg := range msgs {
		n, err := strconv.ParseInt(msg.Metadata.Get(bus.MetaEvents), 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("metadata %q is %q, want a number of events", bus.MetaEvents, msg.Metadata.Get(bus.MetaEvents))
		}
		weights[i] = weight{n, int64(len(msg.Payload))}
	}
	if err := b.usable(); err != nil {
		return err
	}
	timeout := time.NewTimer(publishTimeout)
	defer timeout.Stop()
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-timeout.C:
		return fmt.Errorf("%w: others wait for the store", bus.ErrUnavailable)
	case <-b.ctx.Done():
		return bus.ErrClosed
	}
	for i, msg := range msgs {
		if err := b.usable(); err != nil {
			return err
		}
		if err := b.store(t, msg, weights[i]); err != nil {
			return err
		}
	}
	return nil
}

// usable tells, without waiting, whether it makes sense to try.
func (b *Bus) usable() error {
	if b.ctx.Err() != nil {
		return bus.ErrClosed
	}
	if err := b.health.err(); err != nil {
		return err
	}
	if !b.nc.IsConnected() {
		// Never leave a message in the client's reconnect buffer: it would be
		// stored after the caller was told that it is not.
		return fmt.Errorf("%w: not connected", bus.ErrUnavailable)
	}
	return nil
}

// store appends one message to the topic. The caller has the topic's turn.
func (b *Bus) store(t *topic, msg *message.Message, w weight) error {
	ctx, cancel := context.WithTimeout(b.ctx, publishTimeout)
	defer cancel()
	for {
		if t.stale {
			if err := b.resync(ctx, t); err != nil {
				return b.failed(fmt.Errorf("read the end of the stream: %w", err))
			}
		}
		last := t.last()
		next := mark{last.seq + 1, last.events + w.events, last.bytes + w.bytes}
		m, err := encode(t.subject, msg, next)
		if err != nil {
			return err
		}
		t.counts.save(next)
		// The expected sequence keeps the cumulative counts exact: nothing can
		// slip in between, neither from another process nor from a call of
		// this one that got no answer in time.
		ack, err := b.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequence(last.seq), jetstream.WithRetryAttempts(0))
		switch {
		case err == nil:
			next.seq = ack.Sequence
			t.setLast(next)
			return nil
		case wrongSequence(err):
			t.stale = true
			continue
		case errors.Is(err, nats.ErrMaxPayload):
			return err
		}
		t.stale = true
		if api := (*jetstream.APIError)(nil); errors.As(err, &api) {
			switch api.ErrorCode {
			case codeStoreFailed, codeInsufficientResources, codeStorageExceeded:
				if full(api) {
					t.stale = false
					return fmt.Errorf("%w: %s", bus.ErrFull, api.Description)
				}
			case jetstream.JSErrCodeStreamMessageExceedsMaximum:
				return err
			}
		}
		return b.failed(err)
	}
}

// failed reports the store as unusable and lets keepUsable find out when it is
// usable again.
func (b *Bus) failed(err error) error {
	if b.ctx.Err() != nil {
		return bus.ErrClosed
	}
	b.health.fail(err)
	return fmt.Errorf("%w: %w", bus.ErrUnavailable, err)
}

// full reports whether the server refused because of a limit.
func full(e *jetstream.APIError) bool {
	switch e.ErrorCode {
	case codeInsufficientResources, codeStorageExceeded:
		return true
	}
	switch e.Description {
	case "maximum bytes exceeded", "maximum messages exceeded":
		return true
	}
	return false
}

func wrongSequence(err error) bool {
	api := (*jetstream.APIError)(nil)
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// resync reads the end of the topic from the store. The caller has the topic's turn.
func (b *Bus) resync(ctx context.Context, t *topic) error {
	s, err := b.js.Stream(ctx, t.stream)
	if err != nil {
		return err
	}
	seq := s.CachedInfo().State.LastSeq
	if seq == t.last().seq {
		t.stale = false
		return nil
	}
	end, exact := mark{seq: seq}, false
	if raw, err := s.GetMsg(ctx, seq); err == nil {
		_, end, exact = weigh(raw.Header, raw.Data, seq)
	} else if !errors.Is(err, jetstream.ErrMsgNotFound) && seq > 0 {
		return err
	}
	if !exact {
		end, exact = t.counts.load(seq)
	}
	if !exact {
		// Counts never go back.
		known := t.last()
		end = mark{seq, max(end.events, known.events), max(end.bytes, known.bytes)}
		b.log.Warn("cumulative counts of a topic are not known exactly", "topic", t.name)
	}
	t.setLast(end)
	t.stale = false
	return nil
}
