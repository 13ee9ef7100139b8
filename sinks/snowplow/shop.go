package snowplow

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/flat"
)

// commerce is the vendor of Snowplow's schemas of a shop. All of them refuse what they do not know, amounts below
// zero, over 9,999,999 or with more than two decimals.
const commerce = "iglu:com.snowplowanalytics.snowplow.ecommerce/"

const (
	maxAmount = 9_999_999
	maxCount  = 9_999_999
)

// actions are Snowplow's for GA4's shop events. It has none for the others, which are structured events with the same entities.
var actions = map[string]string{
	sidetrack.ViewItem: "product_view", sidetrack.ViewItemList: "list_view", sidetrack.SelectItem: "list_click",
	sidetrack.AddToCart: "add_to_cart", sidetrack.RemoveFromCart: "remove_from_cart", sidetrack.ViewPromotion: "promo_view", sidetrack.SelectPromotion: "promo_click",
	sidetrack.BeginCheckout: "checkout_step", sidetrack.AddShippingInfo: "checkout_step", sidetrack.AddPaymentInfo: "checkout_step",
	sidetrack.Purchase: "transaction", sidetrack.Refund: "refund",
}

// steps are the numbers that Snowplow wants the steps of a checkout to have, where the event says none.
var steps = map[string]int64{sidetrack.BeginCheckout: 1, sidetrack.AddShippingInfo: 2, sidetrack.AddPaymentInfo: 3}

// shop makes the event of a shop that Snowplow calls action: what it is about is in its entities.
func (g *generator) shop(d *draft, e *sidetrack.Event, action string) error {
	c := e.Ecommerce
	if c == nil {
		c = &sidetrack.Ecommerce{}
	}
	var err error
	switch e.Name {
	case sidetrack.Purchase:
		if g.cfg.Purchases == "transaction" {
			return d.transaction(e, c)
		}
		err = d.order(c)
	case sidetrack.Refund:
		err = d.refund(c)
	case sidetrack.ViewPromotion, sidetrack.SelectPromotion:
		d.promotions(c)
	case sidetrack.BeginCheckout, sidetrack.AddShippingInfo, sidetrack.AddPaymentInfo:
		d.step(e, c)
	}
	if err != nil {
		return err
	}
	d.products(c)
	data := flat.Properties{"type": action}
	data.Set("name", d.cut("name", c.ListName, 128))
	return g.describe(d, commerce+"snowplow_ecommerce_action/jsonschema/1-0-2", data)
}

// step attaches the step of a checkout.
func (d *draft) step(e *sidetrack.Event, c *sidetrack.Ecommerce) {
	p := flat.Properties{"step": steps[e.Name]}
	if n, ok := e.Params["checkout_step"].(int64); ok && n >= 1 && n <= 90 {
		p["step"] = n
	}
	p.Set("delivery_method", d.cut("delivery_method", c.ShippingTier, 128))
	p.Set("payment_method", d.cut("payment_method", c.PaymentType, 128))
	p.Set("coupon_code", d.cut("coupon_code", c.Coupon, 128))
	d.shopEntity("checkout_step", p)
}

func (d *draft) shopEntity(name string, data flat.Properties) {
	d.entities = append(d.entities, described{commerce + name + "/jsonschema/1-0-0", data})
}

// cents is m with the two decimals that Snowplow's schemas allow, half away from zero.
func cents(m sidetrack.Money) sidetrack.Money {
	const cent = 10_000
	rest := m % cent
	m -= rest
	switch {
	case rest >= cent/2:
		m += cent
	case rest <= -cent/2:
		m -= cent
	}
	return m
}

func allowed(m sidetrack.Money) bool { return m >= 0 && m <= sidetrack.MoneyOf(maxAmount) }

// amount sets an amount that may be missing, and notes one that is out of range.
func (d *draft) amount(p flat.Properties, name string, m sidetrack.Money) {
	switch m := cents(m); {
	case m == 0:
	case !allowed(m):
		d.note(RuleOutOfRange, name, "is %s: Snowplow takes 0 to %d", m, maxAmount)
	default:
		p[name] = m
	}
}

