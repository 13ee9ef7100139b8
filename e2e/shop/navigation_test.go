package shop_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// speculate asks the browser to prefetch or prerender a page, as the site's own pages could.
func (s *site) speculate(kind, path string) {
	s.t.Helper()
	s.eval(`(() => {
		const rules = document.createElement("script");
		rules.type = "speculationrules";
		rules.nonce = document.querySelector("script").nonce;
		rules.textContent = JSON.stringify({` + kind + `: [{source: "list", urls: ["` + path + `"], eagerness: "immediate"}]});
		document.head.append(rules);
	})()`)
}

// speculation is how long the browser gets to load a page ahead.
const speculation = 1500 * time.Millisecond

// TestPrefetch lets the browser fetch a page ahead, which nobody has seen until it is opened. It opens
// from the browser's own copy, without another request: the script tells.
func TestPrefetch(t *testing.T) {
	s, client := agreed(t)
	s.speculate("prefetch", "/product/rope")
	time.Sleep(speculation)
	s.take(t)
	s.eval(`document.querySelector('a[href="/product/rope"]').click()`)
	for _, h := range s.take(t, "engagement /", "page_view /product/rope") {
		if h.client != client {
			t.Errorf("another visitor: %+v", h)
		}
	}
}

// TestPrerender is the same for a page that is rendered ahead, with its scripts.
func TestPrerender(t *testing.T) {
	s, client := agreed(t)
	s.speculate("prerender", "/product/rope")
	time.Sleep(speculation)
	s.take(t)
	s.eval(`document.querySelector('a[href="/product/rope"]').click()`)
	for _, h := range s.take(t, "engagement /", "page_view /product/rope") {
		if h.client != client || h.name == "page_view" && h.params["page_title"] != "Rope, ten metres" {
			t.Errorf("%+v", h)
		}
	}
}

// TestPagesWithoutLoading goes through the signed-in part, which loads no pages, and back.
func TestPagesWithoutLoading(t *testing.T) {
	s, client := agreed(t)
	s.visit("/account")
	s.take(t, "page_view /account", "ping /account")
	s.do(chromedp.SendKeys("input[name=name]", "Ada"))
	s.click("main button")
	s.do(chromedp.WaitVisible("#views"))
	s.take(t, "login /login", "page_view /account")
	s.click(`#views a[href="/account/orders"]`)
	hits := s.take(t, "page_view /account/orders", "order_history /api/orders")
	for _, h := range hits {
		if h.client != client {
			t.Errorf("another visitor: %+v", h)
		}
		if h.name == "page_view" && (h.params["page_title"] != "Your orders" || h.params["page_referrer"] != s.base+"/account") {
			t.Errorf("%+v", h.params)
		}
	}
	time.Sleep(1200 * time.Millisecond) // attention worth telling
	s.eval("history.back()")
	for _, h := range s.take(t, "engagement /account/orders", "page_view /account") {
		if ms, _ := h.params["engagement_time_msec"].(float64); h.name == "engagement" && (ms < 1000 || ms > 60_000) {
			t.Errorf("engagement of %v ms", h.params["engagement_time_msec"])
		}
	}
}

// TestBackForwardCache goes back to a page that the browser has kept: it is shown again without a
// request.
func TestBackForwardCache(t *testing.T) {
	s, client := agreed(t)
	s.click(`a[href="/product/rope"]`)
	s.do(chromedp.WaitVisible("#add"))
	s.take(t, "view_item /product/rope", "page_view /product/rope")
	s.do(chromedp.Evaluate[chromedp.Void]("void history.back()"))
	for _, h := range s.take(t, "page_view /") {
		if h.client != client || h.params["page_title"] != "Boots and lamps" {
			t.Errorf("%+v", h)
		}
	}
	if kept := ask[bool](s, `performance.getEntriesByType("navigation")[0].type != "back_forward"`); !kept {
		t.Error("the browser loaded the page again")
	}
}

// TestLinks clicks on a link to another site and on a file.
func TestLinks(t *testing.T) {
	s, _ := agreed(t)
	s.eval(`(() => {
		addEventListener("click", e => e.preventDefault());
		document.querySelector("main").innerHTML = '<a id="out" href="https://elsewhere.example/x?y=1">out</a> <a id="file" href="/static/list.PDF">file</a>';
	})()`)
	s.click("#out")
	s.click("#file")
	for _, h := range s.take(t, "click /", "file_download /") {
		if h.name == "click" && (h.params["link_domain"] != "elsewhere.example" || h.params["outbound"] == nil) || h.name == "file_download" && h.params["file_extension"] != "pdf" {
			t.Errorf("%+v", h)
		}
	}
}
