package ga

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// shop is the commerce of an event, wherever in it it stands: in the group of that name, or among
// the parameters under Google's names, as clients send it.
type shop struct {
	sidetrack.Ecommerce
	taken  []string // parameters that the shop writes
	strict bool     // a value needs a currency
}

// took reports whether a parameter is written by the shop.
func (s *shop) took(param string) bool {
	return s != nil && slices.Contains(s.taken, param)
}

// shopOf collects the commerce of an event; nil when there is none.
func shopOf(w *writer, name string, e *sidetrack.Event) *shop {
	money := recommended[name].money
	if e.Ecommerce == nil && !money && e.Params["items"] == nil && e.Params["currency"] == nil {
		return nil
	}
	s := &shop{strict: money || e.Ecommerce != nil || e.Params["currency"] != nil}
	if e.Ecommerce != nil {
		s.Ecommerce = *e.Ecommerce
	}
	if len(e.Params) == 0 {
		return s
	}
	if v, ok := e.Params["currency"].(string); ok && s.Currency == "" {
		s.Currency = v
		s.taken = append(s.taken, "currency")
	}
	if v, ok := e.Params["transaction_id"]; ok && s.TransactionID == "" {
		if v, ok := v.(string); ok {
			s.TransactionID = v
			s.taken = append(s.taken, "transaction_id")
		}
	}
	amount := func(param string, to *sidetrack.Money, has *bool) {
		v, ok := e.Params[param]
		if !ok || *has || *to != 0 {
			return
		}
		if m, ok := money64(v); ok {
			*to, *has = m, true
			s.taken = append(s.taken, param)
		}
	}
	var tax, shipping bool
	amount("value", &s.Value, &s.HasValue)
	amount("tax", &s.Tax, &tax)
	amount("shipping", &s.Shipping, &shipping)
	if list, ok := e.Params["items"].([]any); ok && len(s.Items) == 0 {
		s.Items = looseItems(list)
		s.taken = append(s.taken, "items")
	}
	return s
}

// money64 reads an amount as clients send it; a number in a text is a number.
func money64(v any) (sidetrack.Money, bool) {
	switch v := v.(type) {
	case sidetrack.Money:
		return v, true
	case string:
		m, err := sidetrack.ParseMoney(v)
		return m, err == nil
	case float64:
		m := sidetrack.MoneyOf(v)
		return m, m != 0 || v == 0
	}
	if n, ok := integer(v); ok && n < 1e12 && n > -1e12 {
		return sidetrack.Money(n * 1_000_000), true
	}
	return 0, false
}

// shop writes the commerce of an event.
func (g *generator) shop(w *writer, name string, s *shop) {
	hasValue := s.HasValue || s.Value != 0
	if s.Currency == "" && (hasValue || len(s.Items) > 0) {
		s.Currency = g.currency
	}
	if s.Currency != "" && !isCurrency(s.Currency) {
		upper := strings.ToUpper(strings.TrimSpace(s.Currency))
		a := w.broke(RuleCurrencyInvalid, inParams+"currency", "is "+strconv.Quote(gawire.Clip(s.Currency, 20))+", not three letters of ISO 4217")
		if s.Currency = ""; a == Clip && isCurrency(upper) {
			s.Currency = upper
		}
	}
	w.text(inParams, "currency", s.Currency, 3)
	switch {
	case !hasValue:
	case s.Currency == "" && s.strict && w.broke(RuleCurrencyRequired, inParams+"currency", "is required once there is a value, which says nothing without it") != Keep:
	default:
		w.money("value", s.Value)
	}
	if s.TransactionID == "" && needsTransaction(name) {
		w.brokeEvent(RuleTransactionID, inParams+"transaction_id", "is missing: Google tells purchases apart by it, and takes all with an empty one for the same")
	}
	w.text(inParams, "transaction_id", s.TransactionID, gawire.MaxValue)
	w.text(inParams, "affiliation", s.Affiliation, gawire.MaxValue)
	if s.Tax != 0 {
		w.money("tax", s.Tax)
	}
	if s.Shipping != 0 {
		w.money("shipping", s.Shipping)
	}
	w.text(inParams, "coupon", s.Coupon, gawire.MaxValue)
	w.text(inParams, "payment_type", s.PaymentType, gawire.MaxValue)
	w.text(inParams, "shipping_tier", s.ShippingTier, gawire.MaxValue)
	w.text(inParams, "item_list_id", s.ListID, gawire.MaxValue)
	w.text(inParams, "item_list_name", s.ListName, gawire.MaxValue)
	w.promotion(inParams, &s.Promotion)
	w.items(s.Items)
}

func isCurrency(s string) bool {
	return len(s) == 3 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

func (w *writer) promotion(prefix string, p *sidetrack.Promotion) {
	w.text(prefix, "promotion_id", p.ID, gawire.MaxValue)
	w.text(prefix, "promotion_name", p.Name, gawire.MaxValue)
	w.text(prefix, "creative_name", p.Creative, gawire.MaxValue)
	w.text(prefix, "creative_slot", p.Slot, gawire.MaxValue)
}
