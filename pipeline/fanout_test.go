package pipeline_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// site is one backend on network: it takes what it answers 204.
type site struct {
	mu      sync.Mutex
	trouble func(*http.Request) (*http.Response, error) // nil: well
	arrived map[string][]time.Time                      // by event name
}

// took is how long a backend that is well takes to answer.
const took = 20 * time.Millisecond

func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	trouble := s.trouble
	s.mu.Unlock()
	if trouble == nil {
		trouble = answerAfter(took, http.StatusNoContent)
	}
	resp, err := trouble(r)
	if err != nil || resp.StatusCode != http.StatusNoContent {
		return resp, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range strings.Split(string(body), ",") {
		s.arrived[name] = append(s.arrived[name], time.Now())
	}
	return resp, nil
}

func answerAfter(d time.Duration, status int, header ...string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		h := http.Header{}
		for i := 0; i+1 < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: http.NoBody, Request: r}, nil
	}
}

func refuse(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// network sends each request to the backend of its host.
type network map[string]*site

func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	return n[r.URL.Hostname()].RoundTrip(r)
}

// TestFanOutToTenSinks gives one stream to ten sinks of which three get sick. By the bubble's clock, which
// stands still while anything can be done, the others must not notice at all: every event arrives there
// once, after exactly the time that their backends take. In the end the three get everything, once.
func TestFanOutToTenSinks(t *testing.T) {
	const healthy, rounds, perRound, every = 7, 40, 3, 100 * time.Millisecond
	type trouble = func(*http.Request) (*http.Response, error)
	slow, throttling := answerAfter(2*time.Second, http.StatusNoContent), answerAfter(0, http.StatusTooManyRequests, "Retry-After", "3")
	for name, troubles := range map[string][3]trouble{
		"all are well":                           {},
		"one slow, one refusing, one throttling": {slow, refuse, throttling},
		"one slow, one hanging, one throttling":  {slow, hang, throttling},
		"three hanging":                          {hang, hang, hang},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				backends := network{}
				var sinks []pipeline.SinkConfig
				for i := range healthy + len(troubles) {
					name := fmt.Sprintf("s%d", i)
					backends[name] = &site{arrived: map[string][]time.Time{}}
					sinks = append(sinks, pipeline.SinkConfig{Name: name, Sink: httpSink("http://" + name), Delivery: pipeline.Delivery{
						Window:  bus.Window{Messages: 20, Bytes: 1 << 20}, // less than waits for a sick one
						Breaker: pipeline.Breaker{Pause: 5 * time.Second},
					}})
				}
				for i, trouble := range troubles {
					backends[sinks[healthy+i].Name].trouble = trouble
				}
				r := start(t, pipeline.Config{Sinks: sinks, Client: &http.Client{Transport: backends}})
				emitted := map[string]time.Time{}
				for i := range rounds {
					began := time.Now()
					list := events(fmt.Sprintf("e%d_", i), perRound)
					for _, e := range list {
						emitted[e.Name] = began
					}
					r.emit(list...)
					if waited := time.Since(began); waited > 0 {
						t.Fatalf("emit waited %s", waited)
					}
					time.Sleep(every)
				}
				synctest.Wait()
				once := func(sink string) map[string][]time.Time {
					t.Helper()
					s := backends[sink]
					s.mu.Lock()
					defer s.mu.Unlock()
					for name := range emitted {
						if n := len(s.arrived[name]); n != 1 {
							t.Fatalf("%s: %s arrived %d times", sink, name, n)
						}
					}
					return s.arrived
				}
				for i, s := range sinks {
					if i >= healthy && troubles[i-healthy] != nil {
						if row := r.row(s.Name); row.Pending == 0 {
							t.Errorf("%s: nothing waits for it: %+v", s.Name, row)
						}
						continue
					}
					for name, at := range once(s.Name) {
						if lag := at[0].Sub(emitted[name]); lag != took {
							t.Errorf("%s: %s arrived after %s, want %s", s.Name, name, lag, took)
						}
					}
				}
				for _, s := range backends {
					s.mu.Lock()
					s.trouble = nil
					s.mu.Unlock()
				}
				r.drain(10 * time.Minute)
				for _, s := range sinks {
					once(s.Name)
					if row := r.row(s.Name); row.Delivered != rounds*perRound {
						t.Errorf("%+v", row)
					}
				}
			})
		})
	}
}
