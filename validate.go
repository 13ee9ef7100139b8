package sidetrack

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Validate checks the event against its limits and returns a *FieldError for the
// first field that breaks one. now is when the event was received. What a backend
// asks beyond this is the business of its sink.
func (e *Event) Validate(now time.Time) error {
	switch {
	case e.Name == "":
		return &FieldError{Field: "name", Problem: "is missing"}
	case len(e.Name) > MaxNameBytes:
		return tooLong("name", MaxNameBytes)
	}
	for _, f := range [...]struct{ name, v string }{
		{"name", e.Name}, {"message_id", e.MessageID}, {"source", e.Source}, {"site", e.Site},
	} {
		if len(f.v) > MaxNameBytes {
			return tooLong(f.name, MaxNameBytes)
		}
		if err := plain(f.name, f.v); err != nil {
			return err
		}
	}
	if err := checkTime("time", e.Time, now); err != nil {
		return err
	}
	if err := checkTime("received", e.Received, now); err != nil {
		return err
	}
	if err := e.validateTexts(); err != nil {
		return err
	}
	if err := checkURL("page.url", e.Page.URL); err != nil {
		return err
	}
	if e.Visitor.SessionNumber < 0 || e.Visitor.Engagement < 0 {
		return &FieldError{Field: "visitor", Problem: "session_number and engagement_msec must not be negative"}
	}
	for _, f := range [...]struct {
		name string
		v    int
	}{{"page.status", e.Page.Status}, {"device.colors", e.Device.Colors}} {
		if f.v < 0 || f.v > math.MaxInt32 {
			return &FieldError{Field: f.name, Problem: "is out of range"}
		}
	}
	if e.Timing != nil && e.Timing.Value < 0 {
		return &FieldError{Field: "timing.value_msec", Problem: "must not be negative"}
	}
	if e.Ecommerce != nil {
		if err := e.Ecommerce.validate(); err != nil {
			return inside(err, "ecommerce")
		}
	}
	if e.UserData != nil {
		if err := e.UserData.validate(); err != nil {
			return inside(err, "user_data")
		}
	}
	if err := validateParams(e.Params, 1); err != nil {
		return inside(err, "params")
	}
	if err := validateParams(e.UserProperties, 1); err != nil {
		return inside(err, "user_properties")
	}
	if len(e.Marks) > MaxMarks {
		return &FieldError{Field: "marks", Problem: fmt.Sprintf("has more than %d entries", MaxMarks)}
	}
	return nil
}

func tooLong(field string, limit int) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf("is longer than %d bytes", limit)}
}

// plain refuses text that is not valid UTF-8 or holds control characters.
func plain(field, s string) error {
	if printable(s) {
		return nil
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < 0x20 || c == 0x7f {
			return &FieldError{Field: field, Problem: "must not contain control characters"}
		}
		if c >= utf8.RuneSelf {
			if !utf8.ValidString(s[i:]) {
				return &FieldError{Field: field, Problem: "is not valid UTF-8"}
			}
			return control(field, s[i:])
		}
	}
	return nil
}

func control(field, s string) error {
	for _, r := range s {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return &FieldError{Field: field, Problem: "must not contain control characters"}
		}
	}
	return nil
}

// checkText allows line breaks and tabs, as in a title pasted from elsewhere.
func checkText(field, s string) error {
	if len(s) > MaxStringBytes {
		return tooLong(field, MaxStringBytes)
	}
	if !validText(s) {
		return &FieldError{Field: field, Problem: "is not valid UTF-8"}
	}
	return nil
}

func (e *Event) validateTexts() error {
	v, p, d, n, c, a := &e.Visitor, &e.Page, &e.Device, &e.Network, &e.Campaign, &e.App
	for _, f := range [...]struct{ name, v string }{
		{"visitor.client_id", v.ClientID}, {"visitor.user_id", v.UserID}, {"visitor.session_id", v.SessionID}, {"visitor.app_instance_id", v.AppInstanceID},
		{"page.url", p.URL}, {"page.path", p.Path}, {"page.route", p.Route}, {"page.referrer", p.Referrer},
		{"device.user_agent", d.UserAgent}, {"device.language", d.Language}, {"device.screen", d.Screen}, {"device.viewport", d.Viewport},
		{"network.ip", n.IP}, {"network.country", n.Country},
	} {
		if len(f.v) > MaxStringBytes {
			return tooLong(f.name, MaxStringBytes)
		}
		if err := plain(f.name, f.v); err != nil {
			return err
		}
	}
	for _, f := range [...]struct{ name, v string }{
		{"page.title", p.Title}, {"device.encoding", d.Encoding}, {"device.category", d.Category}, {"device.os", d.OS}, {"device.os_version", d.OSVersion},
		{"device.browser", d.Browser}, {"device.browser_version", d.BrowserVer}, {"device.brand", d.Brand}, {"device.model", d.Model},
		{"network.region", n.Region}, {"network.city", n.City},
		{"network.continent", n.Continent}, {"network.subcontinent", n.Subcontinent},
		{"campaign.id", c.ID}, {"campaign.source", c.Source}, {"campaign.medium", c.Medium}, {"campaign.name", c.Name}, {"campaign.term", c.Term},
		{"campaign.content", c.Content}, {"campaign.platform", c.Platform}, {"campaign.format", c.Format}, {"campaign.tactic", c.Tactic},
		{"app.name", a.Name}, {"app.id", a.ID}, {"app.version", a.Version}, {"app.installer_id", a.InstallerID}, {"app.screen", a.Screen},
		{"consent.how", e.Consent.How},
	} {
		if err := checkText(f.name, f.v); err != nil {
			return err
		}
	}
	if e.Exception != nil {
		if err := checkText("exception.description", e.Exception.Description); err != nil {
			return err
		}
	}
	if err := checkTextMap("device.hints", d.Hints); err != nil {
		return err
	}
	return checkTextMap("campaign.click_ids", c.ClickIDs)
}

