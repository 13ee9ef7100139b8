package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/sidetrack-go/sidetrack/bus"
)

const (
	// metaPrefix marks the streams of an installation, next to their names.
	metaPrefix = "sidetrack-prefix"

	// minMaxBytes is the least a topic is given; it holds one large batch.
	minMaxBytes = 1 << 20

	// dedupeWindow is the shortest the server knows. Messages carry no id for
	// it: events have one, and the window would not survive their removal.
	dedupeWindow = 100 * time.Millisecond
)

// Declare implements bus.Bus.
func (b *Bus) Declare(ctx context.Context, topics ...bus.Topic) ([]bus.Group, error) {
	removed, err := b.declare(ctx, topics, true)
	if err != nil {
		return nil, fmt.Errorf("jetstream: declare: %w", err)
	}
	return removed, nil
}

// Attach implements bus.Bus.
func (b *Bus) Attach(ctx context.Context, topics ...bus.Topic) error {
	if _, err := b.declare(ctx, topics, false); err != nil {
		return fmt.Errorf("jetstream: attach: %w", err)
	}
	return nil
}

func (b *Bus) declare(ctx context.Context, topics []bus.Topic, prune bool) (removed []bus.Group, err error) {
	if topics, err = b.limit(topics); err != nil {
		return nil, err
	}
	b.mu.Lock()
	closed, first := b.closed, !b.declared
	b.declared = true
	b.mu.Unlock()
	if closed {
		return nil, bus.ErrClosed
	}
	if prune {
		if removed, err = b.removeUndeclared(ctx, topics); err != nil {
			return nil, err
		}
	}
	if b.node == nil {
		if err := b.declareCounts(ctx); err != nil {
			return nil, err
		}
	}
	var infos []*jetstream.ConsumerInfo
	for _, t := range topics {
		cs, err := b.declareTopic(ctx, t)
		if err != nil {
			return nil, fmt.Errorf("topic %s: %w", t.Name, err)
		}
		infos = append(infos, cs...)
	}
	if first && b.node != nil {
		if err := b.reclaim(ctx, infos); err != nil {
			return nil, err
		}
	}
	for _, t := range topics {
		if err := b.openTopic(ctx, t); err != nil {
			return nil, fmt.Errorf("topic %s: %w", t.Name, err)
		}
	}
	return removed, nil
}

// limit checks the topics and gives those without a limit of bytes their share.
func (b *Bus) limit(topics []bus.Topic) ([]bus.Topic, error) {
	topics = slices.Clone(topics)
	rest, open := b.maxBytes, int64(0)
	seen := make(map[string]bool)
	for i := range topics {
		t := &topics[i]
		if !validName(t.Name) || seen[t.Name] {
			return nil, fmt.Errorf("topic %q: empty, twice, or with something else than letters, digits, '-' and '_'", t.Name)
		}
		seen[t.Name] = true
		t.Groups = slices.Clone(t.Groups)
		slices.Sort(t.Groups)
		for j, g := range t.Groups {
			if !validName(g) || j > 0 && g == t.Groups[j-1] {
				return nil, fmt.Errorf("topic %s: group %q: empty, twice, or with something else than letters, digits, '-' and '_'", t.Name, g)
			}
		}
		if t.MaxBytes < 0 || t.MaxAge < 0 {
			return nil, fmt.Errorf("topic %s: negative limit", t.Name)
		}
		if t.MaxAge > 0 {
			t.MaxAge = max(t.MaxAge, dedupeWindow)
		}
		if t.MaxBytes == 0 {
			open++
		}
		rest -= t.MaxBytes
	}
	if rest < open*minMaxBytes {
		return nil, fmt.Errorf("limits of the topics add up to %d bytes, which leaves too little of max_bytes %d", b.maxBytes-rest, b.maxBytes)
	}
	for i := range topics {
		if topics[i].MaxBytes == 0 {
			topics[i].MaxBytes = rest / open
		}
	}
	return topics, nil
}

