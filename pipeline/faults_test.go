package pipeline_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/faults"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// lineSink sends the names of a unit's events, one a line, and reads what faults.Partial answers.
func lineSink(url string, opts ...sidetrack.SinkOption) *sidetrack.Sink {
	g := sidetrack.GeneratorFunc(func(u sidetrack.Unit) (*sidetrack.Request, error) {
		var body strings.Builder
		for _, e := range u.Events {
			fmt.Fprintln(&body, e.Name)
		}
		return &sidetrack.Request{URL: url, Body: []byte(body.String())}, nil
	})
	return sidetrack.HTTPSink(g, append([]sidetrack.SinkOption{sidetrack.MaxEvents(10), sidetrack.Classify(readPartial)}, opts...)...)
}

func readPartial(u sidetrack.Unit, r *sidetrack.Response) error {
	if err := sidetrack.DefaultClassify(u, r); err != nil {
		return err
	}
	failed := map[int]error{}
	for line := range strings.Lines(string(r.Body)) {
		var i, status int
		if _, err := fmt.Sscanf(line, faults.PartialMark+"%d %d", &i, &status); err == nil {
			failed[i] = sidetrack.DefaultClassify(u, &sidetrack.Response{Status: status})
		}
	}
	if len(failed) > 0 {
		return &sidetrack.PartialError{Failed: failed}
	}
	return nil
}

