package pipeline_test

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

func seconds(at []time.Duration) []int {
	var out []int
	for _, d := range at {
		out = append(out, int(d/time.Second))
	}
	return out
}

func TestRateOfRequests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(func(*http.Request, string) (int, string) { return 200, "" })
		free := newBackend(nil)
		r := start(t, pipeline.Config{Client: s.client(), Sinks: []pipeline.SinkConfig{
			{Name: "slow", Sink: plainSink(), Delivery: pipeline.Delivery{Rate: pipeline.Rate{PerSecond: 0.5, Burst: 3}}},
			sinkOf("free", free),
		}})
		r.emit(events("e", 7)...)
		time.Sleep(time.Second)
		if n := len(free.delivered()); n != 7 {
			t.Errorf("another sink waits: %d delivered", n)
		}
		if row := r.row("slow"); row.State != "rate limited" || row.Delivered != 3 || row.Pending != 4 || row.RateWait < 900*time.Millisecond || row.RateWait > time.Second {
			t.Errorf("%+v", row)
		}
		r.drain(time.Minute)
		if got := seconds(s.seen().at); !slices.Equal(got, []int{0, 0, 0, 2, 4, 6, 8}) {
			t.Errorf("sent at %v", s.seen().at)
		}
		row := r.row("slow")
		if row.State != "ok" || row.Delivered != 7 || row.RateWait < 8*time.Second || row.RateWait > 8100*time.Millisecond {
			t.Errorf("%+v", row)
		}
		time.Sleep(time.Hour)
		if again := r.row("slow"); again.RateWait != row.RateWait {
			t.Errorf("a sink with nothing to do waits for its rate: %s", again.RateWait)
		}
	})
}

// TestRequestsGrowFullerWhileTheyWait has one event at a time come in, more often than requests may go.
func TestRequestsGrowFullerWhileTheyWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(func(*http.Request, string) (int, string) { return 200, "" })
		r := start(t, pipeline.Config{Client: s.client(), Sinks: []pipeline.SinkConfig{
			{Name: "a", Sink: plainSink(sidetrack.MaxEvents(100)), Delivery: pipeline.Delivery{Rate: pipeline.Rate{PerSecond: 0.1, Burst: 1}}},
		}})
		for range 20 {
			r.emit(event("e"))
			time.Sleep(time.Second)
		}
		r.drain(time.Minute)
		var sizes []int
		for _, b := range s.seen().bodies {
			sizes = append(sizes, strings.Count(b, "e"))
		}
		if !slices.Equal(sizes, []int{1, 10, 9}) && !slices.Equal(sizes, []int{1, 9, 10}) {
			t.Errorf("requests of %v events", sizes)
		}
	})
}

func TestRateOfEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(func(*http.Request, string) (int, string) { return 200, "" })
		r := start(t, pipeline.Config{Client: s.client(), Sinks: []pipeline.SinkConfig{
			{Name: "a", Sink: plainSink(sidetrack.MaxEvents(10)), Delivery: pipeline.Delivery{Rate: pipeline.Rate{PerSecond: 2, Burst: 4, Events: true}}},
		}})
		r.emit(events("e", 12)...)
		r.drain(time.Minute)
		for _, b := range s.seen().bodies {
			if n := strings.Count(b, "e"); n > 4 {
				t.Errorf("a request of %d events, more than may ever go at once", n)
			}
		}
		if got := seconds(s.seen().at); !slices.Equal(got, []int{0, 2, 4}) {
			t.Errorf("sent at %v", s.seen().at)
		}
	})
}

// TestEveryRequestCounts has retries, and the second request after a token was refused.
func TestEveryRequestCounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(func(r *http.Request, body string) (int, string) {
			switch {
			case r.Header.Get("Authorization") == "Bearer t0ken-1":
				return 401, ""
			case len(r.Header.Get("Authorization")) > 0 && body == "bad":
				return 500, ""
			}
			return 200, ""
		})
		r := start(t, pipeline.Config{Client: s.client(), DrainTimeout: time.Second, Sinks: []pipeline.SinkConfig{{
			Name: "a", Sink: plainSink(sidetrack.Authorize(&counting{})),
			Delivery: pipeline.Delivery{MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond, Breaker: pipeline.Breaker{Failures: 1000}, Rate: pipeline.Rate{PerSecond: 1, Burst: 1}},
		}}})
		r.emit(event("bad"))
		time.Sleep(10500 * time.Millisecond)
		if n := len(s.seen().at); n != 11 {
			t.Errorf("%d requests in 10.5 s at 1/s: %v", n, s.seen().at)
		}
	})
}

func TestAnOpenBreakerTakesNothingOfTheRate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var up atomic.Bool
		s := serve(func(*http.Request, string) (int, string) {
			if !up.Load() {
				return 500, ""
			}
			return 200, ""
		})
		r := start(t, pipeline.Config{Client: s.client(), Sinks: []pipeline.SinkConfig{{
			Name: "a", Sink: plainSink(), Delivery: pipeline.Delivery{Concurrency: 1, Breaker: pipeline.Breaker{Failures: 2, Pause: 10 * time.Second}, Rate: pipeline.Rate{PerSecond: 0.1, Burst: 2}},
		}}})
		r.emit(events("e", 2)...)
		time.Sleep(5 * time.Second)
		if row := r.row("a"); row.State != "breaker open" {
			t.Errorf("%+v", row)
		}
		up.Store(true)
		r.drain(time.Minute)
		if got := seconds(s.seen().at); len(got) != 4 || got[2] != 10 {
			t.Errorf("the probe does not come when it should: %v", s.seen().at)
		}
	})
}

func TestRateConfig(t *testing.T) {
	for name, bad := range map[string]pipeline.Rate{
		"negative": {PerSecond: -1}, "not a number": {PerSecond: math.NaN()}, "infinite": {PerSecond: math.Inf(1)}, "burst": {PerSecond: 1, Burst: -1}, "no rate": {Burst: 1},
	} {
		if _, err := pipeline.New(pipeline.Config{Sinks: []pipeline.SinkConfig{{Name: "a", Sink: plainSink(), Delivery: pipeline.Delivery{Rate: bad}}}}); err == nil ||
			!strings.Contains(err.Error(), "rate") && !strings.Contains(err.Error(), "burst") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
