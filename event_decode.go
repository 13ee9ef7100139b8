package sidetrack

import (
	"fmt"
)

// ParseEvent reads an event from its JSON. Unknown keys are skipped, null is absent, of
// repeated keys the last one counts. The event's strings share memory with s. The
// error is a *FieldError that names the field by its path.
//
// It checks types and syntax only; see Validate for the rest.
func ParseEvent(s string) (*Event, error) {
	e := new(Event)
	if err := e.parse(s); err != nil {
		return nil, err
	}
	return e, nil
}

// ParseValue reads one JSON value as Event.Params holds it: text, bool, int64 for whole numbers that
// fit, float64 for others, nil, []any and map[string]any. It is stricter and cheaper than
// encoding/json; the memory of s is shared. It is for decoders of protocols whose bodies are JSON.
func ParseValue(s string) (any, error) {
	sc := scanner{s: s}
	v, err := sc.value()
	if err == nil {
		err = sc.end()
	}
	return v, err
}

// UnmarshalJSON replaces e by the event in b, which it copies. See ParseEvent.
func (e *Event) UnmarshalJSON(b []byte) error {
	var fresh Event
	if err := fresh.parse(string(b)); err != nil {
		return err
	}
	*e = fresh
	return nil
}

func (e *Event) parse(s string) error {
	d := decoder{scanner{s: s}}
	if err := d.event(e); err != nil {
		if err == errNull {
			return &FieldError{Problem: "must be an object, not null"}
		}
		return err
	}
	return d.end()
}

// decoder reads the groups of an event. Every reader leaves its target alone on null.
type decoder struct{ scanner }

func (d *decoder) event(e *Event) error {
	return d.object(func(key string) error {
		switch key {
		case "v":
			n, err := d.int()
			if err == nil && n != EventVersion {
				err = &FieldError{Problem: fmt.Sprintf("is %d: this program reads version %d only", n, EventVersion)}
			}
			return err
		case "id":
			return d.uuid(&e.ID)
		case "message_id":
			return d.text(&e.MessageID)
		case "name":
			return d.text(&e.Name)
		case "time":
			return d.time(&e.Time)
		case "received":
			return d.time(&e.Received)
		case "source":
			return d.text(&e.Source)
		case "site":
			return d.text(&e.Site)
		case "visitor":
			return d.visitor(&e.Visitor)
		case "page":
			return d.page(&e.Page)
		case "device":
			return d.device(&e.Device)
		case "network":
			return d.network(&e.Network)
		case "campaign":
			return d.campaign(&e.Campaign)
		case "consent":
			return d.consent(&e.Consent)
		case "app":
			return d.app(&e.App)
		case "ecommerce":
			return optional(&e.Ecommerce, d.ecommerce)
		case "exception":
			return optional(&e.Exception, d.exception)
		case "timing":
			return optional(&e.Timing, d.timing)
		case "social":
			return optional(&e.Social, d.social)
		case "user_data":
			return optional(&e.UserData, d.userData)
		case "params":
			return d.params(&e.Params)
		case "user_properties":
			return d.params(&e.UserProperties)
		case "marks":
			e.Marks = nil
			return d.array(func(int) error { return d.appendText(&e.Marks) })
		}
		return d.skip()
	})
}

// optional reads a group that may be absent; null leaves it so.
func optional[T any](p **T, read func(*T) error) error {
	v := new(T)
	err := read(v)
	if err == nil {
		*p = v
	}
	return err
}

func (d *decoder) visitor(v *Visitor) error {
	return d.object(func(key string) error {
		switch key {
		case "client_id":
			return d.text(&v.ClientID)
		case "user_id":
			return d.text(&v.UserID)
		case "session_id":
			return d.textOrInt(&v.SessionID)
		case "session_number":
			return d.count(&v.SessionNumber)
		case "engagement_msec":
			return d.msec(&v.Engagement)
		case "new":
			return d.flag(&v.New)
		case "cookieless":
			return d.flag(&v.Cookieless)
		case "new_session":
			return d.flag(&v.NewSession)
		case "app_instance_id":
			return d.text(&v.AppInstanceID)
		case "anonymous_profile":
			return d.flag(&v.AnonymousProfile)
		}
		return d.skip()
	})
}

func (d *decoder) page(p *Page) error {
	return d.object(func(key string) error {
		switch key {
		case "url":
			return d.text(&p.URL)
		case "path":
			return d.text(&p.Path)
		case "route":
			return d.text(&p.Route)
		case "title":
			return d.text(&p.Title)
		case "referrer":
			return d.text(&p.Referrer)
		case "status":
			return d.small(&p.Status)
		}
		return d.skip()
	})
}

func (d *decoder) device(v *Device) error {
	return d.object(func(key string) error {
		switch key {
		case "user_agent":
			return d.text(&v.UserAgent)
		case "language":
			return d.text(&v.Language)
		case "screen":
			return d.text(&v.Screen)
		case "viewport":
			return d.text(&v.Viewport)
		case "colors":
			return d.small(&v.Colors)
		case "encoding":
			return d.text(&v.Encoding)
		case "category":
			return d.text(&v.Category)
		case "os":
			return d.text(&v.OS)
		case "os_version":
			return d.text(&v.OSVersion)
		case "browser":
			return d.text(&v.Browser)
		case "browser_version":
			return d.text(&v.BrowserVer)
		case "brand":
			return d.text(&v.Brand)
		case "model":
			return d.text(&v.Model)
		case "hints":
			return d.texts(&v.Hints)
		}
		return d.skip()
	})
}

