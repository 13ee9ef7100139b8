package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

func lettersOf(t *testing.T, p *pipeline.Pipeline, f pipeline.DeadFilter) (out []pipeline.StoredLetter) {
	t.Helper()
	for l, err := range p.DeadLetters(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, l)
	}
	return out
}

// namesIn lists the names of events in letters.
func namesIn(t *testing.T, letters []pipeline.StoredLetter) (names []string) {
	t.Helper()
	for _, l := range letters {
		for _, line := range l.Events {
			e, err := sidetrack.ParseEvent(string(line))
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, e.Name)
		}
	}
	return names
}

// refuser rejects every event until it is told to take them.
type refuser struct {
	*backend
	takes bool
	ids   []uuid.UUID // of what it took
}

func newRefuser() *refuser {
	p := &refuser{}
	p.backend = newBackend(func(u sidetrack.Unit) error {
		if !p.takes {
			return sidetrack.Permanent(errors.New("status 400: no"))
		}
		for _, e := range u.Events {
			p.ids = append(p.ids, e.ID)
		}
		return nil
	})
	return p
}

func TestReplayGoesToOneSinkWithTheIDsItHad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := newRefuser(), newRefuser()
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{
			{Name: "a", Sink: sidetrack.WriterSink(a, sidetrack.MaxEvents(10)), Delivery: pipeline.Delivery{MaxAge: time.Hour}},
			sinkOf("b", b.backend, sidetrack.MaxEvents(10)),
		}})
		list := events("e", 20)
		ids := map[uuid.UUID]bool{}
		r.emit(list...)
		for _, e := range list {
			ids[e.ID] = true
		}
		r.drain(time.Minute)
		if la, lb := r.row("a").Dead[sidetrack.ReasonRejected], r.row("b").Dead[sidetrack.ReasonRejected]; la != 20 || lb != 20 {
			t.Fatalf("dead: %d and %d", la, lb)
		}
		time.Sleep(48 * time.Hour) // far over max_age, which must not end what a person asks for
		a.takes, b.takes = true, true
		f := pipeline.DeadFilter{Sinks: []string{"a"}, Reasons: []sidetrack.Reason{sidetrack.ReasonRejected}}
		dry, err := r.Replay(t.Context(), f, pipeline.DeadOptions{DryRun: true})
		if err != nil || dry.Events != 20 || dry.Sinks["a"] != 20 {
			t.Errorf("dry run: %+v, %v", dry, err)
		}
		synctest.Wait()
		if len(a.delivered()) != 0 || len(lettersOf(t, r.Pipeline, pipeline.DeadFilter{})) != 40 {
			t.Error("a dry run does something")
		}
		var progress []pipeline.DeadProgress
		res, err := r.Replay(t.Context(), f, pipeline.DeadOptions{Progress: func(p pipeline.DeadProgress) { progress = append(progress, p) }})
		if err != nil || res.Events != 20 || res.Letters != 20 {
			t.Errorf("replay: %+v, %v", res, err)
		}
		if len(progress) == 0 || progress[len(progress)-1].Seen != 40 || progress[len(progress)-1].Total != 40 {
			t.Errorf("progress %+v", progress)
		}
		r.drain(time.Minute)
		if len(a.delivered()) != 20 || len(b.delivered()) != 0 {
			t.Errorf("a got %d, b got %d", len(a.delivered()), len(b.delivered()))
		}
		for _, id := range a.ids {
			if !ids[id] {
				t.Errorf("id %s is new", id)
			}
		}
		if row := r.row("a"); row.Delivered != 20 || row.Replayed != 20 || row.Dead[sidetrack.ReasonRejected] != 20 || row.Pending != 0 {
			t.Errorf("%+v", row)
		}
		if left := lettersOf(t, r.Pipeline, pipeline.DeadFilter{}); len(left) != 20 || left[0].Sink != "b" {
			t.Errorf("%d letters left", len(left))
		}
		if again, err := r.Replay(t.Context(), f, pipeline.DeadOptions{}); err != nil || again.Events != 0 {
			t.Errorf("again: %+v, %v", again, err)
		}
		if n := len(a.units[len(a.units)-1]); n != 10 {
			t.Errorf("replayed in units of %d: each by itself", n)
		}
	})
}

