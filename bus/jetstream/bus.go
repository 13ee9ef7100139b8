// Package jetstream is the durable bus: NATS JetStream, either as a server
// inside the process that opens no port (OpenEmbedded), or as a cluster that is
// reached by its URL (OpenCluster). Both use the same streams and the same code;
// only the connection differs.
//
// Each topic is a stream "<prefix>-<topic>" on the subject "<prefix>.<topic>",
// kept in files, that refuses when it is full. A topic with groups has Interest
// retention: a message is removed once every group has settled it. A topic
// without groups has Limits retention. Each group is a durable pull consumer
// with explicit acknowledgement.
//
// # Format of a message
//
// The payload is stored as it is. Metadata become headers of the same name; in
// their values '%', control characters and blanks at the ends are
// percent-encoded. The header "_watermill_message_uuid" has the message's UUID.
// The bus adds bus.MetaCumEvents and bus.MetaCumBytes.
//
// # Delivery
//
// At least once. Messages a subscriber holds are kept for it: a keeper tells
// the server every third of AckWait that they are in progress. Within one
// process, a message that was settled or is still held is not handed out
// again, even when the server was restarted meanwhile or a settlement got lost
// on the way. After the death of the process, what it held comes again, and so
// does what it had settled in its last tenth of a second, because JetStream
// writes cursors ten times a second.
//
// # Precision of Stats
//
// On the embedded bus they are exact, with one exception: what a previous
// process held when it died is an estimate until it has been handed out again,
// if the topic has several groups. On a cluster they are what the servers know,
// and messages in flight count with the average weight of the topic; Expired
// counts what a call of Stats or a live subscriber of this process noticed.
package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sidetrack-go/sidetrack/bus"
)

var _ bus.Bus = (*Bus)(nil)

// Bus is a bus.Bus on JetStream. OpenEmbedded and OpenCluster make one.
type Bus struct {
	log      *slog.Logger
	prefix   string
	ackWait  time.Duration
	maxBytes int64
	replicas int
	node     *embedded // nil on a cluster
	minFree  int64     // 0 on a cluster

	nc *nats.Conn
	js jetstream.JetStream

	ctx    context.Context // ends when the bus closes
	cancel context.CancelFunc
	wg     sync.WaitGroup
	health health

	mu          sync.Mutex // guards what follows
	closed      bool
	declared    bool
	topics      map[string]*topic
	subscribers map[*subscriber]struct{}

	closeOnce sync.Once
	closeErr  error
}

// topic is a declared topic.
type topic struct {
	name    string
	stream  string
	subject string
	limits  bus.Topic          // guarded by Bus.mu
	cursors map[string]*cursor // by group; guarded by Bus.mu

	positions atomic.Pointer[[]*position] // of cursors
	sweep     *sweep                      // nil on a cluster, where others settle too

	// turn is held while a message is being stored: cumulative counts need an
	// order, and the store has one fsync at a time anyway.
	turn   chan struct{}
	stale  bool // end may not be the end of the stream; guarded by turn
	counts counts

	mu  sync.Mutex // guards end
	end mark
}

func (t *topic) last() mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end
}

func (t *topic) setLast(m mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = m
}

// OpenEmbedded starts a JetStream server inside the process and takes the
// ownership of its directory; it fails when another process has it. The bus
// lives until Close; ctx bounds only the start.
func OpenEmbedded(ctx context.Context, cfg Embedded) (*Bus, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("jetstream: configure: %w", err)
	}
	node, err := newEmbedded(cfg)
	if err != nil {
		return nil, fmt.Errorf("jetstream: open: %w", err)
	}
	b := newBus(cfg.Logger, defaultPrefix, cfg.AckWait)
	b.node, b.minFree = node, int64(cfg.MinFree)
	b.maxBytes, b.replicas = int64(cfg.MaxBytes), 1
	err = b.connect(nats.DefaultURL, nats.InProcessServer(node))
	if err == nil {
		_, err = b.js.AccountInfo(ctx)
	}
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("jetstream: open: %w", err)
	}
	b.checkSpace()
	b.wg.Go(b.watchSpace)
	b.wg.Go(b.keepUsable)
	b.wg.Go(b.keepHeld)
	return b, nil
}

// OpenCluster connects to NATS servers with JetStream. The bus lives until
// Close; ctx bounds only the first contact.
func OpenCluster(ctx context.Context, cfg Cluster) (*Bus, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("jetstream: configure: %w", err)
	}
	b := newBus(cfg.Logger, cfg.Prefix, cfg.AckWait)
	b.maxBytes, b.replicas = int64(cfg.MaxBytes), cfg.Replicas
	var opts []nats.Option
	if cfg.Credentials != "" {
		opts = append(opts, nats.UserCredentials(cfg.Credentials))
	}
	err = b.connect(cfg.URL, opts...)
	if err == nil {
		_, err = b.js.AccountInfo(ctx)
	}
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("jetstream: connect: %w", err)
	}
	b.wg.Go(b.keepUsable)
	b.wg.Go(b.keepHeld)
	return b, nil
}

