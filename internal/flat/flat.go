// Package flat turns events into the flat properties that most event trackers take, in Segment's vocabulary of
// commerce (segment.com/docs/connections/spec/ecommerce/v2), which those trackers know.
package flat

import (
	"math"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// Properties are what a JSON object may hold.
type Properties map[string]any

// maxText is how long a text may be; maxDepth how deep lists and objects may lie in each other.
const (
	maxText  = 8 << 10
	maxDepth = 8
)

// Clean is text fit for JSON and for people: valid UTF-8, without control characters, at most 8 KiB.
func Clean(s string) string { return text.Clean(s, maxText) }

// Set adds v unless it is empty. A value that JSON has no form for is left out.
func (p Properties) Set(name string, v any) {
	if v, ok := value(v, 0); ok && v != "" {
		p[name] = v
	}
}

// Add adds values that are no part of p yet, without the names for which skip is true. skip may be nil.
func (p Properties) Add(values map[string]any, skip func(name string) bool) {
	for k, v := range values {
		k = text.Clean(k, 255)
		if _, taken := p[k]; k == "" || taken || skip != nil && skip(k) {
			continue
		}
		if v, ok := value(v, 0); ok {
			p[k] = v
		}
	}
}

func value(v any, depth int) (any, bool) {
	if depth > maxDepth {
		return nil, false
	}
	switch v := v.(type) {
	case string:
		return Clean(v), true
	case bool, int64, int, sidetrack.Money, nil:
		return v, true
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case []any:
		out := make([]any, 0, len(v))
		for _, e := range v {
			if e, ok := value(e, depth+1); ok {
				out = append(out, e)
			}
		}
		return out, true
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if e, ok := value(e, depth+1); ok {
				out[text.Clean(k, 255)] = e
			}
		}
		return out, true
	case []string:
		out := make([]any, len(v))
		for i := range v {
			out[i] = Clean(v[i])
		}
		return out, true
	}
	return nil, false
}

// Shop adds an order or a cart: order_id, total with tax and shipping, revenue without, products and so on.
func (p Properties) Shop(c *sidetrack.Ecommerce) {
	if c == nil {
		return
	}
	p.Set("order_id", c.TransactionID)
	p.Set("currency", c.Currency)
	p.Set("affiliation", c.Affiliation)
	p.Set("coupon", c.Coupon)
	p.Set("payment_method", c.PaymentType)
	p.Set("shipping_method", c.ShippingTier)
	p.Set("list_id", c.ListID)
	p.Set("list_name", c.ListName)
	p.promotion(c.Promotion)
	if c.HasValue {
		p["value"], p["revenue"] = c.Value, c.Value
		p["total"] = c.Value + c.Tax + c.Shipping
	}
	if c.Tax != 0 {
		p["tax"] = c.Tax
	}
	if c.Shipping != 0 {
		p["shipping"] = c.Shipping
	}
	var discount sidetrack.Money
	products := make([]any, len(c.Items))
	for i := range c.Items {
		products[i] = Product(&c.Items[i])
		discount += c.Items[i].Discount.Times(max(1, c.Items[i].Quantity))
	}
	if len(products) > 0 {
		p["products"] = products
	}
	if discount > 0 {
		p["discount"] = discount
	}
}

func (p Properties) promotion(o sidetrack.Promotion) {
	p.Set("promotion_id", o.ID)
	p.Set("promotion_name", o.Name)
	p.Set("creative", o.Creative)
	p.Set("position", o.Slot)
}

// Product is one line of an order.
func Product(it *sidetrack.Item) Properties {
	p := Properties{}
	p.Set("product_id", it.ID)
	p.Set("sku", it.ID)
	p.Set("name", it.Name)
	p.Set("brand", it.Brand)
	p.Set("variant", it.Variant)
	p.Set("category", strings.Join(it.Categories, " / "))
	p.Set("coupon", it.Coupon)
	if it.HasPrice || it.Price != 0 {
		p["price"] = it.Price
	}
	if it.Discount != 0 {
		p["discount"] = it.Discount
	}
	if it.Quantity > 0 && !math.IsInf(it.Quantity, 0) {
		p["quantity"] = it.Quantity
	}
	if it.HasIndex {
		p["position"] = it.Index
	}
	p.Add(it.Params, nil)
	return p
}

// Special adds what exceptions, timings and shares are about.
func (p Properties) Special(e *sidetrack.Event) {
	if f := e.Exception; f != nil {
		p.Set("description", f.Description)
		p["fatal"] = f.Fatal
	}
	if t := e.Timing; t != nil {
		p.Set("timing_category", t.Category)
		p.Set("timing_name", t.Variable)
		p.Set("timing_label", t.Label)
		p["timing_ms"] = t.Value.Milliseconds()
	}
	if s := e.Social; s != nil {
		p.Set("social_network", s.Network)
		p.Set("social_action", s.Action)
		p.Set("social_target", s.Target)
	}
}

// Size reads "1920x1080".
func Size(s string) (width, height int64, ok bool) {
	w, h, found := strings.Cut(s, "x")
	if !found {
		return 0, 0, false
	}
	width, ok1 := number(w)
	height, ok2 := number(h)
	return width, height, ok1 && ok2
}

func number(s string) (n int64, ok bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > 1e6 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, s != ""
}
