package shop_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

const decision = "182 days, http only false, secure true, same site Lax"

// TestConsent is a visitor's way: no decision, refused, agreed, back again, withdrawn.
func TestConsent(t *testing.T) {
	s := newSite(t)
	s.visit("/")
	s.wantCookies(map[string]string{})
	s.take(t)
	s.click(`#banner [data-consent="refuse"]`)
	s.do(chromedp.WaitNotVisible("#banner"))
	s.wantCookies(map[string]string{"cookie_status": decision})
	s.visit("/product/rope")
	s.take(t)

	s.visit("/privacy")
	s.click(`main [data-consent="accept"]`)
	// The page that was open is counted now, and the browser's screen is told once.
	hits := s.take(t, "page_view /privacy", "ping /privacy")
	if len(hits) == 0 {
		t.FailNow()
	}
	client := hits[0].client
	for _, h := range hits {
		if h.client == "" || h.client != client || h.name == "page_view" && h.params["page_title"] != "Privacy" {
			t.Errorf("%+v", h)
		}
	}
	s.wantCookies(map[string]string{"cookie_status": decision, "__Host-sidetrack": visitorCookie})

	s.visit("/product/rope")
	for _, h := range s.take(t, "view_item /product/rope", "page_view /product/rope", "ping /product/rope") {
		if h.client != client || h.params["session_id"] != hits[0].params["session_id"] || h.name == "page_view" && h.params["category"] != "Climbing" {
			t.Errorf("another visitor, session or category: %+v", h)
		}
	}
	if seen := ask[string](s, "document.cookie"); seen != "cookie_status=1" {
		t.Errorf("scripts see %q", seen)
	}

	s.visit("/privacy")
	s.take(t, "page_view /privacy", "ping /privacy")
	s.click(`main [data-consent="refuse"]`)
	time.Sleep(300 * time.Millisecond)
	s.wantCookies(map[string]string{"cookie_status": decision})
	s.visit("/product/rope")
	s.take(t)
}

// agreed is a browser whose visitor has agreed on the home page.
func agreed(t *testing.T) (s *site, client string) {
	s = newSite(t)
	s.visit("/")
	s.click(`#banner [data-consent="accept"]`)
	hits := s.take(t, "page_view /", "ping /")
	if len(hits) == 0 {
		t.FailNow()
	}
	for _, h := range hits {
		if h.name == "ping" && h.client != hits[0].client {
			t.Errorf("the ping is another visitor's: %+v", h)
		}
	}
	return s, hits[0].client
}

// TestPurchase buys, and loads the last page again.
func TestPurchase(t *testing.T) {
	s, client := agreed(t)
	s.click(`a[href="/product/walking-boots"]`)
	s.click("#add")
	s.click("#buy")
	s.do(chromedp.WaitVisible("//p[contains(., 'Your order is')]", chromedp.NodeVisible))
	order := ask[string](s, "location.pathname")
	hits := s.take(t, "view_item /product/walking-boots", "page_view /product/walking-boots", "add_to_cart /cart/walking-boots",
		"view_cart /cart", "page_view /cart", "purchase /checkout", "page_view "+order)
	for _, h := range hits {
		if h.client != client {
			t.Errorf("another visitor: %+v", h)
		}
		if h.name == "purchase" && (h.params["value"] != 129.0 || h.params["currency"] != "EUR" || h.params["shipping"] != 4.9 || "/thanks/"+h.params["transaction_id"].(string) != order) {
			t.Errorf("%+v", h.params)
		}
	}
	s.do(chromedp.Reload())
	s.take(t, "page_view "+order)
}

// TestReturnVisit closes the tab and comes back with the same browser.
func TestReturnVisit(t *testing.T) {
	s, client := agreed(t)
	before := s.cookies()
	ctx, cancel := chromedp.NewContext(s.ctx)
	defer cancel()
	again := &site{t, ctx, s.base, s.google}
	again.visit("/cart")
	hits := again.take(t, "page_view /cart", "ping /cart")
	for _, h := range hits {
		if h.client != client {
			t.Errorf("another visitor: %+v", h)
		}
	}
	if after := again.cookies(); after["__Host-sidetrack"] != before["__Host-sidetrack"] {
		t.Errorf("the cookie is %q, was %q", after["__Host-sidetrack"], before["__Host-sidetrack"])
	}
}

// TestOwnVisits marks the browser, which is then not counted.
func TestOwnVisits(t *testing.T) {
	s, _ := agreed(t)
	s.do(chromedp.Navigate(s.base + "/sidetrack/own-visit"))
	s.visit("/product/rope")
	s.visit("/cart")
	s.take(t)
	s.do(chromedp.Navigate(s.base + "/sidetrack/own-visit?off"))
	s.visit("/cart")
	s.take(t, "page_view /cart", "ping /cart")
}

// TestOptOut goes by the page that asks.
func TestOptOut(t *testing.T) {
	s, _ := agreed(t)
	s.do(chromedp.Navigate(s.base + "/sidetrack/opt-out"))
	s.click("button")
	s.do(chromedp.WaitVisible("//p[contains(., 'not counted')]", chromedp.NodeVisible))
	if c := s.cookies(); c["sidetrack_optout"] != visitorCookie || c["__Host-sidetrack"] != "" {
		t.Errorf("cookies %v", c)
	}
	s.visit("/product/rope")
	s.take(t)
}