func newBus(log *slog.Logger, prefix string, ackWait time.Duration) *Bus {
	ctx, cancel := context.WithCancel(context.Background())
	return &Bus{
		log: log, prefix: prefix, ackWait: ackWait,
		ctx: ctx, cancel: cancel,
		health:      health{wake: make(chan struct{}, 1)},
		topics:      make(map[string]*topic),
		subscribers: make(map[*subscriber]struct{}),
	}
}

func (b *Bus) connect(url string, opts ...nats.Option) error {
	opts = append([]nats.Option{
		nats.Name("sidetrack"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(50 * time.Millisecond),
		nats.ReconnectJitter(10*time.Millisecond, 50*time.Millisecond),
		nats.PingInterval(10 * time.Second),
		nats.Timeout(5 * time.Second),
		nats.ReconnectHandler(func(*nats.Conn) { b.resumePulls() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.log.Warn("connection to the store lost", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("connection to the store", "error", err)
		}),
	}, opts...)
	var err error
	if b.nc, err = nats.Connect(url, opts...); err != nil {
		return err
	}
	b.js, err = jetstream.New(b.nc)
	return err
}

// Durable implements bus.Bus.
func (b *Bus) Durable() bool { return true }

// Exclusive implements bus.Bus: a directory has one owner, a cluster has many users.
func (b *Bus) Exclusive() bool { return b.node != nil }

// Publisher implements bus.Bus.
func (b *Bus) Publisher() message.Publisher { return publisher{b} }

// Subscriber implements bus.Bus.
func (b *Bus) Subscriber(group string, window bus.Window) message.Subscriber {
	if window.Messages <= 0 {
		window.Messages = bus.DefaultWindow.Messages
	}
	if window.Bytes <= 0 {
		window.Bytes = bus.DefaultWindow.Bytes
	}
	return newSubscriber(b, group, window)
}

// Close implements bus.Bus. It gives back what subscribers hold, and stops the
// embedded server.
func (b *Bus) Close() error {
	b.closeOnce.Do(func() {
		b.mu.Lock()
		b.closed = true
		subs := make([]*subscriber, 0, len(b.subscribers))
		for s := range b.subscribers {
			subs = append(subs, s)
		}
		b.mu.Unlock()
		for _, s := range subs {
			s.Close()
		}
		b.cancel()
		b.wg.Wait()
		for _, t := range b.topics {
			t.turn <- struct{}{} // let a running publish end; never given back
			b.closeErr = errors.Join(b.closeErr, t.counts.close())
		}
		if b.nc != nil {
			b.flush()
			b.nc.Close()
		}
		if b.node != nil {
			b.closeErr = errors.Join(b.closeErr, b.node.close())
		}
		if b.closeErr != nil {
			b.closeErr = fmt.Errorf("jetstream: close: %w", b.closeErr)
		}
	})
	return b.closeErr
}

// flush waits, not for long, until the server has seen all settlements.
func (b *Bus) flush() {
	if b.nc.IsConnected() {
		_ = b.nc.FlushTimeout(time.Second)
	}
}

// topic returns a declared topic.
func (b *Bus) topic(name string) (*topic, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, bus.ErrClosed
	}
	t := b.topics[name]
	if t == nil {
		return nil, fmt.Errorf("topic %q is not declared", name)
	}
	return t, nil
}

// cursor returns a declared group of a topic.
func (b *Bus) cursor(topic, group string) (*cursor, error) {
	t, err := b.topic(topic)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c := t.cursors[group]
	if c == nil {
		return nil, fmt.Errorf("group %q of topic %q is not declared", group, topic)
	}
	return c, nil
}

// allCursors returns the groups of all topics.
func (b *Bus) allCursors() []*cursor {
	b.mu.Lock()
	defer b.mu.Unlock()
	var cs []*cursor
	for _, t := range b.topics {
		for _, c := range t.cursors {
			cs = append(cs, c)
		}
	}
	return cs
}

func (b *Bus) openCounts(topic string) (counts, error) {
	if b.node != nil {
		return openCountFile(b.node.countsDir(), topic)
	}
	return &sharedCounts{nc: b.nc, js: b.js, stream: b.countsStream(), topic: topic}, nil
}

func (b *Bus) streamName(topic string) string { return b.prefix + "-" + topic }
func (b *Bus) subject(topic string) string    { return b.prefix + "." + topic }

// countsStream is the name of a cluster's stream of counts. No topic can have it.
func (b *Bus) countsStream() string { return b.prefix + "_counts" }
