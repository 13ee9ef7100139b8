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

// distrust takes from a client's event what only sidetrack may say (received time,
// source, marks) and the addresses a client puts into it, because those would be
// stored: network.ip, parameters that are named like an address and hold one, and
// the client's own address wherever it stands in a text.
func distrust(e *sidetrack.Event, client netip.Addr) {
	e.Source, e.Marks, e.Received = "", nil, time.Time{}
	e.Network.IP = ""
	own := ""
	if client.IsValid() {
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
	for _, s := range []*string{
		&e.MessageID, &e.Page.URL, &e.Page.Path, &e.Page.Title, &e.Page.Referrer, &e.Device.UserAgent,
		&e.Visitor.ClientID, &e.Visitor.UserID, &e.Campaign.Content, &e.Campaign.Term,
	} {
		maskOwn(s, own)
	}
	if e.Exception != nil {
		maskOwn(&e.Exception.Description, own)
	}
}

func maskOwn(s *string, own string) {
	if strings.Contains(*s, own) {
		*s = strings.ReplaceAll(*s, own, maskedAddress)
	}
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
