// Package memory is a bus inside the process: bounded, ordered, with one cursor
// per group. It serves tests, and applications that accept losing what was not
// delivered when the process dies.
//
// Publish copies each payload once; the messages that groups receive share that
// copy, so a payload is read-only for those who receive it. Metadata is each
// message's own. The context of a message ends when the message is settled or
// given back.
package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/internal/size"
)

// DefaultMaxBytes is the memory of a topic where nothing else is said.
const DefaultMaxBytes = 64 << 20

// Config configures a Bus. The zero value is useful.
type Config struct {
	// Memory that one topic may take, unless its declaration says otherwise.
	// What bookkeeping takes counts, so that empty messages are bounded too.
	// 64 MiB when empty.
	MaxBytes size.Bytes `yaml:"max_bytes"`
}

// Bus is a bus.Bus in memory.
type Bus struct {
	maxBytes int64
	quit     chan struct{}  // closed by Close
	running  sync.WaitGroup // goroutines of subscriptions

	mu     sync.RWMutex // before topic.mu
	closed bool
	topics map[string]*topic
}

var _ bus.Bus = (*Bus)(nil)

// New returns an empty bus.
func New(cfg Config) *Bus {
	return &Bus{
		maxBytes: cmp.Or(int64(cfg.MaxBytes), DefaultMaxBytes),
		quit:     make(chan struct{}),
		topics:   map[string]*topic{},
	}
}

// Declare makes exactly these topics and groups exist. A topic that went away
// without ever having had a group is reported with an empty Group.
func (b *Bus) Declare(ctx context.Context, topics ...bus.Topic) ([]bus.Group, error) {
	return b.declare(ctx, topics, true)
}

// Attach makes these topics and groups exist and leaves others alone.
func (b *Bus) Attach(ctx context.Context, topics ...bus.Topic) error {
	_, err := b.declare(ctx, topics, false)
	return err
}

func (b *Bus) declare(ctx context.Context, topics []bus.Topic, prune bool) ([]bus.Group, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memory: declare: %w", err)
	}
	wanted := map[string]bool{}
	for _, d := range topics {
		if err := check(d); err != nil {
			return nil, fmt.Errorf("memory: declare: %w", err)
		}
		if wanted[d.Name] {
			return nil, fmt.Errorf("memory: declare: topic %q is declared twice", d.Name)
		}
		wanted[d.Name] = true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, fmt.Errorf("memory: declare: %w", bus.ErrClosed)
	}
	var removed []bus.Group
	for name, t := range b.topics {
		if wanted[name] || !prune {
			continue
		}
		groups := t.delete()
		for _, g := range groups {
			removed = append(removed, bus.Group{Topic: name, Group: g})
		}
		if len(groups) == 0 {
			removed = append(removed, bus.Group{Topic: name})
		}
		delete(b.topics, name)
	}
	for _, d := range topics {
		t := b.topics[d.Name]
		if t == nil {
			t = &topic{groups: map[string]*group{}}
			b.topics[d.Name] = t
		}
		for _, g := range t.declare(cmp.Or(d.MaxBytes, b.maxBytes), d.MaxAge, d.Groups, prune) {
			removed = append(removed, bus.Group{Topic: d.Name, Group: g})
		}
	}
	slices.SortFunc(removed, func(x, y bus.Group) int {
		return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Group, y.Group))
	})
	return removed, nil
}

// check reports what is wrong with a declaration.
func check(d bus.Topic) error {
	switch {
	case !validName(d.Name):
		return fmt.Errorf("topic %q: want letters, digits, '-' and '_'", d.Name)
	case d.MaxBytes < 0:
		return fmt.Errorf("topic %q: negative MaxBytes", d.Name)
	case d.MaxAge < 0:
		return fmt.Errorf("topic %q: negative MaxAge", d.Name)
	}
	for i, g := range d.Groups {
		if g == "" {
			return fmt.Errorf("topic %q: a group without a name", d.Name)
		}
		if slices.Contains(d.Groups[:i], g) {
			return fmt.Errorf("topic %q: group %q is declared twice", d.Name, g)
		}
	}
	return nil
}

func validName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return s != ""
}

// Publisher returns a publisher. Closing it closes nothing else.
func (b *Bus) Publisher() message.Publisher { return &publisher{bus: b} }

// Subscriber returns a subscriber. Zero fields of window are those of bus.DefaultWindow.
func (b *Bus) Subscriber(group string, window bus.Window) message.Subscriber {
	window.Messages = cmp.Or(window.Messages, bus.DefaultWindow.Messages)
	window.Bytes = cmp.Or(window.Bytes, bus.DefaultWindow.Bytes)
	return &subscriber{bus: b, group: group, window: window}
}

// Stats tells how far a group is behind. Every Ack and Nack that returned before
// the call is in it.
func (b *Bus) Stats(ctx context.Context, topicName, groupName string) (bus.Stats, error) {
	if err := ctx.Err(); err != nil {
		return bus.Stats{}, fmt.Errorf("memory: stats: %w", err)
	}
	t, err := b.topic(topicName)
	if err != nil {
		return bus.Stats{}, fmt.Errorf("memory: stats: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[groupName]
	if g == nil {
		return bus.Stats{}, fmt.Errorf("memory: stats: group %q of topic %q is not declared", groupName, topicName)
	}
	g.sweep()
	t.expire(time.Now())
	st := g.stats
	st.StoredBytes = st.PendingBytes + st.Pending*overhead
	return st, nil
}

// Durable reports false.
func (b *Bus) Durable() bool { return false }

// Close ends all subscriptions and drops all messages.
func (b *Bus) Close() error {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		close(b.quit)
		b.topics = nil
	}
	b.mu.Unlock()
	b.running.Wait()
	return nil
}

var errUndeclared = errors.New("is not declared")

// topic finds a declared topic.
func (b *Bus) topic(name string) (*topic, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return nil, bus.ErrClosed
	}
	t := b.topics[name]
	if t == nil {
		return nil, fmt.Errorf("topic %q %w", name, errUndeclared)
	}
	return t, nil
}

// Exclusive reports true.
func (b *Bus) Exclusive() bool { return true }
