package ua

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// shop is the e-commerce part of a hit, as it came.
type shop struct {
	ti, ta, tr, tt, ts, tcc, cu string
	in, ip, iq, ic, iv          string // of an item hit
	pa, pal, cos, col, promoa   string
	entries                     []entry
}

// group says what an entry describes.
type group byte

const (
	products    group = 'p' // pr<n>…
	impressions group = 'i' // il<list>pi<n>…
	promotions  group = 'm' // promo<n>…
)

// entry is one numbered parameter.
type entry struct {
	group      group
	list, n    int // n 0: about the list itself
	field      string
	k          int // number of a custom dimension or metric
	key, value string
}

// set takes a parameter without numbers. It reports whether it is one of these.
func (s *shop) set(key, value string) bool {
	for _, f := range s.plain() {
		if f.key == key {
			*f.value = value
			return true
		}
	}
	return false
}

type plainField struct {
	key   string
	value *string
}

func (s *shop) plain() [17]plainField {
	return [...]plainField{
		{"ti", &s.ti}, {"ta", &s.ta}, {"tr", &s.tr}, {"tt", &s.tt}, {"ts", &s.ts}, {"tcc", &s.tcc}, {"cu", &s.cu},
		{"pa", &s.pa}, {"pal", &s.pal}, {"cos", &s.cos}, {"col", &s.col}, {"promoa", &s.promoa},
		{"in", &s.in}, {"ip", &s.ip}, {"iq", &s.iq}, {"ic", &s.ic}, {"iv", &s.iv},
	}
}

// setNumbered takes a parameter of a product, an impression or a promotion. It reports whether
// it is one.
func (s *shop) setNumbered(k numbered, key, value string) bool {
	e := entry{n: k.n, field: k.sub, k: k.m, key: key, value: value}
	switch k.prefix {
	case "pr":
		e.group = products
		if k.sub2 != "" || !productField(k.sub, k.m) && !(k.m == 0 && (k.sub == "qt" || k.sub == "cc")) {
			return false
		}
	case "promo":
		e.group = promotions
		if k.m != 0 || !slices.Contains([]string{"id", "nm", "cr", "ps"}, k.sub) {
			return false
		}
	case "il":
		e.group, e.list, e.n, e.field, e.k = impressions, k.n, k.m, k.sub2, k.k
		switch {
		case k.sub == "nm" && k.m == 0:
			e.n, e.field = 0, "nm"
		case k.sub != "pi" || k.m == 0 || !productField(k.sub2, k.k):
			return false
		}
	default:
		return false
	}
	for i := range s.entries {
		if s.entries[i].key == key {
			s.entries[i] = e
			return true
		}
	}
	s.entries = append(s.entries, e)
	return true
}

// productField reports whether a product or an impression has such a field.
func productField(field string, k int) bool {
	switch field {
	case "id", "nm", "br", "ca", "va", "pr", "ps":
		return k == 0
	case "cd", "cm":
		return k > 0
	}
	return false
}

// has reports whether there is anything of the group.
func (s *shop) has(g group) bool {
	return slices.ContainsFunc(s.entries, func(e entry) bool { return e.group == g && e.n > 0 })
}

// lists returns the numbers of the lists of impressions in order.
func (s *shop) lists() []int {
	var out []int
	for i := range s.entries {
		if e := &s.entries[i]; e.group == impressions && e.n > 0 && !slices.Contains(out, e.list) {
			out = append(out, e.list)
		}
	}
	slices.Sort(out)
	return out
}

// listName returns the name of a list of impressions.
func (s *shop) listName(list int) string {
	for i := range s.entries {
		if e := &s.entries[i]; e.group == impressions && e.list == list && e.n == 0 {
			return gawire.Word(e.value)
		}
	}
	return ""
}

// items makes the items of a group, of one list when list is not 0, in the order of their numbers,
// and the number of each: "3", or "1.3" for product 3 of list 1.
func (h *hit) items(g group, list int) (items []sidetrack.Item, numbers []string) {
	var own []*entry
	for i := range h.shop.entries {
		if e := &h.shop.entries[i]; e.group == g && e.n > 0 && (list == 0 || e.list == list) {
			own = append(own, e)
		}
	}
	slices.SortStableFunc(own, func(a, b *entry) int { return cmp.Or(a.list-b.list, a.n-b.n) })
	for i, e := range own {
		if i == 0 || own[i-1].list != e.list || own[i-1].n != e.n {
			if len(items) == sidetrack.MaxItems {
				break
			}
			number := strconv.Itoa(e.n)
			items = append(items, sidetrack.Item{})
			if g == impressions {
				items[len(items)-1].ListName = h.shop.listName(e.list)
				number = strconv.Itoa(e.list) + "." + number
			}
			numbers = append(numbers, number)
		}
		h.setItem(&items[len(items)-1], e)
	}
	return items, numbers
}

