package sidetrack

import "fmt"

// Names of the events of a shop: Google Analytics 4's recommended names.
const (
	ViewItemList    = "view_item_list"
	SelectItem      = "select_item"
	ViewItem        = "view_item"
	AddToWishlist   = "add_to_wishlist"
	AddToCart       = "add_to_cart"
	RemoveFromCart  = "remove_from_cart"
	ViewCart        = "view_cart"
	BeginCheckout   = "begin_checkout"
	AddShippingInfo = "add_shipping_info"
	AddPaymentInfo  = "add_payment_info"
	ViewPromotion   = "view_promotion"
	SelectPromotion = "select_promotion"
)

// The methods below send one event of a shop each. The argument is copied. Amounts are decimals: make
// them with ParseMoney, or with MoneyOf from a number, never by calculating with float64.
//
// Where the event has a value and the argument says none, it is the sum of price × quantity of the
// items, as Google Analytics 4 wants it: without tax and shipping. A value that is not that sum is sent as it is, and the event
// gets the mark MarkSum, because it usually is a mistake; see Ecommerce.CheckSum.

// ViewItemList sends that a list of products was seen: ListID, ListName and Items.
func (t *Tracker) ViewItemList(c Ecommerce) error { return t.commerce(ViewItemList, c, false) }

// SelectItem sends that a product of a list was chosen: ListID, ListName and one of Items.
func (t *Tracker) SelectItem(c Ecommerce) error { return t.commerce(SelectItem, c, false) }

// ViewItem sends that a product was looked at.
func (t *Tracker) ViewItem(c Ecommerce) error { return t.commerce(ViewItem, c, true) }

// AddToWishlist sends that products were kept for later.
func (t *Tracker) AddToWishlist(c Ecommerce) error { return t.commerce(AddToWishlist, c, true) }

// AddToCart sends what was put into the cart: these products alone, not all of the cart.
func (t *Tracker) AddToCart(c Ecommerce) error { return t.commerce(AddToCart, c, true) }

// RemoveFromCart sends what was taken out of the cart.
func (t *Tracker) RemoveFromCart(c Ecommerce) error { return t.commerce(RemoveFromCart, c, true) }

// ViewCart sends that the cart was looked at, with all that is in it.
func (t *Tracker) ViewCart(c Ecommerce) error { return t.commerce(ViewCart, c, true) }

// BeginCheckout sends that the checkout began; Coupon is of the order.
func (t *Tracker) BeginCheckout(c Ecommerce) error { return t.commerce(BeginCheckout, c, true) }

// AddShippingInfo sends how it is to be shipped: ShippingTier.
func (t *Tracker) AddShippingInfo(c Ecommerce) error { return t.commerce(AddShippingInfo, c, true) }

// AddPaymentInfo sends how it is to be paid: PaymentType.
func (t *Tracker) AddPaymentInfo(c Ecommerce) error { return t.commerce(AddPaymentInfo, c, true) }

// Purchase sends a purchase. Its TransactionID is what makes a repeat harmless.
func (t *Tracker) Purchase(c Ecommerce) error { return t.commerce(Purchase, c, true) }

// Refund sends a refund; without items the whole transaction.
func (t *Tracker) Refund(c Ecommerce) error { return t.commerce(Refund, c, true) }

// ViewPromotion sends that a promotion was seen: Promotion, or those of Items.
func (t *Tracker) ViewPromotion(c Ecommerce) error { return t.commerce(ViewPromotion, c, false) }

// SelectPromotion sends that a promotion was chosen.
func (t *Tracker) SelectPromotion(c Ecommerce) error { return t.commerce(SelectPromotion, c, false) }

func (t *Tracker) commerce(name string, c Ecommerce, valued bool) error {
	return t.Send(name, func(e *Event) {
		e.Ecommerce = (&Event{Ecommerce: &c}).Clone().Ecommerce
		own := e.Ecommerce
		switch {
		case !own.HasValue && own.Value != 0:
			own.HasValue = true
		case !own.HasValue && valued:
			own.Value, own.HasValue = own.ItemsTotal()
			return
		}
		if own.CheckSum() != nil {
			e.Mark(MarkSum)
		}
	})
}

// MarkSum is the mark of an event whose value is not the sum of its items.
const MarkSum = "value:not_the_sum_of_items"

// ItemsTotal returns the sum of price × quantity, quantity 1 where it is unknown, held at the
// end of the range. ok is false when no item has a price.
func (c *Ecommerce) ItemsTotal() (sum Money, ok bool) {
	for i := range c.Items {
		it := &c.Items[i]
		if !it.HasPrice && it.Price == 0 {
			continue
		}
		q := it.Quantity
		if q == 0 {
			q = 1
		}
		sum, _ = sum.Plus(it.Price.Times(q))
		ok = true
	}
	return sum, ok
}

// CheckSum compares the value with the sum of price × quantity of the items and returns a *FieldError
// when they differ by more than a hundredth for each item, which rounded prices may make. It returns nil when there is
// no value, or an item has no price.
func (c *Ecommerce) CheckSum() error {
	if !c.HasValue && c.Value == 0 || len(c.Items) == 0 {
		return nil
	}
	for i := range c.Items {
		if !c.Items[i].HasPrice && c.Items[i].Price == 0 {
			return nil
		}
	}
	sum, _ := c.ItemsTotal()
	tolerance := Money(len(c.Items)) * microPerUnit / 100
	near := func(a, b Money) bool { return max(a, b)-min(a, b) <= tolerance }
	if near(c.Value, sum) {
		return nil
	}
	gross, _ := sum.Plus(c.Tax)
	gross, _ = gross.Plus(c.Shipping)
	if near(c.Value, gross) {
		return &FieldError{Field: "ecommerce.value", Problem: fmt.Sprintf("is %s, with tax and shipping; it should be the sum of the items alone, %s", c.Value, sum)}
	}
	return &FieldError{Field: "ecommerce.value", Problem: fmt.Sprintf("is %s, but the items make %s", c.Value, sum)}
}
