package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

const secret = "s3cr3t+/value"

// httpSink sends each unit as names joined by commas to url, with a secret in query, header and body.
func httpSink(url string, opts ...sidetrack.SinkOption) *sidetrack.Sink {
	g := sidetrack.GeneratorFunc(func(u sidetrack.Unit) (*sidetrack.Request, error) {
		var names []string
		for _, e := range u.Events {
			if e.Name == "unbuildable" {
				return nil, errors.New("cannot build with " + secret)
			}
			names = append(names, e.Name)
		}
		return &sidetrack.Request{
			URL:    url + "/collect?api_secret=s3cr3t%2B%2Fvalue",
			Header: http.Header{"Authorization": {"Bearer " + secret}},
			Body:   []byte(strings.Join(names, ",")),
		}, nil
	})
	return sidetrack.HTTPSink(g, append(opts, sidetrack.Secrets(sidetrack.NewSecret(secret)))...)
}

// answering is a server that records bodies and answers by script.
func answering(t *testing.T, answer http.HandlerFunc) (url string, bodies func() []string) {
	t.Helper()
	var mu sync.Mutex
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		got = append(got, string(b))
		mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(string(b)))
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), got...)
	}
}

func TestSecretsNeverShow(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	reset, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = c.Close()
		}
	})
	rejects, _ := answering(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(400) })
	talkative := func(_ sidetrack.Unit, r *sidetrack.Response) error {
		return sidetrack.Permanent(fmt.Errorf("status %d for key %s", r.Status, secret))
	}
	fast := pipeline.Delivery{MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond, MaxAge: 300 * time.Millisecond, Breaker: pipeline.Breaker{Failures: 100}}
	w := watch(memory.New(memory.Config{}))
	var fates []string
	var mu sync.Mutex
	r := start(t, pipeline.Config{
		Bus: w,
		Sinks: []pipeline.SinkConfig{
			{Name: "closed", Sink: httpSink(closed.URL), Delivery: fast},
			{Name: "reset", Sink: httpSink(reset), Delivery: fast},
			{Name: "rejects", Sink: httpSink(rejects), Delivery: fast},
			{Name: "talkative", Sink: httpSink(rejects, sidetrack.Classify(talkative)), Delivery: fast},
			{Name: "nowhere", Sink: httpSink("http://[::1"), Delivery: fast},
		},
		Observe: func(_ context.Context, f pipeline.Fate) {
			mu.Lock()
			defer mu.Unlock()
			fates = append(fates, fmt.Sprintf("%+v", f.Err))
		},
	})
	r.emit(event("e"), event("unbuildable"))
	r.drain(20 * time.Second)
	x := r.Explain(t.Context(), event("e"))
	if !strings.Contains(asJSON(x), "[secret]") {
		t.Errorf("explain shows no masked request: %s", asJSON(x))
	}
	mu.Lock()
	all := r.log.String() + asJSON(w.dead()) + asJSON(x) + strings.Join(fates, "\n")
	mu.Unlock()
	for _, s := range []string{secret, "s3cr3t"} {
		if i := strings.Index(all, s); i >= 0 {
			t.Errorf("secret shown: …%s…", all[max(0, i-200):min(len(all), i+50)])
		}
	}
	if len(w.dead()) == 0 {
		t.Error("no dead letter: the test proves nothing about them")
	}
}

func TestHTTPOutcomes(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   func(pipeline.SinkLedger) bool
	}{
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
			func(r pipeline.SinkLedger) bool { return r.Delivered == 3 }},
		{"400", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) },
			func(r pipeline.SinkLedger) bool { return r.Dead[sidetrack.ReasonRejected] == 3 }},
		{"500 then 200", failFirst(3, 500),
			func(r pipeline.SinkLedger) bool { return r.Delivered == 3 }},
		{"redirect is not followed", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
			func(r pipeline.SinkLedger) bool { return r.State == "misconfigured" && r.Pending == 3 }},
		{"body cut short after 200", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("short"))
		}, func(r pipeline.SinkLedger) bool { return r.Delivered == 3 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, bodies := answering(t, tt.answer)
			r := start(t, pipeline.Config{DrainTimeout: 100 * time.Millisecond, Sinks: []pipeline.SinkConfig{{
				Name: "a", Sink: httpSink(url),
				Delivery: pipeline.Delivery{MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond},
			}}})
			r.emit(events("e", 3)...)
			deadline := time.Now().Add(10 * time.Second)
			for !tt.want(r.row("a")) {
				if time.Now().After(deadline) {
					t.Fatalf("%+v after %d requests", r.row("a"), len(bodies()))
				}
				time.Sleep(time.Millisecond)
			}
			for _, b := range bodies() {
				if !strings.HasPrefix(b, "e") {
					t.Errorf("unexpected request body %q", b)
				}
			}
		})
	}
}

func failFirst(n int64, status int) http.HandlerFunc {
	var calls atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) <= n {
			w.WriteHeader(status)
		}
	}
}

