package gawire

import (
	"math"
	"strconv"

	"github.com/sidetrack-go/sidetrack"
)

// SetItem puts one member of an item into the field that is meant for it, and anything
// else into it.Params. Names are those of the items of the events reference. A value that
// cannot be what its name says is left out.
func SetItem(it *sidetrack.Item, p *Param) {
	switch p.Name {
	case "price":
		if m, ok := p.money(); ok {
			it.Price, it.HasPrice = m, true
		}
		return
	case "discount":
		if m, ok := p.money(); ok {
			it.Discount = m
		}
		return
	case "quantity":
		if q, err := strconv.ParseFloat(p.word(), 64); err == nil && q >= 0 && !math.IsInf(q, 0) {
			it.Quantity = q
		}
		return
	case "index":
		if n, ok := p.whole(); ok {
			it.Index, it.HasIndex = n, true
		}
		return
	case "item_category":
		setCategory(it, 0, p)
		return
	case "item_category2", "item_category3", "item_category4", "item_category5":
		setCategory(it, int(p.Name[len(p.Name)-1]-'1'), p)
		return
	}
	if field := itemField(it, p.Name); field != nil {
		*field = p.word()
		return
	}
	if len(it.Params) == sidetrack.MaxParams {
		return
	}
	if it.Params == nil {
		it.Params = make(map[string]any, 2)
	}
	it.Params[p.Name] = p.Value()
}

func itemField(it *sidetrack.Item, name string) *string {
	switch name {
	case "item_id":
		return &it.ID
	case "item_name":
		return &it.Name
	case "item_brand":
		return &it.Brand
	case "item_variant":
		return &it.Variant
	case "affiliation":
		return &it.Affil
	case "coupon":
		return &it.Coupon
	case "item_list_id":
		return &it.ListID
	case "item_list_name":
		return &it.ListName
	case "location_id":
		return &it.LocationID
	case "creative_name":
		return &it.Promotion.Creative
	case "creative_slot":
		return &it.Promotion.Slot
	case "promotion_id":
		return &it.Promotion.ID
	case "promotion_name":
		return &it.Promotion.Name
	}
	return nil
}

func setCategory(it *sidetrack.Item, level int, p *Param) {
	v := p.word()
	if v == "" {
		return
	}
	for len(it.Categories) <= level {
		it.Categories = append(it.Categories, "")
	}
	it.Categories[level] = v
}
