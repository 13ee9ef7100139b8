package ua

import (
	"maps"
	"slices"
	"strconv"
)

// Action is what was done with the products of a hit: parameter pa.
type Action string

// The actions.
const (
	Detail         Action = "detail"
	Click          Action = "click"
	Add            Action = "add"
	Remove         Action = "remove"
	Checkout       Action = "checkout"
	CheckoutOption Action = "checkout_option"
	Purchase       Action = "purchase"
	Refund         Action = "refund"
)

// Shop is enhanced e-commerce. Products need an Action, without which receivers ignore them. The transaction of a
// purchase or refund is Hit.Transaction.
type Shop struct {
	Action      Action // pa
	List        string // pal: list of the action
	Step        *int64 // cos: step of the checkout
	Option      string // col: option of that step
	Products    []Product
	Impressions []List
	Promotions  []Promotion
	Promotion   string // promoa: click; a view without it
}

// Product is a product of an action, pr<n>…, or of a list, il<l>pi<n>…, where it has no Quantity and Coupon.
type Product struct {
	Index      int     // n from 1 to 200; 0: its place in the list
	ID         string  // id, 500 bytes like the other texts
	Name       string  // nm
	Brand      string  // br
	Category   string  // ca: up to five levels apart by /
	Variant    string  // va
	Price      Decimal // pr
	Quantity   Decimal // qt, a whole number
	Coupon     string  // cc
	Position   *int64  // ps
	Dimensions map[int]string
	Metrics    map[int]Decimal
}

// List is a list of products that were seen: il<l>….
type List struct {
	Index    int    // l from 1 to 200; 0: its place
	Name     string // nm
	Products []Product
}

// Promotion is an internal promotion that was seen or clicked: promo<n>….
type Promotion struct {
	Index    int    // n from 1 to 200; 0: its place
	ID       string // id
	Name     string // nm
	Creative string // cr
	Position string // ps
}

const maxText = 500 // bytes of a text of enhanced e-commerce

func (s *Shop) append(w *encoder) {
	w.text("pa", string(s.Action), 0)
	w.text("pal", s.List, maxText)
	w.count("cos", s.Step)
	w.text("col", s.Option, maxText)
	for i := range s.Products {
		s.Products[i].append(w, "pr", i, true)
	}
	for i := range s.Impressions {
		l := &s.Impressions[i]
		n := place(l.Index, i)
		if !w.indexOf("il", n, "nm") {
			continue
		}
		prefix := "il" + strconv.Itoa(n)
		w.text(prefix+"nm", l.Name, maxText)
		for j := range l.Products {
			l.Products[j].append(w, prefix+"pi", j, false)
		}
	}
	for i := range s.Promotions {
		p := &s.Promotions[i]
		n := place(p.Index, i)
		if !w.indexOf("promo", n, "id") {
			continue
		}
		prefix := "promo" + strconv.Itoa(n)
		w.text(prefix+"id", p.ID, maxText)
		w.text(prefix+"nm", p.Name, maxText)
		w.text(prefix+"cr", p.Creative, maxText)
		w.text(prefix+"ps", p.Position, maxText)
	}
	w.text("promoa", s.Promotion, 0)
}

func place(index, i int) int {
	if index != 0 {
		return index
	}
	return i + 1
}

func (p *Product) append(w *encoder, prefix string, i int, sold bool) {
	n := place(p.Index, i)
	if !w.indexOf(prefix, n, "id") {
		return
	}
	prefix += strconv.Itoa(n)
	w.text(prefix+"id", p.ID, maxText)
	w.text(prefix+"nm", p.Name, maxText)
	w.text(prefix+"br", p.Brand, maxText)
	w.text(prefix+"ca", p.Category, maxText)
	w.text(prefix+"va", p.Variant, maxText)
	w.decimal(prefix+"pr", p.Price)
	if sold {
		w.decimal(prefix+"qt", p.Quantity)
		w.text(prefix+"cc", p.Coupon, maxText)
	}
	w.count(prefix+"ps", p.Position)
	for _, d := range slices.Sorted(maps.Keys(p.Dimensions)) {
		if w.index(prefix+"cd", d, 200) {
			w.text(prefix+"cd"+strconv.Itoa(d), p.Dimensions[d], 0)
		}
	}
	for _, m := range slices.Sorted(maps.Keys(p.Metrics)) {
		if w.index(prefix+"cm", m, 200) {
			w.decimal(prefix+"cm"+strconv.Itoa(m), p.Metrics[m])
		}
	}
}
