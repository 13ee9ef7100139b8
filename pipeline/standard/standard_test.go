package standard

import (
	"context"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/processors"
)

// keep is a sink that keeps what it got.
type keep struct {
	mu     sync.Mutex
	events []*sidetrack.Event
	closed bool
}

func (k *keep) Write(_ context.Context, u sidetrack.Unit) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, u.Events...)
	return nil
}

func (k *keep) sink(opts ...sidetrack.SinkOption) *sidetrack.Sink {
	return sidetrack.WriterSink(k, append(opts, sidetrack.Close(func() error { k.closed = true; return nil }))...)
}

func event(e sidetrack.Event) *sidetrack.Event {
	e.Name = "page_view"
	e.Visitor.ClientID = "1.2"
	e.SetOrigin(sidetrack.NewOrigin(netip.MustParseAddr("203.0.113.77"), httptest.NewRequest("GET", "/", nil)))
	return &e
}

func TestStartIsSafe(t *testing.T) {
	var needing, free keep
	p, err := Start(t.Context(), pipeline.Config{Sinks: []pipeline.SinkConfig{
		{Name: "needing", Sink: needing.sink()},
		{Name: "free", Sink: free.sink(sidetrack.Needs())},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Emit(t.Context(), event(sidetrack.Event{}), event(sidetrack.Event{Consent: sidetrack.GrantAll("server")})); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := p.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if len(needing.events) != 1 || len(free.events) != 2 {
		t.Errorf("without consent: %d events at the sink that needs it, %d at the one that does not", len(needing.events), len(free.events))
	}
	for _, e := range free.events {
		if e.Network.IP != "203.0.113.0" {
			t.Errorf("address %q", e.Network.IP)
		}
	}
	if !needing.closed || !free.closed {
		t.Error("sinks were not closed")
	}
}

func TestSafeIntake(t *testing.T) {
	own := sidetrack.ProcessorFunc(func(context.Context, *sidetrack.Event) error { return nil })
	consent, err := processors.NewConsent(processors.ConsentConfig{Unknown: "granted", GPC: "honour"})
	if err != nil {
		t.Fatal(err)
	}
	anonymize, err := processors.NewAnonymizeIP(processors.AnonymizeIPConfig{V4: 8, V6: 32})
	if err != nil {
		t.Fatal(err)
	}
	kind := func(p sidetrack.Processor) string {
		switch {
		case p == consent:
			return "own consent"
		case p == anonymize:
			return "own anonymize"
		case has([]sidetrack.Processor{p}, consent):
			return "consent"
		case has([]sidetrack.Processor{p}, anonymize):
			return "anonymize"
		}
		return "own"
	}
	tests := []struct {
		intake []sidetrack.Processor
		opts   []Option
		want   []string
	}{
		{nil, nil, []string{"consent", "anonymize"}},
		{[]sidetrack.Processor{own}, nil, []string{"consent", "own", "anonymize"}},
		{[]sidetrack.Processor{own, consent}, nil, []string{"own", "own consent", "anonymize"}},
		{[]sidetrack.Processor{anonymize, own}, nil, []string{"consent", "own anonymize", "own"}},
		{[]sidetrack.Processor{own}, []Option{Without("consent")}, []string{"own", "anonymize"}},
		{nil, []Option{Without("consent"), Without("anonymize_ip")}, nil},
	}
	for i, tt := range tests {
		cfg := pipeline.Config{Intake: tt.intake}
		if err := safeIntake(&cfg, tt.opts); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range cfg.Intake {
			got = append(got, kind(p))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%d: %s", i, diff)
		}
	}
	if err := safeIntake(&pipeline.Config{}, []Option{Without("visitor")}); err == nil {
		t.Error("a name that is not added by itself was taken")
	}
}

func TestStartFailure(t *testing.T) {
	if _, err := Start(t.Context(), pipeline.Config{}); err == nil {
		t.Fatal("started without sinks")
	}
}

// Defaults must be good enough to build from, except where something has to be named.
func TestRegistryDefaults(t *testing.T) {
	r := Registry()
	needsMore := map[string]bool{"exclude": true, "user_data": true, "accesslog": true, "ga4": true, "matomo": true, "ua": true, "plausible": true, "posthog": true, "segment": true, "mixpanel": true, "amplitude": true, "meta_capi": true, "snowplow": true, "umami": true, "goatcounter": true, "generic": true, "webhook": true, "file": true}
	for _, f := range r.Processors() {
		if _, err := f.Build(f.Config()); (err != nil) != needsMore[f.Name] {
			t.Errorf("processor %s: %v", f.Name, err)
		}
	}
	for _, f := range r.Sources() {
		if _, err := f.Build(f.Config()); (err != nil) != needsMore[f.Name] {
			t.Errorf("source %s: %v", f.Name, err)
		}
	}
	for _, f := range r.Sinks() {
		s, err := f.Build(f.Config())
		if (err != nil) != needsMore[f.Name] {
			t.Errorf("sink %s: %v", f.Name, err)
		}
		if err == nil && s.Spec().Close != nil {
			_ = s.Spec().Close()
		}
	}
}
