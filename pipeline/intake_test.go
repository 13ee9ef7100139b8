package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

func TestNoConsentNothingOnTheBus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := watch(memory.New(memory.Config{}))
		b := newBackend(nil)
		r := start(t, pipeline.Config{Bus: w, Sinks: []pipeline.SinkConfig{
			sinkOf("analytics", b),
			sinkOf("ads", b, sidetrack.Needs(sidetrack.AnalyticsStorage, sidetrack.AdUserData)),
		}})
		unknown := &sidetrack.Event{Name: "unknown"}
		denied := &sidetrack.Event{Name: "denied"}
		denied.Consent.Set(sidetrack.AnalyticsStorage, sidetrack.Denied)
		partly := &sidetrack.Event{Name: "partly", Consent: sidetrack.Grant("test", sidetrack.AnalyticsStorage)}
		r.emit(unknown, denied, partly)
		r.drain(time.Minute)
		if n := w.published(pipeline.TopicEvents); n != 1 {
			t.Errorf("%d events on the bus, want the one that a sink may have", n)
		}
		l := r.Ledger()
		if l.Dropped[sidetrack.ReasonConsent] != 2 || l.Accepted != 1 {
			t.Errorf("ledger %+v", l)
		}
		if row := r.row("ads"); row.Withheld[sidetrack.ReasonConsent] != 1 || row.Delivered != 0 {
			t.Errorf("ads %+v", row)
		}
		if row := r.row("analytics"); row.Delivered != 1 {
			t.Errorf("analytics %+v", row)
		}
	})
}

func TestOwnCopyWithoutNeedsTakesEverything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBackend(nil)
		sink := sinkOf("archive", b)
		sink.NeedsSet = true
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{sink}})
		r.emit(&sidetrack.Event{Name: "e"})
		r.drain(time.Minute)
		if len(b.delivered()) != 1 {
			t.Error("not delivered")
		}
	})
}

func TestIntakeFailsClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		boom := errors.New("lookup failed")
		w := watch(memory.New(memory.Config{}))
		b := newBackend(nil)
		r := start(t, pipeline.Config{
			Bus: w,
			Intake: []sidetrack.Processor{sidetrack.ProcessorFunc(func(_ context.Context, e *sidetrack.Event) error {
				switch e.Name {
				case "fails":
					return boom
				case "panics":
					panic("203.0.113.77")
				case "dropped":
					return sidetrack.Drop("own_reason")
				}
				return nil
			})},
			Sinks: []pipeline.SinkConfig{sinkOf("a", b)},
		})
		err := r.Emit(t.Context(), event("ok"), event("fails"), event("panics"), event("dropped"), event(""))
		refused, ok := errors.AsType[*sidetrack.RefusedError](err)
		if !ok || len(refused.Refused) != 3 {
			t.Fatalf("emit: %v", err)
		}
		for i, want := range []sidetrack.Refusal{{Index: 1, Reason: sidetrack.ReasonProcessor}, {Index: 2, Reason: sidetrack.ReasonProcessor}, {Index: 4, Reason: sidetrack.ReasonInvalid}} {
			if got := refused.Refused[i]; got.Index != want.Index || got.Reason != want.Reason {
				t.Errorf("refusal %d: %+v, want %+v", i, got, want)
			}
		}
		if !errors.Is(refused.Refused[0].Err, boom) {
			t.Errorf("cause lost: %v", refused.Refused[0].Err)
		}
		if strings.Contains(err.Error(), "203.0.113.77") {
			t.Error("the panic's value is in the error")
		}
		r.drain(time.Minute)
		l := r.Ledger()
		if l.Received != 5 || l.Accepted != 1 || l.Dropped["own_reason"] != 1 || total(l.Refused) != 3 {
			t.Errorf("ledger %+v", l)
		}
		if got := b.delivered(); len(got) != 1 || got["ok"] != 1 {
			t.Errorf("delivered %v", got)
		}
	})
}

