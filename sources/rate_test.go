package sources

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		c := newCollector(t, f, CollectorConfig{RateLimit: RateLimit{Events: 2, Burst: 5}})
		send := func(body string, header ...string) (int, string) {
			w := post(c, body, header...)
			return w.Code, w.Header().Get("Retry-After")
		}
		for i := range 5 {
			if code, _ := send(`{"name":"a"}`); code != 204 {
				t.Fatalf("event %d: %d", i, code)
			}
		}
		if code, wait := send(`{"name":"a"}`); code != 429 || wait != "1" {
			t.Fatalf("over the burst: %d, wait %q", code, wait)
		}
		if len(f.all()) != 5 {
			t.Errorf("%d events", len(f.all()))
		}
		time.Sleep(500 * time.Millisecond)
		if code, _ := send(`{"name":"a"}`); code != 204 {
			t.Errorf("after half a second: %d", code)
		}
		time.Sleep(time.Second) // two events
		batch := "[" + strings.Repeat(`{"name":"a"},`, 2) + `{"name":"a"}]`
		if code, wait := send(batch); code != 429 || wait == "" {
			t.Errorf("three events: %d", code)
		}
		time.Sleep(time.Minute)
		large := "[" + strings.Repeat(`{"name":"a"},`, 100) + `{"name":"a"}]`
		if code, _ := send(large); code != 200 {
			t.Errorf("more than a burst by a rested client: %d", code)
		}
		if code, wait := send(large); code != 429 || wait == "" {
			t.Errorf("more than a burst at once: %d", code)
		}
	})
}

// TestRateLimitOfOthers: clients have their own allowance; networks of 64 bits share one.
func TestRateLimitOfOthers(t *testing.T) {
	l, problems := newRates(RateLimit{Events: 1, Burst: 1, Clients: 3})
	if problems != nil {
		t.Fatal(problems)
	}
	now := time.Now()
	l.now = func() time.Time { return now }
	for _, tt := range []struct {
		addr    string
		limited bool
	}{
		{"192.0.2.1", false}, {"192.0.2.1", true}, {"::ffff:192.0.2.1", true}, {"192.0.2.2", false},
		{"2001:db8::1", false}, {"2001:db8::ffff:2", true}, {"192.0.2.1", true},
		{"2001:db8:0:1::1", false}, {"192.0.2.2", false}, // the fourth client, and one that was forgotten for it
	} {
		if wait := l.take(netip.MustParseAddr(tt.addr), 1); wait > 0 != tt.limited {
			t.Errorf("%s: wait %v", tt.addr, wait)
		}
	}
	if l.take(netip.Addr{}, 1000) != 0 {
		t.Error("a client without an address is limited")
	}
	if n := l.clients.Len(); n != 3 {
		t.Errorf("%d clients are remembered", n)
	}
}

func TestRateLimitProblems(t *testing.T) {
	for _, cfg := range []RateLimit{{Events: -1}, {Events: 1, Burst: -1}, {Events: 1, Clients: -1}, {Burst: 5}} {
		if _, err := NewCollector(&fake{}, CollectorConfig{RateLimit: cfg}); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}

func TestReasonHeader(t *testing.T) {
	emit := func(ctx context.Context, events []*sidetrack.Event) error {
		o := sidetrack.DropObserverOf(ctx)
		var refused []sidetrack.Refusal
		for i, e := range events {
			reason, isDrop := strings.CutPrefix(e.Name, "drop_")
			switch {
			case isDrop && o != nil:
				o.Dropped(i, sidetrack.Reason(reason))
			case e.Name == "refuse":
				refused = append(refused, sidetrack.Refusal{Index: i, Reason: sidetrack.ReasonInvalid, Err: &sidetrack.FieldError{Problem: "no"}})
			case e.Name == "full":
				return sidetrack.ErrOverloaded
			}
		}
		if refused != nil {
			return &sidetrack.RefusedError{Refused: refused}
		}
		return nil
	}
	for names, want := range map[string]string{
		"a": "accepted", "drop_consent": "dropped=consent", "refuse": "refused", "full": "refused",
		"a a":                             "accepted;n=2",
		"a drop_bot drop_bot drop_x":      "accepted;n=1, dropped=bot;n=2, dropped=x;n=1",
		"a refuse drop_bot refuse refuse": "accepted;n=1, dropped=bot;n=1, refused;n=3",
		"full full":                       "refused;n=2",
		"drop_bot drop_bot":               "dropped=bot;n=2",
	} {
		var list []string
		for name := range strings.FieldsSeq(names) {
			list = append(list, fmt.Sprintf(`{"name":%q}`, name))
		}
		for _, hide := range []bool{false, true} {
			c := newCollector(t, &fake{emit: emit}, CollectorConfig{HideReasons: hide})
			w := post(c, strings.Join(list, "\n"))
			if got := w.Header().Get("X-Sidetrack"); got != want && !hide || got != "" && hide {
				t.Errorf("%s: %q, want %q (hidden: %v)", names, got, want, hide)
			}
		}
	}
}