func TestReplayRefusesWhatCannotBeDelivered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		time.Sleep(1000 * time.Hour)
		a := newRefuser()
		w := watch(memory.New(memory.Config{}))
		r := start(t, pipeline.Config{Bus: w, Sinks: []pipeline.SinkConfig{sinkOf("a", a.backend, sidetrack.MaxAge(72*time.Hour))}})
		old := event("old")
		old.Time = time.Now().Add(-71 * time.Hour)
		r.emit(old, event("young"))
		r.drain(time.Minute)
		for _, d := range []pipeline.DeadLetter{
			{Sink: "a", Reason: sidetrack.ReasonUndecodable, Raw: "{", Last: time.Now()},
			{Sink: "gone", Reason: sidetrack.ReasonRejected, Events: []json.RawMessage{json.RawMessage(`{"v":1}`)}, Last: time.Now()},
		} {
			publishLetter(t, w, d)
		}
		time.Sleep(2 * time.Hour)
		a.takes = true
		res, err := r.Replay(t.Context(), pipeline.DeadFilter{}, pipeline.DeadOptions{})
		want := map[sidetrack.Reason]int64{sidetrack.ReasonMaxAge: 1, sidetrack.ReasonUndecodable: 1, sidetrack.ReasonNoSink: 1}
		if err != nil || res.Events != 1 || !reflect.DeepEqual(res.Refused, want) {
			t.Errorf("%+v, %v", res, err)
		}
		r.drain(time.Minute)
		if got := a.delivered(); len(got) != 1 || got["young"] != 1 {
			t.Errorf("delivered %v", got)
		}
		if left := lettersOf(t, r.Pipeline, pipeline.DeadFilter{}); len(left) != 3 {
			t.Errorf("what was refused is gone: %s", asJSON(left))
		}
	})
}

func publishLetter(t *testing.T, b bus.Bus, d pipeline.DeadLetter) {
	t.Helper()
	payload, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	m := newBusMessage(payload, max(1, len(d.Events)))
	if err := b.Publisher().Publish(pipeline.TopicDead, m); err != nil {
		t.Fatal(err)
	}
}

func TestDeadFilterChoosesEventsWithinALetter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newRefuser()
		a.takes = true
		w := watch(memory.New(memory.Config{}))
		r := start(t, pipeline.Config{Bus: w, Sites: []sidetrack.Site{{Name: "shop"}, {Name: "blog"}}, Sinks: []pipeline.SinkConfig{sinkOf("a", a.backend)}})
		begin := time.Now()
		letter := func(reason sidetrack.Reason, events ...*sidetrack.Event) {
			d := pipeline.DeadLetter{Sink: "a", Reason: reason, Last: time.Now()}
			for _, e := range events {
				id, err := uuid.NewV7()
				if err != nil {
					t.Fatal(err)
				}
				e.ID, e.Received, e.Time = id, time.Now(), time.Now()
				line, err := e.AppendJSON(nil)
				if err != nil {
					t.Fatal(err)
				}
				d.Events = append(d.Events, line)
			}
			publishLetter(t, w, d)
			time.Sleep(time.Minute)
		}
		shop, blog, other := event("purchase"), event("page_view"), event("purchase")
		shop.Site, blog.Site, other.Site = "shop", "blog", "blog"
		letter(sidetrack.ReasonRejected, shop, blog, other)
		letter(sidetrack.ReasonMaxAge, event("login"))
		letter(sidetrack.ReasonRejected, event("search"))
		for _, tt := range []struct {
			f    pipeline.DeadFilter
			want string
		}{
			{pipeline.DeadFilter{}, "purchase page_view purchase login search"},
			{pipeline.DeadFilter{Sites: []string{"blog"}}, "page_view purchase"},
			{pipeline.DeadFilter{Names: []string{"purchase", "login"}}, "purchase purchase login"},
			{pipeline.DeadFilter{Names: []string{"purchase"}, Sites: []string{"shop"}}, "purchase"},
			{pipeline.DeadFilter{Reasons: []sidetrack.Reason{sidetrack.ReasonRejected}}, "purchase page_view purchase search"},
			{pipeline.DeadFilter{Since: begin.Add(time.Minute)}, "login search"},
			{pipeline.DeadFilter{Until: begin.Add(time.Minute)}, "purchase page_view purchase"},
			{pipeline.DeadFilter{Since: begin.Add(time.Minute), Until: begin.Add(2 * time.Minute)}, "login"},
			{pipeline.DeadFilter{Limit: 2}, "purchase page_view purchase login"},
			{pipeline.DeadFilter{IDs: []uint64{2}}, "login"},
			{pipeline.DeadFilter{Sinks: []string{"b"}}, ""},
		} {
			if got := strings.Join(namesIn(t, lettersOf(t, r.Pipeline, tt.f)), " "); got != tt.want {
				t.Errorf("%+v: %s, want %s", tt.f, got, tt.want)
			}
		}
		res, err := r.Replay(t.Context(), pipeline.DeadFilter{Sites: []string{"shop"}}, pipeline.DeadOptions{})
		if err != nil || res.Events != 1 {
			t.Errorf("replay of one event of a letter: %+v, %v", res, err)
		}
		dropped, err := r.DropDead(t.Context(), pipeline.DeadFilter{Names: []string{"purchase", "search"}}, pipeline.DeadOptions{})
		if err != nil || dropped.Events != 2 {
			t.Errorf("drop of one event of a letter: %+v, %v", dropped, err)
		}
		if got := strings.Join(namesIn(t, lettersOf(t, r.Pipeline, pipeline.DeadFilter{})), " "); got != "login page_view" {
			t.Errorf("left: %s", got)
		}
		r.drain(time.Minute)
		if got := a.delivered(); len(got) != 1 || got["purchase"] != 1 {
			t.Errorf("delivered %v", got)
		}
	})
}

