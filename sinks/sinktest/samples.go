package sinktest

import (
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
)

// Samples returns ordinary events, one of each kind, that every sink must be able to send: new ones at
// each call. Their MessageID names the kind.
func Samples() []*sidetrack.Event {
	base := func(kind, name string) *sidetrack.Event {
		return &sidetrack.Event{
			ID: uuid.NewSHA1(uuid.NameSpaceOID, []byte(kind)), MessageID: kind, Name: name,
			Time: at.Add(-30 * time.Second), Received: at.Add(-29 * time.Second), Source: "web", Site: "shop",
			Visitor: sidetrack.Visitor{ClientID: "1234567890.1700000000", SessionID: "1769860000", SessionNumber: 2, Engagement: 1500 * time.Millisecond},
			Page:    sidetrack.Page{URL: "https://shop.example/product/42?utm_source=news", Path: "/product/42", Route: "/product/{id}", Title: "Boots – size 42", Referrer: "https://shop.example/", Status: 200},
			Device:  sidetrack.Device{UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", Language: "de-AT", Screen: "1920x1080"},
			Network: sidetrack.Network{IP: "203.0.113.0"},
			Consent: sidetrack.Grant("cookie", sidetrack.AnalyticsStorage),
		}
	}
	view := base("page_view", sidetrack.PageView)
	view.Campaign = sidetrack.Campaign{Source: "news", Medium: "email", Name: "spring"}

	custom := base("custom", "newsletter signup")
	custom.Params = map[string]any{"plan": "gold", "step": int64(3), "ratio": 0.5, "ok": true, "nested": map[string]any{"a": int64(1)}}
	custom.Visitor.UserID = "u-77"
	custom.UserProperties = map[string]any{"plan": "gold"}

	purchase := base("purchase", sidetrack.Purchase)
	purchase.Ecommerce = &sidetrack.Ecommerce{
		Currency: "EUR", Value: sidetrack.MoneyOf(59.9), HasValue: true, TransactionID: "T-10042", Tax: sidetrack.MoneyOf(9.98), Shipping: sidetrack.MoneyOf(3.5), Coupon: "SUMMER",
		Items: []sidetrack.Item{
			{ID: "SKU-1", Name: "Boots", Brand: "Acme", Categories: []string{"Shoes", "Hiking"}, Price: sidetrack.MoneyOf(49.9), HasPrice: true, Quantity: 1, Params: map[string]any{"colour": "red"}},
			{ID: "SKU-2", Name: "Socks", Price: sidetrack.MoneyOf(5), HasPrice: true, Quantity: 2, Discount: sidetrack.MoneyOf(0.5), HasIndex: true, Index: 1},
		},
	}
	purchase.Consent = sidetrack.GrantAll("cookie")

	refund := base("refund", sidetrack.Refund)
	refund.Ecommerce = &sidetrack.Ecommerce{Currency: "EUR", Value: sidetrack.MoneyOf(59.9), HasValue: true, TransactionID: "T-10042"}

	screen := base("screen_view", sidetrack.ScreenView)
	screen.Page, screen.App = sidetrack.Page{}, sidetrack.App{Name: "Shop", Version: "1.2", Screen: "Cart"}

	exception := base("exception", sidetrack.Exception)
	exception.Exception = &sidetrack.Failure{Description: "timeout", Fatal: true}

	timing := base("timing", sidetrack.Timing)
	timing.Timing = &sidetrack.Duration{Category: "load", Variable: "page", Label: "cold", Value: 321 * time.Millisecond}

	social := base("social", sidetrack.Share)
	social.Social = &sidetrack.Social{Network: "mastodon", Action: "boost", Target: "/product/42"}

	located := base("located", sidetrack.PageView)
	located.Network.Country, located.Network.Region, located.Network.City = "AT", "AT-9", "Wien"
	located.Device.Category, located.Device.OS, located.Device.Browser, located.Device.BrowserVer = "desktop", "Linux", "Firefox", "140"
	return []*sidetrack.Event{view, custom, purchase, refund, screen, exception, timing, social, located}
}