func checkTextMap(field string, m map[string]string) error {
	if len(m) > MaxParams {
		return &FieldError{Field: field, Problem: fmt.Sprintf("has more than %d entries", MaxParams)}
	}
	for k, v := range m {
		if err := checkText("", v); err != nil {
			return inside(inside(err, clip(k)), field)
		}
	}
	return nil
}

func checkTime(field string, t, now time.Time) error {
	switch {
	case t.IsZero():
		return nil
	case t.Year() < minYear:
		return &FieldError{Field: field, Problem: fmt.Sprintf("is before the year %d", minYear)}
	case t.Sub(now) > MaxAhead:
		return &FieldError{Field: field, Problem: "is more than a day in the future"}
	}
	return nil
}

// checkURL wants an absolute URL of any scheme, without parsing it.
func checkURL(field, s string) error {
	if s == "" {
		return nil
	}
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || scheme == "" || rest == "" {
		return &FieldError{Field: field, Problem: "must be absolute, such as https://shop.example/cart"}
	}
	for i := 0; i < len(scheme); i++ {
		c := scheme[i] | 0x20
		if !(c >= 'a' && c <= 'z' || i > 0 && (scheme[i] >= '0' && scheme[i] <= '9' || scheme[i] == '+' || scheme[i] == '-' || scheme[i] == '.')) {
			return &FieldError{Field: field, Problem: "must be absolute, such as https://shop.example/cart"}
		}
	}
	return nil
}

func (c *Ecommerce) validate() error {
	if c.Currency != "" {
		ok := len(c.Currency) == 3
		for i := 0; ok && i < 3; i++ {
			ok = c.Currency[i] >= 'A' && c.Currency[i] <= 'Z'
		}
		if !ok {
			return &FieldError{Field: "currency", Problem: "must be three upper-case letters, such as EUR (ISO 4217)"}
		}
	}
	for _, f := range [...]struct {
		name string
		v    Money
	}{{"value", c.Value}, {"tax", c.Tax}, {"shipping", c.Shipping}} {
		if f.v < 0 {
			return &FieldError{Field: f.name, Problem: "must not be negative: a refund is an event of its own"}
		}
	}
	for _, f := range [...]struct{ name, v string }{
		{"transaction_id", c.TransactionID}, {"affiliation", c.Affiliation}, {"coupon", c.Coupon}, {"payment_type", c.PaymentType},
		{"shipping_tier", c.ShippingTier}, {"item_list_id", c.ListID}, {"item_list_name", c.ListName},
	} {
		if err := checkText(f.name, f.v); err != nil {
			return err
		}
	}
	if len(c.Items) > MaxItems {
		return &FieldError{Field: "items", Problem: fmt.Sprintf("has more than %d entries", MaxItems)}
	}
	for i := range c.Items {
		if err := c.Items[i].validate(); err != nil {
			return inside(err, fmt.Sprintf("items[%d]", i))
		}
	}
	return nil
}

func (it *Item) validate() error {
	switch {
	case it.Price < 0:
		return &FieldError{Field: "price", Problem: "must not be negative"}
	case it.Discount < 0:
		return &FieldError{Field: "discount", Problem: "must not be negative"}
	case !(it.Quantity >= 0) || math.IsInf(it.Quantity, 0):
		return &FieldError{Field: "quantity", Problem: "must be a number that is not negative"}
	}
	for _, f := range [...]struct{ name, v string }{
		{"item_id", it.ID}, {"item_name", it.Name}, {"item_brand", it.Brand}, {"item_variant", it.Variant}, {"coupon", it.Coupon},
		{"item_list_id", it.ListID}, {"item_list_name", it.ListName}, {"location_id", it.LocationID}, {"affiliation", it.Affil},
	} {
		if err := checkText(f.name, f.v); err != nil {
			return err
		}
	}
	for _, v := range it.Categories {
		if err := checkText("item_categories", v); err != nil {
			return err
		}
	}
	if err := validateParams(it.Params, 1); err != nil {
		return inside(err, "params")
	}
	return nil
}

func validateParams(m map[string]any, depth int) error {
	if len(m) > MaxParams {
		return &FieldError{Problem: fmt.Sprintf("has more than %d entries", MaxParams)}
	}
	for k, v := range m {
		if k == "" || len(k) > MaxNameBytes {
			return &FieldError{Field: clip(k), Problem: fmt.Sprintf("a name must have 1 to %d bytes", MaxNameBytes)}
		}
		if err := plain("", k); err != nil {
			return &FieldError{Problem: "a name must be valid UTF-8 without control characters"}
		}
		if err := validateValue(v, depth+1); err != nil {
			return inside(err, clip(k))
		}
	}
	return nil
}

func validateValue(v any, depth int) error {
	if depth > MaxDepth {
		return &FieldError{Problem: fmt.Sprintf("is nested deeper than %d", MaxDepth)}
	}
	switch v := v.(type) {
	case string:
		return checkText("", v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return &FieldError{Problem: "must be a finite number"}
		}
	case map[string]any:
		return validateParams(v, depth)
	case []any:
		for i := range v {
			if err := validateValue(v[i], depth+1); err != nil {
				return inside(err, fmt.Sprintf("[%d]", i))
			}
		}
	}
	return nil
}
