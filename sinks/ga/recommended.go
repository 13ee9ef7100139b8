package ga

// need is what Google's reference of recommended events requires of one.
type need struct {
	money  bool     // value and currency: a value is nothing without its currency
	items  bool     // at least one
	params []string // others
}

// recommended are the events of developers.google.com/analytics/devguides/collection/protocol/ga4/reference/events
// that require something.
var recommended = map[string]need{
	"add_payment_info":       {money: true, items: true},
	"add_shipping_info":      {money: true, items: true},
	"add_to_cart":            {money: true, items: true},
	"add_to_wishlist":        {money: true, items: true},
	"begin_checkout":         {money: true, items: true},
	"close_convert_lead":     {money: true},
	"close_unconvert_lead":   {money: true},
	"disqualify_lead":        {money: true},
	"generate_lead":          {money: true},
	"post_score":             {params: []string{"score"}},
	"purchase":               {money: true, items: true},
	"qualify_lead":           {money: true},
	"refund":                 {money: true},
	"remove_from_cart":       {money: true, items: true},
	"search":                 {params: []string{"search_term"}},
	"select_item":            {items: true},
	"spend_virtual_currency": {params: []string{"value", "virtual_currency_name"}},
	"unlock_achievement":     {params: []string{"achievement_id"}},
	"view_cart":              {money: true, items: true},
	"view_item":              {money: true, items: true},
	"view_item_list":         {items: true},
	"view_promotion":         {items: true},
	"working_lead":           {money: true},
}

// needsTransaction reports whether an event is about one transaction, which Google tells
// apart by its id.
func needsTransaction(name string) bool { return name == "purchase" || name == "refund" }
