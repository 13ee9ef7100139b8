package pipeline_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// backwards sends two records for each event, the last event first, and leaves out those named left….
func backwards(classify sidetrack.Classifier) *sidetrack.Sink {
	g := sidetrack.GeneratorFunc(func(u sidetrack.Unit) (*sidetrack.Request, error) {
		r := &sidetrack.Request{URL: "https://backend.example/"}
		failed := map[int]error{}
		var names []string
		for i, e := range slices.Backward(u.Events) {
			if strings.HasPrefix(e.Name, "left") {
				failed[i] = errors.New("left out")
				continue
			}
			names, r.Records = append(names, e.Name, e.Name), append(r.Records, i, i)
		}
		r.Body = []byte(strings.Join(names, ","))
		return r, &sidetrack.PartialError{Failed: failed}
	})
	return sidetrack.HTTPSink(sidetrack.GeneratorFunc(func(u sidetrack.Unit) (*sidetrack.Request, error) {
		r, err := g(u)
		if p, ok := err.(*sidetrack.PartialError); ok && len(p.Failed) == 0 {
			err = nil
		}
		return r, err
	}), sidetrack.MaxEvents(10), sidetrack.Classify(classify))
}

// TestAClassifierKnowsWhatWasSent has a backend that names a record by its number in the body.
func TestAClassifierKnowsWhatWasSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(func(_ *http.Request, body string) (int, string) {
			for i, name := range strings.Split(body, ",") {
				if name == "bad" {
					return 207, fmt.Sprint(i)
				}
			}
			return 200, ""
		})
		var mu sync.Mutex
		var seen []int
		classify := func(u sidetrack.Unit, r *sidetrack.Response) error {
			if r.Status == 200 {
				return nil
			}
			var record int
			if _, err := fmt.Sscan(string(r.Body), &record); err != nil {
				return err
			}
			i, ok := r.Event(record)
			_, beyond := r.Event(len(r.Records))
			_, below := r.Event(-1)
			if !ok || beyond || below || u.Events[i].Name != "bad" {
				t.Errorf("record %d is event %d (%v) of %d; one beyond: %v, one below: %v", record, i, ok, len(u.Events), beyond, below)
			}
			mu.Lock()
			seen = r.Records
			mu.Unlock()
			return &sidetrack.PartialError{Failed: map[int]error{i: sidetrack.Permanent(errors.New("bad"))}}
		}
		w := watch(memory.New(memory.Config{}))
		r := start(t, pipeline.Config{Bus: w, Client: s.client(), Sinks: []pipeline.SinkConfig{{Name: "a", Sink: backwards(classify)}}})
		r.emit(event("a"), event("left1"), event("bad"), event("left2"), event("b"))
		r.drain(time.Minute)
		if row := r.row("a"); row.Delivered != 2 || row.Dead[sidetrack.ReasonRejected] != 1 || row.Dead[sidetrack.ReasonUnbuildable] != 2 {
			t.Errorf("%+v", row)
		}
		if !slices.Equal(seen, []int{2, 2, 1, 1, 0, 0}) || len(s.seen().bodies) != 1 {
			t.Errorf("records %v, %d requests", seen, len(s.seen().bodies))
		}
	})
}

// TestUnclear has a backend that says how many it refused, but not which: nothing is sent again.
func TestUnclear(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(func(*http.Request, string) (int, string) { return 207, "" })
		classify := func(_ sidetrack.Unit, r *sidetrack.Response) error {
			return sidetrack.Unclear(1, errors.New("1 refused, nobody knows which"))
		}
		w := watch(memory.New(memory.Config{}))
		r := start(t, pipeline.Config{Bus: w, Client: s.client(), Sinks: []pipeline.SinkConfig{{Name: "a", Sink: plainSink(sidetrack.MaxEvents(10), sidetrack.Classify(classify))}}})
		r.emit(events("e", 4)...)
		r.drain(time.Minute)
		if row := r.row("a"); row.Dead[sidetrack.ReasonUnclear] != 4 || len(s.seen().bodies) != 1 || row.State != "ok" {
			t.Errorf("%+v after %d requests", row, len(s.seen().bodies))
		}
		if d := w.dead(); len(d) != 1 || d[0].Reason != "unclear" || len(d[0].Events) != 4 || !strings.Contains(d[0].Error, "nobody knows") {
			t.Errorf("%s", asJSON(d))
		}
		if x := r.Deliver(t.Context(), event("e")).Sinks[0].Answer; x.Outcome != "rejected" {
			t.Errorf("%s", asJSON(x))
		}
	})
	if sidetrack.Unclear(1, nil) != nil {
		t.Error("nil does not stay nil")
	}
}
