package sinktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/hostile"
)

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
	if spec.MaxEvents > 1 {
		for name, e := range hostile.Events() {
			e.SetOrigin(nil)
			one, other := s.samples[0].Clone(), s.samples[0].Clone()
			one.ID, other.ID = uuid.NewSHA1(e.ID, []byte("one")), uuid.NewSHA1(e.ID, []byte("other"))
			u := unit(one, e, other)
			if p, ok := errors.AsType[*sidetrack.PartialError](spec.Writer.Write(t.Context(), u)); ok {
				wellFormed(t, name+" in a batch", u, p)
				if p.Failed[0] != nil || p.Failed[2] != nil {
					t.Errorf("%s: an event fails because of another one of its batch: %v", name, p.Failed)
				}
			}
		}
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
	case <-time.After(s.patience):
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
