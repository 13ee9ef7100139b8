package sinktest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/hostile"
	"github.com/sidetrack-go/sidetrack/internal/sent"
)

// Fuzz is the body of a fuzz target for a sink that sends requests: any event that can be stored, and any answer. Neither may make
// it panic; the same event gives the same request, one that net/http sends; nothing printed holds a secret; an outcome is about events that were
// sent. The seeds, which every go test runs, are Samples, the events of the suite and some answers.
func Fuzz(f *testing.F, build func() (*sidetrack.Sink, error), answers ...Answer) {
	f.Helper()
	sink, err := build()
	if err != nil {
		f.Fatalf("build: %v", err)
	}
	spec := sink.Spec()
	if spec.Generator == nil {
		f.Fatal("sinktest.Fuzz is for sinks that send requests")
	}
	if spec.Close != nil {
		f.Cleanup(func() { _ = spec.Close() })
	}
	s := &suite{samples: Samples()}
	seeds := Samples()
	for _, e := range hostile.Events() {
		seeds = append(seeds, e)
	}
	for _, e := range seeds {
		if b, err := e.AppendJSON(nil); err == nil {
			f.Add(string(b), 200, "{}")
		}
	}
	first, err := seeds[0].AppendJSON(nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, status := range []int{200, 207, 400, 401, 413, 429, 500, 503} {
		for _, body := range []string{"", "[]", `{"errors":[{"index":-1},{"index":99}]}`, `{"status":"error"}`, "1"} {
			f.Add(string(first), status, body)
		}
	}
	for _, a := range answers {
		f.Add(string(first), a.Status, a.Body)
	}
	f.Fuzz(func(t *testing.T, event string, status int, body string) {
		e, err := sidetrack.ParseEvent(event)
		if err != nil {
			return
		}
		u := unit(e)
		if spec.MaxEvents > 1 {
			u = unit(s.samples[0], e, e)
		}
		s.fuzz(t, spec, u, &sidetrack.Response{Status: status, Header: http.Header{}, Body: []byte(body)})
	})
}

func (s *suite) fuzz(t *testing.T, spec sidetrack.SinkSpec, u sidetrack.Unit, r *sidetrack.Response) {
	t.Helper()
	before := asText(u.Events)
	made, err := spec.Generator.Request(u)
	again, errAgain := spec.Generator.Request(u)
	if show(made) != show(again) || (err == nil) != (errAgain == nil) {
		t.Errorf("two calls differ:\n%s (%v)\n%s (%v)", show(made), err, show(again), errAgain)
	}
	if asText(u.Events) != before {
		t.Error("the generator changed an event, which all sinks share")
	}
	s.survives(t, spec, "the unit", u)
	printed := fmt.Sprintf("%v %+v %v", err, err, made)
	var out map[int]error
	if partial, ok := errors.AsType[*sidetrack.PartialError](err); ok {
		out = partial.Failed
	} else if err != nil {
		made = nil
	}
	if made != nil {
		u, r.Records = sent.Of(u, made, out)
		outcome := classifier(spec)(u, r)
		if partial, ok := errors.AsType[*sidetrack.PartialError](outcome); ok {
			wellFormed(t, fmt.Sprintf("status %d with body %.200q", r.Status, r.Body), u, partial)
		}
		printed += fmt.Sprintf("%v %+v", outcome, outcome)
	}
	for _, secret := range spec.Secrets {
		if v := secret.Reveal(); len(v) > 3 && strings.Contains(printed, v) && !strings.Contains(before+string(r.Body), v) {
			t.Errorf("a secret is printed: …%s…", around(printed, v))
		}
	}
}
