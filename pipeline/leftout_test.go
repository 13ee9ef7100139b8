package pipeline_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// picky leaves out events named "drop" on purpose and events named "bad" for good, and notes events named "odd".
func picky(url string, opts ...sidetrack.SinkOption) *sidetrack.Sink {
	g := sidetrack.GeneratorFunc(func(u sidetrack.Unit) (*sidetrack.Request, error) {
		req := &sidetrack.Request{URL: url, Header: http.Header{"Content-Type": {"text/plain"}}}
		failed := map[int]error{}
		var names []string
		for i, e := range u.Events {
			switch {
			case strings.HasPrefix(e.Name, "drop"):
				failed[i] = sidetrack.Drop("not_wanted")
			case strings.HasPrefix(e.Name, "bad"):
				failed[i] = errors.New("cannot be said")
			default:
				if strings.HasPrefix(e.Name, "odd") {
					req.Notes = append(req.Notes, sidetrack.Note{Event: i, Rule: "odd", Field: "name", Text: "is odd"})
				}
				names = append(names, e.Name)
			}
		}
		req.Body = []byte(strings.Join(names, ","))
		if len(names) == 0 {
			req = nil
		}
		if len(failed) > 0 {
			return req, &sidetrack.PartialError{Failed: failed}
		}
		return req, nil
	})
	return sidetrack.HTTPSink(g, append(opts, sidetrack.MaxEvents(100))...)
}

func TestEventsLeftOutByTheGeneratorCostNoSecondRequest(t *testing.T) {
	fail := true
	url, bodies := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if fail {
			fail = false
			w.WriteHeader(500)
		}
	})
	w := watch(memory.New(memory.Config{}))
	r := start(t, pipeline.Config{Bus: w, Sinks: []pipeline.SinkConfig{{Name: "s", Sink: picky(url), Delivery: pipeline.Delivery{MinBackoff: time.Millisecond}}}})
	r.emit(event("a"), event("drop1"), event("odd1"), event("bad1"), event("drop2"), event("b"))
	r.emit(event("drop3"))
	r.drain(10 * time.Second)
	row := r.row("s")
	if row.Delivered != 3 || row.Dropped["not_wanted"] != 3 || row.Dead[sidetrack.ReasonUnbuildable] != 1 || row.Noted["odd"] != 1 {
		t.Errorf("%+v", row)
	}
	// The first answer was a failure: the same three events came again, and nothing was halved.
	if got := bodies(); len(got) != 2 || got[0] != "a,odd1,b" || got[1] != got[0] {
		t.Errorf("requests %q", got)
	}
	if dead := w.dead(); len(dead) != 1 || dead[0].Error != "cannot be said" {
		t.Errorf("%+v", dead)
	}
}

func TestExplainShowsNotesAndWhatIsLeftOut(t *testing.T) {
	r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{{Name: "s", Sink: picky("https://example.com/")}}})
	for name, want := range map[string]string{
		"odd":  `"column":"delivered","notes":["odd: name is odd"],"request":`,
		"drop": `"column":"dropped","reason":"not_wanted"`,
		"bad":  `"column":"dead","reason":"unbuildable","error":"cannot be said"`,
	} {
		if got := asJSON(r.Explain(t.Context(), event(name)).Sinks); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
