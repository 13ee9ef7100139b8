package sinktest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/sent"
)

// Answer is what a backend may say to a request, and what that means for each of its events.
type Answer struct {
	Name   string
	Events []*sidetrack.Event // of the unit, what a Generator leaves out included; nil: copies of the first of Samples
	Status int
	Header http.Header
	Body   string
	Want   []sidetrack.Class // for each event; one that is left out is Rejected, and so is what is Unclear
}

// Answers adds the backend's own dialect to the table of answers: those that name single events of a batch above all.
func Answers(list ...Answer) Option { return func(s *suite) { s.dialect = append(s.dialect, list...) } }

// answers checks the sink's reading of HTTP answers against what the engine does with each class.
func (s *suite) answers(t *testing.T) {
	spec := s.sink(t)
	u := s.copies(1)
	sizes := []sidetrack.Unit{u}
	if spec.MaxEvents > 1 {
		sizes = append(sizes, s.copies(min(3, spec.MaxEvents)))
	}
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
		for _, body := range []string{"", "{}", "[]", "null", "<html>", "\xff\x00", strings.Repeat("x", sidetrack.MaxResponseBytes)} {
			for _, u := range sizes {
				name := fmt.Sprintf("status %d with body %.20q for %d events", tt.status, body, len(u.Events))
				_, err := s.outcome(t, spec, u, &sidetrack.Response{Status: tt.status, Header: http.Header{}, Body: []byte(body)})
				if partial, ok := errors.AsType[*sidetrack.PartialError](err); ok {
					wellFormed(t, name, u, partial)
					continue
				}
				if class, _ := sidetrack.ClassOf(err); !slices.Contains(tt.want, class) {
					t.Errorf("%s: %s, want one of %v", name, class, tt.want)
				}
			}
		}
	}
	for _, status := range []int{429, 503} {
		for name, header := range map[string]http.Header{
			"seconds": {"Retry-After": {"7"}},
			"a date":  {"Retry-After": {"Sat, 31 Jan 2026 12:00:07 GMT"}, "Date": {"Sat, 31 Jan 2026 12:00:00 GMT"}},
		} {
			if class, after := sidetrack.ClassOf(classifier(spec)(u, &sidetrack.Response{Status: status, Header: header, Records: []int{0}})); class != sidetrack.Throttled || after != 7*time.Second {
				t.Errorf("%d with Retry-After as %s: %s after %s, want throttled after 7s", status, name, class, after)
			}
		}
	}
	for _, a := range s.dialect {
		s.dialectAnswer(t, spec, a)
	}
}

func (s *suite) dialectAnswer(t *testing.T, spec sidetrack.SinkSpec, a Answer) {
	t.Helper()
	u := s.copies(len(a.Want))
	if a.Events != nil {
		u = unit(a.Events...)
	}
	if len(u.Events) != len(a.Want) || len(u.Events) > spec.MaxEvents {
		t.Errorf("%s: %d outcomes for %d events, of which a unit has at most %d", a.Name, len(a.Want), len(u.Events), spec.MaxEvents)
		return
	}
	header := a.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	out, err := s.outcome(t, spec, u, &sidetrack.Response{Status: a.Status, Header: header, Body: []byte(a.Body)})
	whole, _ := sidetrack.ClassOf(err)
	partial, isPartial := errors.AsType[*sidetrack.PartialError](err)
	got := make([]sidetrack.Class, 0, len(u.Events))
	at := 0 // in the unit that was sent
	for i := range u.Events {
		switch {
		case out[i] != nil:
			got = append(got, sidetrack.Rejected)
			continue
		case isPartial:
			class, _ := sidetrack.ClassOf(partial.Failed[at])
			got = append(got, class)
		default:
			got = append(got, whole)
		}
		at++
	}
	if isPartial {
		wellFormed(t, a.Name, sidetrack.Unit{Events: u.Events[:at]}, partial)
	}
	if !slices.Equal(got, a.Want) {
		t.Errorf("%s: %v, want %v (%v)", a.Name, got, a.Want, err)
	}
}

// outcome asks the classifier as the engine does: about the unit as it was sent. out are the events that were left out.
func (s *suite) outcome(t *testing.T, spec sidetrack.SinkSpec, u sidetrack.Unit, r *sidetrack.Response) (out map[int]error, err error) {
	t.Helper()
	made, err := spec.Generator.Request(u)
	if partial, ok := errors.AsType[*sidetrack.PartialError](err); ok {
		out = partial.Failed
	} else if err != nil {
		t.Fatalf("no request for a unit of %d samples: %v", len(u.Events), err)
	}
	if made == nil {
		t.Fatal("nothing of the unit can be sent: no answer is of use")
	}
	u, r.Records = sent.Of(u, made, out)
	return out, classifier(spec)(u, r)
}

func classifier(spec sidetrack.SinkSpec) sidetrack.Classifier {
	if spec.Classify == nil {
		return sidetrack.DefaultClassify
	}
	return spec.Classify
}

// copies is a unit of the first sample, n times.
func (s *suite) copies(n int) sidetrack.Unit {
	var events []*sidetrack.Event
	for i := range n {
		e := s.samples[0].Clone()
		if i > 0 {
			e.ID = uuid.NewSHA1(e.ID, []byte{byte(i)})
		}
		events = append(events, e)
	}
	return unit(events...)
}
