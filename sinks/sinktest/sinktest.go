// Package sinktest is the contract of a sink as a test suite: for the ones of this project
// and for anybody else's. A sink that passes can be trusted with real events.
//
//	func TestSink(t *testing.T) {
//		sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(Config{…}) })
//	}
package sinktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/hostile"
)

var update = flag.Bool("update", false, "write the golden files of sinktest anew")

// At is the time of every attempt in this suite.
var at = time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)

// Option changes what Run does.
type Option func(*suite)

type suite struct {
	build   func() (*sidetrack.Sink, error)
	golden  string
	samples []*sidetrack.Event
	noNeeds bool
}

// Golden compares the requests for Samples with files in dir, one for each event. go test
// -update writes them.
func Golden(dir string) Option { return func(s *suite) { s.golden = dir } }

// WithoutNeeds says that the sink needs no consent on purpose, as for output that stays
// with its owner.
func WithoutNeeds() Option { return func(s *suite) { s.noNeeds = true } }

// Run checks a sink against its contract. build must return a new sink each time. The suite
// sends nothing over the network; Writers are written to.
func Run(t *testing.T, build func() (*sidetrack.Sink, error), opts ...Option) {
	t.Helper()
	s := &suite{build: build, samples: Samples()}
	for _, o := range opts {
		o(s)
	}
	t.Run("specification", s.specification)
	if s.sink(t).Generator == nil {
		t.Run("writer", s.writer)
		return
	}
	t.Run("pure", s.pure)
	t.Run("hostile events", s.hostile)
	t.Run("secrets and addresses", s.leaks)
	t.Run("answers", s.answers)
	if s.golden != "" {
		t.Run("golden", s.goldens)
	}
}

func (s *suite) sink(t *testing.T) sidetrack.SinkSpec {
	t.Helper()
	sink, err := s.build()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	spec := sink.Spec()
	if spec.Close != nil {
		t.Cleanup(func() {
			if err := spec.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	return spec
}

func (s *suite) specification(t *testing.T) {
	spec := s.sink(t)
	if (spec.Generator == nil) == (spec.Writer == nil) {
		t.Error("a sink has exactly one of Generator and Writer")
	}
	if spec.MaxEvents < 1 || spec.MaxBytes < 0 || spec.MaxAge < 0 || spec.Concurrency < 0 {
		t.Errorf("limits out of range: %d events, %d bytes, %s, %d at once", spec.MaxEvents, spec.MaxBytes, spec.MaxAge, spec.Concurrency)
	}
	if len(spec.Needs) == 0 && !s.noNeeds {
		t.Error("the sink needs no consent at all: if that is meant, say so with WithoutNeeds")
	}
	for _, p := range spec.Needs {
		if _, err := sidetrack.ParsePurpose(string(p)); err != nil {
			t.Error(err)
		}
	}
	if spec.GroupBy != nil {
		for name, e := range hostile.Events() {
			e.SetOrigin(nil)
			if spec.GroupBy(e) != spec.GroupBy(e.Clone()) {
				t.Errorf("GroupBy is not a function of the event: %s", name)
			}
		}
	}
}

// unit puts events into a unit as the engine does.
func unit(events ...*sidetrack.Event) sidetrack.Unit {
	ids := make([]byte, 0, 16*len(events))
	for _, e := range events {
		ids = append(ids, e.ID[:]...)
	}
	return sidetrack.Unit{ID: uuid.NewSHA1(uuid.NameSpaceOID, ids), Events: events, At: at, Attempt: 1}
}

// units groups the samples as the engine would.
func (s *suite) units(spec sidetrack.SinkSpec, events []*sidetrack.Event) []sidetrack.Unit {
	groups := map[string][]*sidetrack.Event{}
	var order []string
	for _, e := range events {
		key := ""
		if spec.GroupBy != nil {
			key = spec.GroupBy(e)
		}
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], e)
	}
	var out []sidetrack.Unit
	for _, key := range order {
		for chunk := range slices.Chunk(groups[key], spec.MaxEvents) {
			out = append(out, unit(chunk...))
		}
	}
	return out
}

func (s *suite) pure(t *testing.T) {
	spec, other := s.sink(t), s.sink(t)
	units := s.units(spec, s.samples)
	before := asText(s.samples)
	for _, u := range units {
		one, err := spec.Generator.Request(u)
		if err != nil {
			t.Errorf("a sample cannot be sent: %v", err)
			continue
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				two, err := other.Generator.Request(u)
				if err != nil || show(one) != show(two) {
					t.Errorf("two calls differ:\n%s\n%s (%v)", show(one), show(two), err)
				}
			})
		}
		wg.Wait()
		again := u
		again.Attempt = 5
		if two, err := spec.Generator.Request(again); err != nil || show(one) != show(two) {
			t.Errorf("a later attempt at the same time differs:\n%s\n%s (%v)", show(one), show(two), err)
		}
		s.sendable(t, spec, u, one)
	}
	if after := asText(s.samples); after != before {
		t.Errorf("the generator changed an event, which all sinks share:\n%s\n%s", before, after)
	}
}

