package pipeline_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// switched is a backend that is down until it is told otherwise.
type switched struct {
	*backend
	up atomic.Bool
}

func newSwitched(failure error) *switched {
	s := &switched{}
	s.backend = newBackend(func(sidetrack.Unit) error {
		if s.up.Load() {
			return nil
		}
		return failure
	})
	return s
}

func TestBacklogOverItsLimitExpiresTheOldestOfThatSinkAlone(t *testing.T) {
	for name, d := range map[string]pipeline.Delivery{
		"events": {MaxBacklogEvents: 300},
		"bytes":  {MaxBacklogBytes: 300 * 250},
	} {
		for kind, failure := range map[string]error{
			"down":          errors.New("status 500"),
			"throttled":     sidetrack.RetryAfter(errors.New("status 429"), time.Hour),
			"misconfigured": sidetrack.Misconfiguration(errors.New("status 401")),
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					sick, healthy := newSwitched(failure), newBackend(nil)
					r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{
						{Name: "sick", Sink: sidetrack.WriterSink(sick, sidetrack.MaxEvents(10)), Delivery: d},
						sinkOf("healthy", healthy),
					}})
					for i := range 200 {
						r.emit(events(fmt.Sprintf("e%03d_", i), 10)...)
						time.Sleep(100 * time.Millisecond)
					}
					time.Sleep(2 * time.Second)
					synctest.Wait()
					row := r.row("sick")
					if row.Pending > 300 || row.Pending < 150 || row.Expired[sidetrack.ReasonMaxBacklog] != 2000-row.Pending {
						t.Errorf("sick: %+v", row)
					}
					if h := r.row("healthy"); h.Delivered != 2000 {
						t.Errorf("healthy: %+v", h)
					}
					if l := r.Ledger(); l.Accepted != 2000 {
						t.Errorf("intake: %+v", l)
					}
					if n := strings.Count(r.log.String(), "the backlog is over its limit"); n != 1 {
						t.Errorf("said %d times", n)
					}
					pending := row.Pending
					sick.up.Store(true)
					r.drain(2 * time.Hour)
					time.Sleep(2 * time.Second)
					synctest.Wait()
					if row := r.row("sick"); row.Delivered != pending {
						t.Errorf("afterwards: %+v", row)
					}
					got := sick.delivered()
					for i := range 9 { // the newest ten thousandths are what is left
						if e := fmt.Sprintf("e199_%d", i); got[e] != 1 {
							t.Errorf("%s, one of the newest, came %d times", e, got[e])
						}
					}
					if n := strings.Count(r.log.String(), "the backlog is within its limit again"); n != 1 {
						t.Errorf("end said %d times", n)
					}
				})
			})
		}
	}
}

func TestADeadSinkNeverMakesTheBusRefuse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sick, healthy := newSwitched(errors.New("status 500")), newBackend(nil)
		r := start(t, pipeline.Config{Bus: memory.New(memory.Config{MaxBytes: 1 << 20}), Sinks: []pipeline.SinkConfig{
			sinkOf("sick", sick.backend), sinkOf("healthy", healthy),
		}})
		for i := range 1000 { // about 2.5 MB
			r.emit(events(fmt.Sprintf("e%d_", i), 10)...)
			time.Sleep(50 * time.Millisecond)
		}
		if row := r.row("sick"); row.Expired[sidetrack.ReasonMaxBacklog] == 0 || row.Pending < 1000 {
			t.Errorf("sick: %+v", row)
		}
		if row := r.row("healthy"); row.Delivered != 10_000 {
			t.Errorf("healthy: %+v", row)
		}
	})
}

// Where every sink delivers and more comes in than they take, it is the newest that are refused,
// with an answer, and not the oldest that are lost.
func TestMoreThanAllSinksTakeIsRefusedAndNothingExpires(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := newBackend(func(sidetrack.Unit) error { time.Sleep(time.Second); return nil })
		r := start(t, pipeline.Config{Bus: memory.New(memory.Config{MaxBytes: 256 << 10}), Sinks: []pipeline.SinkConfig{sinkOf("slow", slow)}})
		refused := 0
		for range 1000 {
			if err := r.Emit(t.Context(), event("e")); errors.Is(err, sidetrack.ErrUnavailable) {
				refused++
			} else if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if row := r.row("slow"); refused == 0 || total(row.Expired) != 0 {
			t.Errorf("%d refused, %+v", refused, row)
		}
		r.drain(time.Hour)
	})
}

