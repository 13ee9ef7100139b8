package sinktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

const secretValue = "very-s3cret-key"

// request is what a sink that does everything right sends; mess spoils it.
func request(u sidetrack.Unit, mess func(*sidetrack.Request)) (*sidetrack.Request, error) {
	if len(u.Events) == 0 {
		return nil, errors.New("no events")
	}
	failed := map[int]error{}
	var names []string
	var records []int
	for i, e := range u.Events {
		if e.Name == "" {
			failed[i] = errors.New("an event without a name")
			continue
		}
		names, records = append(names, strings.ToValidUTF8(e.Name, "?")), append(records, i)
	}
	var err error
	if len(failed) > 0 {
		err = &sidetrack.PartialError{Failed: failed}
	}
	if len(names) == 0 {
		return nil, err
	}
	r, encodeErr := sidetrack.PostJSON("https://backend.example/in", map[string]any{"names": names, "at": u.At})
	if encodeErr != nil {
		return nil, encodeErr
	}
	r.Records = records
	if mess != nil {
		mess(r)
	}
	return r, err
}

// named reads answers that name records by number: {"bad":[0]}.
func named(u sidetrack.Unit, r *sidetrack.Response) error {
	var answer struct{ Bad []int }
	if r.Status != http.StatusMultiStatus || json.Unmarshal(r.Body, &answer) != nil || len(answer.Bad) == 0 {
		return sidetrack.DefaultClassify(u, r)
	}
	failed := map[int]error{}
	for _, record := range answer.Bad {
		if i, ok := r.Event(record); ok {
			failed[i] = sidetrack.Permanent(errors.New("bad"))
		}
	}
	if len(failed) == 0 {
		return sidetrack.DefaultClassify(u, r)
	}
	return &sidetrack.PartialError{Failed: failed}
}

func generator(f func(u sidetrack.Unit) (*sidetrack.Request, error), opts ...sidetrack.SinkOption) func() (*sidetrack.Sink, error) {
	return func() (*sidetrack.Sink, error) {
		opts := append([]sidetrack.SinkOption{sidetrack.MaxEvents(10), sidetrack.Classify(named), sidetrack.Secrets(sidetrack.NewSecret(secretValue))}, opts...)
		return sidetrack.HTTPSink(sidetrack.GeneratorFunc(f), opts...), nil
	}
}

func right(u sidetrack.Unit) (*sidetrack.Request, error) { return request(u, nil) }

func spoiled(mess func(*sidetrack.Request)) func() (*sidetrack.Sink, error) {
	return generator(func(u sidetrack.Unit) (*sidetrack.Request, error) { return request(u, mess) })
}

type writerFunc func(ctx context.Context, u sidetrack.Unit) error

func (f writerFunc) Write(ctx context.Context, u sidetrack.Unit) error { return f(ctx, u) }

// shelf is a writer that does everything right: it refuses events without a name.
type shelf struct{ events []*sidetrack.Event }

func (s *shelf) Write(ctx context.Context, u sidetrack.Unit) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	failed := map[int]error{}
	for i, e := range u.Events {
		if e.Name == "" {
			failed[i] = sidetrack.Permanent(errors.New("no name"))
			continue
		}
		s.events = append(s.events, e)
	}
	if len(failed) > 0 {
		return &sidetrack.PartialError{Failed: failed}
	}
	return nil
}

func (s *shelf) erase(_ context.Context, p sidetrack.Person) (int64, error) {
	n := len(s.events)
	s.events = slices.DeleteFunc(s.events, p.Is)
	return int64(n - len(s.events)), nil
}

func writer(f writerFunc, opts ...sidetrack.SinkOption) func() (*sidetrack.Sink, error) {
	return func() (*sidetrack.Sink, error) {
		s := &shelf{}
		w := sidetrack.Writer(s)
		if f != nil {
			w = writerFunc(func(ctx context.Context, u sidetrack.Unit) error {
				if err := f(ctx, u); err != nil {
					return err
				}
				return s.Write(ctx, u)
			})
		}
		return sidetrack.WriterSink(w, append([]sidetrack.SinkOption{sidetrack.MaxEvents(10), sidetrack.Erase(s.erase)}, opts...)...), nil
	}
}

