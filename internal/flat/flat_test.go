package flat

import (
	"encoding/json"
	"testing"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/hostile"
)

func TestShop(t *testing.T) {
	m := sidetrack.MoneyOf
	p := Properties{}
	p.Shop(&sidetrack.Ecommerce{
		Currency: "EUR", Value: m(49.97), HasValue: true, Tax: m(5), Shipping: m(5), TransactionID: "T-1", Coupon: "S",
		Items: []sidetrack.Item{{ID: "A", Name: "Boots", Categories: []string{"Shoes", "Hiking"}, Price: m(19.99), HasPrice: true, Quantity: 2, Discount: m(1), HasIndex: true, Params: map[string]any{"colour": "red", "name": "no"}}, {Name: "free", HasPrice: true}},
	})
	got, err := json.Marshal(p)
	want := `{"coupon":"S","currency":"EUR","discount":2,"order_id":"T-1","products":[{"category":"Shoes / Hiking","colour":"red","discount":1,"name":"Boots","position":0,"price":19.99,"product_id":"A","quantity":2,"sku":"A"},{"name":"free","price":0}],"revenue":49.97,"shipping":5,"tax":5,"total":59.97,"value":49.97}`
	if err != nil || string(got) != want {
		t.Errorf("%s %v, want %s", got, err, want)
	}
}

// Whatever is in an event, the properties are JSON.
func TestHostile(t *testing.T) {
	for name, e := range hostile.Events() {
		p := Properties{}
		p.Shop(e.Ecommerce)
		p.Special(e)
		p.Add(e.Params, func(k string) bool { return k == "func" })
		if _, err := json.Marshal(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSize(t *testing.T) {
	for s, want := range map[string][2]int64{"1920x1080": {1920, 1080}, "0x0": {0, 0}} {
		if w, h, ok := Size(s); !ok || w != want[0] || h != want[1] {
			t.Errorf("%s: %d %d %v", s, w, h, ok)
		}
	}
	for _, s := range []string{"", "x", "1x", "x1", "ax1", "-1x2", "99999999999999999999x1", "1x1x1"} {
		if _, _, ok := Size(s); ok {
			t.Errorf("%q is a size", s)
		}
	}
}
