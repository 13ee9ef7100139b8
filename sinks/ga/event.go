package ga

import (
	"fmt"
	"math"
	"strconv"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// event translates one event. What Google needs for its reports comes first, the
// custom parameters after it as far as 25 allow.
func (g *generator) event(e *sidetrack.Event, u sidetrack.Unit) (event, error) {
	name := e.Name
	if name == sidetrack.ScreenView && !g.app {
		name = sidetrack.PageView // web streams take no screen_view
	}
	name = gawire.Name(name, gawire.MaxName)
	switch {
	case name == "":
		return event{}, fmt.Errorf("ga: nothing of the name %.40q is allowed in an event name", e.Name)
	case gawire.ReservedEvent(name, g.app):
		return event{}, fmt.Errorf("ga: Google makes events named %s itself and takes none from others", name)
	}
	out := event{Name: name}
	if !e.Time.IsZero() && !e.Time.After(u.At) && e.Time.Year() >= 2000 {
		out.TimestampMicros = e.Time.UnixMicro()
	}
	p := params{m: map[string]any{}}
	p.session(e)
	if g.debug {
		p.set("debug_mode", true)
	}
	p.page(e)
	p.kind(e)
	if e.Ecommerce != nil {
		p.ecommerce(e.Ecommerce)
	}
	for _, k := range sortedKeys(e.Params) {
		if short := gawire.Name(k, gawire.MaxName); short != "" && !gawire.ReservedParam(k) && !gawire.ReservedParam(short) {
			if v, ok := scalar(e.Params[k], gawire.MaxValue); ok {
				p.set(short, v)
			}
		}
	}
	out.Params = p.m
	return out, nil
}

// params collects the parameters of an event. What was set first stays.
type params struct{ m map[string]any }

func (p params) set(name string, v any) {
	if _, taken := p.m[name]; !taken && len(p.m) < gawire.MaxParams {
		p.m[name] = v
	}
}

func (p params) text(name, v string, limit int) {
	if v != "" {
		p.set(name, gawire.Clip(v, limit))
	}
}

// session is what makes the visitor count as active: without session and engagement the
// event does not show in realtime reports.
func (p params) session(e *sidetrack.Event) {
	if id, err := strconv.ParseInt(e.Visitor.SessionID, 10, 64); err == nil && id > 0 {
		p.set("session_id", e.Visitor.SessionID)
	}
	if e.Visitor.SessionNumber > 0 {
		p.set("session_number", e.Visitor.SessionNumber)
	}
	p.set("engagement_time_msec", max(1, e.Visitor.Engagement.Milliseconds()))
}

func (p params) page(e *sidetrack.Event) {
	p.text("page_location", e.Page.URL, gawire.MaxPageLocation)
	title := e.Page.Title
	if title == "" {
		title = e.App.Screen
	}
	p.text("page_title", title, gawire.MaxPageTitle)
	p.text("page_referrer", e.Page.Referrer, gawire.MaxPageReferrer)
	p.text("page_route", e.Page.Route, gawire.MaxValue)
	if e.Device.Category == "" && e.Device.OS == "" && e.Device.Browser == "" && e.Device.Model == "" { // else in device
		p.text("language", e.Device.Language, gawire.MaxValue)
		p.text("screen_resolution", e.Device.Screen, gawire.MaxValue)
	}
	c := &e.Campaign
	p.text("campaign_id", c.ID, gawire.MaxValue)
	p.text("campaign", c.Name, gawire.MaxValue)
	p.text("source", c.Source, gawire.MaxValue)
	p.text("medium", c.Medium, gawire.MaxValue)
	p.text("term", c.Term, gawire.MaxValue)
	p.text("content", c.Content, gawire.MaxValue)
}

// kind sets the parameters of the groups that only some events have.
func (p params) kind(e *sidetrack.Event) {
	if f := e.Exception; f != nil {
		p.text("description", f.Description, gawire.MaxValue)
		p.set("fatal", f.Fatal)
	}
	if t := e.Timing; t != nil {
		p.text("name", t.Variable, gawire.MaxValue)
		p.set("value", t.Value.Milliseconds())
		p.text("event_category", t.Category, gawire.MaxValue)
		p.text("event_label", t.Label, gawire.MaxValue)
	}
	if s := e.Social; s != nil {
		p.text("method", s.Network, gawire.MaxValue)
		p.text("content_type", s.Action, gawire.MaxValue)
		p.text("item_id", s.Target, gawire.MaxValue)
	}
}

func (p params) ecommerce(c *sidetrack.Ecommerce) {
	p.text("currency", c.Currency, 3)
	if c.HasValue || c.Value != 0 {
		p.set("value", c.Value)
	}
	p.text("transaction_id", c.TransactionID, gawire.MaxValue)
	p.text("affiliation", c.Affiliation, gawire.MaxValue)
	if c.Tax != 0 {
		p.set("tax", c.Tax)
	}
	if c.Shipping != 0 {
		p.set("shipping", c.Shipping)
	}
	p.text("coupon", c.Coupon, gawire.MaxValue)
	p.text("payment_type", c.PaymentType, gawire.MaxValue)
	p.text("shipping_tier", c.ShippingTier, gawire.MaxValue)
	p.text("item_list_id", c.ListID, gawire.MaxValue)
	p.text("item_list_name", c.ListName, gawire.MaxValue)
	p.promotion(&c.Promotion)
	if len(c.Items) == 0 {
		return
	}
	items := make([]map[string]any, 0, min(len(c.Items), gawire.MaxItems))
	for i := range c.Items {
		if len(items) == gawire.MaxItems {
			break
		}
		items = append(items, item(&c.Items[i]))
	}
	p.set("items", items)
}

func (p params) promotion(v *sidetrack.Promotion) {
	p.text("promotion_id", v.ID, gawire.MaxValue)
	p.text("promotion_name", v.Name, gawire.MaxValue)
	p.text("creative_name", v.Creative, gawire.MaxValue)
	p.text("creative_slot", v.Slot, gawire.MaxValue)
}

// item translates one product. Its own parameters have a limit of their own.
func item(it *sidetrack.Item) map[string]any {
	m := map[string]any{}
	text := func(name, v string) {
		if v != "" {
			m[name] = gawire.Clip(v, gawire.MaxValue)
		}
	}
	text("item_id", it.ID)
	text("item_name", it.Name)
	text("item_brand", it.Brand)
	text("item_variant", it.Variant)
	for i, c := range it.Categories {
		switch {
		case i == 0:
			text("item_category", c)
		case i < 5:
			text("item_category"+strconv.Itoa(i+1), c)
		}
	}
	if it.HasPrice || it.Price != 0 {
		m["price"] = it.Price
	}
	if it.Discount != 0 {
		m["discount"] = it.Discount
	}
	if it.Quantity != 0 && !math.IsNaN(it.Quantity) && !math.IsInf(it.Quantity, 0) {
		m["quantity"] = it.Quantity
	}
	text("coupon", it.Coupon)
	if it.HasIndex {
		m["index"] = it.Index
	}
	text("item_list_id", it.ListID)
	text("item_list_name", it.ListName)
	text("location_id", it.LocationID)
	text("affiliation", it.Affil)
	text("promotion_id", it.Promotion.ID)
	text("promotion_name", it.Promotion.Name)
	text("creative_name", it.Promotion.Creative)
	text("creative_slot", it.Promotion.Slot)
	own := 0
	for _, k := range sortedKeys(it.Params) {
		short := gawire.Name(k, gawire.MaxName)
		v, ok := scalar(it.Params[k], gawire.MaxValue)
		if _, taken := m[short]; short == "" || taken || !ok || own == gawire.MaxItemParams {
			continue
		}
		m[short] = v
		own++
	}
	return m
}
