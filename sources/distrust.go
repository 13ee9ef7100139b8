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
	if own == "" {
		return
	}
	v, p, d, c, a := &e.Visitor, &e.Page, &e.Device, &e.Campaign, &e.App
	for _, s := range [...]*string{
		&e.MessageID, &e.Name, &e.Site, &v.ClientID, &v.UserID, &v.SessionID, &v.AppInstanceID,
		&p.URL, &p.Path, &p.Route, &p.Title, &p.Referrer, &d.UserAgent, &d.Brand, &d.Model, &d.OSVersion, &d.BrowserVer,
		&c.ID, &c.Source, &c.Medium, &c.Name, &c.Term, &c.Content, &c.Platform, &c.Format, &c.Tactic,
		&a.Name, &a.ID, &a.Version, &a.InstallerID, &a.Screen, &e.Network.City,
	} {
		maskOwn(s, own)
	}
	for _, m := range [...]map[string]string{d.Hints, c.ClickIDs} {
		for k, s := range m {
			if maskOwn(&s, own) {
				m[k] = s
			}
		}
	}
	if e.Ecommerce != nil {
		maskOwn(&e.Ecommerce.TransactionID, own)
		maskOwn(&e.Ecommerce.Coupon, own)
		maskOwn(&e.Ecommerce.Affiliation, own)
	}
	if e.Exception != nil {
		maskOwn(&e.Exception.Description, own)
	}
	if e.Timing != nil {
		maskOwn(&e.Timing.Label, own)
	}
	if e.Social != nil {
		maskOwn(&e.Social.Target, own)
	}
}

func maskOwn(s *string, own string) bool {
	if len(*s) < len(own) || !strings.Contains(*s, own) {
		return false
	}
	*s = strings.ReplaceAll(*s, own, maskedAddress)
	return true
}

// withoutAddresses removes and masks addresses in params, however deep.
func withoutAddresses(params map[string]any, own string) {
	for k, v := range params {
		if s, ok := v.(string); ok && isAddressParam(k) {
			if _, ok := clientip.Parse(s); ok {
				delete(params, k)
				continue
			}
		}
		params[k] = withoutOwn(v, own)
	}
}

func withoutOwn(v any, own string) any {
	switch v := v.(type) {
	case string:
		if own != "" && strings.Contains(v, own) {
			return strings.ReplaceAll(v, own, maskedAddress)
		}
	case map[string]any:
		withoutAddresses(v, own)
	case []any:
		for i := range v {
			v[i] = withoutOwn(v[i], own)
		}
	}
	return v
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
