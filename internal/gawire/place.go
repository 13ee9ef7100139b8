package gawire

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// Param is one event parameter under Google's name for it, before it is known whether an
// event has a place for it.
type Param struct {
	Name  string
	Text  string  // of a text, or a number as it was written; "" for a number that came as a number
	Num   float64 // of a number
	Kind  Kind
	Other any // of KindOther
}

// Kind is the type of a parameter's value.
type Kind uint8

// The kinds. KindOther is a bool, a list, an object or nil.
const (
	KindText Kind = iota
	KindNumber
	KindOther
)

// TextParam returns a parameter that is text.
func TextParam(name, value string) Param { return Param{Name: name, Text: value} }

// NumberParam returns a parameter that is a number, given as it was written. What is no finite
// number stays text.
func NumberParam(name, value string) Param {
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return TextParam(name, value)
	}
	return Param{Name: name, Text: value, Num: f, Kind: KindNumber}
}

// AnyParam returns a parameter from a value as Event.Params holds it.
func AnyParam(name string, value any) Param {
	switch v := value.(type) {
	case string:
		return TextParam(name, v)
	case float64:
		return Param{Name: name, Num: v, Kind: KindNumber}
	case int64:
		return Param{Name: name, Text: strconv.FormatInt(v, 10), Num: float64(v), Kind: KindNumber}
	}
	return Param{Name: name, Other: value, Kind: KindOther}
}

// Value returns the value as Event.Params holds it.
func (p *Param) Value() any {
	switch p.Kind {
	case KindNumber:
		if n, err := strconv.ParseInt(p.Text, 10, 64); err == nil {
			return n
		}
		if p.Num == math.Trunc(p.Num) && math.Abs(p.Num) < 1<<53 {
			return int64(p.Num)
		}
		return p.Num
	case KindOther:
		return p.Other
	}
	return Text(p.Text)
}

// word is the value as text of one line; "" for one that is neither text nor number.
func (p *Param) word() string {
	switch {
	case p.Kind == KindNumber && p.Text == "":
		return strconv.FormatFloat(p.Num, 'f', -1, 64)
	case p.Kind == KindOther:
		return ""
	}
	return Word(p.Text)
}

// money reads an amount that is not negative, from text too.
func (p *Param) money() (sidetrack.Money, bool) {
	var m sidetrack.Money
	switch {
	case p.Kind == KindOther:
		return 0, false
	case p.Text != "":
		var err error
		if m, err = sidetrack.ParseMoney(p.Text); err != nil {
			return 0, false
		}
	case p.Kind == KindNumber:
		if m = sidetrack.MoneyOf(p.Num); m == 0 && math.Abs(p.Num) > 1 { // out of range
			return 0, false
		}
	default:
		return 0, false
	}
	return m, m >= 0
}

// whole reads a number that is not negative, cut to a whole one, from text too.
func (p *Param) whole() (int64, bool) {
	f := p.Num
	if p.Kind == KindText {
		var err error
		if f, err = strconv.ParseFloat(p.Text, 64); err != nil {
			return 0, false
		}
	}
	if p.Kind == KindOther || !(f >= 0 && f < 1<<53) {
		return 0, false
	}
	return int64(f), true
}

// truth reads a flag in the forms it comes in.
func (p *Param) truth() (v, ok bool) {
	if b, isBool := p.Other.(bool); isBool {
		return b, true
	}
	switch p.word() {
	case "1", "true":
		return true, true
	case "0", "false":
		return false, true
	}
	return false, false
}

// ShopEvent reports whether name is a recommended event whose parameters are those of Ecommerce.
func ShopEvent(name string) bool {
	switch name {
	case "add_payment_info", "add_shipping_info", "add_to_cart", "add_to_wishlist", "begin_checkout", "in_app_purchase", "purchase", "refund",
		"remove_from_cart", "select_item", "select_promotion", "view_cart", "view_item", "view_item_list", "view_promotion":
		return true
	}
	return false
}

