package pipeline_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// One event that the backend answers as if the whole sink were wrong must not hold up the others.
func TestARefusalThatIsOneEventsOwnDoesNotStopTheSink(t *testing.T) {
	for name, refusal := range map[string]error{
		"misconfigured": sidetrack.Misconfiguration(errors.New("status 404: no such property")),
		"throttled":     sidetrack.RetryAfter(errors.New("status 429"), 30*time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				fixed := time.Now().Add(3 * time.Hour)
				b := newBackend(func(u sidetrack.Unit) error {
					if has(u, "odd") && time.Now().Before(fixed) {
						return refusal
					}
					return nil
				})
				r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("a", b)}})
				r.emit(event("odd"))
				for range 30 * 60 {
					r.emit(event("even"))
					time.Sleep(time.Second)
				}
				synctest.Wait()
				if row := r.row("a"); row.Delivered < 1795 || row.Pending == 0 || total(row.Dead)+total(row.Expired) != 0 || row.State != "ok" {
					t.Errorf("while it lasts: %+v", row)
				}
				r.drain(6 * time.Hour)
				if row := r.row("a"); row.Delivered != 1801 {
					t.Errorf("afterwards: %+v", row)
				}
			})
		})
	}
}

func TestPartialThrottlingHoldsBackThatEventAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var at []time.Time
		b := newBackend(func(u sidetrack.Unit) error {
			if !has(u, "e1") {
				return nil
			}
			at = append(at, time.Now())
			if len(at) > 1 {
				return nil
			}
			return &sidetrack.PartialError{Failed: map[int]error{1: sidetrack.RetryAfter(errors.New("user over quota"), time.Minute)}}
		})
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("a", b, sidetrack.MaxEvents(3))}})
		r.emit(events("e", 3)...)
		synctest.Wait()
		r.emit(event("other"))
		synctest.Wait()
		if row := r.row("a"); row.Delivered != 3 || row.State != "ok" {
			t.Errorf("%+v", row)
		}
		r.drain(time.Hour)
		if len(at) != 2 || at[1].Sub(at[0]) < time.Minute {
			t.Errorf("attempts at %v", at)
		}
	})
}

func TestResponseRulesAreAskedBeforeTheSink(t *testing.T) {
	url, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusConflict)
		_, _ = w.Write([]byte("seen that"))
	})
	r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{
		{Name: "without", Sink: httpSink(url)},
		{Name: "with", Sink: httpSink(url), Responses: []sidetrack.ResponseRule{{Status: sidetrack.StatusRange{From: 409, To: 409}, Body: "SEEN", As: sidetrack.Delivered}}},
	}})
	r.emit(event("e"))
	r.drain(20 * time.Second)
	if a, b := r.row("without"), r.row("with"); a.Dead[sidetrack.ReasonRejected] != 1 || b.Delivered != 1 {
		t.Errorf("without %+v, with %+v", a, b)
	}
	_, err := pipeline.New(pipeline.Config{Bus: r.bus, Sinks: []pipeline.SinkConfig{
		{Name: "a", Sink: httpSink(url), Responses: []sidetrack.ResponseRule{{As: sidetrack.Delivered}}},
		{Name: "b", Sink: sidetrack.WriterSink(newBackend(nil)), Responses: []sidetrack.ResponseRule{{Body: "x", As: sidetrack.Retry}}},
	}})
	if err == nil || !strings.Contains(err.Error(), `"a": response rule 1`) || !strings.Contains(err.Error(), `"b": response rules`) {
		t.Errorf("bad rules: %v", err)
	}
}

// What goes wrong below HTTP is either temporary or something a person has to look at.
func TestTransportErrorsAreClassified(t *testing.T) {
	plain, _ := answering(t, nil)
	untrusted := httptest.NewTLSServer(nil)
	t.Cleanup(untrusted.Close)
	untrusted.Config.ErrorLog = nil
	closed := httptest.NewServer(nil)
	closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	torn, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-"))
			_ = c.Close()
		}
	})
	short, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"))
			_ = c.Close()
		}
	})
	noHost := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "tracker.invalid", IsNotFound: true}
	}}}
	slowDNS := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "server misbehaving", Name: "tracker.example", IsTemporary: true}
	}}}
	tlsClient := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{}}}
	for name, tt := range map[string]struct {
		url    string
		client *http.Client
		state  string
	}{
		"https of a plain server":       {url: strings.Replace(plain, "http:", "https:", 1), client: tlsClient, state: "misconfigured"},
		"certificate nobody vouches":    {url: untrusted.URL, client: tlsClient, state: "misconfigured"},
		"unknown host":                  {url: "http://tracker.invalid", client: noHost, state: "misconfigured"},
		"name server in trouble":        {url: "http://tracker.example", client: slowDNS, state: "breaker open"},
		"nobody listens":                {url: closed.URL, state: "breaker open"},
		"no answer":                     {url: "http://" + silent.Addr().String(), state: "breaker open"},
		"connection ends in the head":   {url: torn, state: "breaker open"},
		"answer shorter than it said":   {url: short, state: "ok"},
		"an answer of another protocol": {url: "http://" + greeting(t), state: "breaker open"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, pipeline.Config{Client: tt.client, DrainTimeout: 100 * time.Millisecond, Sinks: []pipeline.SinkConfig{{Name: "a", Sink: httpSink(tt.url), Delivery: pipeline.Delivery{
				Timeout: 200 * time.Millisecond, MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond, Breaker: pipeline.Breaker{Failures: 2, Pause: time.Hour}}}}})
			r.emit(event("e"))
			deadline := time.Now().Add(10 * time.Second)
			for time.Now().Before(deadline) {
				if row := r.row("a"); row.State == tt.state && (tt.state != "ok" || row.Delivered == 1) {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
			t.Errorf("%+v, want state %s\n%s", r.row("a"), tt.state, r.log)
		})
	}
}

// greeting listens and speaks first, as a mail server would.
func greeting(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("220 mail.example ESMTP\r\n"))
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}
