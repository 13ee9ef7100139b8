package ua

import (
	"math"
	"strconv"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// action is what an event does with its products; "" for one that only UA's other means can say, or none.
func action(name string) Action {
	switch name {
	case "view_item":
		return Detail
	case "select_item":
		return Click
	case "add_to_cart":
		return Add
	case "remove_from_cart":
		return Remove
	case "begin_checkout", "checkout_progress", "add_payment_info", "add_shipping_info":
		return Checkout
	case "set_checkout_option":
		return CheckoutOption
	case sidetrack.Purchase:
		return Purchase
	case sidetrack.Refund:
		return Refund
	}
	return ""
}

// shop adds the commerce of an event to its hit.
func (g *generator) shop(h Hit, e *sidetrack.Event, s *sidetrack.Ecommerce, w *encoder) ([]Hit, error) {
	a := action(e.Name)
	classic := g.cfg.Ecommerce == "classic" && (a == Purchase || a == Refund)
	switch {
	case h.Type == Item && len(s.Items) == 1:
		it := classicItem(&s.Items[0])
		it.TransactionID, it.Currency = s.TransactionID, s.Currency
		h.Item = it
		return []Hit{h}, nil
	case h.Type == Transaction:
		h.Transaction = g.transaction(s, nil)
		return []Hit{h}, nil
	case classic && a == Refund:
		w.note(RuleNoPlace, "refund", "cannot be said in classic e-commerce but by a purchase with amounts below zero: sent as an event alone")
		return []Hit{h}, nil
	case classic:
		t := g.transaction(s, nil)
		if s.HasValue || s.Value != 0 {
			t.Revenue = revenueOf(s)
		}
		t.Coupon = ""
		var items []ItemGroup
		for i := range s.Items {
			items = append(items, classicItem(&s.Items[i]))
		}
		return TransactionHits(h, t, items)
	}
	h.Transaction.Currency = s.Currency
	numbers := strings.Split(text(e.Param(indexes)), ",")
	switch e.Name {
	case "view_item_list":
		h.Shop.Impressions = g.lists(s, numbers, w)
		return []Hit{h}, nil
	case "view_promotion", "select_promotion":
		h.Shop.Promotions = promotions(s, numbers)
		if e.Name == "select_promotion" {
			h.Shop.Promotion = "click"
		}
		return []Hit{h}, nil
	}
	if a == "" && h.Extra["pa"] == "" {
		if len(s.Items) > 0 {
			w.note(RuleNoPlace, "pr1id", "has no action that "+e.Name+" could be, without which products are ignored: left out")
		}
		return []Hit{h}, nil
	}
	h.Shop.Action, h.Shop.List = a, s.ListName
	switch a {
	case Purchase, Refund:
		h.Transaction = g.transaction(s, s.Items)
		// A hit that came without a revenue goes on without: receivers know how to sum up products.
		if _, was := e.Params[Namespace+"t"]; (a == Refund || was) && !s.HasValue && s.Value == 0 {
			h.Transaction.Revenue = ""
		}
	case Checkout, CheckoutOption:
		step, ok := whole(e.Param("checkout_step"))
		if !ok && g.cfg.CheckoutSteps[e.Name] > 0 {
			step, ok = int64(g.cfg.CheckoutSteps[e.Name]), true
		}
		if ok {
			h.Shop.Step = &step
		}
		for _, option := range []string{text(e.Param("checkout_option")), s.PaymentType, s.ShippingTier} {
			if option != "" {
				h.Shop.Option = option
				break
			}
		}
	}
	for i := range s.Items {
		p := g.product(&s.Items[i], w)
		p.Index = numberAt(numbers, i)
		h.Shop.Products = append(h.Shop.Products, p)
	}
	return []Hit{h}, nil
}

// transaction is the transaction of an event. Revenue includes tax and shipping, unlike the value of
// an event; without a value it is the sum of items, which nil leaves to others.
func (g *generator) transaction(s *sidetrack.Ecommerce, items []sidetrack.Item) TransactionGroup {
	t := TransactionGroup{ID: s.TransactionID, Affiliation: s.Affiliation, Coupon: s.Coupon, Currency: s.Currency}
	switch _, priced := (&sidetrack.Ecommerce{Items: items}).ItemsTotal(); {
	case s.HasValue || s.Value != 0:
		t.Revenue = revenueOf(s)
	case priced:
		own := *s
		own.Value, _ = s.ItemsTotal()
		t.Revenue = revenueOf(&own)
	}
	if s.Tax != 0 {
		t.Tax = Amount(s.Tax)
	}
	if s.Shipping != 0 {
		t.Shipping = Amount(s.Shipping)
	}
	return t
}

func revenueOf(s *sidetrack.Ecommerce) Decimal {
	sum, _ := s.Value.Plus(s.Tax)
	sum, _ = sum.Plus(s.Shipping)
	return Amount(sum)
}

// classicItem is an item of a transaction. It needs a name: the code where there is none.
func classicItem(it *sidetrack.Item) ItemGroup {
	out := ItemGroup{Name: it.Name, Code: it.ID, Category: strings.Join(it.Categories, "/")}
	if out.Name == "" {
		out.Name = it.ID
	}
	if it.HasPrice || it.Price != 0 {
		out.Price = Amount(it.Price)
	}
	if n := int64(it.Quantity); it.Quantity > 0 && float64(n) == it.Quantity {
		out.Quantity = &n
	}
	return out
}

func (g *generator) product(it *sidetrack.Item, w *encoder) Product {
	p := Product{ID: it.ID, Name: it.Name, Brand: it.Brand, Category: strings.Join(it.Categories, "/"), Variant: it.Variant, Coupon: it.Coupon}
	if it.HasPrice || it.Price != 0 {
		p.Price = Amount(it.Price)
	}
	if it.Quantity > 0 && it.Quantity < 1e15 {
		p.Quantity = Decimal(strconv.FormatInt(int64(it.Quantity), 10))
		if it.Quantity != math.Trunc(it.Quantity) {
			p.Quantity = Amount(sidetrack.MoneyOf(it.Quantity))
		}
	}
	if it.HasIndex && it.Index >= 0 {
		p.Position = new(it.Index)
	}
	p.Dimensions, p.Metrics = g.indexed(it.Params, nil, nil, w)
	return p
}

// lists groups items by the list they were seen in.
func (g *generator) lists(s *sidetrack.Ecommerce, numbers []string, w *encoder) []List {
	var out []List
	for i := range s.Items {
		it := &s.Items[i]
		name := it.ListName
		if name == "" {
			name = s.ListName
		}
		list, product := 0, 0
		if i < len(numbers) {
			l, p, _ := strings.Cut(numbers[i], ".")
			list, product = atoi(l), atoi(p)
		}
		p := g.product(it, w)
		p.Index = product
		if n := len(out); n > 0 && out[n-1].Name == name && (list == 0 || out[n-1].Index == list) {
			out[n-1].Products = append(out[n-1].Products, p)
			continue
		}
		out = append(out, List{Index: list, Name: name, Products: []Product{p}})
	}
	return out
}

// promotions are those of the items, or the one of the event.
func promotions(s *sidetrack.Ecommerce, numbers []string) []Promotion {
	var out []Promotion
	for i := range s.Items {
		if p := s.Items[i].Promotion; p != (sidetrack.Promotion{}) {
			out = append(out, Promotion{numberAt(numbers, i), p.ID, p.Name, p.Creative, p.Slot})
		}
	}
	if p := s.Promotion; len(out) == 0 && p != (sidetrack.Promotion{}) {
		out = append(out, Promotion{0, p.ID, p.Name, p.Creative, p.Slot})
	}
	return out
}

func numberAt(numbers []string, i int) int {
	if i < len(numbers) {
		return atoi(numbers[i])
	}
	return 0
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