// Place puts params into the fields of e that are meant for them, and the rest into
// e.Params. What e.Name says decides about names that mean something else elsewhere: value is
// money only where there is a currency or a shop event. A place that is taken stays, and so does
// a value that does not fit its place: they go to e.Params as they came.
//
// Names are those of the events reference of the Measurement Protocol.
func Place(e *sidetrack.Event, params []Param) {
	shop := ShopEvent(e.Name) || e.Ecommerce != nil
	var source, medium bool
	for i := range params {
		switch params[i].Name {
		case "currency":
			_, ok := Currency(params[i].Text)
			shop = shop || ok
		case "source":
			source = true
		case "medium":
			medium = true
		}
	}
	p := placer{e: e, shop: shop, campaign: source && medium || e.Name == "campaign_details"}
	kept := 0
	for i := range params {
		if p.place(&params[i]) {
			params[i].Name = ""
		} else {
			kept++
		}
	}
	if kept == 0 {
		return
	}
	if e.Params == nil {
		e.Params = make(map[string]any, kept)
	}
	for i := range params {
		if name := params[i].Name; name != "" {
			keep(e, name, params[i].Value())
		}
	}
}

// keep sets a parameter within the limits of an event. A later one of the same name counts.
func keep(e *sidetrack.Event, name string, value any) {
	if _, there := e.Params[name]; !there && len(e.Params) == sidetrack.MaxParams {
		return
	}
	e.SetParam(name, value)
}

// placer knows what the parameters of one event mean.
type placer struct {
	e        *sidetrack.Event
	shop     bool
	campaign bool
}

// place reports whether p now has its place.
func (pl *placer) place(p *Param) bool {
	e := pl.e
	if p.Kind == KindText && p.Text == "" {
		return false
	}
	switch p.Name {
	case "page_location":
		return IsURL(p.Text) && fill(&e.Page.URL, p.word())
	case "page_referrer":
		return IsURL(p.Text) && fill(&e.Page.Referrer, p.word())
	case "page_title":
		return p.Kind == KindText && fill(&e.Page.Title, Text(p.Text))
	case "language":
		return fill(&e.Device.Language, p.word())
	case "screen_resolution":
		return fill(&e.Device.Screen, p.word())
	case "session_id":
		return pl.session(p)
	case "session_number":
		n, ok := p.whole()
		if !ok || e.Visitor.SessionNumber != 0 && e.Visitor.SessionNumber != n {
			return false
		}
		e.Visitor.SessionNumber = n
		return true
	case "engagement_time_msec":
		ms, ok := p.whole()
		if !ok || e.Visitor.Engagement != 0 || ms > int64(24*time.Hour/time.Millisecond) {
			return false
		}
		e.Visitor.Engagement = time.Duration(ms) * time.Millisecond
		return true
	}
	switch e.Name {
	case sidetrack.Exception:
		return pl.exception(p)
	case sidetrack.Timing:
		return pl.timing(p)
	case sidetrack.Share:
		return pl.social(p)
	case sidetrack.ScreenView:
		if p.Name == "screen_name" || p.Name == "firebase_screen" {
			return fill(&e.App.Screen, p.word())
		}
	}
	return pl.campaign && pl.placeCampaign(p) || pl.shop && pl.placeShop(p)
}

// fill sets an empty field. It reports whether the field now holds v.
func fill(field *string, v string) bool {
	if *field == "" {
		*field = v
	}
	return v != "" && *field == v
}

// session takes the id alone, also where somebody sends the whole cookie, as the protocol allows.
func (pl *placer) session(p *Param) bool {
	id := p.word()
	if !digits(id) {
		s, ok := ParseSession("", id)
		if !ok {
			return false
		}
		id = s.ID
	}
	return fill(&pl.e.Visitor.SessionID, id)
}

func (pl *placer) exception(p *Param) bool {
	f := pl.e.Exception
	if f == nil {
		f = new(sidetrack.Failure)
	}
	switch p.Name {
	case "description":
		if p.Kind != KindText || !fill(&f.Description, Text(p.Text)) {
			return false
		}
	case "fatal":
		v, ok := p.truth()
		if !ok {
			return false
		}
		f.Fatal = v
	default:
		return false
	}
	pl.e.Exception = f
	return true
}

