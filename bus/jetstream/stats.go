package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sidetrack-go/sidetrack/bus"
)

// maxScan bounds how many messages measure looks at one by one.
const maxScan = 4096

// Stats implements bus.Bus.
func (b *Bus) Stats(ctx context.Context, topic, group string) (bus.Stats, error) {
	c, err := b.cursor(topic, group)
	if err != nil {
		return bus.Stats{}, fmt.Errorf("jetstream: stats: %w", err)
	}
	if b.node == nil {
		s, err := b.clusterStats(ctx, c)
		if err != nil {
			return bus.Stats{}, fmt.Errorf("jetstream: stats of %s on %s: %w", group, topic, err)
		}
		return s, nil
	}
	// While the store is away, what the process knows is the best there is.
	if err := b.refresh(ctx, c); err != nil && b.health.err() == nil {
		return bus.Stats{}, fmt.Errorf("jetstream: stats of %s on %s: %w", group, topic, err)
	}
	a, expired, redelivered := c.pos.pending(c.topic.last())
	return bus.Stats{
		Pending: a.messages, PendingEvents: a.events, PendingBytes: a.bytes, StoredBytes: stored(a),
		Expired: expired, Redelivered: redelivered,
	}, nil
}

// refresh asks the store for what happens without this process doing it:
// messages expire, and estimates turn out to be wrong.
func (b *Bus) refresh(ctx context.Context, c *cursor) error {
	b.mu.Lock()
	expires := c.topic.limits.MaxAge > 0
	b.mu.Unlock()
	if expires {
		if err := b.expire(ctx, c, 0); err != nil {
			return err
		}
	}
	if !c.pos.hasOld() {
		return nil
	}
	consumer, err := b.js.Consumer(ctx, c.topic.stream, c.group)
	if err != nil {
		return err
	}
	c.pos.confirm(int64(consumer.CachedInfo().NumAckPending))
	return nil
}

// expire finds where the stream begins and tells the group's position. Nothing
// at or before delivered, which other processes may have had, counts.
func (b *Bus) expire(ctx context.Context, c *cursor, delivered uint64) error {
	end := c.topic.last()
	s, err := b.js.Stream(ctx, c.topic.stream)
	if err != nil {
		return err
	}
	state := s.CachedInfo().State
	first := mark{}
	switch {
	case state.FirstSeq <= 1:
		return nil
	case state.Msgs == 0 && state.LastSeq == end.seq:
		first = end
	default:
		_, m, ok, err := b.firstFrom(ctx, s, c.topic, state.FirstSeq)
		if err != nil || !ok {
			return err
		}
		first = m
	}
	if first.seq > delivered {
		c.pos.expire(first)
	}
	return nil
}

// firstFrom returns the first message that is stored at or behind seq: its
// weight, and the mark in front of it. It reports false when there is none, or
// when its headers do not tell.
func (b *Bus) firstFrom(ctx context.Context, s jetstream.Stream, t *topic, seq uint64) (weight, mark, bool, error) {
	raw, err := s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(t.subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return weight{}, mark{}, false, nil
	}
	if err != nil {
		return weight{}, mark{}, false, err
	}
	w, end, ok := weigh(raw.Header, raw.Data, raw.Sequence)
	return w, end.before(w), ok, nil
}

// measure reads a group's position from the store: the end of what the group
// has been given, and what of that it has not settled.
func (b *Bus) measure(ctx context.Context, t *topic, group string) (high mark, old amount, err error) {
	consumer, err := b.js.Consumer(ctx, t.stream, group)
	if err != nil {
		return mark{}, amount{}, err
	}
	s, err := b.js.Stream(ctx, t.stream)
	if err != nil {
		return mark{}, amount{}, err
	}
	info := consumer.CachedInfo()
	high = t.last()
	if _, m, ok, err := b.firstFrom(ctx, s, t, info.Delivered.Stream+1); err != nil {
		return mark{}, amount{}, err
	} else if ok {
		high = m
	}
	if info.NumAckPending == 0 {
		return high, amount{}, nil
	}
	// Which of the messages between the two are settled is known only to the
	// server. Where no other group keeps settled ones, all that exist are not.
	var all amount
	for seq := info.AckFloor.Stream + 1; all.messages < maxScan; {
		w, m, ok, err := b.firstFrom(ctx, s, t, seq)
		if err != nil {
			return mark{}, amount{}, err
		}
		if !ok || m.seq+1 > info.Delivered.Stream {
			break
		}
		all.add(w)
		seq = m.seq + 2
	}
	return high, all.scaled(int64(info.NumAckPending)), nil
}

// scaled estimates the amount of n messages out of a, if a has more.
func (a amount) scaled(n int64) amount {
	if a.messages <= n {
		return a
	}
	return amount{n, a.events * n / a.messages, a.bytes * n / a.messages}
}

// clusterStats asks the servers: other processes publish and settle too.
func (b *Bus) clusterStats(ctx context.Context, c *cursor) (bus.Stats, error) {
	consumer, err := b.js.Consumer(ctx, c.topic.stream, c.group)
	if err != nil {
		return bus.Stats{}, err
	}
	s, err := b.js.Stream(ctx, c.topic.stream)
	if err != nil {
		return bus.Stats{}, err
	}
	info := consumer.CachedInfo()
	if err := b.expire(ctx, c, info.Delivered.Stream); err != nil {
		return bus.Stats{}, err
	}
	_, expired, redelivered := c.pos.pending(mark{})
	st := bus.Stats{
		Pending: int64(info.NumPending) + int64(info.NumAckPending),
		Expired: expired, Redelivered: redelivered,
	}
	if info.NumPending > 0 {
		_, first, ok, err := b.firstFrom(ctx, s, c.topic, info.Delivered.Stream+1)
		if err != nil {
			return bus.Stats{}, err
		}
		raw, err := s.GetMsg(ctx, s.CachedInfo().State.LastSeq)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return bus.Stats{}, err
		}
		if ok && err == nil {
			if _, last, ok := weigh(raw.Header, raw.Data, raw.Sequence); ok {
				st.PendingEvents = max(last.events-first.events, 0)
				st.PendingBytes = max(last.bytes-first.bytes, 0)
			}
		}
	}
	flight := c.pos.inFlight(int64(info.NumAckPending))
	st.PendingEvents += flight.events
	st.PendingBytes += flight.bytes
	st.StoredBytes = stored(amount{messages: st.Pending, bytes: st.PendingBytes})
	return st, nil
}

// overhead is what a stored message takes besides its payload: the record, the subject and
// the headers that encode and the pipeline write, and a little more.
const overhead = 400

func stored(a amount) int64 { return a.bytes + a.messages*overhead }
