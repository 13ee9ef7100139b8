package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// served is a backend in the process, so that a test with a fake clock can have one. It records what it was asked.
type served struct {
	answer func(r *http.Request, body string) (status int, text string)
	start  time.Time

	mu sync.Mutex
	asked
}

// asked is what a backend was asked so far, and when.
type asked struct {
	requests []*http.Request
	bodies   []string
	at       []time.Duration
}

func (s *served) seen() asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func serve(answer func(r *http.Request, body string) (int, string)) *served {
	return &served{answer: answer, start: time.Now()}
}

func (s *served) RoundTrip(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.requests, s.bodies, s.at = append(s.requests, r), append(s.bodies, string(b)), append(s.at, time.Since(s.start))
	s.mu.Unlock()
	status, text := s.answer(r, string(b))
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

func (s *served) client() *http.Client { return &http.Client{Transport: s} }

func (s *served) header(name string) []string {
	var out []string
	for _, r := range s.seen().requests {
		out = append(out, r.Header.Get(name))
	}
	return out
}

// counting is a source of tokens t1, t2, … that serve for ttl.
type counting struct {
	ttl   time.Duration
	takes time.Duration // of a call
	fail  func(call int) error

	mu    sync.Mutex
	calls int
	at    []time.Time
}

func (c *counting) Token(ctx context.Context) (sidetrack.Token, error) {
	c.mu.Lock()
	c.calls++
	n := c.calls
	c.at = append(c.at, time.Now())
	c.mu.Unlock()
	select {
	case <-time.After(c.takes):
	case <-ctx.Done():
		return sidetrack.Token{}, ctx.Err()
	}
	if c.fail != nil {
		if err := c.fail(n); err != nil {
			return sidetrack.Token{}, err
		}
	}
	t := sidetrack.Token{Value: sidetrack.NewSecret(fmt.Sprintf("t0ken-%d", n))}
	if c.ttl > 0 {
		t.Expiry = time.Now().Add(c.ttl)
	}
	return t, nil
}

func (c *counting) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// plainSink posts names without any credentials.
func plainSink(opts ...sidetrack.SinkOption) *sidetrack.Sink {
	return sidetrack.HTTPSink(sidetrack.GeneratorFunc(func(u sidetrack.Unit) (*sidetrack.Request, error) {
		var names []string
		for _, e := range u.Events {
			names = append(names, e.Name)
		}
		return &sidetrack.Request{URL: "https://backend.example/x", Header: http.Header{"Content-Type": {"text/plain"}}, Body: []byte(strings.Join(names, ","))}, nil
	}), opts...)
}

func TestAttemptsShareOneToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(func(*http.Request, string) (int, string) { return 200, "" })
		c := &counting{ttl: time.Hour, takes: time.Second}
		r := start(t, pipeline.Config{Client: s.client(), Sinks: []pipeline.SinkConfig{{Name: "a", Sink: plainSink(sidetrack.Authorize(c))}}})
		r.emit(events("e", 20)...)
		r.drain(time.Minute)
		if c.count() != 1 {
			t.Errorf("%d calls of the source for attempts of one moment", c.count())
		}
		for i, h := range s.header("Authorization") {
			if h != "Bearer t0ken-1" {
				t.Errorf("request %d: %q", i, h)
			}
		}
		time.Sleep(58 * time.Minute) // under the hour, and renewed a minute before
		r.emit(event("before"))
		r.drain(time.Minute)
		time.Sleep(90 * time.Second)
		r.emit(event("after"))
		r.drain(time.Minute)
		h := s.header("Authorization")
		if n := len(h); n != 22 || h[20] != "Bearer t0ken-1" || h[21] != "Bearer t0ken-2" || c.count() != 2 {
			t.Errorf("%d requests, the last with %v; %d calls", n, h[20:], c.count())
		}
	})
}

func TestATokenThatIsRefusedIsReplacedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(func(r *http.Request, _ string) (int, string) {
			if r.Header.Get("Authorization") == "Bearer t0ken-1" {
				return 401, "bad token t0ken-1"
			}
			return 200, ""
		})
		c := &counting{}
		r := start(t, pipeline.Config{Client: s.client(), Sinks: []pipeline.SinkConfig{{Name: "a", Sink: plainSink(sidetrack.Authorize(c))}}})
		r.emit(events("e", 10)...)
		r.drain(time.Second) // no retry is waited for
		if row := r.row("a"); row.Delivered != 10 || c.count() != 2 || strings.Contains(r.log.String(), "fails") {
			t.Errorf("%+v, %d calls, %s", row, c.count(), r.log)
		}
	})
}

func TestATokenThatIsRefusedForGoodIsMisconfiguration(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(func(r *http.Request, _ string) (int, string) { return 401, "" })
		c := &counting{}
		r := start(t, pipeline.Config{DrainTimeout: time.Second, Client: s.client(), Sinks: []pipeline.SinkConfig{{Name: "a", Sink: plainSink(sidetrack.Authorize(c))}}})
		r.emit(event("e"))
		time.Sleep(30 * time.Second)
		if row := r.row("a"); row.State != "misconfigured" || row.Pending != 1 || c.count() != 2 || len(s.header("Authorization")) != 2 {
			t.Errorf("%+v, %d calls, requests with %v", row, c.count(), s.header("Authorization"))
		}
		time.Sleep(50 * time.Second) // one probe: the token that is kept, and a new one
		if c.count() != 3 || len(s.header("Authorization")) != 4 {
			t.Errorf("%d calls, requests with %v", c.count(), s.header("Authorization"))
		}
	})
}

