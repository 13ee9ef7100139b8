package gamock

import (
	"encoding/json"
	"fmt"
)

var reserved = set(
	"ad_activeview", "ad_click", "ad_exposure", "ad_query", "ad_reward", "adunit_exposure", "app_clear_data", "app_exception", "app_install", "app_remove",
	"app_store_refund", "app_update", "app_upgrade", "dynamic_link_app_open", "dynamic_link_app_update", "dynamic_link_first_open", "error",
	"firebase_campaign", "firebase_in_app_message_action", "firebase_in_app_message_dismiss", "firebase_in_app_message_impression", "first_open",
	"first_visit", "notification_dismiss", "notification_foreground", "notification_open", "notification_receive", "notification_send", "os_update",
	"session_start", "user_engagement",
)

// wantsMoney are the events whose value needs a currency, wantsItems the ones that need items.
var (
	wantsMoney = set("add_payment_info", "add_shipping_info", "add_to_cart", "add_to_wishlist", "begin_checkout", "purchase", "refund", "remove_from_cart",
		"view_cart", "view_item", "view_item_list", "generate_lead", "qualify_lead", "close_convert_lead", "working_lead", "disqualify_lead", "close_unconvert_lead")
	wantsItems = set("add_payment_info", "add_shipping_info", "add_to_cart", "add_to_wishlist", "begin_checkout", "purchase", "remove_from_cart", "view_cart",
		"view_item", "view_item_list", "select_item", "view_promotion")
	standardItem = set("item_id", "item_name", "affiliation", "coupon", "discount", "index", "item_brand", "item_category", "item_category2", "item_category3",
		"item_category4", "item_category5", "item_list_id", "item_list_name", "item_variant", "location_id", "price", "quantity", "creative_name", "creative_slot",
		"promotion_id", "promotion_name")
	wantsParam = map[string][]string{
		"post_score": {"score"}, "search": {"search_term"}, "spend_virtual_currency": {"value", "virtual_currency_name"}, "unlock_achievement": {"achievement_id"},
		"purchase": {"transaction_id"}, "refund": {"transaction_id"},
	}
)

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

func (c *checker) event(field string, e object) {
	c.keys(field, e, "name", "params", "timestamp_micros")
	n, _ := e.get("name").(string)
	c.name(field+".name", n, 40)
	if reserved[n] || !c.app && (n == "ad_impression" || n == "in_app_purchase" || n == "screen_view") {
		c.say("NAME_RESERVED", field+".name", "%q is reserved", n)
	}
	c.stamp(field+".timestamp_micros", e.get("timestamp_micros"))
	params, ok := e.get("params").(object)
	if e.get("params") != nil && !ok {
		c.say("VALUE_INVALID", field+".params", "is no object")
	}
	if len(params) > 25 {
		c.say("EXCEEDED_MAX_ENTITIES", field+".params", "has %d entries", len(params))
	}
	for _, m := range params {
		c.param(field+".params."+m.name, m)
	}
	if wantsMoney[n] && params.get("value") != nil && params.get("currency") == nil {
		c.say("VALUE_REQUIRED", field+".params.currency", "is missing")
	}
	if items, _ := params.get("items").([]any); wantsItems[n] && len(items) == 0 {
		c.say("VALUE_REQUIRED", field+".params.items", "is missing")
	}
	for _, p := range wantsParam[n] {
		if params.get(p) == nil {
			c.say("VALUE_REQUIRED", field+".params."+p, "is missing")
		}
	}
}

func (c *checker) param(field string, m member) {
	c.name(field, m.name, 40)
	if m.name == "firebase_conversion" || prefixed(m.name, "_", "firebase_", "ga_", "google_", "gtag.") {
		c.say("NAME_RESERVED", field, "is reserved")
	}
	if m.name == "items" {
		c.items(field, m.value)
		return
	}
	limit := 100
	switch m.name {
	case "page_location":
		limit = 1000
	case "page_referrer":
		limit = 420
	case "page_title":
		limit = 300
	}
	c.scalar(field, m.value, limit)
	switch s, _ := m.value.(string); {
	case m.value == "":
		c.say("VALUE_INVALID", field, "is empty")
	case m.name == "currency" && !currency.MatchString(s):
		c.say("VALUE_INVALID", field, "is no currency: %v", m.value)
	case m.name == "session_id" && !digits.MatchString(fmt.Sprint(m.value)):
		c.say("VALUE_INVALID", field, "is no number: %v", m.value)
	case m.name == "debug_mode" && m.value == false:
		c.say("VALUE_INVALID", field, "switches debugging on although it is false")
	case m.name == "tax" || m.name == "shipping" || m.name == "engagement_time_msec":
		if _, ok := m.value.(json.Number); !ok {
			c.say("VALUE_INVALID", field, "is no number")
		}
	}
}

func (c *checker) items(field string, v any) {
	list, ok := v.([]any)
	if !ok {
		c.say("VALUE_INVALID", field, "is no list")
	}
	if len(list) > 200 {
		c.say("EXCEEDED_MAX_ENTITIES", field, "has %d entries", len(list))
	}
	for i, v := range list {
		item, ok := v.(object)
		at := fmt.Sprintf("%s[%d]", field, i)
		if !ok {
			c.say("VALUE_INVALID", at, "is no object")
			continue
		}
		if item.get("item_id") == nil && item.get("item_name") == nil {
			c.say("VALUE_REQUIRED", at+".item_id", "is missing")
		}
		own := 0
		for _, m := range item {
			c.name(at+"."+m.name, m.name, 40)
			c.scalar(at+"."+m.name, m.value, 100)
			if !standardItem[m.name] {
				own++
			}
			switch m.name {
			case "price", "quantity", "discount", "index":
				if _, ok := m.value.(json.Number); !ok {
					c.say("VALUE_INVALID", at+"."+m.name, "is no number")
				}
			}
		}
		if own > 27 {
			c.say("EXCEEDED_MAX_ENTITIES", at, "has %d custom parameters", own)
		}
	}
}
