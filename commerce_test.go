package sidetrack_test

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sidetrack-go/sidetrack"
)

// box is a queue that keeps what it gets.
type box struct{ events []*sidetrack.Event }

func (b *box) Enqueue(events ...*sidetrack.Event) error {
	b.events = append(b.events, events...)
	return nil
}

func amount(s string) sidetrack.Money {
	m, err := sidetrack.ParseMoney(s)
	if err != nil {
		panic(err)
	}
	return m
}

func TestCommerceCalls(t *testing.T) {
	var b box
	track := sidetrack.NewTracker(&b, sidetrack.Event{Visitor: sidetrack.Visitor{ClientID: "1.2"}})
	c := sidetrack.Ecommerce{Currency: "EUR", ListName: "L", Items: []sidetrack.Item{{ID: "a", Price: amount("0.1"), HasPrice: true, Quantity: 3}, {ID: "b", Price: amount("0.2"), HasPrice: true}}}
	calls := []struct {
		name   string
		send   func(sidetrack.Ecommerce) error
		valued bool
	}{
		{"view_item_list", track.ViewItemList, false}, {"select_item", track.SelectItem, false}, {"view_item", track.ViewItem, true}, {"add_to_wishlist", track.AddToWishlist, true},
		{"add_to_cart", track.AddToCart, true}, {"remove_from_cart", track.RemoveFromCart, true}, {"view_cart", track.ViewCart, true}, {"begin_checkout", track.BeginCheckout, true},
		{"add_shipping_info", track.AddShippingInfo, true}, {"add_payment_info", track.AddPaymentInfo, true}, {"purchase", track.Purchase, true}, {"refund", track.Refund, true},
		{"view_promotion", track.ViewPromotion, false}, {"select_promotion", track.SelectPromotion, false},
	}
	for i, call := range calls {
		if err := call.send(c); err != nil {
			t.Fatal(err)
		}
		e := b.events[i]
		if e.Name != call.name || e.Visitor.ClientID != "1.2" || e.Ecommerce.ListName != "L" || len(e.Ecommerce.Items) != 2 {
			t.Errorf("%s: %+v", call.name, e)
		}
		if got := e.Ecommerce; got.HasValue != call.valued || call.valued && got.Value != amount("0.5") {
			t.Errorf("%s: value %s %v", call.name, got.Value, got.HasValue)
		}
	}
	c.Items[0].ID = "changed"
	if b.events[0].Ecommerce.Items[0].ID != "a" {
		t.Error("the items are not copied")
	}
	var none *sidetrack.Tracker
	if err := none.AddToCart(c); err != nil {
		t.Error(err)
	}
}

func TestSumsAreChecked(t *testing.T) {
	items := []sidetrack.Item{{ID: "a", Price: amount("19.99"), HasPrice: true, Quantity: 2}, {ID: "b", Price: amount("9.99"), HasPrice: true}}
	for value, want := range map[string]string{
		"49.97": "", "49.98": "", "49.99": "", // prices may be rounded
		"50.00": "ecommerce.value: is 50, but the items make 49.97",
		"59.87": "ecommerce.value: is 59.87, with tax and shipping; it should be the sum of the items alone, 49.97",
		"0":     "ecommerce.value: is 0, but the items make 49.97",
	} {
		var b box
		c := sidetrack.Ecommerce{Currency: "EUR", Value: amount(value), HasValue: true, Tax: amount("4.9"), Shipping: amount("5"), Items: items}
		if err := c.CheckSum(); fmt.Sprint(err) != want && !(err == nil && want == "") {
			t.Errorf("%s: %v, want %s", value, err, want)
		}
		if err := sidetrack.NewTracker(&b, sidetrack.Event{}).Purchase(c); err != nil {
			t.Fatal(err)
		}
		if e := b.events[0]; slices.Contains(e.Marks, sidetrack.MarkSum) != (want != "") || e.Ecommerce.Value != amount(value) {
			t.Errorf("%s: %v %s", value, e.Marks, e.Ecommerce.Value)
		}
	}
	unpriced := sidetrack.Ecommerce{Value: 1, Items: []sidetrack.Item{{ID: "a"}}}
	if err := unpriced.CheckSum(); err != nil {
		t.Error(err)
	}
}

// TestTimesIsExact holds the product against one of arbitrary precision.
func TestTimesIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := sidetrack.Money(rapid.Int64().Draw(t, "m"))
		q := rapid.OneOf(rapid.Map(rapid.Int64Range(-1e9, 1e9), func(n int64) float64 { return float64(n) / 1000 }), rapid.Map(rapid.Int64Range(-1e6, 1e6), func(n int64) float64 { return float64(n) })).Draw(t, "q")
		thousandths := big.NewInt(int64(math.Round(q * 1000)))
		exact := new(big.Int).Mul(big.NewInt(int64(m)), thousandths)
		half := big.NewInt(500)
		if exact.Sign() < 0 {
			half.Neg(half)
		}
		exact.Quo(exact.Add(exact, half), big.NewInt(1000))
		limit := big.NewInt(math.MaxInt64)
		if exact.CmpAbs(limit) > 0 {
			if exact.Sign() < 0 {
				limit.Neg(limit)
			}
			exact = limit
		}
		if got := m.Times(q); big.NewInt(int64(got)).Cmp(exact) != 0 {
			t.Fatalf("%d × %v = %d, want %s", m, q, got, exact)
		}
	})
	for q, want := range map[float64]sidetrack.Money{math.NaN(): 0, math.Inf(1): math.MaxInt64, math.Inf(-1): -math.MaxInt64, 1e300: math.MaxInt64, 0: 0} {
		if got := sidetrack.Money(1_000_000).Times(q); got != want {
			t.Errorf("1 × %v = %d, want %d", q, got, want)
		}
	}
}

func ExampleTracker_Purchase() {
	var queue box
	track := sidetrack.NewTracker(&queue, sidetrack.Event{Consent: sidetrack.Grant("server", sidetrack.AnalyticsStorage)})
	price, err := sidetrack.ParseMoney("19.99")
	if err != nil {
		panic(err)
	}
	err = track.Purchase(sidetrack.Ecommerce{
		Currency:      "EUR",
		TransactionID: "T-1",
		Tax:           sidetrack.MoneyOf(3.19),
		Items:         []sidetrack.Item{{ID: "SKU-1", Price: price, HasPrice: true, Quantity: 3}},
	})
	fmt.Println(queue.events[0].Name, queue.events[0].Ecommerce.Value, err)
	// Output: purchase 59.97 <nil>
}
