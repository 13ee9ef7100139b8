package ua

import (
	"strconv"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// Indexes is the parameter that has the numbers of the items of a hit, "2,5" or "1.2,1.5" for
// impressions, where they are not 1, 2, 3 and so on.
const Indexes = "ua.indexes"

// whole makes one event of the hit. Its e-commerce content names it: the product action, else
// promotions, else impressions. What else there is of them is kept as it came.
func (h *hit) whole() *sidetrack.Event {
	e := h.e
	h.own(e)
	var primary group
	switch name := h.actionName(); {
	case h.t == "transaction" || h.t == "item":
		h.classic(e)
	case name != "":
		primary = products
		h.action(e, name)
	case h.shop.has(promotions):
		primary = promotions
		e.Name, e.Ecommerce = h.promotionName(), &sidetrack.Ecommerce{}
		h.currency(e.Ecommerce)
	case h.shop.has(impressions):
		primary = impressions
		e.Name, e.Ecommerce = "view_item_list", &sidetrack.Ecommerce{}
		h.currency(e.Ecommerce)
	}
	if h.t == "event" {
		h.details(e.Ecommerce != nil)
	}
	if h.t == "timing" && (h.utt == "" || strconv.FormatInt(e.Timing.Value.Milliseconds(), 10) != h.utt) {
		h.keep("utt", h.utt)
	}
	if primary != 0 {
		var numbers []string
		e.Ecommerce.Items, numbers = h.items(primary, 0)
		if lists := h.shop.lists(); primary == impressions && len(lists) == 1 {
			e.Ecommerce.ListName = h.shop.listName(lists[0])
		}
		if !counted(primary, numbers) {
			h.param(Indexes, strings.Join(numbers, ","))
		}
	}
	h.keepShop(primary)
	return e
}

// counted reports whether numbers are those a sink gives by itself.
func counted(g group, numbers []string) bool {
	for i, n := range numbers {
		want := strconv.Itoa(i + 1)
		if g == impressions {
			want = "1." + want
		}
		if n != want {
			return false
		}
	}
	return true
}

// action turns e into the event of the product action.
func (h *hit) action(e *sidetrack.Event, name string) {
	e.Name = name
	c := &sidetrack.Ecommerce{}
	e.Ecommerce = c
	h.currency(c)
	c.ListName = gawire.Word(h.shop.pal)
	switch h.shop.pa {
	case "purchase", "refund":
		h.transaction(c)
	case "checkout", "checkout_option":
		h.checkout(name, c)
	}
}

// classic sets what a transaction or an item hit is about.
func (h *hit) classic(e *sidetrack.Event) {
	if h.t == "item" {
		e.Ecommerce = h.item()
		return
	}
	e.Ecommerce = &sidetrack.Ecommerce{}
	h.currency(e.Ecommerce)
	h.transaction(e.Ecommerce)
}

// keepShop keeps the e-commerce parameters that went into no field, because the hit has no action
// they belong to, or has more than one event can say.
func (h *hit) keepShop(primary group) {
	used := map[string]bool{}
	use := func(keys ...string) {
		for _, k := range keys {
			used[k] = true
		}
	}
	if h.e.Ecommerce != nil {
		use("cu")
	}
	switch {
	case h.t == "transaction":
		use("ti", "ta", "tr", "tt", "ts", "tcc")
	case h.t == "item":
		use("ti", "ta", "in", "ip", "iq", "ic", "iv")
	case primary == products:
		use("pal")
		switch h.shop.pa {
		case "purchase", "refund":
			use("ti", "ta", "tr", "tt", "ts", "tcc")
		case "checkout", "checkout_option":
			use("cos", "col")
		}
	}
	for _, f := range h.shop.plain() {
		if !used[f.key] {
			h.keep(f.key, *f.value)
		}
	}
	for i := range h.shop.entries {
		if e := &h.shop.entries[i]; e.group != primary || e.n == 0 && !h.listed(e.list) {
			h.keep(e.key, e.value)
		}
	}
}

// listed reports whether a list of impressions has products.
func (h *hit) listed(list int) bool {
	for _, l := range h.shop.lists() {
		if l == list {
			return true
		}
	}
	return false
}

// events makes the events GA4 expects of the hit.
func (h *hit) events() []*sidetrack.Event {
	base := h.e
	action := h.actionName()
	promo, lists := h.shop.has(promotions), h.shop.lists()
	if h.t == "transaction" || h.t == "item" {
		action, promo, lists = "", false, nil
	}
	var out []*sidetrack.Event
	add := func(set func(e *sidetrack.Event)) {
		e := base.Clone()
		if len(out) > 0 {
			e.Visitor.NewSession = false
		}
		h.e = e
		set(e)
		out = append(out, e)
	}
	only := action == "" && !promo && len(lists) == 0
	if h.t != "event" || only { // an event hit is but the carrier of what it says about products
		add(func(e *sidetrack.Event) {
			h.own(e)
			if h.t == "event" {
				h.details(false)
			}
			if h.t == "transaction" || h.t == "item" {
				h.classic(e)
			}
			if only {
				h.keepShop(0)
			}
		})
	}
	carried := func(set func(e *sidetrack.Event)) {
		add(func(e *sidetrack.Event) {
			set(e)
			if h.t == "event" {
				h.details(true)
			}
		})
	}
	if action != "" {
		carried(func(e *sidetrack.Event) {
			h.action(e, action)
			c := e.Ecommerce
			c.Items, _ = h.items(products, 0)
			if !c.HasValue {
				c.Value, c.HasValue = c.ItemsTotal()
			}
		})
	}
	for _, list := range lists {
		carried(func(e *sidetrack.Event) {
			e.Name, e.Ecommerce = "view_item_list", &sidetrack.Ecommerce{ListName: h.shop.listName(list)}
			h.currency(e.Ecommerce)
			e.Ecommerce.Items, _ = h.items(impressions, list)
		})
	}
	if promo {
		carried(func(e *sidetrack.Event) {
			e.Name, e.Ecommerce = h.promotionName(), &sidetrack.Ecommerce{}
			h.currency(e.Ecommerce)
			e.Ecommerce.Items, _ = h.items(promotions, 0)
		})
	}
	return out
}

// joinItems moves the items of item hits into the transaction of the same request they belong to.
func joinItems(hits []result) {
	for i := range hits {
		kept := hits[i].events[:0]
		for _, e := range hits[i].events {
			if e.Name == TransactionItem && join(hits, e) {
				continue
			}
			kept = append(kept, e)
		}
		hits[i].events = kept
	}
}

func join(hits []result, item *sidetrack.Event) bool {
	for i := range hits {
		for _, e := range hits[i].events {
			c := e.Ecommerce
			if e.Name != sidetrack.Purchase || c.TransactionID != item.Ecommerce.TransactionID || len(c.Items) == sidetrack.MaxItems ||
				e.Visitor.ClientID != item.Visitor.ClientID || e.Visitor.UserID != item.Visitor.UserID {
				continue
			}
			c.Items = append(c.Items, item.Ecommerce.Items...)
			if c.Currency == "" {
				c.Currency = item.Ecommerce.Currency
			}
			return true
		}
	}
	return false
}
