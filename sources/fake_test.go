package sources

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"io"
	"sync"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

// sentinel is the address that must appear nowhere but in an origin.
const sentinel = "203.0.113.77"

// fake is an intake that keeps what it gets. emit, when set, decides the answer.
type fake struct {
	mu      sync.Mutex
	events  []*sidetrack.Event
	batches []int
	counts  map[sidetrack.Reason]int
	emit    func(ctx context.Context, events []*sidetrack.Event) error
}

func (f *fake) Emit(ctx context.Context, events ...*sidetrack.Event) error {
	if f.emit != nil {
		if err := f.emit(ctx, events); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, events...)
	f.batches = append(f.batches, len(events))
	return nil
}

func (f *fake) Enqueue(events ...*sidetrack.Event) error {
	return f.Emit(context.Background(), events...)
}

func (f *fake) Count(reason sidetrack.Reason, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = make(map[sidetrack.Reason]int)
	}
	f.counts[reason] += n
}

func (f *fake) all() []*sidetrack.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*sidetrack.Event(nil), f.events...)
}

// one returns the only event.
func (f *fake) one(t *testing.T) *sidetrack.Event {
	t.Helper()
	events := f.all()
	if len(events) != 1 {
		t.Fatalf("%d events, want 1", len(events))
	}
	return events[0]
}

// refusing answers with a refusal of the events at the given indexes.
func refusing(err error, reason sidetrack.Reason, indexes ...int) error {
	r := &sidetrack.RefusedError{}
	for _, i := range indexes {
		r.Refused = append(r.Refused, sidetrack.Refusal{Index: i, Reason: reason, Err: err})
	}
	return r
}

// asJSON is the stored form of events.
func asJSON(t *testing.T, events ...*sidetrack.Event) string {
	t.Helper()
	b, err := json.Marshal(events)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.String()
}

func zlibbed(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.String()
}
