package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// of makes an event of a visitor.
func of(client, user, name string) *sidetrack.Event {
	e := event(name)
	e.Visitor.ClientID, e.Visitor.UserID = client, user
	return e
}

// What waits for a sink when its visitor withdraws is not delivered, wherever it waits: on the bus, in
// the window, between attempts, in dead letters.
func TestForgettingReachesWhatWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newStore()
		down := newSwitched(errors.New("status 500"))
		var erased []string
		cfg := pipeline.Config{Sinks: []pipeline.SinkConfig{
			{Name: "down", Sink: sidetrack.WriterSink(down, sidetrack.MaxEvents(3))},
			sinkOf("rejects", newRefuser().backend),
			{Name: "own", Sink: sidetrack.WriterSink(newBackend(nil), sidetrack.Erase(func(_ context.Context, person sidetrack.Person) (int64, error) {
				for _, e := range []*sidetrack.Event{of("them", "", "a"), of("other", "", "b"), of("", "u1", "c"), of("other", "u1", "d")} {
					if person.Is(e) {
						erased = append(erased, e.Name)
					}
				}
				return int64(len(erased)), nil
			}))},
		}}
		runOn(t, b, cfg, func(r *running) {
			r.emit(of("them", "", "t1"), of("other", "", "o1"), of("them", "", "t2"), of("x", "u1", "u1"), of("y", "u2", "o2"))
			time.Sleep(time.Minute)
			got, err := r.Forget(t.Context(), pipeline.Person{ClientID: "them", UserID: "u1"})
			if err != nil {
				t.Fatal(err)
			}
			if got.DeadLetters != 3 || len(got.Sinks) != 3 || got.Sinks[0].Reached || got.Sinks[1].Reached || !got.Sinks[2].Reached || got.Sinks[2].Erased != 3 {
				t.Errorf("%+v", got)
			}
			if s := strings.Join(erased, " "); s != "a c d" {
				t.Errorf("erased %s", s)
			}
			if left := namesIn(t, lettersOf(t, r.Pipeline, pipeline.DeadFilter{})); len(left) != 2 {
				t.Errorf("dead letters left: %v", left)
			}
			r.emit(of("them", "", "t3"), of("other", "", "o3")) // they come again before the entry ends
			time.Sleep(time.Second)
		})
		down.up.Store(true)
		l := runOn(t, b, cfg, func(r *running) { // the list outlives the process
			r.emit(of("them", "", "t4"), of("z", "u1", "u4"), of("other", "", "o4"))
			r.drain(time.Hour)
		})
		for name := range down.delivered() {
			if !strings.HasPrefix(name, "o") {
				t.Errorf("%s was delivered", name)
			}
		}
		if row := l.Sinks[0]; row.Delivered != 4 || row.Withheld[sidetrack.ReasonSuppressed] != 6 || row.Uncertain+row.Repeated != 0 {
			t.Errorf("%s", asJSON(row))
		}
		for rec, err := range b.Read(t.Context(), pipeline.TopicSuppressed, 0) {
			if err != nil || strings.Contains(string(rec.Message.Payload), "them") {
				t.Errorf("the list shows whom it is about: %s, %v", rec.Message.Payload, err)
			}
		}
		time.Sleep(40 * 24 * time.Hour)
		if l = runOn(t, b, cfg, func(r *running) { r.emit(of("them", "", "o-later")); r.drain(time.Hour) }); l.Sinks[0].Delivered != 5 {
			t.Errorf("the entry never ends: %s", asJSON(l.Sinks[0]))
		}
	})
}

func TestAWithdrawalSparesWhatComesLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		down := newSwitched(sidetrack.RetryAfter(errors.New("status 429"), time.Hour))
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("a", down.backend)}})
		r.emit(of("c", "", "before"), of("d", "", "other"))
		synctest.Wait()
		time.Sleep(time.Minute)
		if err := r.Suppress(t.Context(), time.Now(), pipeline.Person{ClientID: "c"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		r.emit(of("c", "", "after"))
		down.up.Store(true)
		r.drain(3 * time.Hour)
		if got := down.delivered(); got["before"] != 0 || got["after"] != 1 || got["other"] != 1 {
			t.Errorf("delivered %v", got)
		}
		// An earlier withdrawal does not take back a later one, nor "everything".
		if err := r.Suppress(t.Context(), time.Now().Add(-24*time.Hour), pipeline.Person{ClientID: "c"}, pipeline.Person{}); err != nil {
			t.Fatal(err)
		}
		x := r.Preview(t.Context(), &sidetrack.Event{Name: "e", Received: time.Now().Add(-3*time.Hour - 2*time.Minute), Visitor: sidetrack.Visitor{ClientID: "c"}, Consent: sidetrack.GrantAll("test")})
		if x[0].Column != pipeline.Withheld || x[0].Reason != sidetrack.ReasonSuppressed {
			t.Errorf("explain: %s", asJSON(x))
		}
		if _, err := r.Forget(t.Context(), pipeline.Person{}); err == nil {
			t.Error("nobody can be forgotten")
		}
	})
}

// A unit that was under way when its visitor was forgotten does not become a dead letter.
func TestForgottenInFlightLeavesNoDeadLetter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := newBackend(func(sidetrack.Unit) error {
			time.Sleep(5 * time.Second)
			return sidetrack.Permanent(errors.New("no"))
		})
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("a", slow)}})
		r.emit(of("c", "", "e"))
		time.Sleep(time.Second)
		if _, err := r.Forget(t.Context(), pipeline.Person{ClientID: "c"}); err != nil {
			t.Fatal(err)
		}
		r.drain(time.Minute)
		if row := r.row("a"); row.Withheld[sidetrack.ReasonSuppressed] != 1 || total(row.Dead) != 0 {
			t.Errorf("%s", asJSON(row))
		}
	})
}

func TestAFullStoreSaysThatNobodyWasForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := watch(memory.New(memory.Config{}))
		r := start(t, pipeline.Config{Bus: w, Sinks: []pipeline.SinkConfig{sinkOf("a", newBackend(nil))}})
		w.setFail(errors.New("disk full"))
		if _, err := r.Forget(t.Context(), pipeline.Person{ClientID: "c"}); err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("%v", err)
		}
		w.setFail(nil)
	})
}