var dialect = Answers(
	Answer{Name: "one of three", Status: 207, Body: `{"bad":[1]}`, Want: []sidetrack.Class{sidetrack.Delivered, sidetrack.Rejected, sidetrack.Delivered}},
	Answer{
		Name: "behind one that is left out", Events: []*sidetrack.Event{{}, {Name: "a"}, {Name: "b"}}, Status: 207, Body: `{"bad":[1]}`,
		Want: []sidetrack.Class{sidetrack.Rejected, sidetrack.Delivered, sidetrack.Rejected},
	},
	Answer{Name: "out of range", Status: 207, Body: `{"bad":[7]}`, Want: []sidetrack.Class{sidetrack.Delivered, sidetrack.Delivered}},
)

func TestARightSinkPasses(t *testing.T) {
	t.Run("generator", func(t *testing.T) { Run(t, generator(right), Golden("testdata/golden"), dialect) })
	t.Run("one event a request", func(t *testing.T) { Run(t, generator(right, sidetrack.MaxEvents(1))) })
	t.Run("writer", func(t *testing.T) { Run(t, writer(nil)) })
	t.Run("writer of its owner's", func(t *testing.T) { Run(t, writer(nil, sidetrack.Needs()), WithoutNeeds()) })
}

func FuzzARightSink(f *testing.F) { Fuzz(f, generator(right)) }

type fault struct {
	check string // that is to fail
	says  string
	build func() (*sidetrack.Sink, error)
	opts  []Option
}

func failing(s string) func(u sidetrack.Unit) (*sidetrack.Request, error) {
	return func(u sidetrack.Unit) (*sidetrack.Request, error) {
		if len(u.Events) > 0 && u.Events[0].Name == "" {
			return nil, errors.New(s)
		}
		return right(u)
	}
}