func TestFullDeadLettersMakeRoomByTheOldest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newRefuser()
		r := start(t, pipeline.Config{DeadMaxBytes: 100 << 10, Sinks: []pipeline.SinkConfig{sinkOf("a", a.backend)}})
		// Many die at once, and are stored in any order. What is drained before the rest comes is older.
		for i := range 300 {
			r.emit(event(fmt.Sprintf("e%d", i)))
			if i == 99 {
				r.drain(10 * time.Minute)
			}
		}
		r.drain(10 * time.Minute)
		row := r.row("a")
		if row.Dead[sidetrack.ReasonRejected] != 300 {
			t.Fatalf("%+v", row)
		}
		left := namesIn(t, lettersOf(t, r.Pipeline, pipeline.DeadFilter{}))
		if len(left) < 50 || len(left) >= 200 {
			t.Errorf("%d letters are left", len(left))
		}
		for i := range 100 {
			if slices.Contains(left, fmt.Sprintf("e%d", i)) {
				t.Errorf("e%d, one of the oldest, is left", i)
			}
		}
		if evicted := r.Ledger().Evicted; evicted != int64(300-len(left)) {
			t.Errorf("%d counted as evicted, %d are gone", evicted, 300-len(left))
		}
		if n := strings.Count(r.log.String(), "the dead letters are full"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

// A replay that dies anywhere and is repeated delivers every event, and repeats at most those of
// the message whose letters it could not delete any more.
func TestReplayMayDieAnywhere(t *testing.T) {
	for _, at := range []string{"store", "delete"} {
		t.Run(at, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := newRefuser()
				w := &interrupted{watched: watch(memory.New(memory.Config{}))}
				r := start(t, pipeline.Config{Bus: w, Sinks: []pipeline.SinkConfig{sinkOf("a", a.backend, sidetrack.MaxEvents(100))}})
				r.emit(events("e", 1200)...)
				r.drain(time.Hour)
				a.takes = true
				w.at, w.after = at, 2
				res, err := r.Replay(t.Context(), pipeline.DeadFilter{}, pipeline.DeadOptions{})
				if err == nil {
					t.Fatal("no interruption")
				}
				w.at = ""
				w.setFail(nil)
				again, err := r.Replay(t.Context(), pipeline.DeadFilter{}, pipeline.DeadOptions{})
				if err != nil {
					t.Fatal(err)
				}
				r.drain(time.Hour)
				repeats, missing := 0, 0
				for _, e := range events("e", 1200) {
					switch n := a.delivered()[e.Name]; {
					case n == 0:
						missing++
					default:
						repeats += n - 1
					}
				}
				if want := map[string]int{"store": 0, "delete": 500}[at]; missing != 0 || repeats > want {
					t.Errorf("%d missing, %d repeated, at most %d may be; first %+v, then %+v", missing, repeats, want, res, again)
				}
				r.row("a")
			})
		})
	}
}

// interrupted is a bus that fails at one kind of call of a replay.
type interrupted struct {
	*watched
	at    string
	after int
}

func (b *interrupted) Remove(ctx context.Context, topic string, seqs ...uint64) error {
	if b.at == "delete" {
		if b.after--; b.after <= 0 {
			return errors.New("died before deleting")
		}
	}
	if b.at == "store" {
		if b.after--; b.after <= 0 {
			b.setFail(errors.New("died before storing"))
		}
	}
	return b.watched.Remove(ctx, topic, seqs...)
}

func TestOnlyOneWorksOnDeadLetters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newRefuser()
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{sinkOf("a", a.backend)}})
		r.emit(events("e", 3)...)
		r.drain(time.Minute)
		inside := false
		_, err := r.DropDead(t.Context(), pipeline.DeadFilter{}, pipeline.DeadOptions{DryRun: true, Progress: func(pipeline.DeadProgress) {
			if !inside {
				inside = true
				if _, err := r.Replay(t.Context(), pipeline.DeadFilter{}, pipeline.DeadOptions{}); err == nil {
					t.Error("two at once")
				}
			}
		}})
		if err != nil || !inside {
			t.Errorf("%v, %t", err, inside)
		}
	})
}

// Whatever bytes are on the topic, reading them gives a letter that survives being written and
// read again, or an error.
func FuzzParseDeadLetter(f *testing.F) {
	f.Add([]byte(`{"sink":"a","reason":"rejected","error":"status 400","status":400,"attempts":1,"first":"2026-01-31T12:00:00Z","last":"2026-01-31T12:00:00Z","events":[{"v":1,"name":"x"}]}`))
	f.Add([]byte(`{"sink":"a","reason":"undecodable","raw":"{"}`))
	f.Add([]byte(`{"sink":"a","events":[1,null,"x"]}`))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := pipeline.ParseDeadLetter(slices.Clone(data))
		if err != nil {
			return
		}
		out, err := json.Marshal(d)
		if err != nil {
			t.Fatalf("a letter that was read cannot be written: %v", err)
		}
		again, err := pipeline.ParseDeadLetter(out)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, out)
		}
		if asJSON(again) != string(out) {
			t.Fatalf("%s\nbecomes\n%s", out, asJSON(again))
		}
	})
}
