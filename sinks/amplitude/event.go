package amplitude

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/flat"
)

// event is one event of a batch (HTTP V2, "Keys for the event argument").
type event struct {
	Type       string           `json:"event_type"`
	UserID     string           `json:"user_id,omitempty"`
	DeviceID   string           `json:"device_id,omitempty"`
	Time       int64            `json:"time"`
	InsertID   string           `json:"insert_id"`
	SessionID  int64            `json:"session_id"`
	Properties flat.Properties  `json:"event_properties,omitempty"`
	User       flat.Properties  `json:"user_properties,omitempty"`
	UserAgent  string           `json:"user_agent,omitempty"`
	Language   string           `json:"language,omitempty"`
	OS         string           `json:"os_name,omitempty"`
	OSVersion  string           `json:"os_version,omitempty"`
	Brand      string           `json:"device_brand,omitempty"`
	Model      string           `json:"device_model,omitempty"`
	AppVersion string           `json:"app_version,omitempty"`
	IP         string           `json:"ip,omitempty"`
	Country    string           `json:"country,omitempty"`
	Region     string           `json:"region,omitempty"`
	City       string           `json:"city,omitempty"`
	Library    string           `json:"library"`
	ProductID  string           `json:"productId,omitempty"`
	Price      *sidetrack.Money `json:"price,omitempty"`
	Quantity   int64            `json:"quantity,omitempty"`
	Revenue    *sidetrack.Money `json:"revenue,omitempty"`
	Kind       string           `json:"revenueType,omitempty"`
	Currency   string           `json:"currency,omitempty"`
}

// placeholders are ids that Amplitude refuses, as they stand for nobody.
var placeholders = []string{"anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "{}", "lmy47d", "0", "-1", "00000000-0000-0000-0000-000000000000"}

// reserved are names that mean something to Amplitude.
var reserved = []string{"$identify", "$groupidentify", "session_start", "session_end", "revenue_amount"}

// events makes what is sent of one event: for an order, one more for each product, from which Amplitude counts revenue.
func events(e *sidetrack.Event) ([]event, error) {
	v := &e.Visitor
	out := event{
		Type: name(e), UserID: flat.Clean(v.UserID), DeviceID: flat.Clean(v.ClientID), InsertID: e.ID.String(), SessionID: session(v.SessionID), Library: "sidetrack",
		UserAgent: flat.Clean(e.Device.UserAgent), Language: flat.Clean(e.Device.Language), OS: flat.Clean(e.Device.OS), OSVersion: flat.Clean(e.Device.OSVersion),
		Brand: flat.Clean(e.Device.Brand), Model: flat.Clean(e.Device.Model), AppVersion: flat.Clean(e.App.Version),
	}
	switch {
	case out.Type == "":
		return nil, errors.New("amplitude: an event without a name")
	case slices.Contains(reserved, out.Type) || e.Name != sidetrack.PageView && strings.HasPrefix(out.Type, "[Amplitude]"):
		return nil, fmt.Errorf("amplitude: the name %q is reserved", out.Type)
	case e.ID == uuid.Nil:
		return nil, errors.New("amplitude: an event without an id")
	case out.UserID == "" && out.DeviceID == "":
		return nil, errors.New("amplitude: neither a user id nor a client id: send one, or put the visitor processor into intake")
	case slices.Contains(placeholders, strings.ToLower(out.UserID)) || slices.Contains(placeholders, strings.ToLower(out.DeviceID)):
		return nil, errors.New("amplitude: a user id or client id that stands for nobody, which Amplitude refuses")
	case e.Time.Year() < 1970 || e.Time.Year() > 9998 || e.Time.UnixMilli() < 0:
		return nil, errors.New("amplitude: the time is before 1970 or beyond reason")
	}
	out.Time = e.Time.UnixMilli()
	place(&out, &e.Network)
	out.Properties = properties(e)
	if len(e.UserProperties) > 0 {
		out.User = flat.Properties{}
		out.User.Add(e.UserProperties, func(k string) bool { return strings.HasPrefix(k, "$") }) // an operation
	}
	list := []event{out}
	c := e.Ecommerce
	if e.Name != sidetrack.Purchase || c == nil {
		return list, nil
	}
	if len(c.Items) == 0 && c.HasValue {
		list[0].Revenue, list[0].Kind, list[0].Currency = &c.Value, "purchase", flat.Clean(c.Currency)
		return list, nil
	}
	for i := range c.Items {
		list = append(list, product(out, c, i))
	}
	return list, nil
}

// product makes the event of one line of an order. Quantities are whole at Amplitude: the line's sum stays right.
func product(of event, c *sidetrack.Ecommerce, i int) event {
	it := &c.Items[i]
	of.Type, of.InsertID, of.User = "purchase_item", uuid.NewSHA1(uuid.MustParse(of.InsertID), []byte("item "+strconv.Itoa(i))).String(), nil
	of.Properties = flat.Product(it)
	of.Properties.Set("order_id", c.TransactionID)
	of.ProductID, of.Kind, of.Currency = flat.Clean(it.ID), "purchase", flat.Clean(c.Currency)
	price, quantity := it.Price, it.Quantity
	if !(quantity > 0) {
		quantity = 1
	}
	if quantity != float64(int64(quantity)) || quantity > 1e6 {
		price, quantity = it.Price.Times(quantity), 1
	}
	of.Price, of.Quantity = &price, int64(quantity)
	return of
}

func name(e *sidetrack.Event) string {
	if e.Name == sidetrack.PageView {
		return "[Amplitude] Page Viewed"
	}
	return flat.Clean(e.Name)
}

// session is the beginning of the session in milliseconds, -1 for none.
func session(id string) int64 {
	s, err := strconv.ParseInt(id, 10, 64)
	if err != nil || s <= 0 || s > 1<<33 {
		return -1
	}
	return s * 1000
}

// place is as sidetrack knows it, or for Amplitude to find out from the anonymized address.
func place(out *event, n *sidetrack.Network) {
	if n.Country != "" {
		out.Country, out.Region, out.City = flat.Clean(n.Country), flat.Clean(n.Region), flat.Clean(n.City)
		return
	}
	if ip, err := netip.ParseAddr(n.IP); err == nil {
		out.IP = ip.WithZone("").String()
	}
}

func properties(e *sidetrack.Event) flat.Properties {
	p := flat.Properties{}
	p.Set("[Amplitude] Page URL", e.Page.URL)
	if u, err := url.Parse(e.Page.URL); err == nil && u.Host != "" {
		p.Set("[Amplitude] Page Domain", u.Hostname())
		p.Set("[Amplitude] Page Path", u.Path)
	}
	p.Set("[Amplitude] Page Title", e.Page.Title)
	p.Set("[Amplitude] Screen Name", e.App.Screen)
	p.Set("route", e.Page.Route)
	p.Set("referrer", e.Page.Referrer)
	if u, err := url.Parse(e.Page.Referrer); err == nil {
		p.Set("referring_domain", u.Hostname())
	}
	c := &e.Campaign
	p.Set("utm_source", c.Source)
	p.Set("utm_medium", c.Medium)
	p.Set("utm_campaign", c.Name)
	p.Set("utm_term", c.Term)
	p.Set("utm_content", c.Content)
	for k, v := range c.ClickIDs {
		p.Set(flat.Clean(k), v)
	}
	p.Shop(e.Ecommerce)
	p.Special(e)
	p.Add(e.Params, nil)
	if len(p) == 0 {
		return nil
	}
	return p
}