func asText(events []*sidetrack.Event) string {
	b, err := json.Marshal(events)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func show(r *sidetrack.Request) string {
	if r == nil {
		return "no request"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", r.MethodOrPost(), r.URL)
	for _, k := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(&b, "%s: %s\n", k, strings.Join(r.Header[k], ", "))
	}
	fmt.Fprintf(&b, "\n%s", r.Body)
	return b.String()
}

// sendable checks that net/http would send it.
func (s *suite) sendable(t *testing.T, spec sidetrack.SinkSpec, u sidetrack.Unit, r *sidetrack.Request) {
	t.Helper()
	parsed, err := url.Parse(r.URL)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		t.Errorf("%q is no absolute http or https URL", r.URL)
	}
	if _, err := http.NewRequest(r.MethodOrPost(), r.URL, bytes.NewReader(r.Body)); err != nil {
		t.Errorf("net/http refuses it: %v", err)
	}
	for k, values := range r.Header {
		for _, v := range values {
			if strings.ContainsAny(k+v, "\r\n\x00") {
				t.Errorf("header %q: %q would break the request", k, v)
			}
		}
	}
	if len(r.Body) > 0 && r.Header.Get("Content-Type") == "" {
		t.Error("a body without Content-Type")
	}
	if len(u.Events) > spec.MaxEvents {
		t.Errorf("%d events, at most %d", len(u.Events), spec.MaxEvents)
	}
}

func (s *suite) hostile(t *testing.T) {
	spec := s.sink(t)
	for name, e := range hostile.Events() {
		e.SetOrigin(nil)
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s: panic: %v", name, p)
				}
			}()
			r, err := spec.Generator.Request(unit(e))
			switch {
			case err == nil && r == nil:
				t.Errorf("%s: neither a request nor an error", name)
			case err == nil:
				s.sendable(t, spec, unit(e), r)
				if strings.Contains(r.Header.Get("Content-Type"), "json") && !json.Valid(r.Body) {
					t.Errorf("%s: the body is no JSON: %.200q", name, r.Body)
				}
			}
		}()
	}
	if _, err := spec.Generator.Request(sidetrack.Unit{At: at}); err == nil {
		t.Error("a unit without events gives a request")
	}
}

func (s *suite) leaks(t *testing.T) {
	sink, err := s.build()
	if err != nil {
		t.Fatal(err)
	}
	spec := sink.Spec()
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("sink", "secrets", spec.Secrets)
	for _, e := range hostile.Events() {
		full := e.Origin()
		e.SetOrigin(full) // a sink never gets one; if it did, it must not use it
		r, err := spec.Generator.Request(unit(e))
		if err != nil {
			fmt.Fprintf(&out, "%v %+v\n", err, err)
			continue
		}
		fmt.Fprintf(&out, "%v %+v %s\n", r, r, r)
		if strings.Contains(show(r), hostile.Address) {
			t.Error("the request holds the visitor's full address")
		}
	}
	for _, secret := range spec.Secrets {
		if v := secret.Reveal(); v != "" && strings.Contains(out.String(), v) {
			t.Errorf("a secret is printed: …%s…", around(out.String(), v))
		}
	}
}

func around(s, part string) string {
	i := strings.Index(s, part)
	return s[max(0, i-80):i] + "[here]"
}

// answers checks the sink's reading of HTTP answers against what the engine does with each class.
func (s *suite) answers(t *testing.T) {
	spec := s.sink(t)
	u := unit(s.samples[0])
	for _, tt := range []struct {
		status int
		want   []sidetrack.Class
	}{
		{200, []sidetrack.Class{sidetrack.Delivered, sidetrack.Rejected, sidetrack.Misconfigured}}, // some backends refuse in the body, or know that it is none of theirs
		{204, []sidetrack.Class{sidetrack.Delivered}},
		{302, []sidetrack.Class{sidetrack.Misconfigured}},
		{400, []sidetrack.Class{sidetrack.Rejected}},
		{401, []sidetrack.Class{sidetrack.Misconfigured}},
		{403, []sidetrack.Class{sidetrack.Misconfigured, sidetrack.Throttled}},
		{404, []sidetrack.Class{sidetrack.Misconfigured}},
		{408, []sidetrack.Class{sidetrack.Retry}},
		{413, []sidetrack.Class{sidetrack.Rejected}},
		{429, []sidetrack.Class{sidetrack.Throttled}},
		{500, []sidetrack.Class{sidetrack.Retry}},
		{502, []sidetrack.Class{sidetrack.Retry}},
		{503, []sidetrack.Class{sidetrack.Retry, sidetrack.Throttled}},
		{504, []sidetrack.Class{sidetrack.Retry}},
	} {
		classify := spec.Classify
		if classify == nil {
			classify = sidetrack.DefaultClassify
		}
		for _, body := range []string{"", "{}", "<html>", "\xff\x00", strings.Repeat("x", sidetrack.MaxResponseBytes)} {
			err := classify(u, &sidetrack.Response{Status: tt.status, Header: http.Header{}, Body: []byte(body)})
			if partial, ok := errors.AsType[*sidetrack.PartialError](err); ok {
				for i := range partial.Failed {
					if i < 0 || i >= len(u.Events) {
						t.Errorf("status %d: failure of event %d of %d", tt.status, i, len(u.Events))
					}
				}
				continue
			}
			if class, _ := sidetrack.ClassOf(err); !slices.Contains(tt.want, class) {
				t.Errorf("status %d with body %.20q: %s, want one of %v", tt.status, body, class, tt.want)
			}
		}
	}
	classify := spec.Classify
	if classify == nil {
		classify = sidetrack.DefaultClassify
	}
	for _, status := range []int{429, 503} {
		for name, header := range map[string]http.Header{
			"seconds": {"Retry-After": {"7"}},
			"a date":  {"Retry-After": {"Sat, 31 Jan 2026 12:00:07 GMT"}, "Date": {"Sat, 31 Jan 2026 12:00:00 GMT"}},
		} {
			if class, after := sidetrack.ClassOf(classify(u, &sidetrack.Response{Status: status, Header: header})); class != sidetrack.Throttled || after != 7*time.Second {
				t.Errorf("%d with Retry-After as %s: %s after %s, want throttled after 7s", status, name, class, after)
			}
		}
	}
}