func TestOriginEndsWithIntake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := watch(memory.New(memory.Config{}))
		var seen netip.Addr
		r := start(t, pipeline.Config{
			Bus: w,
			Intake: []sidetrack.Processor{sidetrack.ProcessorFunc(func(_ context.Context, e *sidetrack.Event) error {
				seen = e.Origin().IP()
				return nil
			})},
			Sinks: []pipeline.SinkConfig{sinkOf("a", newBackend(nil))},
		})
		e := event("e")
		ip := netip.MustParseAddr("203.0.113.77")
		e.SetOrigin(sidetrack.NewOrigin(ip, nil))
		r.emit(e)
		r.drain(time.Minute)
		if seen != ip {
			t.Errorf("intake saw %v", seen)
		}
		if e.Origin() != nil {
			t.Error("the origin outlived intake")
		}
		if strings.Contains(w.payloads.String(), "203.0.113.77") {
			t.Error("address on the bus")
		}
	})
}

func TestFullQueueRefusesAndRecovers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hold := make(chan struct{})
		slow := &slowBus{watched: watch(memory.New(memory.Config{})), hold: hold}
		r := start(t, pipeline.Config{Bus: slow, QueueEvents: 10, Sinks: []pipeline.SinkConfig{sinkOf("a", newBackend(nil))}})
		if err := r.Enqueue(events("e", 10)...); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		err := r.Enqueue(event("one too many"))
		if !errors.Is(err, sidetrack.ErrOverloaded) {
			t.Errorf("full queue: %v", err)
		}
		err = r.Emit(t.Context(), event("one too many"), event("and another"))
		if refused, ok := errors.AsType[*sidetrack.RefusedError](err); !ok || len(refused.Refused) != 2 {
			t.Errorf("full queue: %v", err)
		}
		close(hold)
		r.drain(time.Minute)
		r.emit(event("again"))
		r.drain(time.Minute)
		if l := r.Ledger(); l.Accepted != 11 || l.Refused[sidetrack.ReasonOverloaded] != 3 {
			t.Errorf("ledger %+v", l)
		}
	})
}

// slowBus holds every publish until hold is closed.
type slowBus struct {
	*watched
	hold chan struct{}
}

func (s *slowBus) Publisher() message.Publisher { return slowPublisher{s.watched.Publisher(), s.hold} }

type slowPublisher struct {
	message.Publisher
	hold chan struct{}
}

func (p slowPublisher) Publish(topic string, m ...*message.Message) error {
	<-p.hold
	return p.Publisher.Publish(topic, m...)
}

func TestStorageFailureRefusesEverybodyWhoWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := watch(memory.New(memory.Config{}))
		r := start(t, pipeline.Config{Bus: w, Sinks: []pipeline.SinkConfig{sinkOf("a", newBackend(nil))}})
		w.setFail(fmt.Errorf("test: %w", bus.ErrUnavailable))
		err := r.Emit(t.Context(), event("e"))
		if !errors.Is(err, sidetrack.ErrUnavailable) || !errors.Is(err, bus.ErrUnavailable) {
			t.Errorf("emit: %v", err)
		}
		w.setFail(nil)
		r.emit(event("e"))
		r.drain(time.Minute)
		if l := r.Ledger(); l.Accepted != 1 || l.Refused[sidetrack.ReasonUnavailable] != 1 {
			t.Errorf("ledger %+v", l)
		}
		if log := r.log.String(); strings.Count(log, "storing events fails") != 1 || !strings.Contains(log, "storing events works again") {
			t.Errorf("log %s", log)
		}
	})
}