func TestWhatExpiresCanBeKeptAndReplayed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sick := newSwitched(sidetrack.Misconfiguration(errors.New("status 401")))
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{{Name: "a", Sink: sidetrack.WriterSink(sick, sidetrack.MaxEvents(20)),
			Delivery: pipeline.Delivery{MaxBacklogEvents: 100, MaxAge: time.Hour, KeepExpired: true}}}})
		for i := range 50 {
			r.emit(events(fmt.Sprintf("e%d_", i), 10)...)
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Second)
		row := r.row("a")
		if row.Dead[sidetrack.ReasonMaxBacklog] != 500-row.Pending || total(row.Expired) != 0 {
			t.Errorf("over the limit: %+v", row)
		}
		time.Sleep(2 * time.Hour)
		if row := r.row("a"); row.Pending != 0 || row.Dead[sidetrack.ReasonMaxAge]+row.Dead[sidetrack.ReasonMaxBacklog] != 500 || row.Dead[sidetrack.ReasonMaxAge] == 0 {
			t.Errorf("too old: %+v", row)
		}
		sick.up.Store(true)
		if res, err := r.Replay(t.Context(), pipeline.DeadFilter{Reasons: []sidetrack.Reason{sidetrack.ReasonMaxAge, sidetrack.ReasonMaxBacklog}}, pipeline.DeadOptions{}); err != nil || res.Events != 500 {
			t.Errorf("%+v, %v", res, err)
		}
		r.drain(10 * time.Minute)
		if n := len(sick.delivered()); n != 500 {
			t.Errorf("%d delivered after the replay", n)
		}
	})
}

func TestAParkedSinkExpiresWhatIsTooOldWithoutAttempting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sick := newSwitched(sidetrack.RetryAfter(errors.New("status 429"), time.Hour))
		grouped := sidetrack.GroupBy(func(e *sidetrack.Event) string { return e.Name })
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{
			{Name: "a", Sink: sidetrack.WriterSink(sick, sidetrack.MaxEvents(7)), Delivery: pipeline.Delivery{MaxAge: 10 * time.Minute}},
			{Name: "grouped", Sink: sidetrack.WriterSink(sick, sidetrack.MaxEvents(7), grouped), Delivery: pipeline.Delivery{MaxAge: 10 * time.Minute}},
		}})
		r.emit(events("old", 20)...)
		time.Sleep(5 * time.Minute)
		r.emit(events("new", 20)...)
		time.Sleep(5*time.Minute + 11*time.Second)
		for _, sink := range []string{"a", "grouped"} {
			if row := r.row(sink); row.Expired[sidetrack.ReasonMaxAge] != 20 || row.Pending != 20 {
				t.Errorf("%+v", row)
			}
		}
		if n := sick.attempts(); n != 2 {
			t.Errorf("%d attempts", n)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if row := r.row("grouped"); row.Expired[sidetrack.ReasonMaxAge] != 40 || row.Pending != 0 {
			t.Errorf("%+v", row)
		}
	})
}

func TestLimitsThatCannotBeAreRefused(t *testing.T) {
	b := memory.New(memory.Config{MaxBytes: 1 << 20})
	p, err := pipeline.New(pipeline.Config{Bus: b, Sinks: []pipeline.SinkConfig{
		{Name: "a", Sink: sidetrack.WriterSink(newBackend(nil)), Delivery: pipeline.Delivery{MaxBacklogBytes: 2 << 20}}}})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "sink a: max_backlog is 2097152 bytes, and the bus keeps 1048576") {
		t.Errorf("%v", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	_, err = pipeline.New(pipeline.Config{Bus: b, Sinks: []pipeline.SinkConfig{
		{Name: "a", Sink: sidetrack.WriterSink(newBackend(nil)), Delivery: pipeline.Delivery{MaxBacklogEvents: -1}}}})
	if err == nil || !strings.Contains(err.Error(), "max_backlog") {
		t.Errorf("%v", err)
	}
}

// A sink that does not deliver is not spared for being the only one.
func TestTheOnlySinkExpiresWhenItIsDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sick := newSwitched(errors.New("status 500"))
		r := start(t, pipeline.Config{Bus: memory.New(memory.Config{MaxBytes: 256 << 10}), Sinks: []pipeline.SinkConfig{sinkOf("sick", sick.backend)}})
		for i := range 400 {
			r.emit(events(fmt.Sprintf("e%d_", i), 10)...)
			time.Sleep(50 * time.Millisecond)
		}
		if row := r.row("sick"); row.Expired[sidetrack.ReasonMaxBacklog] == 0 {
			t.Errorf("%+v", row)
		}
	})
}
