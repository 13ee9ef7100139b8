// Package hostile makes events that components must survive. The contract suites of
// processors and sinks share them.
package hostile

import (
	"math"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
)

// Address is the visitor's full address in the origin of the events.
const Address = "203.0.113.77"

// Events returns events that processors and sinks must survive, by name: new ones at each call.
func Events() map[string]*sidetrack.Event {
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