func faults() map[string]fault {
	n := 0
	counts := func() string { n++; return fmt.Sprint(n) }
	return map[string]fault{
		"limits":             {"specification", "limits out of range", generator(right, sidetrack.MaxBytes(-1)), nil},
		"no_needs":           {"specification", "needs no consent at all", generator(right, sidetrack.Needs()), nil},
		"odd_purpose":        {"specification", "profit", generator(right, sidetrack.Needs("profit")), nil},
		"group_by_chance":    {"specification", "GroupBy is not a function", generator(right, sidetrack.GroupBy(func(*sidetrack.Event) string { return counts() })), nil},
		"both":               {"specification", "exactly one of", generator(right, func(s *sidetrack.SinkSpec) { s.Writer = &shelf{} }), nil},
		"no_age":             {"specification", "splits nothing", generator(right, sidetrack.SplitAge(0)), nil},
		"a_writers_encoding": {"specification", "neither authorized nor compressed", writer(nil, sidetrack.Accepts(sidetrack.Gzip)), nil},
		"random": {"pure", "two calls differ", spoiled(func(r *sidetrack.Request) {
			r.Body = fmt.Appendf(nil, `{"n":%d}`, rand.Uint64())
		}), nil},
		"attempt": {"pure", "a later attempt", generator(func(u sidetrack.Unit) (*sidetrack.Request, error) {
			return request(u, func(r *sidetrack.Request) { r.URL += fmt.Sprint("?attempt=", u.Attempt) })
		}), nil},
		"writes_to_events": {"pure", "changed an event", generator(func(u sidetrack.Unit) (*sidetrack.Request, error) {
			for _, e := range u.Events {
				e.Site = "mine"
			}
			return right(u)
		}), nil},
		"relative":        {"pure", "no absolute", spoiled(func(r *sidetrack.Request) { r.URL = "/in" }), nil},
		"header_break":    {"pure", "would break the request", spoiled(func(r *sidetrack.Request) { r.Header.Set("X-Name", "a\r\nb: c") }), nil},
		"no_content_type": {"pure", "without Content-Type", spoiled(func(r *sidetrack.Request) { r.Header = nil }), nil},
		"no_sample": {"pure", "a sample cannot be sent", generator(func(sidetrack.Unit) (*sidetrack.Request, error) {
			return nil, errors.New("never")
		}), nil},
		"panics": {"hostile_events", "panic", generator(func(u sidetrack.Unit) (*sidetrack.Request, error) {
			if len(u.Events) > 0 && u.Events[0].Name == "" {
				panic("no name")
			}
			return right(u)
		}), nil},
		"no_json": {"hostile_events", "the body is no JSON", generator(func(u sidetrack.Unit) (*sidetrack.Request, error) {
			return request(u, func(r *sidetrack.Request) { r.Body = []byte(`{"name":"` + u.Events[0].Name + `"}`) })
		}), nil},
		"nothing": {"hostile_events", "neither a request nor an error", generator(func(u sidetrack.Unit) (*sidetrack.Request, error) {
			r, err := right(u)
			if r == nil && len(u.Events) > 0 {
				err = nil
			}
			return r, err
		}), nil},
		"empty_unit": {"hostile_events", "a unit without events", generator(func(u sidetrack.Unit) (*sidetrack.Request, error) {
			if len(u.Events) == 0 {
				return sidetrack.PostJSON("https://backend.example/in", nil)
			}
			return right(u)
		}), nil},
		"loses_the_rest": {"hostile_events", "no request for the events that are not left out", generator(func(u sidetrack.Unit) (*sidetrack.Request, error) {
			r, err := right(u)
			if err != nil {
				r = nil
			}
			return r, err
		}), nil},
		"failure_of_nobody": {"hostile_events", "failure of event 10 of", generator(func(u sidetrack.Unit) (*sidetrack.Request, error) {
			r, err := right(u)
			if p, ok := err.(*sidetrack.PartialError); ok {
				p.Failed[10] = errors.New("who?")
			}
			return r, err
		}), nil},
		"odd_records": {"hostile_events", "is of event", spoiled(func(r *sidetrack.Request) {
			for i := range r.Records {
				r.Records[i] = i
			}
			r.Records = append(r.Records, len(r.Records))
		}), nil},
		"secret_in_error": {"secrets_and_addresses", "a secret is printed", generator(failing("key " + secretValue + " does not help")), nil},
		"full_address": {"secrets_and_addresses", "full address", generator(func(u sidetrack.Unit) (*sidetrack.Request, error) {
			return request(u, func(r *sidetrack.Request) {
				if o := u.Events[0].Origin(); o != nil {
					r.Header.Set("X-Forwarded-For", o.IP().String())
				}
			})
		}), nil},
		"all_rejected": {"answers", "status 500", generator(right, sidetrack.Classify(func(_ sidetrack.Unit, r *sidetrack.Response) error {
			if r.Status < 300 {
				return nil
			}
			return sidetrack.Permanent(errors.New("no"))
		})), nil},
		"never_waits": {"answers", "Retry-After", generator(right, sidetrack.Classify(func(u sidetrack.Unit, r *sidetrack.Response) error {
			r.Header.Del("Retry-After")
			return sidetrack.DefaultClassify(u, r)
		})), nil},
		"counts_too_far": {"answers", "failure of event 3 of", generator(right, sidetrack.Classify(func(u sidetrack.Unit, r *sidetrack.Response) error {
			if r.Status == 400 && len(u.Events) == 3 {
				return &sidetrack.PartialError{Failed: map[int]error{3: sidetrack.Permanent(errors.New("no"))}}
			}
			return sidetrack.DefaultClassify(u, r)
		})), nil},
		"forgets_what_it_left_out": {"answers", "behind one that is left out", generator(func(u sidetrack.Unit) (*sidetrack.Request, error) {
			return request(u, func(r *sidetrack.Request) {
				for i := range r.Records { // as if all had been sent
					r.Records[i] = i
				}
			})
		}), []Option{dialect}},
		"too_many_outcomes": {"answers", "of which a unit has at most 1", generator(right, sidetrack.MaxEvents(1)), []Option{dialect}},
		"changed":           {"golden", "has changed", spoiled(func(r *sidetrack.Request) { r.Header.Set("X-New", "1") }), []Option{Golden("testdata/golden")}},
		"never_written":     {"golden", "-update writes it", generator(right), []Option{Golden("testdata/nowhere")}},
		"goroutine": {"goroutines", "are left behind", func() (*sidetrack.Sink, error) {
			go func() { select {} }()
			return generator(right)()
		}, nil},
		"goroutine_of_a_request": {"goroutines", "are left behind", generator(func(u sidetrack.Unit) (*sidetrack.Request, error) {
			go time.Sleep(time.Hour)
			return right(u)
		}), nil},
		"writes_no_sample": {"writer", "a sample cannot be written", writer(func(context.Context, sidetrack.Unit) error { return errors.New("never") }), nil},
		"writer_panics": {"writer", "panic", writer(func(_ context.Context, u sidetrack.Unit) error {
			if u.Events[0].Name == "" {
				panic("no name")
			}
			return nil
		}), nil},
		"writer_tries_for_ever": {"writer", "asks for a retry", writer(func(_ context.Context, u sidetrack.Unit) error {
			if u.Events[0].Name == "" {
				return errors.New("no name")
			}
			return nil
		}), nil},
		"writer_blames_others": {"writer", "because of another one", writer(func(_ context.Context, u sidetrack.Unit) error {
			for _, e := range u.Events {
				if e.Name == "" {
					return &sidetrack.PartialError{Failed: map[int]error{0: sidetrack.Permanent(errors.New("no name"))}}
				}
			}
			return nil
		}), nil},
		"writer_hangs": {"writer", "although its context has ended", writer(func(ctx context.Context, _ sidetrack.Unit) error {
			if ctx.Err() != nil {
				time.Sleep(time.Hour)
			}
			return nil
		}), []Option{func(s *suite) { s.patience = 50 * time.Millisecond }}},
		"erases_nothing": {"writer", "erased 0 events", writer(nil, sidetrack.Erase(func(context.Context, sidetrack.Person) (int64, error) { return 0, nil })), nil},
		"shows_nothing":  {"writer", "preview", writer(nil, sidetrack.Preview(func(sidetrack.Unit) ([]byte, error) { return nil, nil })), nil},
	}
}

