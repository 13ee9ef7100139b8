package metrics_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/metrics"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// TestPipeline scrapes a pipeline whose backend takes some, refuses some and fails once.
func TestPipeline(t *testing.T) {
	var failed atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case string(body) == "bad":
			w.WriteHeader(http.StatusBadRequest)
		case string(body) == "slow" && !failed.Swap(true):
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer srv.Close()
	sink := sidetrack.HTTPSink(sidetrack.Each(func(e *sidetrack.Event) (*sidetrack.Request, error) {
		return &sidetrack.Request{URL: srv.URL, Body: []byte(e.Name)}, nil
	}))
	m := metrics.New()
	if err := testutil.CollectAndCompare(m, strings.NewReader("")); err != nil {
		t.Errorf("before there is a pipeline: %v", err)
	}
	p, err := pipeline.New(pipeline.Config{
		Bus:            memory.New(memory.Config{}),
		Sinks:          []pipeline.SinkConfig{{Name: "s", Sink: sink, Delivery: pipeline.Delivery{Concurrency: 1, MinBackoff: time.Millisecond}}},
		ObserveAttempt: m.Attempt,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Watch(p)
	for _, name := range []string{"good", "good", "bad", "slow", "unknown"} {
		e := &sidetrack.Event{Name: name, Consent: sidetrack.GrantAll("test")}
		if name == "unknown" {
			e.Consent = sidetrack.Consent{}
		}
		if err := p.Emit(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := `
# HELP sidetrack_intake_events_total Events by the column of intake in which they ended, and why.
# TYPE sidetrack_intake_events_total counter
sidetrack_intake_events_total{column="accepted",reason=""} 4
sidetrack_intake_events_total{column="dropped",reason="consent"} 1
# HELP sidetrack_intake_received_total Events that intake was given.
# TYPE sidetrack_intake_received_total counter
sidetrack_intake_received_total 5
# HELP sidetrack_sink_accepted_total Events that the sink has to settle.
# TYPE sidetrack_sink_accepted_total counter
sidetrack_sink_accepted_total{sink="s"} 4
# HELP sidetrack_sink_events_total Events by the column of the sink in which they ended, and why.
# TYPE sidetrack_sink_events_total counter
sidetrack_sink_events_total{column="dead",reason="rejected",sink="s"} 1
sidetrack_sink_events_total{column="delivered",reason="",sink="s"} 3
# HELP sidetrack_sink_pending_events Events that are queued, in flight or parked.
# TYPE sidetrack_sink_pending_events gauge
sidetrack_sink_pending_events{sink="s"} 0
# HELP sidetrack_sink_state 1 for the state that the sink is in.
# TYPE sidetrack_sink_state gauge
sidetrack_sink_state{sink="s",state="breaker open"} 0
sidetrack_sink_state{sink="s",state="misconfigured"} 0
sidetrack_sink_state{sink="s",state="ok"} 1
sidetrack_sink_state{sink="s",state="rate limited"} 0
sidetrack_sink_state{sink="s",state="throttled"} 0
`
	if err := testutil.CollectAndCompare(m, strings.NewReader(want), "sidetrack_intake_received_total", "sidetrack_intake_events_total",
		"sidetrack_sink_accepted_total", "sidetrack_sink_events_total", "sidetrack_sink_pending_events", "sidetrack_sink_state"); err != nil {
		t.Error(err)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range []string{
		`sidetrack_sink_attempt_seconds_count{outcome="delivered",sink="s"} 3`,
		`sidetrack_sink_attempt_seconds_count{outcome="rejected",sink="s"} 1`,
		`sidetrack_sink_attempt_seconds_count{outcome="retry",sink="s"} 1`,
		"go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(w.Body.String(), line) {
			t.Errorf("%s is missing in\n%s", line, w.Body)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestNames lets Prometheus' own linter look at names and helps.
func TestNames(t *testing.T) {
	m := metrics.New()
	m.Attempt(pipeline.Attempt{Sink: "s", Outcome: "delivered"})
	m.Watch(full{})
	problems, err := testutil.CollectAndLint(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if n := testutil.CollectAndCount(m); n != 1+4+2+7+7+5 {
		t.Errorf("%d metrics", n)
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(m)
	if _, err := r.Gather(); err != nil {
		t.Error(err)
	}
}

// full has something in every column.
type full struct{}

func (full) Ledger() pipeline.Ledger {
	one := map[sidetrack.Reason]int64{"why": 1}
	return pipeline.Ledger{
		Received: 1, Accepted: 1, Dropped: one, Refused: one, Evicted: 1, Crashes: 1,
		Sinks: []pipeline.SinkLedger{{
			Sink: "s", Accepted: 1, Replayed: 1, Delivered: 1, Dropped: one, Filtered: one, Withheld: one, Dead: one, Expired: one, Noted: one,
			Pending: 1, Repeated: 1, Uncertain: 1, PendingBytes: 1, State: "ok",
		}},
	}
}
