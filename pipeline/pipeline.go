// Package pipeline is the engine: it takes events from sources, stores them on a
// bus, and delivers them through each sink, and it accounts for every one.
//
// Follow one event through the files: intake.go (processors, limits), commit.go
// (group commit to the bus), batches.go (decoding and shared processors), window.go
// (one sink's loop), units.go (what shares a request), attempt.go and exchange.go (one delivery),
// retry.go and dead.go (what did not arrive), ledger.go (where it ended).
package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/internal/compress"
	"github.com/sidetrack-go/sidetrack/internal/sites"
)

// Pipeline runs sources, intake and sinks. It is an Emitter and a Queue; all
// methods are safe for concurrent use.
type Pipeline struct {
	cfg   Config
	log   *slog.Logger
	since time.Time

	received atomic.Int64
	tally    tally

	sites   *sites.Index
	dedup   *dedup // nil: off
	queue   *queue
	ids     *ids
	batches *batches
	sinks   []*sink

	compressor compress.Compressor

	evicted  atomic.Int64 // events in dead letters that made room
	evicting evictLog
	evictMu  sync.Mutex // one eviction at a time
	deadMu   sync.Mutex // one replay or drop at a time

	state       state
	suppressed  suppressions
	running     atomic.Bool // sinks run
	started     atomic.Bool
	closeOnce   sync.Once
	closeErr    error
	stopSources context.CancelFunc
	sources     sync.WaitGroup
	sourcesDone chan struct{}
	sourceErrs  []error
	sourceMu    sync.Mutex
	committed   chan struct{} // closed when the committer has ended
}

// New checks the configuration and makes a pipeline that is not running yet.
// Every problem is in the error, not only the first.
func New(cfg Config) (*Pipeline, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	p := &Pipeline{
		cfg:         cfg,
		log:         cfg.Logger,
		since:       time.Now(),
		sites:       sites.New(cfg.Sites),
		dedup:       newDedup(cfg.Dedup),
		queue:       newQueue(cfg.QueueEvents, cfg.QueueBytes),
		ids:         newIDs(),
		sourcesDone: make(chan struct{}),
		committed:   make(chan struct{}),
	}
	p.batches = newBatches(cfg.Processors)
	for _, sc := range cfg.Sinks {
		p.sinks = append(p.sinks, newSink(p, sc))
	}
	return p, nil
}

// Open declares the topics without running anything, for work on what is stored:
// dead letters, the ledger. The caller closes it; such a pipeline is not started.
// What the configuration does not name is left as it is.
func (p *Pipeline) Open(ctx context.Context) error {
	if err := p.cfg.Bus.Attach(ctx, p.topics()...); err != nil {
		return fmt.Errorf("pipeline: open: %w", err)
	}
	return p.restore(ctx)
}

// declare makes the topics of the configuration, and no others, exist.
func (p *Pipeline) declare(ctx context.Context) error {
	removed, err := p.cfg.Bus.Declare(ctx, p.topics()...)
	if err != nil {
		p.started.Store(false) // nothing runs that Close would have to stop
		return fmt.Errorf("pipeline: start: declare topics: %w", err)
	}
	for _, g := range removed {
		p.log.Warn("a sink is no longer configured: its undelivered events were deleted", "sink", g.Group, "topic", g.Topic)
	}
	return p.restore(ctx)
}

// Start declares the topics, then runs the sinks and the sources. ctx bounds
// starting alone; Close ends the run.
func (p *Pipeline) Start(ctx context.Context) error {
	if !p.started.CompareAndSwap(false, true) {
		return errors.New("pipeline: start: already started")
	}
	if err := p.declare(ctx); err != nil {
		return err
	}
	for _, s := range p.sinks {
		if err := s.start(ctx); err != nil {
			for _, started := range p.sinks {
				started.stop(time.Now())
			}
			p.started.Store(false)
			return fmt.Errorf("pipeline: start sink %s: %w", s.name, err)
		}
	}
	p.running.Store(true)
	p.keepState()
	go p.commit()
	sctx, cancel := context.WithCancel(context.Background())
	p.stopSources = cancel
	for _, src := range p.cfg.Sources {
		p.sources.Go(func() { p.runSource(sctx, src) })
	}
	go func() {
		p.sources.Wait()
		close(p.sourcesDone)
	}()
	return nil
}

func (p *Pipeline) topics() []bus.Topic {
	events := bus.Topic{Name: TopicEvents, MaxBytes: p.cfg.MaxBacklogBytes}
	topics := []bus.Topic{
		{Name: TopicState, MaxBytes: stateMaxBytes},
		{Name: TopicSuppressed, MaxBytes: suppressionsMaxBytes, MaxAge: p.suppressionLife()},
		{Name: TopicSuppressionKey, MaxBytes: suppressionKeyBytes},
		{Name: TopicDead, MaxBytes: p.cfg.DeadMaxBytes, MaxAge: p.cfg.DeadMaxAge},
	}
	for _, s := range p.sinks {
		// An hour more than the oldest event anybody may still want, so that the
		// bus never removes what a sink has to account for as expired itself.
		age := s.cfg.Delivery.MaxAge + time.Hour
		events.Groups = append(events.Groups, s.name)
		events.MaxAge = max(events.MaxAge, age)
		topics = append(topics, bus.Topic{Name: TopicRetry(s.name), Groups: []string{s.name}, MaxBytes: retryMaxBytes, MaxAge: age})
	}
	return append(topics, events)
}

