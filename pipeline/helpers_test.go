package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/internal/faults"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// backend is a Writer whose answers a test scripts. It records what it took.
type backend struct {
	answer func(u sidetrack.Unit) error // nil: takes everything

	mu    sync.Mutex
	units [][]string       // names of the events of each attempt, in order
	got   map[string]int   // deliveries by event name
	at    map[string]int64 // time of the last delivery, in ms since the start
	start time.Time
}

func newBackend(answer func(u sidetrack.Unit) error) *backend {
	return &backend{answer: answer, got: map[string]int{}, at: map[string]int64{}, start: time.Now()}
}

func (b *backend) Write(ctx context.Context, u sidetrack.Unit) error {
	names := make([]string, len(u.Events))
	for i, e := range u.Events {
		names[i] = e.Name
	}
	b.mu.Lock()
	b.units = append(b.units, names)
	b.mu.Unlock()
	var err error
	if b.answer != nil {
		err = b.answer(u)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p, ok := err.(*sidetrack.PartialError); err != nil && !ok {
		return err
	} else {
		for i, n := range names {
			if p == nil || p.Failed[i] == nil {
				b.got[n]++
				b.at[n] = time.Since(b.start).Milliseconds()
			}
		}
	}
	return err
}

func (b *backend) attempts() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.units)
}

func (b *backend) delivered() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.got)
}

// has reports whether the unit holds an event of that name.
func has(u sidetrack.Unit, name string) bool {
	return slices.ContainsFunc(u.Events, func(e *sidetrack.Event) bool { return e.Name == name })
}

// event makes one that every sink may have.
func event(name string) *sidetrack.Event {
	return &sidetrack.Event{Name: name, Consent: sidetrack.GrantAll("test")}
}

func events(prefix string, n int) []*sidetrack.Event {
	out := make([]*sidetrack.Event, n)
	for i := range out {
		out[i] = event(fmt.Sprintf("%s%d", prefix, i))
	}
	return out
}

type running struct {
	*pipeline.Pipeline
	t   *testing.T
	bus bus.Bus
	log *faults.Buffer
}

// start runs a pipeline on a memory bus and closes it with the test.
func start(t *testing.T, cfg pipeline.Config) *running {
	t.Helper()
	if cfg.Bus == nil {
		cfg.Bus = memory.New(memory.Config{})
	}
	var log faults.Buffer
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	p, err := pipeline.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &running{p, t, cfg.Bus, &log}
}

func (r *running) emit(events ...*sidetrack.Event) {
	r.t.Helper()
	if err := r.Emit(r.t.Context(), events...); err != nil {
		r.t.Fatalf("emit: %v", err)
	}
}

// drain waits until everything has settled, on the test's fake clock.
func (r *running) drain(limit time.Duration) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), limit)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		r.t.Fatalf("%v\n%+v", err, r.Ledger())
	}
}

// still returns the ledger once it does not move: its columns are read one after another.
func (r *running) still() pipeline.Ledger {
	l := r.Ledger()
	for range 1000 {
		runtime.Gosched()
		next := r.Ledger()
		if reflect.DeepEqual(l, next) {
			break
		}
		l = next
	}
	return l
}

// row returns a sink's ledger and checks that it balances.
func (r *running) row(sink string) pipeline.SinkLedger {
	r.t.Helper()
	l := r.still()
	if l.Received != l.Accepted+total(l.Dropped)+total(l.Refused) {
		r.t.Errorf("intake does not balance: %+v", l)
	}
	for _, row := range l.Sinks {
		if row.Sink != sink {
			continue
		}
		if row.Accepted+row.Replayed+row.Repeated-row.Uncertain != row.Delivered+total(row.Dropped)+total(row.Filtered)+total(row.Withheld)+total(row.Dead)+total(row.Expired)+row.Pending {
			r.t.Errorf("sink does not balance: %+v", row)
		}
		return row
	}
	r.t.Fatalf("no sink %q in %+v", sink, l)
	return pipeline.SinkLedger{}
}

func total(m map[sidetrack.Reason]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}

// watched is a bus that keeps what passes through it: dead letters, and every payload published.
type watched struct {
	bus.Bus

	mu       sync.Mutex
	letters  []pipeline.DeadLetter
	payloads bytes.Buffer
	topics   map[string]int // events published by topic
	fail     error          // of Publish while set
}

func newBusMessage(payload []byte, events int) *message.Message {
	m := message.NewMessage(uuid.NewString(), payload)
	m.Metadata = message.Metadata{bus.MetaEvents: strconv.Itoa(events)}
	return m
}

func watch(b bus.Bus) *watched { return &watched{Bus: b, topics: map[string]int{}} }

func (w *watched) Publisher() message.Publisher { return watchedPublisher{w.Bus.Publisher(), w} }

type watchedPublisher struct {
	message.Publisher
	w *watched
}

func (p watchedPublisher) Publish(topic string, messages ...*message.Message) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.w.fail != nil {
		return p.w.fail
	}
	for _, m := range messages {
		p.w.payloads.Write(m.Payload)
		n, err := strconv.Atoi(m.Metadata[bus.MetaEvents])
		if err != nil {
			return err
		}
		p.w.topics[topic] += n
		if topic == pipeline.TopicDead {
			var d pipeline.DeadLetter
			if err := json.Unmarshal(m.Payload, &d); err != nil {
				return err
			}
			p.w.letters = append(p.w.letters, d)
		}
	}
	return p.Publisher.Publish(topic, messages...)
}

func (w *watched) dead() []pipeline.DeadLetter {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.letters)
}

func (w *watched) published(topic string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.topics[topic]
}

func (w *watched) setFail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = err
}

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