// removeUndeclared deletes streams of this installation that are not declared.
func (b *Bus) removeUndeclared(ctx context.Context, topics []bus.Topic) ([]bus.Group, error) {
	keep := make(map[string]bool)
	for _, t := range topics {
		keep[b.streamName(t.Name)] = true
	}
	var removed []bus.Group
	list := b.js.ListStreams(ctx)
	var gone []*jetstream.StreamInfo
	for info := range list.Info() {
		if info.Config.Metadata[metaPrefix] == b.prefix && !keep[info.Config.Name] && info.Config.Name != b.countsStream() {
			gone = append(gone, info)
		}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	slices.SortFunc(gone, func(a, b *jetstream.StreamInfo) int { return cmp.Compare(a.Config.Name, b.Config.Name) })
	for _, info := range gone {
		name := info.Config.Name[len(b.prefix)+1:]
		groups, err := b.groupNames(ctx, info.Config.Name)
		if err != nil {
			return nil, err
		}
		if len(groups) == 0 {
			removed = append(removed, bus.Group{Topic: name})
		}
		for _, g := range groups {
			removed = append(removed, bus.Group{Topic: name, Group: g})
		}
		if err := b.js.DeleteStream(ctx, info.Config.Name); err != nil {
			return nil, fmt.Errorf("delete stream %s: %w", info.Config.Name, err)
		}
		b.forget(name)
	}
	for _, t := range topics {
		groups, err := b.groupNames(ctx, b.streamName(t.Name))
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			if slices.Contains(t.Groups, g) {
				continue
			}
			if err := b.js.DeleteConsumer(ctx, b.streamName(t.Name), g); err != nil {
				return nil, fmt.Errorf("delete group %s of %s: %w", g, t.Name, err)
			}
			removed = append(removed, bus.Group{Topic: t.Name, Group: g})
		}
	}
	return removed, nil
}

func (b *Bus) groupNames(ctx context.Context, stream string) ([]string, error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", stream, err)
	}
	list := s.ConsumerNames(ctx)
	var names []string
	for n := range list.Name() {
		names = append(names, n)
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list groups of %s: %w", stream, err)
	}
	slices.Sort(names)
	return names, nil
}

// forget drops a topic that is not declared any more.
func (b *Bus) forget(name string) {
	b.mu.Lock()
	t := b.topics[name]
	delete(b.topics, name)
	b.mu.Unlock()
	if t != nil {
		t.turn <- struct{}{} // never given back: nobody publishes to it any more
		_ = t.counts.close()
	}
	if b.node != nil {
		removeCountFile(b.node.countsDir(), name) // also that of a topic of an earlier process
	}
}

// declareTopic creates or updates a stream and its consumers.
func (b *Bus) declareTopic(ctx context.Context, t bus.Topic) ([]*jetstream.ConsumerInfo, error) {
	cfg := jetstream.StreamConfig{
		Name:       b.streamName(t.Name),
		Subjects:   []string{b.subject(t.Name)},
		Storage:    jetstream.FileStorage,
		Retention:  jetstream.InterestPolicy,
		Discard:    jetstream.DiscardNew,
		MaxBytes:   t.MaxBytes,
		MaxAge:     t.MaxAge,
		Replicas:   b.replicas,
		Duplicates: dedupeWindow,
		Metadata:   map[string]string{metaPrefix: b.prefix},
	}
	if len(t.Groups) == 0 {
		cfg.Retention = jetstream.LimitsPolicy
	}
	s, err := b.js.CreateOrUpdateStream(ctx, cfg)
	if err != nil {
		return nil, err
	}
	var infos []*jetstream.ConsumerInfo
	for _, g := range t.Groups {
		c, err := b.declareGroup(ctx, s, g)
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", g, err)
		}
		infos = append(infos, c.CachedInfo())
	}
	return infos, nil
}