const faulty = "SINKTEST_FAULTY"

// TestFaulty fails. TestEachCheckCatchesItsFault runs it in a process of its own.
func TestFaulty(t *testing.T) {
	if os.Getenv(faulty) == "" {
		t.Skip("fails, for TestEachCheckCatchesItsFault")
	}
	for name, f := range faults() {
		t.Run(name, func(t *testing.T) { Run(t, f.build, f.opts...) })
	}
}

func TestEachCheckCatchesItsFault(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFaulty$", "-test.v")
	cmd.Env = append(os.Environ(), faulty+"=1")
	b, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("no fault is caught:\n%s", b)
	}
	// What one fault's run prints stands between its first line and that of the next.
	sections := map[string]string{}
	name := ""
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "=== RUN   TestFaulty/"); ok {
			name, _, _ = strings.Cut(strings.TrimSpace(rest), "/")
		}
		if strings.HasPrefix(line, "--- FAIL: TestFaulty") {
			name = "results"
		}
		sections[name] += line
	}
	for name, f := range faults() {
		if !strings.Contains(sections["results"], "--- FAIL: TestFaulty/"+name+"/"+f.check) {
			t.Errorf("%s: %s does not fail:\n%s", name, f.check, sections[name])
		}
		if !strings.Contains(sections[name], f.says) {
			t.Errorf("%s: %q is not said:\n%s", name, f.says, sections[name])
		}
	}
}

// fuzzFaults are caught by the seeds already.
func fuzzFaults() map[string]fault {
	return map[string]fault{
		"panics": {"", "panic", generator(func(u sidetrack.Unit) (*sidetrack.Request, error) {
			if u.Events[len(u.Events)-1].Name == sidetrack.Refund {
				panic("a refund")
			}
			return right(u)
		}), nil},
		"random":        {"", "two calls differ", faults()["random"].build, nil},
		"full_of_holes": {"", "no request for the events", faults()["loses_the_rest"].build, nil},
		"secret":        {"", "a secret is printed", generator(failing("key "+secretValue), sidetrack.MaxEvents(1)), nil},
		"counts_too_far": {"", "failure of event 99 of", generator(right, sidetrack.Classify(func(u sidetrack.Unit, r *sidetrack.Response) error {
			if strings.Contains(string(r.Body), "99") {
				return &sidetrack.PartialError{Failed: map[int]error{99: errors.New("no")}}
			}
			return nil
		})), nil},
		"classifier_panics": {"", "panic", generator(right, sidetrack.Classify(func(_ sidetrack.Unit, r *sidetrack.Response) error {
			if r.Status == 207 {
				panic("207")
			}
			return nil
		})), nil},
		"a_writer": {"", "for sinks that send requests", writer(nil), nil},
	}
}

// FuzzFaulty fails. TestFuzzCatchesFaults runs it in processes of its own.
func FuzzFaulty(f *testing.F) {
	name := os.Getenv(faulty)
	if name == "" {
		f.Skip("fails, for TestFuzzCatchesFaults")
	}
	Fuzz(f, fuzzFaults()[name].build)
}

func TestFuzzCatchesFaults(t *testing.T) {
	for name, fault := range fuzzFaults() {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^FuzzFaulty$")
			cmd.Env = append(os.Environ(), faulty+"="+name)
			b, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(b), fault.says) {
				t.Errorf("%v, and %q is not said:\n%.2000s", err, fault.says, b)
			}
		})
	}
}
