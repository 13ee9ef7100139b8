package segment

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/flat"
)

// message is one call of the Spec.
type message struct {
	Type         string          `json:"type"`
	MessageID    string          `json:"messageId"`
	UserID       string          `json:"userId,omitempty"`
	AnonymousID  string          `json:"anonymousId,omitempty"`
	Event        string          `json:"event,omitempty"`
	Name         string          `json:"name,omitempty"`
	Timestamp    string          `json:"timestamp,omitempty"`
	Properties   flat.Properties `json:"properties,omitempty"`
	Traits       flat.Properties `json:"traits,omitempty"`
	Context      flat.Properties `json:"context"`
	Integrations map[string]bool `json:"integrations,omitempty"`
}

// names are Segment's for GA4's shop events (Spec, "V2 Ecommerce Events"), and for the two of its B2B spec.
var names = map[string]string{
	"view_item": "Product Viewed", "view_item_list": "Product List Viewed", "select_item": "Product Clicked", "add_to_cart": "Product Added",
	"remove_from_cart": "Product Removed", "add_to_wishlist": "Product Added to Wishlist", "view_cart": "Cart Viewed", "begin_checkout": "Checkout Started",
	"add_shipping_info": "Checkout Step Completed", "add_payment_info": "Payment Info Entered", "purchase": "Order Completed", "refund": "Order Refunded",
	"view_promotion": "Promotion Viewed", "select_promotion": "Promotion Clicked", "search": "Products Searched", "view_search_results": "Products Searched",
	"sign_up": "Signed Up", "login": "Signed In",
}

// oneProduct are the events about one product, whose properties it has at the top.
var oneProduct = []string{"view_item", "select_item", "add_to_cart", "remove_from_cart", "add_to_wishlist"}

func (g *generator) message(e *sidetrack.Event) (*message, error) {
	m := &message{
		Type: "track", MessageID: e.ID.String(), UserID: flat.Clean(e.Visitor.UserID), AnonymousID: flat.Clean(e.Visitor.ClientID),
		Context: context(e), Integrations: g.cfg.Integrations,
	}
	switch y := e.Time.Year(); {
	case e.ID == uuid.Nil:
		return nil, errors.New("segment: an event without an id")
	case m.UserID == "" && m.AnonymousID == "":
		return nil, errors.New("segment: neither a user id nor a client id: send one, or put the visitor processor into intake")
	case e.Time.IsZero():
	case y < 1970 || y > 9998:
		return nil, fmt.Errorf("segment: the year %d is none", y)
	default:
		m.Timestamp = stamp(e.Time)
	}
	p := flat.Properties{}
	switch e.Name {
	case sidetrack.PageView:
		m.Type = "page"
		m.Name = flat.Clean(e.Page.Route)
		pageOf(p, &e.Page)
	case sidetrack.ScreenView:
		m.Type = "screen"
		m.Name = flat.Clean(e.App.Screen)
	case "":
		return nil, errors.New("segment: an event without a name")
	default:
		m.Event = flat.Clean(e.Name)
		if n, ok := names[e.Name]; ok {
			m.Event = n
		}
	}
	if n, ok := g.cfg.Names[e.Name]; ok && m.Type == "track" {
		m.Event = n
	}
	p.Shop(e.Ecommerce)
	if c := e.Ecommerce; c != nil && len(c.Items) > 0 && slices.Contains(oneProduct, e.Name) {
		for k, v := range flat.Product(&c.Items[0]) {
			p[k] = v
		}
	}
	p.Special(e)
	if m.Event == "Products Searched" {
		p.Set("query", e.Params["search_term"])
	}
	p.Add(e.Params, nil)
	m.Properties = p
	return m, nil
}

// identify makes the message that says who the user is, nil where there is nothing to say.
func (g *generator) identify(e *sidetrack.Event, m *message) *message {
	if m.UserID == "" || !slices.Contains(g.cfg.IdentifyOn, e.Name) {
		return nil
	}
	id := *m
	id.Type, id.MessageID, id.Event, id.Name, id.Properties = "identify", identifyID(e), "", "", nil
	id.Traits = flat.Properties{}
	id.Traits.Add(e.UserProperties, nil)
	return &id
}

func pageOf(p flat.Properties, page *sidetrack.Page) {
	p.Set("url", page.URL)
	if u, err := url.Parse(page.URL); err == nil {
		p.Set("path", u.Path)
		if u.RawQuery != "" {
			p.Set("search", "?"+u.RawQuery)
		}
	}
	p.Set("title", page.Title)
	p.Set("referrer", page.Referrer)
}

// context is what surrounds an event (Spec, "Common Fields").
func context(e *sidetrack.Event) flat.Properties {
	c := flat.Properties{"library": map[string]any{"name": "sidetrack"}}
	group := func(name string, fill func(flat.Properties)) {
		p := flat.Properties{}
		if fill(p); len(p) > 0 {
			c[name] = p
		}
	}
	if ip, err := netip.ParseAddr(e.Network.IP); err == nil {
		c["ip"] = ip.WithZone("").String()
	}
	c.Set("userAgent", e.Device.UserAgent)
	c.Set("locale", e.Device.Language)
	c.Set("sessionId", e.Visitor.SessionID)
	group("page", func(p flat.Properties) { pageOf(p, &e.Page) })
	group("campaign", func(p flat.Properties) {
		p.Set("source", e.Campaign.Source)
		p.Set("medium", e.Campaign.Medium)
		p.Set("name", e.Campaign.Name)
		p.Set("term", e.Campaign.Term)
		p.Set("content", e.Campaign.Content)
	})
	group("app", func(p flat.Properties) {
		p.Set("name", e.App.Name)
		p.Set("version", e.App.Version)
		p.Set("namespace", e.App.ID)
	})
	group("os", func(p flat.Properties) { p.Set("name", e.Device.OS); p.Set("version", e.Device.OSVersion) })
	group("device", func(p flat.Properties) {
		p.Set("type", e.Device.Category)
		p.Set("manufacturer", e.Device.Brand)
		p.Set("model", e.Device.Model)
	})
	group("screen", func(p flat.Properties) {
		if w, h, ok := flat.Size(e.Device.Screen); ok {
			p["width"], p["height"] = w, h
		}
	})
	group("location", func(p flat.Properties) {
		p.Set("country", e.Network.Country)
		p.Set("region", e.Network.Region)
		p.Set("city", e.Network.City)
	})
	group("traits", func(p flat.Properties) { p.Add(e.UserProperties, nil) })
	group("consent", func(p flat.Properties) {
		preferences := map[string]any{}
		for _, purpose := range sidetrack.Purposes() {
			if s := e.Consent.Get(purpose); s != sidetrack.Unknown {
				preferences[string(purpose)] = s == sidetrack.Granted
			}
		}
		if len(preferences) > 0 {
			p["categoryPreferences"] = preferences
		}
	})
	return c
}