func (pl *placer) timing(p *Param) bool {
	d := pl.e.Timing
	if d == nil {
		d = new(sidetrack.Duration)
	}
	ok := false
	switch p.Name {
	case "name":
		ok = fill(&d.Variable, p.word())
	case "event_category":
		ok = fill(&d.Category, p.word())
	case "event_label":
		ok = fill(&d.Label, p.word())
	case "value":
		var ms int64
		if ms, ok = p.whole(); ok && ms < int64(MaxTiming/time.Millisecond) {
			d.Value = time.Duration(ms) * time.Millisecond
		} else {
			ok = false
		}
	}
	if ok {
		pl.e.Timing = d
	}
	return ok
}

// MaxTiming bounds a measured time that is taken over.
const MaxTiming = 365 * 24 * time.Hour

func (pl *placer) social(p *Param) bool {
	s := pl.e.Social
	if s == nil {
		s = new(sidetrack.Social)
	}
	ok := false
	switch p.Name {
	case "method":
		ok = fill(&s.Network, p.word())
	case "content_type":
		ok = fill(&s.Action, p.word())
	case "item_id":
		ok = fill(&s.Target, p.word())
	}
	if ok {
		pl.e.Social = s
	}
	return ok
}

func (pl *placer) placeCampaign(p *Param) bool {
	c := &pl.e.Campaign
	switch p.Name {
	case "campaign_id":
		return fill(&c.ID, p.word())
	case "campaign":
		return fill(&c.Name, p.word())
	case "source":
		return fill(&c.Source, p.word())
	case "medium":
		return fill(&c.Medium, p.word())
	case "term":
		return fill(&c.Term, p.word())
	case "content":
		return fill(&c.Content, p.word())
	}
	return false
}

func (pl *placer) placeShop(p *Param) bool {
	c := pl.e.Ecommerce
	if c == nil {
		c = new(sidetrack.Ecommerce)
	}
	ok := false
	switch p.Name {
	case "currency":
		var code string
		if code, ok = Currency(p.Text); ok {
			ok = fill(&c.Currency, code)
		}
	case "value":
		if m, good := p.money(); good && !c.HasValue {
			c.Value, c.HasValue, ok = m, true, true
		}
	case "tax":
		ok = amount(&c.Tax, p)
	case "shipping":
		ok = amount(&c.Shipping, p)
	default:
		if field := shopField(c, p.Name); field != nil {
			ok = fill(field, p.word())
		}
	}
	if ok {
		pl.e.Ecommerce = c
	}
	return ok
}

// amount sets an amount where zero means that there is none, so that a zero is kept elsewhere.
func amount(field *sidetrack.Money, p *Param) bool {
	m, ok := p.money()
	if !ok || m == 0 || *field != 0 {
		return false
	}
	*field = m
	return true
}

func shopField(c *sidetrack.Ecommerce, name string) *string {
	switch name {
	case "transaction_id":
		return &c.TransactionID
	case "affiliation":
		return &c.Affiliation
	case "coupon":
		return &c.Coupon
	case "payment_type":
		return &c.PaymentType
	case "shipping_tier":
		return &c.ShippingTier
	case "item_list_id":
		return &c.ListID
	case "item_list_name":
		return &c.ListName
	case "promotion_id":
		return &c.Promotion.ID
	case "promotion_name":
		return &c.Promotion.Name
	case "creative_name":
		return &c.Promotion.Creative
	case "creative_slot":
		return &c.Promotion.Slot
	}
	return nil
}

// Currency returns an ISO 4217 code in upper case.
func Currency(s string) (code string, ok bool) {
	if len(s) != 3 {
		return "", false
	}
	for i := 0; i < 3; i++ {
		if !letter(s[i]) {
			return "", false
		}
	}
	return strings.ToUpper(s), true
}

// IsURL reports whether s begins like an absolute URL of any scheme.
func IsURL(s string) bool {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || rest == "" || scheme == "" || !letter(scheme[0]) {
		return false
	}
	for i := 1; i < len(scheme); i++ {
		c := scheme[i]
		if !letter(c) && (c < '0' || c > '9') && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}
