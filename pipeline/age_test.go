package pipeline_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// twoWays is a sink for a backend that wants events of an hour or older, and those of a day or older, by other addresses.
func twoWays(t *testing.T) *sidetrack.Sink {
	way := func(u sidetrack.Unit, e *sidetrack.Event) string {
		switch age := u.At.Sub(e.Time); {
		case age >= 24*time.Hour:
			return "archive"
		case age >= time.Hour:
			return "import"
		}
		return "track"
	}
	g := sidetrack.GeneratorFunc(func(u sidetrack.Unit) (*sidetrack.Request, error) {
		var names []string
		for _, e := range u.Events {
			names = append(names, e.Name)
			if way(u, e) != way(u, u.Events[0]) {
				t.Errorf("%s and %s share a unit", way(u, e), way(u, u.Events[0]))
			}
		}
		return &sidetrack.Request{URL: "https://backend.example/" + way(u, u.Events[0]), Body: []byte(strings.Join(names, ","))}, nil
	})
	return sidetrack.HTTPSink(g, sidetrack.MaxEvents(10), sidetrack.SplitAge(time.Hour, 24*time.Hour))
}

func TestSplitAge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		time.Sleep(100 * time.Hour) // the bubble's clock begins with the first moment that an event may be of
		var up atomic.Bool
		up.Store(true)
		s := serve(func(*http.Request, string) (int, string) {
			if !up.Load() {
				return 429, ""
			}
			return 200, ""
		})
		r := start(t, pipeline.Config{Client: s.client(), Sinks: []pipeline.SinkConfig{{
			Name: "a", Sink: twoWays(t), Delivery: pipeline.Delivery{Breaker: pipeline.Breaker{Failures: 1000}, MaxBackoff: time.Minute},
		}}})
		aged := func(name string, age time.Duration) *sidetrack.Event {
			e := event(name)
			e.Time = time.Now().Add(-age)
			return e
		}
		sent := func() []string {
			s.mu.Lock()
			defer s.mu.Unlock()
			var out []string
			for i, q := range s.requests {
				out = append(out, strings.TrimPrefix(q.URL.Path, "/")+" "+s.bodies[i])
			}
			slices.Sort(out)
			s.requests, s.bodies = nil, nil
			return out
		}
		r.emit(aged("n1", 0), aged("o1", 2*time.Hour), aged("n2", time.Hour-time.Second), aged("a1", 48*time.Hour), aged("o2", time.Hour), aged("o3", 24*time.Hour-time.Second), aged("a2", 24*time.Hour))
		r.drain(time.Minute)
		if got := sent(); !slices.Equal(got, []string{"archive a1,a2", "import o1,o2,o3", "track n1,n2"}) {
			t.Errorf("%v", got)
		}
		// Two that share a request grow apart while the backend is down.
		up.Store(false)
		r.emit(aged("b1", 30*time.Minute), aged("b2", 10*time.Minute))
		time.Sleep(time.Minute)
		if got := sent(); len(got) == 0 || got[0] != "track b1,b2" {
			t.Errorf("%v", got)
		}
		time.Sleep(34 * time.Minute)
		sent()
		up.Store(true)
		r.drain(5 * time.Minute)
		if got := sent(); !slices.Equal(got, []string{"import b1", "track b2"}) {
			t.Errorf("%v", got)
		}
		if row := r.row("a"); row.Delivered != 9 {
			t.Errorf("%+v", row)
		}
	})
}