// TestEachFaultEndsWhereItShould sends ten events to a backend with a trouble, one of them to blame for
// it where it is one event's: that one ends in its column, and the others are delivered once.
func TestEachFaultEndsWhereItShould(t *testing.T) {
	const bad = "bad"
	chosen := func(id string) bool { return id == bad }
	refuse := func(status int) func(string) int {
		return func(id string) int {
			if chosen(id) {
				return status
			}
			return 0
		}
	}
	once := func(a faults.Answer) faults.Answer { return faults.Sequence(a, faults.OK) }
	quota := []sidetrack.ResponseRule{{Body: "quota", As: sidetrack.Throttled, After: 50 * time.Millisecond}}
	for name, c := range map[string]struct {
		answer faults.Answer
		old    bool // the bad event is past the backend's window
		rules  []sidetrack.ResponseRule
		column pipeline.Column // of the bad event
		reason sidetrack.Reason
		all    int           // how often every event is taken; 0: once
		slow   time.Duration // the least it takes
	}{
		"past the backend's window":         {answer: faults.OK, old: true, column: pipeline.Expired, reason: sidetrack.ReasonMaxAge},
		"4xx poison":                        {answer: faults.Poison(chosen, faults.Status(400), faults.OK), column: pipeline.Dead, reason: sidetrack.ReasonRejected},
		"500 poison":                        {answer: faults.Poison(chosen, faults.Status(500), faults.OK), column: pipeline.Expired, reason: sidetrack.ReasonMaxAge},
		"poison that resets":                {answer: faults.Poison(chosen, faults.Reset, faults.OK), column: pipeline.Expired, reason: sidetrack.ReasonMaxAge},
		"bad element of a batch":            {answer: faults.Partial(refuse(400)), column: pipeline.Dead, reason: sidetrack.ReasonRejected},
		"failing element of a batch":        {answer: faults.Partial(refuse(500)), column: pipeline.Expired, reason: sidetrack.ReasonMaxAge},
		"429 with a date":                   {answer: once(faults.Throttle(2 * time.Second)), column: pipeline.Delivered, slow: time.Second},
		"503 with seconds":                  {answer: once(faults.Status(503, "Retry-After", "1")), column: pipeline.Delivered, slow: time.Second},
		"200 whose body says failure":       {answer: once(faults.ErrorBody(`{"error": "Quota exceeded"}`)), rules: quota, column: pipeline.Delivered},
		"200 whose body is cut":             {answer: once(faults.ShortBody(200, `{"error": "Q`)), rules: quota, column: pipeline.Delivered},
		"200 whose body never ends":         {answer: once(faults.EndlessBody(200)), rules: quota, column: pipeline.Delivered},
		"200 whose body drips":              {answer: once(faults.Drip(200, "a long story", time.Second)), rules: quota, column: pipeline.Delivered},
		"5xx":                               {answer: once(faults.Status(502)), column: pipeline.Delivered},
		"408":                               {answer: once(faults.Status(408)), column: pipeline.Delivered},
		"hangs":                             {answer: once(faults.Hang), column: pipeline.Delivered},
		"resets":                            {answer: once(faults.Reset), column: pipeline.Delivered},
		"is no HTTP":                        {answer: once(faults.Garbage), column: pipeline.Delivered},
		"cut in the status":                 {answer: once(faults.CutStatus), column: pipeline.Delivered},
		"endless header":                    {answer: once(faults.EndlessHeader), column: pipeline.Delivered},
		"takes it and answers 500":          {answer: once(faults.Lost(faults.Status(500))), column: pipeline.Delivered, all: 2},
		"takes it and answers too late":     {answer: once(faults.Lost(faults.Late(2*time.Second, faults.Status(200)))), column: pipeline.Delivered, all: 2},
		"takes it and drops the connection": {answer: once(faults.Lost(faults.Reset)), column: pipeline.Delivered, all: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := faults.NewBackend(c.answer, nil)
			defer backend.Close()
			began := time.Now()
			r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{{
				Name: "s", Sink: lineSink(backend.URL, sidetrack.MaxAge(time.Hour)), Responses: c.rules,
				Delivery: pipeline.Delivery{
					Timeout: 700 * time.Millisecond, MaxAge: 4 * time.Second, Isolate: 500 * time.Millisecond,
					MinBackoff: 20 * time.Millisecond, MaxBackoff: 200 * time.Millisecond,
					Breaker: pipeline.Breaker{Pause: 100 * time.Millisecond},
				},
			}}})
			want := map[string]int{}
			list := events("e", 9)
			for _, e := range list {
				want[e.Name] = max(1, c.all)
			}
			poison := event(bad)
			if c.old {
				poison.Time = time.Now().Add(-2 * time.Hour)
			}
			r.emit(slices.Insert(list, 4, poison)...)
			r.drain(30 * time.Second)
			if c.column == pipeline.Delivered {
				want[bad] = max(1, c.all)
			}
			if got := backend.Taken(); !maps.Equal(got, want) {
				t.Errorf("taken %v, want %v", got, want)
			}
			if took := time.Since(began); took < c.slow {
				t.Errorf("all over after %s, the backend asked for more", took)
			}
			row := r.row("s")
			for column, reasons := range map[pipeline.Column]map[sidetrack.Reason]int64{pipeline.Dead: row.Dead, pipeline.Expired: row.Expired} {
				n := int64(0)
				if column == c.column {
					n = 1
				}
				if reasons[c.reason] != n && c.reason != "" || total(reasons) != n {
					t.Errorf("%s: %v, want %d with reason %q", column, reasons, n, c.reason)
				}
			}
			if row.Delivered != int64(len(want)) || row.Pending != 0 {
				t.Errorf("%+v", row)
			}
			if c.column == pipeline.Dead {
				checkLetter(t, r, bad)
			}
		})
	}
}

// checkLetter finds the one dead letter and the one event in it.
func checkLetter(t *testing.T, r *running, name string) {
	t.Helper()
	n := 0
	for l, err := range r.DeadLetters(t.Context(), pipeline.DeadFilter{}) {
		n++
		var e struct{ Name string }
		if err = errors.Join(err, json.Unmarshal(l.Events[0], &e)); err != nil || len(l.Events) != 1 || e.Name != name || l.Sink != "s" || l.First.IsZero() || l.Last.Before(l.First) || l.Attempts < 1 || l.Error == "" {
			t.Errorf("dead letter %+v, %v", l, err)
		}
		if l.Status != http.StatusBadRequest && l.Status != http.StatusOK {
			t.Errorf("last status %d", l.Status)
		}
	}
	if n != 1 {
		t.Errorf("%d dead letters, want one", n)
	}
}
