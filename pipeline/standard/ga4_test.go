package standard_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gamock"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/standard"
	"github.com/sidetrack-go/sidetrack/sinks/ga"
)

// transport answers requests without a network, on the fake clock of a bubble.
type transport struct{ http.Handler }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	t.ServeHTTP(w, r)
	return w.Result(), nil
}

// google runs a pipeline with a ga4 sink in front of a mock that enforces Google's rules, lets it take
// events, and returns what arrived with the sink's ledger.
func google(t *testing.T, cfg ga.Config, events func(now time.Time) []*sidetrack.Event) (bodies []string, row pipeline.SinkLedger, mock *gamock.Server) {
	t.Helper()
	mock = new(gamock.Server)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(10 * 24 * time.Hour) // a bubble begins at midnight of 2000-01-01, before which events are not taken
		cfg.MeasurementID, cfg.APISecret = "G-TEST123456", sidetrack.NewSecret("mp-secret-1")
		sink, err := ga.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		p, err := standard.Start(t.Context(), pipeline.Config{
			Client: &http.Client{Transport: transport{mock}},
			Sinks:  []pipeline.SinkConfig{{Name: "ga", Sink: sink}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Emit(t.Context(), events(time.Now())...); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := p.Drain(ctx); err != nil {
			t.Error(err)
		}
		row = p.Ledger().Sinks[0]
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
	for _, b := range mock.Bodies() {
		bodies = append(bodies, string(b))
	}
	return bodies, row, mock
}

func visit(name string, at time.Time) *sidetrack.Event {
	return &sidetrack.Event{Name: name, Time: at, Visitor: sidetrack.Visitor{ClientID: "1.2"}, Consent: sidetrack.GrantAll("test")}
}

func TestGA4TwentySevenEventsOfOneClient(t *testing.T) {
	bodies, row, mock := google(t, ga.Config{}, func(now time.Time) (events []*sidetrack.Event) {
		for i := range 27 {
			events = append(events, visit(fmt.Sprintf("e%02d", i), now.Add(-time.Second)))
		}
		return events
	})
	if len(bodies) != 2 || strings.Count(bodies[0], `"name"`)+strings.Count(bodies[1], `"name"`) != 27 || max(strings.Count(bodies[0], `"name"`), strings.Count(bodies[1], `"name"`)) != 25 {
		t.Errorf("%d requests: %s", len(bodies), bodies)
	}
	if row.Delivered != 27 || len(mock.Findings()) > 0 {
		t.Errorf("%+v %+v", row, mock.Findings())
	}
}

func TestGA4BackdatingWindow(t *testing.T) {
	events := func(now time.Time) []*sidetrack.Event {
		return []*sidetrack.Event{visit("seventy_one", now.Add(-71*time.Hour)), visit("seventy_three", now.Add(-73*time.Hour))}
	}
	bodies, row, mock := google(t, ga.Config{}, events)
	want := `{"client_id":"1.2","consent":{"ad_user_data":"GRANTED","ad_personalization":"GRANTED"},"events":[{"name":"seventy_one",` +
		`"timestamp_micros":947293200000000,"params":{"engagement_time_msec":1}}]}`
	if row.Delivered != 1 || row.Expired[sidetrack.ReasonMaxAge] != 1 || len(bodies) != 1 || bodies[0] != want || len(mock.Findings()) > 0 {
		t.Errorf("%+v %s %v", row, bodies, mock.Findings())
	}
	_, row, mock = google(t, ga.Config{Policy: map[string]ga.Action{"timestamp_too_old": ga.Clip}}, events)
	if row.Delivered != 2 || row.Noted[ga.RuleTooOld] != 1 || len(mock.Findings()) > 0 {
		t.Errorf("clip: %+v %v", row, mock.Findings())
	}
	_, row, _ = google(t, ga.Config{Policy: map[string]ga.Action{"timestamp_too_old": ga.Reject}}, events)
	if row.Delivered != 1 || row.Dead[sidetrack.ReasonUnbuildable] != 1 {
		t.Errorf("reject: %+v", row)
	}
}

func TestGA4ReservedNamesCostTheOthersNothing(t *testing.T) {
	bodies, row, _ := google(t, ga.Config{}, func(now time.Time) []*sidetrack.Event {
		return []*sidetrack.Event{visit("a", now), visit("user_engagement", now), visit("b", now)}
	})
	if len(bodies) != 1 || row.Delivered != 2 || row.Dropped[ga.RuleNameReserved] != 1 {
		t.Errorf("%+v %s", row, bodies)
	}
}

func TestGA4ValidatingSinkKeepsWhatTheServerSays(t *testing.T) {
	_, row, mock := google(t, ga.Config{Validate: "strict", Policy: map[string]ga.Action{"param_required": ga.Keep}}, func(now time.Time) []*sidetrack.Event {
		return []*sidetrack.Event{visit("login", now), visit("search", now)}
	})
	if row.Delivered != 1 || row.Dead[sidetrack.ReasonRejected] != 1 || len(mock.Bodies()) != 0 {
		t.Errorf("%+v", row)
	}
}
