package sources

import (
	"net/netip"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/clientip"
)

// maskedAddress stands where a client sent its own address inside a longer text.
const maskedAddress = "[ip]"

// distrust takes from a client's event what only sidetrack may say: the received time, the
// source, marks and the address.
func distrust(e *sidetrack.Event) {
	e.Source, e.Marks, e.Received = "", nil, time.Time{}
	e.Network.IP = ""
}

// hideAddresses removes the addresses that a client put into its event, because they would be
// stored: parameters that are named like an address and hold one, and the client's own
// address wherever it stands in a text. Loopback stays in texts: it is the host of
// pages under development and nobody's address.
func hideAddresses(e *sidetrack.Event, client netip.Addr) {
	own := ""
	if client.IsValid() && !client.IsLoopback() {
		own = client.String()
	}
	withoutAddresses(e.Params, own)
	withoutAddresses(e.UserProperties, own)
	if e.Ecommerce != nil {
		for i := range e.Ecommerce.Items {
			withoutAddresses(e.Ecommerce.Items[i].Params, own)
		}
	}
	if own != "" {
		maskTexts(e, own)
	}
}

// maskTexts replaces own in every text of e but its parameters.
func maskTexts(e *sidetrack.Event, own string) {
	v, p, d, n, c, a := &e.Visitor, &e.Page, &e.Device, &e.Network, &e.Campaign, &e.App
	mask(own,
		&e.Name, &e.MessageID, &e.Site, &e.Consent.How,
		&v.ClientID, &v.UserID, &v.SessionID, &v.AppInstanceID,
		&p.URL, &p.Path, &p.Route, &p.Title, &p.Referrer,
		&d.UserAgent, &d.Language, &d.Screen, &d.Viewport, &d.Encoding, &d.Category, &d.OS, &d.OSVersion, &d.Browser, &d.BrowserVer, &d.Brand, &d.Model,
		&n.Country, &n.Region, &n.City, &n.Continent, &n.Subcontinent,
		&c.ID, &c.Source, &c.Medium, &c.Name, &c.Term, &c.Content, &c.Platform, &c.Format, &c.Tactic,
		&a.Name, &a.ID, &a.Version, &a.InstallerID, &a.Screen,
	)
	maskMap(own, d.Hints)
	maskMap(own, c.ClickIDs)
	if s := e.Ecommerce; s != nil {
		mask(own, &s.Currency, &s.TransactionID, &s.Affiliation, &s.Coupon, &s.PaymentType, &s.ShippingTier, &s.ListID, &s.ListName)
		maskPromotion(own, &s.Promotion)
		for i := range s.Items {
			it := &s.Items[i]
			mask(own, &it.ID, &it.Name, &it.Brand, &it.Variant, &it.Coupon, &it.ListID, &it.ListName, &it.LocationID, &it.Affil)
			maskPromotion(own, &it.Promotion)
			maskList(own, it.Categories)
		}
	}
	if e.Exception != nil {
		mask(own, &e.Exception.Description)
	}
	if t := e.Timing; t != nil {
		mask(own, &t.Category, &t.Variable, &t.Label)
	}
	if s := e.Social; s != nil {
		mask(own, &s.Network, &s.Action, &s.Target)
	}
	if u := e.UserData; u != nil {
		maskList(own, u.Emails)
		maskList(own, u.Phones)
		for k, list := range u.Match {
			if strings.Contains(k, own) {
				delete(u.Match, k)
			} else {
				maskList(own, list)
			}
		}
		for i := range u.Addresses {
			a := &u.Addresses[i]
			mask(own, &a.FirstName, &a.LastName, &a.Street, &a.City, &a.Region, &a.PostalCode, &a.Country)
		}
	}
}

func maskPromotion(own string, p *sidetrack.Promotion) {
	mask(own, &p.ID, &p.Name, &p.Creative, &p.Slot)
}

func maskList(own string, texts []string) {
	for i := range texts {
		mask(own, &texts[i])
	}
}

func mask(own string, texts ...*string) {
	for _, s := range texts {
		if len(*s) >= len(own) && strings.Contains(*s, own) {
			*s = strings.ReplaceAll(*s, own, maskedAddress)
		}
	}
}

func maskMap(own string, m map[string]string) {
	for k, s := range m {
		if strings.Contains(k, own) {
			delete(m, k)
		} else if strings.Contains(s, own) {
			m[k] = strings.ReplaceAll(s, own, maskedAddress)
		}
	}
}

// withoutAddresses removes and masks addresses in params, however deep.
func withoutAddresses(params map[string]any, own string) {
	for k, v := range params {
		if own != "" && strings.Contains(k, own) {
			delete(params, k)
			continue
		}
		if s, ok := v.(string); ok && isAddressParam(k) {
			if _, ok := clientip.Parse(s); ok {
				delete(params, k)
				continue
			}
		}
		if changed, ok := withoutOwn(v, own); ok {
			params[k] = changed
		}
	}
}

// withoutOwn returns v without own; ok is false when v is unchanged or was changed in place.
func withoutOwn(v any, own string) (changed any, ok bool) {
	switch v := v.(type) {
	case string:
		if own != "" && strings.Contains(v, own) {
			return strings.ReplaceAll(v, own, maskedAddress), true
		}
	case map[string]any:
		withoutAddresses(v, own)
	case []any:
		for i := range v {
			if c, ok := withoutOwn(v[i], own); ok {
				v[i] = c
			}
		}
	}
	return nil, false
}

// isAddressParam knows the names under which trackers send addresses.
func isAddressParam(name string) bool {
	switch strings.ToLower(name) {
	case "ip", "$ip", "uip", "_uip", "cip", "ip_address", "ipaddress", "ip_override", "client_ip", "clientip",
		"user_ip", "userip", "remote_addr", "remote_ip", "x-forwarded-for", "x_forwarded_for":
		return true
	}
	return false
}