// total is what was paid: the value with tax and shipping, as Snowplow's revenue is the order's total.
func total(c *sidetrack.Ecommerce) (sidetrack.Money, error) {
	value, known := c.Value, c.HasValue
	if !known {
		value, known = c.ItemsTotal()
	}
	if !known {
		return 0, errors.New("neither a value nor a price of an item, which Snowplow requires")
	}
	value, ok1 := value.Plus(c.Tax)
	value, ok2 := value.Plus(c.Shipping)
	if !ok1 || !ok2 {
		return 0, errors.New("the total is out of range")
	}
	return value, nil
}

// paid is the total as the schemas allow it.
func paid(c *sidetrack.Ecommerce) (sidetrack.Money, error) {
	v, err := total(c)
	if v = cents(v); err == nil && !allowed(v) {
		err = fmt.Errorf("the total is %s: Snowplow takes 0 to %d", v, maxAmount)
	}
	return v, err
}

// order attaches the transaction of a purchase.
func (d *draft) order(c *sidetrack.Ecommerce) error {
	id := flat.Clean(c.TransactionID)
	revenue, err := paid(c)
	switch {
	case id == "":
		return errors.New("a purchase without a transaction id, which Snowplow requires")
	case len(id) > maxLabel:
		return fmt.Errorf("the transaction id is longer than %d bytes", maxLabel)
	case len(c.Currency) != 3:
		return errors.New("a purchase without a currency of three letters, which Snowplow requires")
	case err != nil:
		return err
	}
	var quantity int64
	var discount sidetrack.Money
	for i := range c.Items {
		n, ok := count(&c.Items[i])
		if !ok {
			n = 1
		}
		quantity = min(quantity+n, maxCount)
		discount, _ = discount.Plus(c.Items[i].Discount.Times(max(1, c.Items[i].Quantity)))
	}
	p := flat.Properties{
		"transaction_id": id, "revenue": revenue, "currency": c.Currency, "total_quantity": quantity,
		"payment_method": cmp.Or(d.cut("payment_method", c.PaymentType, 128), "unknown"),
	}
	d.amount(p, "tax", c.Tax)
	d.amount(p, "shipping", c.Shipping)
	d.amount(p, "discount_amount", discount)
	p.Set("discount_code", d.cut("discount_code", c.Coupon, 99))
	d.shopEntity("transaction", p)
	return nil
}

func (d *draft) refund(c *sidetrack.Ecommerce) error {
	id := flat.Clean(c.TransactionID)
	amount, err := paid(c)
	switch {
	case id == "" || len(id) > maxLabel:
		return fmt.Errorf("a refund without a transaction id of at most %d bytes, which Snowplow requires", maxLabel)
	case len(c.Currency) != 3:
		return errors.New("a refund without a currency of three letters, which Snowplow requires")
	case err != nil:
		return err
	}
	d.shopEntity("refund", flat.Properties{"transaction_id": id, "currency": c.Currency, "refund_amount": amount})
	return nil
}

// promotions attaches the event's promotion, and those of its items once each.
func (d *draft) promotions(c *sidetrack.Ecommerce) {
	all := []sidetrack.Promotion{c.Promotion}
	for i := range c.Items {
		all = append(all, c.Items[i].Promotion)
	}
	var seen []sidetrack.Promotion
	for _, o := range all {
		id := d.cut("promotion.id", cmp.Or(o.ID, o.Name), maxLabel)
		if id == "" || slices.Contains(seen, o) {
			continue
		}
		seen = append(seen, o)
		p := flat.Properties{"id": id}
		p.Set("name", d.cut("promotion.name", o.Name, 256))
		p.Set("creative_id", d.cut("promotion.creative", o.Creative, maxLabel))
		p.Set("slot", d.cut("promotion.slot", o.Slot, 256))
		d.shopEntity("promotion", p)
	}
}

// count is how many of an item, when it is a whole number.
func count(it *sidetrack.Item) (int64, bool) {
	q := it.Quantity
	if q == 0 {
		return 1, true
	}
	return int64(q), q >= 1 && q <= maxCount && q == math.Trunc(q)
}

