package columns

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/columns/columnstest"
	"github.com/sidetrack-go/sidetrack/internal/eventkeys"
	"github.com/sidetrack-go/sidetrack/internal/hostile"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

// canonical is the event as its JSON gives it back, nil when that cannot be read.
func canonical(t *rapid.T, e *sidetrack.Event) *sidetrack.Event {
	b, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := sidetrack.ParseEvent(string(b))
	if err != nil {
		return nil
	}
	return out
}

func asJSON(e *sidetrack.Event) string {
	b, err := e.AppendJSON(nil)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// rewritten is the row as a table gives it back: with JSON in another form, and zero values where that is allowed.
func rewritten(r *Row, zeros bool) *Row {
	out := &Row{Values: slices.Clone(r.Values)}
	for i, c := range layout {
		v := &out.Values[i]
		if c.Kind == JSON && v.Set {
			var b bytes.Buffer
			if json.Indent(&b, []byte(v.Text), " ", "\t") == nil {
				v.Text = b.String()
			}
		}
		if zeros && !c.Nullable && c.Kind != JSON && !v.Set {
			v.Set = true
		}
	}
	return out
}

func TestARowReadsBackIntoAnEqualEvent(t *testing.T) {
	var reused Row
	made, compared := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		made++
		e := columnstest.Events().Draw(t, "event")
		want := canonical(t, e)
		if want == nil {
			return
		}
		compared++
		if err := reused.Set(e); err != nil {
			t.Fatal(err)
		}
		var fresh Row
		if err := fresh.Set(e); err != nil || !reflect.DeepEqual(fresh.Values, reused.Values) {
			t.Fatalf("the row depends on what it held before: %v\n%v\n%v", err, fresh.Values, reused.Values)
		}
		lacking := Row{Without: make([]bool, len(layout))}
		for i := range layout[:len(layout)-1] {
			lacking.Without[i] = rapid.Bool().Draw(t, "without")
		}
		if err := lacking.Set(e); err != nil {
			t.Fatal(err)
		}
		for i, v := range lacking.Values {
			if lacking.Without[i] && v.Set {
				t.Fatalf("a value for %s, which the table does not have", layout[i].Name)
			}
		}
		for _, r := range []*Row{&reused, &lacking, rewritten(&reused, false), rewritten(&reused, true)} {
			got, err := r.Event()
			if err != nil {
				t.Fatalf("%v\n%s\n%+v", err, asJSON(e), r.Values)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got  %s\nwant %s\nrest %q", asJSON(got), asJSON(want), r.Values[len(layout)-1].Text)
			}
		}
	})
	if compared < made/2 {
		t.Errorf("of %d events only %d have JSON that can be read", made, compared)
	}
}

func TestOrdinaryAndHostileEvents(t *testing.T) {
	events := hostile.Events()
	for _, e := range sinktest.Samples() {
		events[e.MessageID] = e
	}
	for name, e := range events {
		var r Row
		if _, err := e.AppendJSON(nil); err != nil {
			if r.Set(e) == nil {
				t.Errorf("%s: taken, although JSON cannot hold it", name)
			}
			continue
		}
		if err := r.Set(e); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := r.Event()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if a, b := asJSON(got), asJSON(e); a != b {
			t.Errorf("%s: %s", name, cmp.Diff(b, a))
		}
	}
}

// Every key of the documented format has a column: a new field of the event must get one.
func TestEveryKeyHasAColumn(t *testing.T) {
	b, err := json.Marshal(eventkeys.Tree())
	if err != nil {
		t.Fatal(err)
	}
	e, err := sidetrack.ParseEvent(string(b))
	if err != nil {
		t.Fatal(err)
	}
	var r Row
	if err := r.Set(e); err != nil {
		t.Fatal(err)
	}
	for i, c := range layout {
		switch {
		case c.Name == "rest" && r.Values[i].Set:
			t.Errorf("without a column: %s", r.Values[i].Text)
		case c.Name != "rest" && c.Kind != Nanos && !r.Values[i].Set:
			t.Errorf("%s: no event fills it", c.Name)
		}
	}
}

func TestLayout(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Layout() {
		if seen[c.Name] || !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(c.Name) {
			t.Errorf("column %q: twice, or no plain name", c.Name)
		}
		seen[c.Name] = true
	}
	for _, want := range []string{"id", "time", "time_nsec", "visitor_client_id", "page_url", "consent_ad_storage", "ecommerce_creative_slot", "params", "rest"} {
		if !seen[want] {
			t.Errorf("no column %s", want)
		}
	}
}

func TestWhatDoesNotFitIsInRest(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.UTC)
	e := &sidetrack.Event{Name: "n", Time: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), Received: at, Ecommerce: &sidetrack.Ecommerce{}, Social: &sidetrack.Social{Action: "a"}}
	var r Row
	if err := r.Set(e); err != nil {
		t.Fatal(err)
	}
	got := map[string]Value{}
	for i, c := range layout {
		if r.Values[i].Set {
			got[c.Name] = r.Values[i]
		}
	}
	want := map[string]Value{
		"v": {Set: true, Int: sidetrack.EventVersion}, "name": {Set: true, Text: "n"}, "social_action": {Set: true, Text: "a"},
		"received": {Set: true, Int: at.UnixMicro()}, "received_nsec": {Set: true, Int: 789},
		"rest": {Set: true, Text: `{"time":"0001-01-01T00:00:00.000000001Z","ecommerce":{}}`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBrokenRows(t *testing.T) {
	for _, rest := range []string{"", "[]", `{"a"`, `{"a":`, `{"a":"`, `{"a":[1}`, `{,}`} {
		r := Row{Values: make([]Value, len(layout))}
		r.Values[len(layout)-1] = Value{Set: true, Text: rest}
		if e, err := r.Event(); err == nil {
			t.Errorf("rest %q was read: %s", rest, asJSON(e))
		}
	}
	if _, err := (&Row{}).Event(); err == nil {
		t.Error("a row without values was read")
	}
}

func FuzzRest(f *testing.F) {
	for _, s := range []string{`{}`, `{"ecommerce":{}}`, `{"visitor":{"x":[1,"]"]},"y":null}`, `{"a":"\""}`, `{"page": {"status" : 1 } }`, `{"a":`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rest string) {
		r := Row{Values: make([]Value, len(layout))}
		r.Values[len(layout)-1] = Value{Set: true, Text: rest}
		e, err := r.Event()
		if err == nil && e == nil {
			t.Error("neither an event nor an error")
		}
	})
}

func BenchmarkSet(b *testing.B) {
	samples := sinktest.Samples()
	var r Row
	b.ReportAllocs()
	for i := range b.N {
		if err := r.Set(samples[i%len(samples)]); err != nil {
			b.Fatal(err)
		}
	}
}