// TestATokenSourceThatFails has what becomes of the sink; no event ever dies of it.
func TestATokenSourceThatFails(t *testing.T) {
	for name, tt := range map[string]struct {
		err   error
		state string
	}{
		"unavailable":              {errors.New("status 503"), "breaker open"},
		"asks to wait":             {sidetrack.RetryAfter(errors.New("status 429"), time.Hour), "throttled"},
		"refused":                  {sidetrack.Misconfiguration(errors.New("invalid_grant")), "misconfigured"},
		"permanent":                {sidetrack.Permanent(errors.New("invalid_grant")), "misconfigured"},
		"a partial error":          {&sidetrack.PartialError{Failed: map[int]error{0: sidetrack.Permanent(errors.New("x"))}}, "breaker open"},
		"a drop":                   {sidetrack.Drop("mine"), "breaker open"},
		"canceled":                 {context.Canceled, "breaker open"},
		"panic":                    {nil, "breaker open"},
		"with an old token in it":  {errors.New("secret s3cr3t-of-client refused"), "breaker open"},
		"no token and no error":    {errNoToken, "misconfigured"},
		"a token that breaks HTTP": {errOddToken, "misconfigured"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := serve(func(*http.Request, string) (int, string) { return 200, "" })
				source := sidetrack.TokenSourceFunc(func(context.Context) (sidetrack.Token, error) {
					switch tt.err {
					case nil:
						panic("s3cr3t-of-client")
					case errNoToken:
						return sidetrack.Token{}, nil
					case errOddToken:
						return sidetrack.Token{Value: sidetrack.NewSecret("a\r\nX-Evil: b")}, nil
					}
					return sidetrack.Token{}, tt.err
				})
				r := start(t, pipeline.Config{DrainTimeout: time.Second, Client: s.client(), Sinks: []pipeline.SinkConfig{{
					Name: "a", Sink: plainSink(sidetrack.Authorize(source, sidetrack.NewSecret("s3cr3t-of-client"))),
				}}})
				r.emit(events("e", 8)...)
				time.Sleep(30 * time.Second)
				if row := r.row("a"); row.State != tt.state || row.Pending != 8 || len(s.header("X")) != 0 {
					t.Errorf("%+v, %d requests", row, len(s.header("X")))
				}
				if strings.Contains(r.log.String(), "s3cr3t") || strings.Contains(r.log.String(), "X-Evil") {
					t.Errorf("a secret is logged: %s", r.log)
				}
			})
		})
	}
}

var (
	errNoToken  = errors.New("no token")
	errOddToken = errors.New("odd token")
)

func TestATokenServesWhileItsSourceIsDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(func(*http.Request, string) (int, string) { return 200, "" })
		c := &counting{ttl: 10 * time.Minute, fail: func(n int) error {
			if n > 1 {
				return errors.New("down")
			}
			return nil
		}}
		r := start(t, pipeline.Config{DrainTimeout: time.Second, Client: s.client(), Sinks: []pipeline.SinkConfig{{Name: "a", Sink: plainSink(sidetrack.Authorize(c))}}})
		r.emit(event("first"))
		time.Sleep(9*time.Minute + 30*time.Second) // a new one is due
		r.emit(events("e", 5)...)
		time.Sleep(time.Second)
		if row := r.row("a"); row.Delivered != 6 || c.count() != 2 {
			t.Errorf("%+v, %d calls", row, c.count())
		}
		time.Sleep(time.Minute)
		r.emit(event("last"))
		time.Sleep(time.Second)
		if row := r.row("a"); row.Delivered != 6 || row.Pending != 1 {
			t.Errorf("an expired token was used: %+v", row)
		}
	})
}

// TestATokenIsWaitedForAsLongAsAnAttemptMayTake also has the end of the call: the bubble does not end before it does.
func TestATokenIsWaitedForAsLongAsAnAttemptMayTake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(func(*http.Request, string) (int, string) { return 200, "" })
		c := &counting{takes: time.Hour}
		r := start(t, pipeline.Config{DrainTimeout: time.Second, Client: s.client(), Sinks: []pipeline.SinkConfig{{Name: "a", Sink: plainSink(sidetrack.Authorize(c)), Delivery: pipeline.Delivery{Timeout: 3 * time.Second}}}})
		r.emit(event("e"))
		time.Sleep(3500 * time.Millisecond)
		synctest.Wait()
		if !strings.Contains(r.log.String(), "no answer within 3s") {
			t.Error(r.log)
		}
	})
}

func TestExplainAsksForNoToken(t *testing.T) {
	s := serve(func(*http.Request, string) (int, string) { return 200, "t0ken-1" })
	c := &counting{}
	r := start(t, pipeline.Config{Client: s.client(), Sinks: []pipeline.SinkConfig{{Name: "a", Sink: plainSink(sidetrack.Authorize(c))}}})
	x := r.Explain(t.Context(), event("e"))
	if got := x.Sinks[0].Request.Header.Get("Authorization"); got != "Bearer [secret]" || c.count() != 0 {
		t.Errorf("%q, %d calls", got, c.count())
	}
	x = r.Deliver(t.Context(), event("e"))
	if a := x.Sinks[0].Answer; a == nil || a.Outcome != "delivered" || a.Body != "[secret]" || s.header("Authorization")[0] != "Bearer t0ken-1" {
		t.Errorf("%s", asJSON(x))
	}
}

func TestAWriterHasNoAuthorization(t *testing.T) {
	_, err := pipeline.New(pipeline.Config{Sinks: []pipeline.SinkConfig{{Name: "w", Sink: sidetrack.WriterSink(newBackend(nil), sidetrack.Authorize(&counting{}))}}})
	if err == nil || !strings.Contains(err.Error(), "for sinks that send requests") {
		t.Error(err)
	}
}