func (d *draft) products(c *sidetrack.Ecommerce) {
	for i := range c.Items {
		d.product(&c.Items[i], c.Currency, fmt.Sprintf("items[%d]", i))
	}
}

// product attaches one product. Without what Snowplow's schema requires it is left out: it would cost the event.
func (d *draft) product(it *sidetrack.Item, currency, field string) {
	id := d.cut(field+".id", cmp.Or(it.ID, it.Name), maxLabel)
	price := cents(it.Price)
	switch {
	case id == "":
		d.note(RuleIncompleteProduct, field, "has neither id nor name: left out")
		return
	case !it.HasPrice && it.Price == 0, !allowed(price):
		d.note(RuleIncompleteProduct, field, "has no price from 0 to %d: left out", maxAmount)
		return
	case len(currency) != 3:
		d.note(RuleIncompleteProduct, field, "has no currency: left out")
		return
	}
	p := flat.Properties{"id": id, "price": price, "currency": currency, "category": d.cut(field+".category", strings.Join(it.Categories, "/"), maxLabel)}
	if it.Discount > 0 {
		list, _ := it.Price.Plus(it.Discount)
		d.amount(p, "list_price", list)
	}
	if n, ok := count(it); ok && it.Quantity != 0 {
		p["quantity"] = n
	}
	if it.HasIndex && it.Index >= 0 && it.Index <= maxCount {
		p["position"] = it.Index
	}
	p.Set("name", d.cut(field+".name", it.Name, maxLabel))
	p.Set("brand", d.cut(field+".brand", it.Brand, 256))
	p.Set("variant", d.cut(field+".variant", it.Variant, 256))
	p.Set("size", d.cut(field+".size", scalar(it.Params["size"]), 256))
	p.Set("creative_id", d.cut(field+".creative", it.Promotion.Creative, 256))
	d.shopEntity("product", p)
}

// transaction makes the older events of a purchase: tr, and ti for each item, with ids made of the event's.
func (d *draft) transaction(e *sidetrack.Event, c *sidetrack.Ecommerce) error {
	id := flat.Clean(c.TransactionID)
	sum, err := total(c)
	switch {
	case id == "" || len(id) > maxOrder:
		return fmt.Errorf("a purchase without a transaction id of at most %d bytes, which Snowplow requires", maxOrder)
	case err != nil:
		return err
	}
	item := payload{}
	for k, v := range d.p {
		item[k] = v
	}
	d.p["e"], d.p["tr_id"], d.p["tr_tt"] = "tr", id, sum.String()
	d.set("tr_af", c.Affiliation, maxOrder)
	if c.Tax != 0 {
		d.p["tr_tx"] = c.Tax.String()
	}
	if c.Shipping != 0 {
		d.p["tr_sh"] = c.Shipping.String()
	}
	if len(c.Currency) == 3 {
		item["ti_cu"], d.p["tr_cu"] = c.Currency, c.Currency
	}
	for i := range c.Items {
		it, field := &c.Items[i], fmt.Sprintf("items[%d]", i)
		t := draft{p: payload{}}
		for k, v := range item {
			t.p[k] = v
		}
		t.p["e"], t.p["ti_id"], t.p["eid"] = "ti", id, uuid.NewSHA1(e.ID, []byte("ti\x00"+field)).String()
		t.set("ti_sk", cmp.Or(it.ID, it.Name), maxOrder)
		t.set("ti_nm", it.Name, maxOrder)
		t.set("ti_ca", strings.Join(it.Categories, "/"), maxOrder)
		t.p["ti_pr"] = it.Price.String()
		n, whole := count(it)
		if !whole || t.p["ti_sk"] == "" || !it.HasPrice && it.Price == 0 {
			d.note(RuleIncompleteProduct, field, "has no id or name, no price, or no whole quantity: left out")
			continue
		}
		t.p["ti_qu"] = number(n)
		d.notes = append(d.notes, t.notes...)
		d.out = append(d.out, t.p)
	}
	return nil
}