// EventBytes is what is left for events of a bus that has total bytes for all topics, as the
// durable ones have.
func (c Config) EventBytes(total int64) int64 {
	if c.MaxBacklogBytes > 0 {
		return c.MaxBacklogBytes
	}
	return total - stateMaxBytes - suppressionsMaxBytes - suppressionKeyBytes - cmp.Or(c.DeadMaxBytes, deadMaxBytes) - int64(len(c.Sinks))*retryMaxBytes
}

func (p *Pipeline) runSource(ctx context.Context, src SourceConfig) {
	err := func() (err error) {
		defer recoverTo(&err)
		return src.Source.Run(ctx, sourceEmitter{p, src.Name})
	}()
	if err != nil && ctx.Err() == nil {
		p.log.Error("source failed", "source", src.Name, "error", err)
		p.sourceMu.Lock()
		p.sourceErrs = append(p.sourceErrs, fmt.Errorf("source %s: %w", src.Name, err))
		p.sourceMu.Unlock()
	}
}

// SourcesDone is closed when every source has ended by itself or by Close.
func (p *Pipeline) SourcesDone() <-chan struct{} { return p.sourcesDone }

// SourceErr returns why sources ended early, nil when none did.
func (p *Pipeline) SourceErr() error {
	p.sourceMu.Lock()
	defer p.sourceMu.Unlock()
	return errors.Join(p.sourceErrs...)
}

// Drain waits until every accepted event has settled at every sink, or ctx ends.
// Events that arrive meanwhile are waited for too.
func (p *Pipeline) Drain(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if n := p.unsettled(); n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pipeline: drain: %d deliveries left: %w", p.unsettled(), ctx.Err())
		case <-tick.C:
		}
	}
}

// unsettled counts deliveries to come: queued events, and accepted ones for each sink.
func (p *Pipeline) unsettled() int64 {
	n := p.queue.pending()
	for _, s := range p.sinks {
		n += s.pending()
	}
	return n
}

// drainHealthy lets sinks that deliver do so with what they have before them, for at most half of the time
// that Close has. Those that are parked or fail have a durable bus.
func (p *Pipeline) drainHealthy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.DrainTimeout/2)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var n int64
		for _, s := range p.sinks {
			if s.condition.Load() == conditionOK && !s.failing.Load() {
				n += s.pending()
			}
		}
		if n == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Close stops sources, flushes intake, finishes what is in flight and gives the
// rest back to the bus. ctx bounds it together with Config.DrainTimeout. On a durable bus it first waits
// for sinks that deliver, on another one for everything accepted to be delivered, within the same
// bounds. Ledger says afterwards whether anything stayed behind. Close is idempotent; nothing is dead-lettered by it.
func (p *Pipeline) Close(ctx context.Context) error {
	p.closeOnce.Do(func() { p.closeErr = p.close(ctx) })
	return p.closeErr
}

func (p *Pipeline) close(ctx context.Context) error {
	if p.running.Load() {
		ctx, cancel := context.WithTimeout(ctx, p.cfg.DrainTimeout)
		defer cancel()
		p.stopSources()
		select {
		case <-p.sourcesDone:
		case <-ctx.Done():
			p.log.Warn("a source did not stop in time")
		}
		p.queue.close()
		select {
		case <-p.committed:
		case <-ctx.Done():
		}
		if p.cfg.Bus.Durable() {
			p.drainHealthy(ctx)
		} else {
			if err := p.Drain(ctx); err != nil {
				p.log.Warn("closing with undelivered events on a bus that does not keep them", "deliveries", p.unsettled())
			}
		}
		deadline, _ := ctx.Deadline()
		var stopping sync.WaitGroup
		for _, s := range p.sinks {
			stopping.Go(func() { s.stop(deadline) })
		}
		stopping.Wait()
		p.endState()
	}
	if p.state.restored {
		p.save(context.WithoutCancel(ctx), true)
	}
	var errs []error
	for _, s := range p.sinks {
		if s.spec.Close != nil {
			if err := s.spec.Close(); err != nil {
				errs = append(errs, fmt.Errorf("pipeline: close sink %s: %w", s.name, err))
			}
		}
	}
	if p.cfg.ownClient {
		p.cfg.Client.CloseIdleConnections()
	}
	if err := p.cfg.Bus.Close(); err != nil {
		errs = append(errs, fmt.Errorf("pipeline: close bus: %w", err))
	}
	return errors.Join(errs...)
}

func (p *Pipeline) observe(f Fate) {
	if p.cfg.Observe != nil {
		p.cfg.Observe(context.Background(), f)
	}
}

func recoverTo(err *error) {
	if r := recover(); r != nil {
		*err = &panicError{r}
	}
}

// panicError is a component's panic. Its text does not print the value, which may hold anything.
type panicError struct{ value any }

func (e *panicError) Error() string {
	if err, ok := e.value.(error); ok {
		return "panic: " + fmt.Sprintf("%T", err)
	}
	return fmt.Sprintf("panic: %T", e.value)
}
