package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
)

// sink is one configured sink at run time. Everything that moves belongs to its
// one loop (window.go); other goroutines see the counters and the condition only.
type sink struct {
	p     *Pipeline
	name  string
	cfg   SinkConfig
	spec  sidetrack.SinkSpec
	log   *slog.Logger
	space uuid.UUID // namespace of unit ids

	tally     tally
	carried   atomic.Int64 // events the bus held for this sink at the start
	lost      atomic.Int64 // events the bus removed by age before the sink saw them
	base      int64        // events accepted before this sink began; not its own
	repeated  atomic.Int64 // events that came again after a crash
	uncertain atomic.Int64 // events whose end a crash has hidden
	unsure    atomic.Bool  // after a crash, until what the bus said at the start has proved right
	surplus   int64        // reconcile's, with
	same      int          // how often it was seen
	replayed  atomic.Int64 // dead letters' events that were given back to it
	failing   atomic.Bool  // the last attempt that said anything of the backend failed
	condition atomic.Value // of string, see SinkLedger.State

	tokens      *tokens            // nil: the Generator authorizes
	compression sidetrack.Encoding // of request bodies; empty: none
	plain       atomic.Bool        // the backend has refused a compressed one
	limiter     *rate.Limiter      // nil: no rate
	slowed      atomic.Int64       // ns that the loop has waited for the rate
	slowSince   atomic.Int64       // in ns of the wall clock, since when it does; 0: it does not

	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	opened  time.Time // when the breaker opened last; the loop's

	backlogBytes atomic.Int64 // payload bytes that wait, as seen last
	waiting      atomic.Int64 // events that wait, as seen last
	over         atomic.Bool  // the backlog is over its limit
	relief       chan relief  // from watchBacklog to the loop

	subscribers []message.Subscriber
	stopping    chan time.Time // gets the deadline
	ended       chan struct{}
	watching    sync.WaitGroup
}

// States returns what a sink can be in, as SinkLedger.State has it.
func States() []string {
	return []string{conditionOK, conditionOpen, conditionThrottled, conditionMisconfigured, conditionRateLimited}
}

// Conditions of a sink.
const (
	conditionOK            = "ok"
	conditionOpen          = "breaker open"
	conditionThrottled     = "throttled"
	conditionMisconfigured = "misconfigured"
	conditionRateLimited   = "rate limited" // of a sink that is ok
)

func newSink(p *Pipeline, cfg SinkConfig) *sink {
	s := &sink{
		p:        p,
		name:     cfg.Name,
		cfg:      cfg,
		spec:     cfg.Sink.Spec(),
		log:      p.log.With("sink", cfg.Name),
		space:    uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/sidetrack-go/sidetrack#unit/"+cfg.Name)),
		relief:   make(chan relief),
		stopping: make(chan time.Time, 1),
		ended:    make(chan struct{}),
	}
	if cfg.NeedsSet {
		s.spec.Needs = cfg.Needs
	}
	s.spec.Classify = sidetrack.ClassifyBy(cfg.Responses, s.spec.Classify)
	s.condition.Store(conditionOK)
	s.limiter = cfg.Delivery.Rate.limiter()
	s.compression = cfg.Delivery.compression(s.spec)
	if s.spec.Tokens != nil {
		s.tokens = &tokens{source: s.spec.Tokens, text: func(err error) string { return s.redact(err).Error() }}
	}
	s.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        cfg.Name,
		MaxRequests: 1,
		Timeout:     cfg.Delivery.Breaker.Pause,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return int64(c.ConsecutiveFailures) >= int64(cfg.Delivery.Breaker.Failures)
		},
		IsExcluded:    func(err error) bool { return errors.Is(err, errNoVerdict) },
		OnStateChange: s.breakerChanged,
	})
	return s
}

// errNoVerdict tells the breaker that an attempt says nothing about the backend's health.
var errNoVerdict = errors.New("no verdict")

func (s *sink) breakerChanged(_ string, from, to gobreaker.State) {
	switch to {
	case gobreaker.StateOpen:
		s.opened = time.Now()
		s.condition.Store(conditionOpen)
		if from == gobreaker.StateClosed {
			s.log.Warn("breaker opened: events wait on the bus", "pause", s.cfg.Delivery.Breaker.Pause)
		}
	case gobreaker.StateClosed:
		s.condition.Store(conditionOK)
		s.log.Info("breaker closed: delivering again")
	}
}

// takesSite reports whether events of e's site are for this sink.
func (s *sink) takesSite(e *sidetrack.Event) bool {
	return len(s.cfg.Sites) == 0 || slices.Contains(s.cfg.Sites, e.Site)
}

// start subscribes and runs the loop.
func (s *sink) start(ctx context.Context) error {
	b := s.p.cfg.Bus
	if err := s.checkRetention(ctx); err != nil {
		return err
	}
	subCtx, cancel := context.WithCancel(context.Background())
	open := func(topic string, w bus.Window) (<-chan *message.Message, error) {
		sub := b.Subscriber(s.name, w)
		s.subscribers = append(s.subscribers, sub)
		ch, err := sub.Subscribe(subCtx, topic)
		if err != nil {
			return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
		}
		return ch, nil
	}
	fresh, err := open(TopicEvents, s.cfg.Delivery.Window)
	var stubborn <-chan *message.Message
	if err == nil {
		stubborn, err = open(TopicRetry(s.name), retryWindow)
	}
	if err != nil {
		cancel()
		s.closeSubscribers()
		return err
	}
	s.watching.Go(func() { s.watchBacklog(subCtx) })
	go func() {
		defer close(s.ended)
		newWindow(s, cancel).run(fresh, stubborn)
	}()
	return nil
}

// stop ends the loop: nothing new is attempted, what is in flight may finish until
// deadline, the rest goes back to the bus.
func (s *sink) stop(deadline time.Time) {
	if len(s.subscribers) == 0 {
		return // never started
	}
	s.stopping <- deadline
	<-s.ended
	s.watching.Wait()
	s.closeSubscribers()
}

func (s *sink) closeSubscribers() {
	for _, sub := range s.subscribers {
		if err := sub.Close(); err != nil {
			s.log.Warn("closing a subscriber failed", "error", err)
		}
	}
	s.subscribers = nil
}

// pending is the number of events this sink still has to settle.
func (s *sink) pending() int64 { return max(0, s.outstanding()) }

// outstanding is pending as the counters have it. It is below zero for a moment when a sink is
// faster than the goroutine that counts what was accepted.
func (s *sink) outstanding() int64 {
	return s.p.tally.sum(Accepted) - s.base + s.carried.Load() + s.replayed.Load() + s.repeated.Load() -
		s.tally.sum(settledColumns...) - s.lost.Load() - s.uncertain.Load()
}