// setItem puts one parameter into its item.
func (h *hit) setItem(it *sidetrack.Item, e *entry) {
	if e.group == promotions {
		switch v := gawire.Text(e.value); e.field {
		case "id":
			it.Promotion.ID = v
		case "nm":
			it.Promotion.Name = v
		case "cr":
			it.Promotion.Creative = v
		case "ps":
			it.Promotion.Slot = v
		}
		return
	}
	p := gawire.TextParam("", e.value)
	switch e.field {
	case "id":
		p.Name = "item_id"
	case "nm":
		p.Name = "item_name"
	case "br":
		p.Name = "item_brand"
	case "va":
		p.Name = "item_variant"
	case "pr":
		p.Name = "price"
	case "qt":
		p.Name = "quantity"
	case "cc":
		p.Name = "coupon"
	case "ps":
		p.Name = "index"
	case "ca":
		it.Categories = categories(e.value)
		return
	case "cd":
		p.Name = h.d.dimension(e.k)
	case "cm":
		p = gawire.NumberParam(h.d.metric(e.k), e.value)
	}
	gawire.SetItem(it, &p)
}

// categories takes a category of up to five levels apart.
func categories(s string) []string {
	if s == "" {
		return nil
	}
	return strings.SplitN(gawire.Word(s), "/", 5)
}

// actionName returns GA4's name of a product action; "" when it is none.
func (h *hit) actionName() string {
	switch h.shop.pa {
	case "detail":
		return "view_item"
	case "click":
		return "select_item"
	case "add":
		return "add_to_cart"
	case "remove":
		return "remove_from_cart"
	case "checkout", "checkout_option":
		return h.stepName()
	case "purchase":
		return sidetrack.Purchase
	case "refund":
		return sidetrack.Refund
	}
	return ""
}

func (h *hit) stepName() string {
	step, ok := gawire.Whole(h.shop.cos)
	if name, configured := h.d.steps[int(step)]; ok && configured {
		return name
	}
	switch {
	case h.shop.pa == "checkout_option":
		return "set_checkout_option"
	case h.shop.cos == "" || step == 1:
		return "begin_checkout"
	}
	return "checkout_progress"
}

// promotionName returns GA4's name of what happened to the promotions. The reference calls the click
// promo_click, its example click.
func (h *hit) promotionName() string {
	if h.shop.promoa == "click" || h.shop.promoa == "promo_click" {
		return "select_promotion"
	}
	return "view_promotion"
}

// transaction sets what only purchases, refunds and transactions have.
func (h *hit) transaction(c *sidetrack.Ecommerce) {
	s := &h.shop
	c.TransactionID, c.Affiliation, c.Coupon = gawire.Word(s.ti), gawire.Word(s.ta), gawire.Word(s.tcc)
	c.Tax, c.Shipping = h.amount("tt", s.tt), h.amount("ts", s.ts)
	if m, err := sidetrack.ParseMoney(s.tr); err == nil && m >= 0 {
		c.Value, c.HasValue = m, true
		if h.d.cfg.NetRevenue {
			c.Value = max(0, m-c.Tax-c.Shipping)
		}
		if !h.d.cfg.GA4Events {
			h.keep("tr", s.tr) // the sink cannot know whether a value is with tax and shipping
		}
	} else {
		h.keep("tr", s.tr)
	}
}

// amount reads money. What is none, and a zero, which an event cannot tell from nothing, is kept.
func (h *hit) amount(key, value string) sidetrack.Money {
	m, err := sidetrack.ParseMoney(value)
	if err != nil || m <= 0 {
		h.keep(key, value)
		return 0
	}
	return m
}

// currency sets the currency of what is sold, and keeps a code that is none.
func (h *hit) currency(c *sidetrack.Ecommerce) {
	if code, ok := gawire.Currency(h.shop.cu); ok {
		c.Currency = code
	} else {
		h.keep("cu", h.shop.cu)
	}
}

// checkout sets the step and the option of a checkout.
func (h *hit) checkout(name string, c *sidetrack.Ecommerce) {
	if n, ok := gawire.Whole(h.shop.cos); ok {
		h.setParam("checkout_step", n)
	} else {
		h.keep("cos", h.shop.cos)
	}
	if h.shop.col == "" {
		return
	}
	h.param("checkout_option", h.shop.col)
	switch name {
	case "add_payment_info":
		c.PaymentType = gawire.Word(h.shop.col)
	case "add_shipping_info":
		c.ShippingTier = gawire.Word(h.shop.col)
	}
}

// item is the Ecommerce of an item hit.
func (h *hit) item() *sidetrack.Ecommerce {
	s := &h.shop
	c := &sidetrack.Ecommerce{TransactionID: gawire.Word(s.ti), Affiliation: gawire.Word(s.ta), Items: make([]sidetrack.Item, 1)}
	it := &c.Items[0]
	it.Categories = categories(s.iv)
	for _, p := range [...]gawire.Param{
		gawire.TextParam("item_name", s.in), gawire.TextParam("item_id", s.ic), gawire.TextParam("price", s.ip), gawire.TextParam("quantity", s.iq),
	} {
		gawire.SetItem(it, &p)
	}
	h.currency(c)
	return c
}