func (s *suite) goldens(t *testing.T) {
	spec := s.sink(t)
	for _, e := range s.samples {
		r, err := spec.Generator.Request(unit(e))
		got := ""
		if err != nil {
			got = "error: " + err.Error() + "\n"
		} else {
			got = mask(pretty(r), spec.Secrets)
		}
		file := filepath.Join(s.golden, e.MessageID+".golden")
		if *update {
			if err := os.MkdirAll(s.golden, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v (go test -update writes it)", err)
			continue
		}
		if got != string(want) {
			t.Errorf("%s has changed:\n%s\nwant:\n%s", e.MessageID, got, want)
		}
	}
}

func pretty(r *sidetrack.Request) string {
	c := *r
	var b bytes.Buffer
	if json.Indent(&b, r.Body, "", "  ") == nil {
		c.Body = b.Bytes()
	}
	return show(&c) + "\n"
}

func mask(s string, secrets []sidetrack.Secret) string {
	for _, secret := range secrets {
		if v := secret.Reveal(); v != "" {
			s = strings.ReplaceAll(s, v, secret.String())
		}
	}
	return s
}

func (s *suite) writer(t *testing.T) {
	spec := s.sink(t)
	for _, u := range s.units(spec, s.samples) {
		if err := spec.Writer.Write(t.Context(), u); err != nil {
			t.Errorf("a sample cannot be written: %v", err)
		}
	}
	for name, e := range hostile.Events() {
		e.SetOrigin(nil)
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s: panic: %v", name, p)
				}
			}()
			if err := spec.Writer.Write(t.Context(), unit(e)); err != nil {
				if class, _ := sidetrack.ClassOf(err); class == sidetrack.Retry {
					if p, ok := errors.AsType[*sidetrack.PartialError](err); !ok || p.Failed[0] == nil {
						t.Errorf("%s: an event that can never be written asks for a retry: %v", name, err)
					}
				}
			}
		}()
	}
	if spec.Erase != nil {
		s.erase(t, spec)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan struct{})
	go func() {
		_ = spec.Writer.Write(ctx, unit(s.samples[0]))
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("Write does not return although its context has ended")
	}
	if spec.Preview != nil {
		if b, err := spec.Preview(unit(s.samples[0])); err != nil || len(b) == 0 {
			t.Errorf("preview: %q, %v", b, err)
		}
	}
}

// erase checks that a sink that says it can erase does so, and tells the person from others.
func (s *suite) erase(t *testing.T, spec sidetrack.SinkSpec) {
	t.Helper()
	const person, other = "sinktest-erase", "sinktest-other"
	var events []*sidetrack.Event
	for i, id := range []string{person, other, "", ""} {
		e := s.samples[0].Clone()
		e.ID, e.Visitor.ClientID = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, person, i)), id
		e.Visitor.UserID = []string{"", "", person, other}[i]
		events = append(events, e)
	}
	for chunk := range slices.Chunk(events, spec.MaxEvents) {
		if err := spec.Writer.Write(t.Context(), unit(chunk...)); err != nil {
			t.Fatalf("a sample cannot be written: %v", err)
		}
	}
	for _, step := range []struct {
		who  sidetrack.Person
		want int64
	}{
		{sidetrack.Person{ClientID: other + "'"}, 0}, {sidetrack.Person{}, 0},
		{sidetrack.Person{ClientID: person}, 1}, {sidetrack.Person{ClientID: person}, 0}, // by the client id alone
		{sidetrack.Person{ClientID: other, UserID: person}, 2},
		{sidetrack.Person{UserID: other}, 1},
	} {
		if n, err := spec.Erase(t.Context(), step.who); err != nil || n != step.want {
			t.Errorf("erased %d events of %+v, want %d: %v", n, step.who, step.want, err)
		}
	}
}
