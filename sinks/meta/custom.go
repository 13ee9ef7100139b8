package meta

import (
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/flat"
)

// customData is what happened, for Meta's optimization: Custom Data Parameters. The event's own params go along.
func (w *writer) customData(e *sidetrack.Event, name string) (flat.Properties, error) {
	p := flat.Properties{}
	if e.Ecommerce != nil {
		w.shop(p, e.Ecommerce)
	}
	if s, ok := e.Params["search_term"].(string); ok {
		p.Set("search_string", s)
	}
	p.Special(e)
	p.Add(e.Params, func(k string) bool {
		return k == "event_id" || k == "search_term" || e.Params[k] == nil ||
			strings.HasPrefix(k, "gtag.") || strings.HasPrefix(k, "mp.") || strings.HasPrefix(k, "ua.")
	})
	w.typed(p)
	for _, k := range sorted(p) {
		v, changed := scrub(p[k])
		switch {
		case isPersonalKey(k) || holdsPersonalData(k):
			delete(p, k)
			w.note(RulePersonalData, "custom_data", "has a parameter that is named like personal data: left out")
		case changed:
			p[k] = v
			w.note(RulePersonalData, "custom_data."+k, "has personal data: taken out")
		}
	}
	_, valued := p["value"]
	if _, ok := p["currency"]; !ok && valued && w.g.cfg.Currency != "" {
		p["currency"] = w.g.cfg.Currency
	}
	if name == purchase {
		switch {
		case !valued:
			return nil, errors.New("meta_capi: a purchase without a value, which Meta requires")
		case p["currency"] == nil:
			return nil, errors.New("meta_capi: a purchase without a currency, which Meta requires: send one, or set currency")
		}
	}
	if len(p) == 0 {
		return nil, nil
	}
	return p, nil
}

// shop adds an order, a cart or a product.
func (w *writer) shop(p flat.Properties, c *sidetrack.Ecommerce) {
	p.Set("currency", c.Currency)
	value, has := c.Value, c.HasValue
	if !has {
		value, has = c.ItemsTotal()
	}
	if has && w.g.cfg.Value == "total" {
		value, _ = value.Plus(c.Tax)
		value, _ = value.Plus(c.Shipping)
	}
	if has && value >= 0 {
		p["value"] = value
	}
	p.Set("order_id", c.TransactionID)
	p.Set("coupon", c.Coupon)
	p.Set("affiliation", c.Affiliation)
	p.Set("payment_type", c.PaymentType)
	p.Set("shipping_tier", c.ShippingTier)
	p.Set("promotion_id", c.Promotion.ID)
	p.Set("promotion_name", c.Promotion.Name)
	var ids, contents []any
	var pieces int64
	for i := range c.Items {
		content, quantity, ok := product(&c.Items[i])
		if !ok {
			continue
		}
		ids, contents = append(ids, content["id"]), append(contents, content)
		pieces += quantity
	}
	if len(contents) > 0 {
		p["content_type"], p["content_ids"], p["contents"], p["num_items"] = "product", ids, contents, pieces
	}
	p.Set("content_name", c.ListName)
	p.Set("content_category", c.ListID)
	if len(c.Items) == 1 {
		p.Set("content_name", c.Items[0].Name)
		p.Set("content_category", strings.Join(c.Items[0].Categories, " > "))
	}
}

// maxQuantity is what is still a number of pieces.
const maxQuantity = 1e6

// product is one line of contents. Quantities are whole at Meta: the sum of the line stays right.
func product(it *sidetrack.Item) (content flat.Properties, quantity int64, ok bool) {
	content = flat.Properties{}
	content.Set("id", it.ID)
	if it.ID == "" {
		content.Set("id", it.Name)
	}
	if content["id"] == nil {
		return nil, 0, false
	}
	q, price := it.Quantity, it.Price
	if !(q > 0) || math.IsInf(q, 0) {
		q = 1
	}
	if q != math.Trunc(q) || q > maxQuantity {
		q, price = 1, price.Times(q)
	}
	content["quantity"] = int64(q)
	if it.HasPrice || it.Price != 0 {
		content["item_price"] = price
	}
	content.Set("title", it.Name)
	content.Set("brand", it.Brand)
	content.Set("category", strings.Join(it.Categories, " > "))
	if d, ok := it.Params["delivery_category"].(string); ok && slices.Contains(deliveries, d) {
		content["delivery_category"] = d
	}
	return content, int64(q), true
}

// deliveries are the values of delivery_category.
var deliveries = []string{"in_store", "curbside", "home_delivery"}

// typed makes sure that what has a meaning to Meta has the type that Meta expects, because anything else costs the whole batch.
func (w *writer) typed(p flat.Properties) {
	for _, k := range sorted(p) {
		v, ok := p[k], true
		switch k {
		case "value", "predicted_ltv", "net_revenue":
			v, ok = amount(v)
		case "currency":
			s, _ := v.(string)
			s = strings.ToUpper(strings.TrimSpace(s))
			v, ok = s, iso4217.MatchString(s)
		case "num_items":
			v, ok = whole(v)
		case "content_ids":
			v, ok = list(v, func(e any) bool { _, text := e.(string); _, number := e.(int64); return text || number })
		case "contents":
			v, ok = list(v, isContent)
		case "content_type", "content_name", "content_category", "order_id", "search_string", "delivery_category":
			_, ok = v.(string)
			ok = ok && (k != "delivery_category" || slices.Contains(deliveries, v.(string)))
		case "status":
			switch v.(type) {
			case string, bool:
			default:
				ok = false
			}
		}
		if p[k] = v; !ok {
			delete(p, k)
			w.note(RuleCustomData, "custom_data."+k, "is not of the type that Meta expects: left out")
		}
	}
}

func amount(v any) (any, bool) {
	switch v := v.(type) {
	case sidetrack.Money:
		return v, v >= 0
	case int64:
		return v, v >= 0
	case float64:
		return v, v >= 0
	case string:
		m, err := sidetrack.ParseMoney(v)
		return m, err == nil && m >= 0
	}
	return v, false
}

func whole(v any) (any, bool) {
	switch v := v.(type) {
	case int64:
		return v, v >= 0
	case float64:
		return int64(v), v == math.Trunc(v) && v >= 0 && v <= maxQuantity
	}
	return v, false
}

func list(v any, is func(any) bool) (any, bool) {
	l, ok := v.([]any)
	return v, ok && !slices.ContainsFunc(l, func(e any) bool { return !is(e) })
}

func isContent(v any) bool {
	var m map[string]any
	switch v := v.(type) {
	case flat.Properties:
		m = v
	case map[string]any:
		m = v
	}
	id, ok := m["id"].(string)
	if !ok || id == "" {
		return false
	}
	if q, there := m["quantity"]; there {
		if _, ok := whole(q); !ok {
			return false
		}
	}
	if price, there := m["item_price"]; there {
		if _, ok := amount(price); !ok {
			return false
		}
	}
	return true
}
