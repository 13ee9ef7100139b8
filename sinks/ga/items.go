package ga

import (
	"math"
	"strconv"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// items writes the list of items as a parameter, if there is anything to write.
func (w *writer) items(items []sidetrack.Item) {
	if len(items) == 0 {
		return
	}
	if n := len(items); n > gawire.MaxItems {
		if w.broke(RuleTooManyItems, inParams+"items", "has "+strconv.Itoa(n)+" entries, at most "+strconv.Itoa(gawire.MaxItems)) != Clip {
			return
		}
		items = items[:gawire.MaxItems]
	}
	mark, names := len(w.b), len(w.names)
	if !w.claim("items") {
		return
	}
	w.raw("[")
	first := len(w.b)
	outer, limit, surplus := w.names, w.limit, w.surplus // the items' names are of their own
	space := make([]string, 0, 16)
	for i := range items {
		before := len(w.b)
		if before > first {
			w.raw(",")
		}
		w.names = space[:0]
		if !w.item(i, &items[i]) {
			w.b = w.b[:before]
		}
		space = w.names
	}
	w.names, w.limit, w.surplus = outer, limit, surplus
	if len(w.b) == first {
		w.b, w.names = w.b[:mark], w.names[:names]
		return
	}
	w.raw("]")
}

// item writes one product. It returns false for one to be left out.
func (w *writer) item(i int, it *sidetrack.Item) bool {
	prefix := "params.items."
	at := func() string { return "params.items[" + strconv.Itoa(i) + "]." }
	if it.ID == "" && it.Name == "" && w.broke(RuleItemID, at()+"item_id", "is missing, and item_name too") != Keep {
		return false
	}
	problems, notes := len(w.problems), len(w.notes)
	w.limit = 0
	w.raw("{")
	w.text(prefix, "item_id", it.ID, gawire.MaxValue)
	w.text(prefix, "item_name", it.Name, gawire.MaxValue)
	w.text(prefix, "affiliation", it.Affil, gawire.MaxValue)
	w.text(prefix, "coupon", it.Coupon, gawire.MaxValue)
	if it.Discount != 0 {
		w.money("discount", it.Discount)
	}
	if it.HasIndex {
		w.int("index", it.Index)
	}
	w.text(prefix, "item_brand", it.Brand, gawire.MaxValue)
	for j, c := range it.Categories {
		if j == len(categoryNames) {
			w.broke(RuleTooManyItemParams, prefix+"item_category", "has "+strconv.Itoa(len(it.Categories))+" levels, at most 5")
			break
		}
		w.text(prefix, categoryNames[j], c, gawire.MaxValue)
	}
	w.text(prefix, "item_list_id", it.ListID, gawire.MaxValue)
	w.text(prefix, "item_list_name", it.ListName, gawire.MaxValue)
	w.text(prefix, "item_variant", it.Variant, gawire.MaxValue)
	w.text(prefix, "location_id", it.LocationID, gawire.MaxValue)
	if it.HasPrice || it.Price != 0 {
		w.money("price", it.Price)
	}
	if it.Quantity != 0 {
		w.float(prefix, "quantity", it.Quantity)
	}
	w.promotion(prefix, &it.Promotion)
	w.itemParams(prefix, it.Params)
	w.raw("}")
	// Which item it is about matters to the reader; it costs only where something is wrong.
	for j := problems; j < len(w.problems); j++ {
		w.problems[j].Field = at() + w.problems[j].Field[len(prefix):]
	}
	for j := notes; j < len(w.notes); j++ {
		w.notes[j].Field = at() + w.notes[j].Field[len(prefix):]
	}
	if p, ok := w.err.(*Problem); ok && len(p.Field) > len(prefix) && p.Field[:len(prefix)] == prefix {
		p.Field = at() + p.Field[len(prefix):]
	}
	return true
}

var categoryNames = [5]string{"item_category", "item_category2", "item_category3", "item_category4", "item_category5"}

// itemParams writes the custom parameters of an item, whose names may begin as they like.
func (w *writer) itemParams(prefix string, params map[string]any) {
	if len(params) == 0 {
		return
	}
	mark, before := len(w.b), len(w.names)
	w.limit, w.surplus = before+gawire.MaxItemParams, 0
	for _, k := range w.sorted(params) {
		v := params[k]
		if v == nil || v == "" {
			continue
		}
		name, ok := w.name(prefix, k, gawire.MaxName, func(string) bool { return false })
		switch {
		case !ok:
		case w.has(name):
			w.broke(RuleNameDuplicated, prefix+k, "is "+name+" like another")
		case isItemNumber(name) && !isNumber(v):
			w.broke(RuleValueInvalid, prefix+k, "is no number")
		default:
			w.value(prefix, name, v, gawire.MaxValue)
		}
	}
	if w.surplus > 0 {
		n := len(w.names) - before + w.surplus
		if w.broke(RuleTooManyItemParams, prefix+"params", "has "+strconv.Itoa(n)+" custom parameters, at most "+strconv.Itoa(gawire.MaxItemParams)) == Drop {
			w.b, w.names = w.b[:mark], w.names[:before]
		}
	}
}

// isItemNumber reports whether Google takes the item parameter as a number only.
func isItemNumber(name string) bool {
	switch name {
	case "price", "quantity", "discount", "index":
		return true
	}
	return false
}

func isNumber(v any) bool {
	switch v.(type) {
	case float64, float32, sidetrack.Money:
		return true
	}
	_, ok := integer(v)
	return ok
}

// looseItems reads items as clients send them among the parameters, under Google's names. What is
// not of an item's own fields stays a custom parameter.
func looseItems(list []any) []sidetrack.Item {
	out := make([]sidetrack.Item, 0, len(list))
	for _, v := range list {
		m, ok := v.(map[string]any)
		if !ok {
			out = append(out, sidetrack.Item{}) // reported as an item without an id
			continue
		}
		out = append(out, looseItem(m))
	}
	return out
}

func looseItem(m map[string]any) sidetrack.Item {
	var it sidetrack.Item
	var categories [5]string
	texts := map[string]*string{
		"item_id": &it.ID, "item_name": &it.Name, "affiliation": &it.Affil, "coupon": &it.Coupon, "item_brand": &it.Brand,
		"item_list_id": &it.ListID, "item_list_name": &it.ListName, "item_variant": &it.Variant, "location_id": &it.LocationID,
		"promotion_id": &it.Promotion.ID, "promotion_name": &it.Promotion.Name, "creative_name": &it.Promotion.Creative, "creative_slot": &it.Promotion.Slot,
	}
	for i, name := range categoryNames {
		texts[name] = &categories[i]
	}
	for k, v := range m {
		if to := texts[k]; to != nil {
			switch v := v.(type) {
			case string:
				*to = v
				continue
			case int64:
				*to = strconv.FormatInt(v, 10) // an id that looks like a number
				continue
			}
		}
		amount, ok := money64(v)
		switch {
		case k == "price" && ok:
			it.Price, it.HasPrice = amount, true
		case k == "discount" && ok:
			it.Discount = amount
		case k == "quantity" && ok:
			it.Quantity = amount.Float()
		case k == "index" && ok && amount == sidetrack.Money(math.Trunc(amount.Float()))*1_000_000:
			it.Index, it.HasIndex = int64(amount)/1_000_000, true
		default:
			if it.Params == nil {
				it.Params = map[string]any{}
			}
			it.Params[k] = v
		}
	}
	n := len(categories)
	for n > 0 && categories[n-1] == "" {
		n--
	}
	it.Categories = append(it.Categories, categories[:n]...)
	return it
}