func (d *decoder) network(n *Network) error {
	return d.object(func(key string) error {
		switch key {
		case "ip":
			return d.text(&n.IP)
		case "country":
			return d.text(&n.Country)
		case "region":
			return d.text(&n.Region)
		case "city":
			return d.text(&n.City)
		case "continent":
			return d.text(&n.Continent)
		case "subcontinent":
			return d.text(&n.Subcontinent)
		}
		return d.skip()
	})
}

func (d *decoder) campaign(c *Campaign) error {
	return d.object(func(key string) error {
		switch key {
		case "id":
			return d.text(&c.ID)
		case "source":
			return d.text(&c.Source)
		case "medium":
			return d.text(&c.Medium)
		case "name":
			return d.text(&c.Name)
		case "term":
			return d.text(&c.Term)
		case "content":
			return d.text(&c.Content)
		case "platform":
			return d.text(&c.Platform)
		case "format":
			return d.text(&c.Format)
		case "tactic":
			return d.text(&c.Tactic)
		case "click_ids":
			return d.texts(&c.ClickIDs)
		}
		return d.skip()
	})
}

func (d *decoder) consent(c *Consent) error {
	return d.object(func(key string) error {
		if key == "how" {
			return d.text(&c.How)
		}
		i := purposeIndex(Purpose(key))
		if i < 0 {
			return d.skip()
		}
		v, err := d.string()
		if err != nil {
			return err
		}
		state, ok := ParseState(v)
		if !ok {
			return &FieldError{Problem: "must be granted, denied or unknown"}
		}
		c.states[i] = state
		return nil
	})
}

func (d *decoder) app(a *App) error {
	return d.object(func(key string) error {
		switch key {
		case "name":
			return d.text(&a.Name)
		case "id":
			return d.text(&a.ID)
		case "version":
			return d.text(&a.Version)
		case "installer_id":
			return d.text(&a.InstallerID)
		case "screen":
			return d.text(&a.Screen)
		}
		return d.skip()
	})
}

func (d *decoder) ecommerce(c *Ecommerce) error {
	return d.object(func(key string) error {
		switch key {
		case "currency":
			return d.text(&c.Currency)
		case "value":
			return d.moneySet(&c.Value, &c.HasValue)
		case "transaction_id":
			return d.text(&c.TransactionID)
		case "affiliation":
			return d.text(&c.Affiliation)
		case "tax":
			return d.money(&c.Tax)
		case "shipping":
			return d.money(&c.Shipping)
		case "coupon":
			return d.text(&c.Coupon)
		case "payment_type":
			return d.text(&c.PaymentType)
		case "shipping_tier":
			return d.text(&c.ShippingTier)
		case "item_list_id":
			return d.text(&c.ListID)
		case "item_list_name":
			return d.text(&c.ListName)
		case "items":
			c.Items = nil
			return d.array(func(i int) error {
				if i >= MaxItems {
					return &FieldError{Problem: fmt.Sprintf("at most %d items are taken", MaxItems)}
				}
				if c.Items == nil {
					c.Items = make([]Item, 0, 2) // large, and most carts have a few: grow less often
				}
				c.Items = append(c.Items, Item{})
				return d.item(&c.Items[i])
			})
		case "promotion":
			return d.promotion(&c.Promotion)
		}
		return d.skip()
	})
}

func (d *decoder) item(it *Item) error {
	return d.object(func(key string) error {
		switch key {
		case "item_id":
			return d.text(&it.ID)
		case "item_name":
			return d.text(&it.Name)
		case "item_brand":
			return d.text(&it.Brand)
		case "item_variant":
			return d.text(&it.Variant)
		case "item_categories":
			it.Categories = nil
			return d.array(func(int) error { return d.appendText(&it.Categories) })
		case "price":
			return d.moneySet(&it.Price, &it.HasPrice)
		case "discount":
			return d.money(&it.Discount)
		case "quantity":
			f, err := d.float()
			if err == nil {
				it.Quantity = f
			}
			return err
		case "coupon":
			return d.text(&it.Coupon)
		case "index":
			if err := d.count(&it.Index); err != nil {
				return err
			}
			it.HasIndex = true
			return nil
		case "item_list_id":
			return d.text(&it.ListID)
		case "item_list_name":
			return d.text(&it.ListName)
		case "location_id":
			return d.text(&it.LocationID)
		case "affiliation":
			return d.text(&it.Affil)
		case "promotion":
			return d.promotion(&it.Promotion)
		case "params":
			return d.params(&it.Params)
		}
		return d.skip()
	})
}

func (d *decoder) promotion(p *Promotion) error {
	return d.object(func(key string) error {
		switch key {
		case "promotion_id":
			return d.text(&p.ID)
		case "promotion_name":
			return d.text(&p.Name)
		case "creative_name":
			return d.text(&p.Creative)
		case "creative_slot":
			return d.text(&p.Slot)
		}
		return d.skip()
	})
}

func (d *decoder) exception(f *Failure) error {
	return d.object(func(key string) error {
		switch key {
		case "description":
			return d.text(&f.Description)
		case "fatal":
			return d.flag(&f.Fatal)
		}
		return d.skip()
	})
}

func (d *decoder) timing(t *Duration) error {
	return d.object(func(key string) error {
		switch key {
		case "category":
			return d.text(&t.Category)
		case "variable":
			return d.text(&t.Variable)
		case "label":
			return d.text(&t.Label)
		case "value_msec":
			return d.msec(&t.Value)
		}
		return d.skip()
	})
}

func (d *decoder) social(s *Social) error {
	return d.object(func(key string) error {
		switch key {
		case "network":
			return d.text(&s.Network)
		case "action":
			return d.text(&s.Action)
		case "target":
			return d.text(&s.Target)
		}
		return d.skip()
	})
}
