// Package processortest is the contract of a processor as a test suite: for the ones of
// this project and for anybody else's.
package processortest

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
)

// Option changes what Run expects.
type Option func(*expectations)

type expectations struct{ stateful bool }

// Stateful is for processors that remember earlier events, which belong to intake: the
// same event need not give the same result twice.
func Stateful() Option { return func(x *expectations) { x.stateful = true } }

// Run checks a processor against the contract of sidetrack.Processor. build must return a new
// processor each time.
func Run(t *testing.T, build func() (sidetrack.Processor, error), opts ...Option) {
	t.Helper()
	var x expectations
	for _, o := range opts {
		o(&x)
	}
	fresh := func(t *testing.T) sidetrack.Processor {
		t.Helper()
		p, err := build()
		if err != nil {
			t.Fatalf("build: %v", err)
		}
		return p
	}
	t.Run("hostile events", func(t *testing.T) {
		p := fresh(t)
		for name, e := range Hostile() {
			func() {
				defer func() {
					if r := recover(); r != nil {
						t.Errorf("%s: panic: %v", name, r)
					}
				}()
				err := p.Process(t.Context(), e)
				if reason, ok := sidetrack.DropReason(err); ok && !goodReason(reason) {
					t.Errorf("%s: reason %q is no short lower-case word", name, reason)
				}
			}()
		}
	})
	if !x.stateful {
		t.Run("deterministic", func(t *testing.T) {
			a, b := fresh(t), fresh(t)
			for name := range Hostile() {
				one, two := Hostile()[name], Hostile()[name]
				errOne, errTwo := a.Process(t.Context(), one), b.Process(t.Context(), two)
				if fmt.Sprint(errOne) != fmt.Sprint(errTwo) || text(one) != text(two) {
					t.Errorf("%s: two processors of one configuration differ:\n%s %v\n%s %v", name, text(one), errOne, text(two), errTwo)
				}
			}
		})
	}
	t.Run("concurrent use", func(t *testing.T) {
		p := fresh(t)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for _, e := range Hostile() {
					_ = p.Process(context.Background(), e)
				}
			})
		}
		wg.Wait()
	})
	t.Run("origin stays hidden", func(t *testing.T) {
		p := fresh(t)
		for name, e := range Hostile() {
			before := text(e)
			err := p.Process(t.Context(), e)
			if !strings.Contains(before, Address) && strings.Contains(text(e), Address) {
				t.Errorf("%s: the full address was copied into the event: %s", name, text(e))
			}
			if err != nil && strings.Contains(fmt.Sprintf("%v %+v", err, err), Address) {
				t.Errorf("%s: the full address is in the error: %v", name, err)
			}
		}
	})
}

// Address is the visitor's address in the origin of the events of Hostile.
const Address = "203.0.113.77"

func goodReason(r sidetrack.Reason) bool {
	return r != "" && len(r) <= 32 && strings.Trim(string(r), "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func text(e *sidetrack.Event) string {
	b, err := e.AppendJSON(nil)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Hostile returns events that processors and sinks must survive, by name: new ones at each call.
func Hostile() map[string]*sidetrack.Event {
	huge := strings.Repeat("x", 64<<10)
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	deep := any("end")
	for range 50 {
		deep = []any{map[string]any{"k": deep}}
	}
	origin := func(h http.Header) *sidetrack.Origin {
		return sidetrack.NewOrigin(netip.MustParseAddr(Address), &http.Request{Host: "shop.example", Header: h})
	}
	events := map[string]*sidetrack.Event{
		"zero":   {},
		"normal": {Name: "page_view", Time: at, Received: at, Page: sidetrack.Page{URL: "https://shop.example/a?b=c", Title: "A"}, Consent: sidetrack.GrantAll("test")},
		"invalid UTF-8": {Name: "\xff\xfe", Page: sidetrack.Page{URL: "\xff://", Title: "a\xc3"}, Device: sidetrack.Device{UserAgent: "\x80"},
			Params: map[string]any{"\xff": "\xfe"}},
		"control characters": {Name: "a\x00b", Page: sidetrack.Page{URL: "https://a\r\nb: c", Referrer: "\x1b[0m"}, Visitor: sidetrack.Visitor{ClientID: "\n", UserID: "\x00"}},
		"huge strings": {Name: huge, Page: sidetrack.Page{URL: "https://shop.example/" + huge, Title: huge}, Device: sidetrack.Device{UserAgent: huge},
			Params: map[string]any{huge: huge}},
		"strange numbers": {Name: "n", Params: map[string]any{"nan": math.NaN(), "inf": math.Inf(1), "max": int64(math.MaxInt64), "min": int64(math.MinInt64)},
			Ecommerce: &sidetrack.Ecommerce{Value: math.MaxInt64, Tax: math.MinInt64, Items: []sidetrack.Item{{Price: -1, Quantity: math.NaN(), Index: -5}}}},
		"deep":         {Name: "d", Params: map[string]any{"deep": deep}},
		"odd types":    {Name: "t", Params: map[string]any{"func": func() {}, "chan": make(chan int), "nil": nil}},
		"empty groups": {Name: "g", Ecommerce: &sidetrack.Ecommerce{}, Exception: &sidetrack.Failure{}, Timing: &sidetrack.Duration{}, Social: &sidetrack.Social{}},
		"year 0":       {Name: "y", Time: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)},
		"year 9999":    {Name: "y", Time: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)},
		"bad cookies":  {Name: "c"},
		"odd address":  {Name: "a", Network: sidetrack.Network{IP: "not an address"}},
	}
	for name, e := range events {
		h := http.Header{"User-Agent": {"agent"}, "Cookie": {`a=b; _ga=GA1.1.1.2; broken; ="; _ga_X=GS2.1.s1$o1; consent=%7B"analytics`}, "Sec-Gpc": {"1"}}
		if name == "bad cookies" {
			h.Set("Cookie", strings.Repeat("x=\xff;;=;", 1000))
		}
		if name != "zero" {
			e.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte(name))
			e.SetOrigin(origin(h))
		}
	}
	return events
}
