// Package sinktest is the contract of a sink as a test suite: for the ones of this project
// and for anybody else's. A sink that passes can be trusted with real events.
//
//	func TestSink(t *testing.T) {
//		sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(Config{…}) }, sinktest.Golden("testdata/golden"))
//	}
//
//	func FuzzSink(f *testing.F) {
//		sinktest.Fuzz(f, func() (*sidetrack.Sink, error) { return New(Config{…}) })
//	}
//
// What Run checks, each as a subtest:
//
//   - specification: limits in range, purposes that exist, a GroupBy that depends on the event alone
//   - pure: the same bytes for the same unit, from concurrent calls, from another sink of the same configuration and on a later
//     attempt; no event changed; a request that net/http sends
//   - hostile events: no panic, no broken JSON, no request of nothing; in a batch, failures that name events that are there
//   - secrets and addresses: no secret in errors and printed requests, no full address in requests
//   - answers: the class of each status, whatever the body, for one event and for several; Retry-After; and those of Answers
//   - goroutines: none is left behind after Close
//   - golden: the requests of Samples, with the option Golden
//   - writer, instead of all from pure to answers, for a sink that writes: samples and hostile events, contexts that end, Erase, Preview
package sinktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/hostile"
)

// at is the time of every attempt in this suite.
var at = time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)

// Option changes what Run does.
type Option func(*suite)

type suite struct {
	build   func() (*sidetrack.Sink, error)
	golden  string
	samples []*sidetrack.Event
	noNeeds bool
	dialect []Answer

	patience time.Duration // with a Writer whose context has ended
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
	s := &suite{build: build, samples: Samples(), patience: 10 * time.Second}
	for _, o := range opts {
		o(s)
	}
	t.Run("specification", s.specification)
	t.Run("goroutines", s.goroutines)
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
	if slices.ContainsFunc(spec.SplitAge, func(d time.Duration) bool { return d <= 0 }) {
		t.Errorf("an age of %v splits nothing", spec.SplitAge)
	}
	if spec.Writer != nil && (spec.Tokens != nil || len(spec.Accepts) > 0) {
		t.Error("a Writer is neither authorized nor compressed by the engine")
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
		s.survives(t, spec, name, unit(e))
		if spec.MaxEvents > 1 {
			// As the engine may put it: between events that can be sent, or beside itself.
			one, other := s.samples[0].Clone(), s.samples[0].Clone()
			other.ID = uuid.NewSHA1(other.ID, []byte("other"))
			s.survives(t, spec, name+" in a batch", unit(one, e, other))
			s.survives(t, spec, name+" twice", unit(e, e.Clone()))
		}
	}
	if _, err := spec.Generator.Request(sidetrack.Unit{At: at}); err == nil {
		t.Error("a unit without events gives a request")
	}
}

// survives checks what a generator makes of a unit of which it may be able to send nothing, or a part.
func (s *suite) survives(t *testing.T, spec sidetrack.SinkSpec, name string, u sidetrack.Unit) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s: panic: %v", name, p)
		}
	}()
	r, err := spec.Generator.Request(u)
	partial, isPartial := errors.AsType[*sidetrack.PartialError](err)
	if isPartial {
		wellFormed(t, name, u, partial)
	}
	switch left := u.Events; {
	case isPartial && len(partial.Failed) == len(left) && r != nil:
		t.Errorf("%s: a request although every event is left out", name)
	case isPartial && len(partial.Failed) < len(left) && r == nil:
		t.Errorf("%s: no request for the events that are not left out", name)
	case err == nil && r == nil:
		t.Errorf("%s: neither a request nor an error", name)
	case r == nil:
		return
	}
	if r == nil || err != nil && !isPartial {
		return
	}
	s.sendable(t, spec, u, r)
	if strings.Contains(r.Header.Get("Content-Type"), "json") && !json.Valid(r.Body) {
		t.Errorf("%s: the body is no JSON: %.200q", name, r.Body)
	}
	for k, i := range r.Records {
		if i < 0 || i >= len(u.Events) || isPartial && partial.Failed[i] != nil {
			t.Errorf("%s: record %d is of event %d, which is not in the request", name, k, i)
		}
	}
}

// wellFormed checks that a partial error is about events of the unit.
func wellFormed(t *testing.T, name string, u sidetrack.Unit, p *sidetrack.PartialError) {
	t.Helper()
	if len(p.Failed) == 0 {
		t.Errorf("%s: a partial error about nothing", name)
	}
	for i, err := range p.Failed {
		switch {
		case i < 0 || i >= len(u.Events):
			t.Errorf("%s: failure of event %d of %d", name, i, len(u.Events))
		case err == nil:
			t.Errorf("%s: event %d failed without an error", name, i)
		}
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
		func() {
			defer func() { _ = recover() }() // the hostile events' own check reports it
			r, err := spec.Generator.Request(unit(e))
			if err != nil {
				fmt.Fprintf(&out, "%v %+v\n", err, err)
				return
			}
			fmt.Fprintf(&out, "%v %+v %s\n", r, r, r)
			if strings.Contains(show(r), hostile.Address) {
				t.Error("the request holds the visitor's full address")
			}
		}()
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