// declareGroup creates a consumer that begins behind the last message, or
// updates one and leaves it where it is.
func (b *Bus) declareGroup(ctx context.Context, s jetstream.Stream, group string) (jetstream.Consumer, error) {
	c, err := s.Consumer(ctx, group)
	switch {
	case err == nil:
		cfg := c.CachedInfo().Config
		if cfg.AckWait == b.ackWait {
			return c, nil
		}
		cfg.AckWait = b.ackWait
		return s.UpdateConsumer(ctx, cfg)
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return nil, err
	}
	return s.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable:       group,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   s.CachedInfo().State.LastSeq + 1,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       b.ackWait,
		MaxDeliver:    -1,
		MaxAckPending: bus.DefaultWindow.Messages,
		MaxWaiting:    16,
		ReplayPolicy:  jetstream.ReplayInstantPolicy,
	})
}

// reclaim makes the server hand out again at once what a previous process held
// when it died. The owner of the directory knows that the holder is gone;
// nobody else could wait any shorter than AckWait.
func (b *Bus) reclaim(ctx context.Context, infos []*jetstream.ConsumerInfo) error {
	infos = slices.DeleteFunc(infos, func(i *jetstream.ConsumerInfo) bool { return i.NumAckPending == 0 })
	if len(infos) == 0 {
		return nil
	}
	set := func(wait time.Duration) error {
		for _, i := range infos {
			cfg := i.Config
			cfg.AckWait = wait
			if _, err := b.js.UpdateConsumer(ctx, i.Stream, cfg); err != nil {
				return fmt.Errorf("group %s: %w", i.Name, err)
			}
		}
		return nil
	}
	if err := set(reclaimWait); err != nil {
		return err
	}
	// The server looks 100 ms after it has got a new AckWait.
	select {
	case <-time.After(200 * time.Millisecond):
	case <-ctx.Done():
	}
	return set(b.ackWait)
}

const reclaimWait = 10 * time.Millisecond

// openTopic finds out where the topic and its groups stand.
func (b *Bus) openTopic(ctx context.Context, limits bus.Topic) error {
	b.mu.Lock()
	t := b.topics[limits.Name]
	b.mu.Unlock()
	if t == nil {
		counts, err := b.openCounts(limits.Name)
		if err != nil {
			return err
		}
		t = &topic{
			name:    limits.Name,
			stream:  b.streamName(limits.Name),
			subject: b.subject(limits.Name),
			cursors: make(map[string]*cursor),
			turn:    make(chan struct{}, 1),
			counts:  counts,
		}
		if b.node != nil {
			t.sweep = newSweep(b, t)
		}
		err = b.resync(ctx, t)
		if err == nil {
			err = b.inspectEnd(ctx, t, limits.Groups)
		}
		if err != nil {
			return errors.Join(err, counts.close())
		}
	}
	cursors := make(map[string]*cursor)
	for _, g := range limits.Groups {
		if c := t.cursors[g]; c != nil {
			cursors[g] = c
			continue
		}
		c := &cursor{b: b, topic: t, group: g, held: make(map[uint64]*held)}
		high, old, err := b.measure(ctx, t, g)
		if err != nil {
			return fmt.Errorf("group %s: %w", g, err)
		}
		c.pos = newPosition(high, old)
		cursors[g] = c
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for g, c := range t.cursors {
		if cursors[g] == nil {
			c.drop()
		}
	}
	t.cursors = cursors
	positions := make([]*position, 0, len(cursors))
	for _, c := range cursors {
		positions = append(positions, c.pos)
	}
	t.positions.Store(&positions)
	t.limits = limits
	b.topics[t.name] = t
	return nil
}

// declareCounts creates the stream that sharedCounts uses.
func (b *Bus) declareCounts(ctx context.Context) error {
	_, err := b.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:              b.countsStream(),
		Subjects:          []string{b.countsStream() + ".*"},
		Storage:           jetstream.FileStorage,
		MaxMsgsPerSubject: 1,
		MaxBytes:          1 << 20,
		Replicas:          b.replicas,
		Duplicates:        dedupeWindow,
		Metadata:          map[string]string{metaPrefix: b.prefix},
	})
	if err != nil {
		return fmt.Errorf("counts: %w", err)
	}
	return nil
}