func TestBodyOverTheLimitIsSplit(t *testing.T) {
	url, bodies := answering(t, nil)
	w := watch(memory.New(memory.Config{}))
	r := start(t, pipeline.Config{Bus: w, Sinks: []pipeline.SinkConfig{{
		Name: "a", Sink: httpSink(url, sidetrack.MaxEvents(8), sidetrack.MaxBytes(20)),
	}}})
	list := append(events("event", 8), event("one_name_that_is_longer_than_all"))
	r.emit(list...)
	r.drain(10 * time.Second)
	if row := r.row("a"); row.Delivered != 8 || row.Dead[sidetrack.ReasonUnbuildable] != 1 {
		t.Errorf("%+v", row)
	}
	for _, b := range bodies() {
		if len(b) > 20 {
			t.Errorf("body of %d bytes sent", len(b))
		}
	}
	if d := w.dead(); len(d) != 1 || !strings.Contains(d[0].Error, "at most 20") {
		t.Errorf("dead letters %s", asJSON(d))
	}
}

func TestExplainShowsTheExactRequestAndWhyNot(t *testing.T) {
	url, bodies := answering(t, nil)
	ads := pipeline.SinkConfig{Name: "ads", Sink: httpSink(url, sidetrack.Needs(sidetrack.AdStorage, sidetrack.AdUserData))}
	dropping := pipeline.SinkConfig{Name: "dropping", Sink: httpSink(url), Processors: []sidetrack.Processor{
		sidetrack.ProcessorFunc(func(context.Context, *sidetrack.Event) error { return sidetrack.Drop("mine") }),
	}}
	r := start(t, pipeline.Config{
		Intake: []sidetrack.Processor{sidetrack.ProcessorFunc(func(_ context.Context, e *sidetrack.Event) error {
			e.Page.Title = "set in intake"
			return nil
		})},
		Sinks: []pipeline.SinkConfig{{Name: "a", Sink: httpSink(url)}, ads, dropping, sinkOf("writer", newBackend(nil))},
	})
	e := &sidetrack.Event{Name: "e", Consent: sidetrack.Grant("test", sidetrack.AnalyticsStorage)}
	x := r.Explain(t.Context(), e)
	if len(x.Sinks) != 4 || len(bodies()) != 0 {
		t.Fatalf("%s, %d requests", asJSON(x), len(bodies()))
	}
	if a := x.Sinks[0]; a.Column != pipeline.Delivered || a.Request == nil || a.Request.Body != "e" || a.Request.Method != "POST" {
		t.Errorf("a: %s", asJSON(a))
	}
	if a := x.Sinks[1]; a.Column != pipeline.Withheld || asJSON(a.Missing) != `["ad_storage","ad_user_data"]` || a.Request != nil {
		t.Errorf("ads: %s", asJSON(a))
	}
	if a := x.Sinks[2]; a.Column != pipeline.Dropped || a.Reason != "mine" {
		t.Errorf("dropping: %s", asJSON(a))
	}
	if a := x.Sinks[3]; !strings.Contains(a.Output, `"set in intake"`) {
		t.Errorf("writer: %s", asJSON(a))
	}
	if len(x.Intake) != 1 || len(x.Intake[0].Changes) != 1 || x.Intake[0].Changes[0].Field != "page.title" {
		t.Errorf("intake: %s", asJSON(x.Intake))
	}
	none := r.Explain(t.Context(), &sidetrack.Event{Name: "e"})
	if none.Dropped != sidetrack.ReasonConsent || len(none.Sinks) != 4 || none.Sinks[0].Column != pipeline.Withheld {
		t.Errorf("without consent: %s", asJSON(none))
	}
	invalid := r.Explain(t.Context(), event(""))
	if invalid.Refused == "" || invalid.Sinks != nil {
		t.Errorf("invalid: %s", asJSON(invalid))
	}
	if l := r.Ledger(); l.Received != 0 {
		t.Errorf("explain was counted: %+v", l)
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	sink := sidetrack.WriterSink(newBackend(nil))
	_, err := pipeline.New(pipeline.Config{Sinks: []pipeline.SinkConfig{
		{Name: "no spaces", Sink: sink}, {Name: "twice", Sink: sink}, {Name: "twice", Sink: sink}, {Name: "none"}, {Name: "s", Sink: sink, Sample: 2},
	}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"a bus is required", `name "no spaces"`, `"twice" is named twice`, `"none": no sink given`, "sample 2"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

// TestResponseHeaderIsBounded lets a backend answer with more header than anybody needs: it costs
// one attempt, not the memory.
func TestResponseHeaderIsBounded(t *testing.T) {
	for name, c := range map[string]struct{ lines, delivered int }{"much": {60, 1}, "too much": {200, 0}} {
		t.Run(name, func(t *testing.T) {
			url, bodies := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				for i := range c.lines {
					w.Header().Set(fmt.Sprintf("X-Line-%d", i), strings.Repeat("x", 1000))
				}
			})
			r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{{Name: "s", Sink: httpSink(url), Delivery: pipeline.Delivery{MaxAge: 100 * time.Millisecond, MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond, Breaker: pipeline.Breaker{Failures: 100}}}}})
			r.emit(event("e"))
			r.drain(20 * time.Second)
			if row := r.row("s"); row.Delivered != int64(c.delivered) || len(bodies()) == 0 {
				t.Errorf("%+v after %d requests", row, len(bodies()))
			}
		})
	}
}