func TestRepeatedMessageIDsGetTheSameEventID(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var ids []string
		b := newBackend(func(u sidetrack.Unit) error { ids = append(ids, u.Events[0].ID.String()); return nil })
		r := start(t, pipeline.Config{
			Dedup: pipeline.Dedup{Off: true},
			Sites: []sidetrack.Site{{Name: "shop", Hosts: []string{"shop.example"}}},
			Sinks: []pipeline.SinkConfig{sinkOf("a", b)},
		})
		for _, host := range []string{"shop.example", "shop.example", "other.example"} {
			e := event("e")
			e.MessageID, e.Page.URL = "order-1", "https://"+host+"/"
			r.emit(e)
		}
		r.drain(time.Minute)
		if len(ids) != 3 || ids[0] != ids[1] || ids[1] == ids[2] {
			t.Errorf("ids %v", ids)
		}
	})
}

func TestSitesRouteEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		shop, blog := newBackend(nil), newBackend(nil)
		s, b := sinkOf("shop", shop), sinkOf("blog", blog)
		s.Sites, b.Sites = []string{"shop"}, []string{"blog"}
		r := start(t, pipeline.Config{
			Sites: []sidetrack.Site{{Name: "shop", Hosts: []string{"shop.example"}}, {Name: "blog", Hosts: []string{"blog.example"}}},
			Sinks: []pipeline.SinkConfig{s, b},
		})
		for name, host := range map[string]string{"s": "shop.example", "b": "blog.example:8443", "n": "nobody.example"} {
			e := event(name)
			e.Page.URL = "https://" + host + "/x"
			r.emit(e)
		}
		r.drain(time.Minute)
		if asJSON(shop.delivered()) != `{"s":1}` || asJSON(blog.delivered()) != `{"b":1}` {
			t.Errorf("shop %v, blog %v", shop.delivered(), blog.delivered())
		}
		if l := r.Ledger(); l.Dropped[sidetrack.ReasonNoSink] != 1 {
			t.Errorf("ledger %+v", l)
		}
		if row := r.row("shop"); row.Filtered[sidetrack.ReasonSite] != 1 {
			t.Errorf("%+v", row)
		}
	})
}

func TestSinkFiltersAndOwnProcessors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		plain, own := newBackend(nil), newBackend(nil)
		s := sinkOf("own", own)
		s.When = func(e *sidetrack.Event) bool { return e.Name != "unwanted" }
		s.Processors = []sidetrack.Processor{sidetrack.ProcessorFunc(func(_ context.Context, e *sidetrack.Event) error {
			if e.Name == "dropped" {
				return sidetrack.Drop("own")
			}
			e.Name = "renamed_" + e.Name
			return nil
		})}
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{s, sinkOf("plain", plain)}})
		r.emit(event("wanted"), event("unwanted"), event("dropped"))
		r.drain(time.Minute)
		if asJSON(own.delivered()) != `{"renamed_wanted":1}` {
			t.Errorf("own %v", own.delivered())
		}
		if asJSON(plain.delivered()) != `{"dropped":1,"unwanted":1,"wanted":1}` {
			t.Errorf("plain %v", plain.delivered())
		}
		if row := r.row("own"); row.Filtered[sidetrack.ReasonWhen] != 1 || row.Dropped["own"] != 1 || row.Delivered != 1 {
			t.Errorf("%+v", row)
		}
	})
}

func TestSampleKeepsVisitorsWhole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		seen := map[string]int{}
		b := newBackend(func(u sidetrack.Unit) error {
			for _, e := range u.Events {
				seen[e.Visitor.ClientID]++
			}
			return nil
		})
		s := sinkOf("a", b, sidetrack.MaxEvents(100))
		s.Sample = 0.2
		r := start(t, pipeline.Config{Sinks: []pipeline.SinkConfig{s}})
		for i := range 3000 {
			e := event("e")
			e.Visitor.ClientID = fmt.Sprintf("%d.1700000000", i%1000)
			r.emit(e)
		}
		r.drain(time.Minute)
		if n := len(seen); n < 150 || n > 250 {
			t.Errorf("%d of 1000 visitors in a sample of 20%%", n)
		}
		for c, n := range seen {
			if n != 3 {
				t.Errorf("visitor %s: %d of 3 events", c, n)
			}
		}
	})
}
