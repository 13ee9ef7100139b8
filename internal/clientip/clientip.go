// Package clientip finds the address of the client that a request came from when
// there may be proxies in between. It believes a header only as far as the chain of
// trusted proxies that wrote it goes, so a client cannot choose its own address.
package clientip

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// maxHops bounds how many entries of a forwarding header are looked at.
const maxHops = 64

// Resolver finds client addresses. The zero value trusts no proxy and always answers
// with the peer. It is safe for concurrent use.
type Resolver struct {
	trusted []netip.Prefix
	unix    bool // peers without an address are trusted
	header  string
}

// Unix among the trusted proxies stands for all peers on a unix socket, which have no address.
const Unix = "unix"

// New returns a resolver that trusts the given addresses and networks ("10.0.0.0/8",
// "2001:db8::1"). header names the one header the proxies write: "X-Forwarded-For", "Forwarded"
// (RFC 7239) or one that holds a single address, such as "CF-Connecting-IP". When it is empty,
// X-Forwarded-For is read, and Forwarded only where the former is missing: name the
// header if the proxies write Forwarded but let X-Forwarded-For of clients through.
func New(trusted []string, header string) (Resolver, error) {
	r := Resolver{header: http.CanonicalHeaderKey(strings.TrimSpace(header))}
	for _, s := range trusted {
		if s == Unix {
			r.unix = true
			continue
		}
		p, err := parsePrefix(strings.TrimSpace(s))
		if err != nil {
			return Resolver{}, fmt.Errorf("clientip: trusted proxy %q: want an address, a network like 10.0.0.0/8, or unix", s)
		}
		r.trusted = append(r.trusted, p)
	}
	return r, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 { // ::ffff:10.0.0.0/104 means 10.0.0.0/8
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// Trusts reports whether the peer of r is one of the trusted proxies, so that
// headers only a proxy may set can be believed.
func (c Resolver) Trusts(r *http.Request) bool { return c.trusts(Peer(r)) }

func (c Resolver) trusts(a netip.Addr) bool {
	if !a.IsValid() {
		return c.unix
	}
	for _, p := range c.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Client returns the address of the client of r: the peer, unless that is a trusted proxy. Then it
// is the rightmost address of the forwarding header that is not trusted itself, or the leftmost
// when all are. An entry that is no address makes the header worthless: the answer is
// the peer. The result is invalid only when the peer has no address, as on a unix socket.
func (c Resolver) Client(r *http.Request) netip.Addr {
	peer := Peer(r)
	if !c.trusts(peer) {
		return peer
	}
	name, lines := c.header, []string(nil)
	if name != "" {
		lines = r.Header[name]
	} else if name, lines = "X-Forwarded-For", r.Header["X-Forwarded-For"]; len(lines) == 0 {
		name, lines = "Forwarded", r.Header["Forwarded"]
	}
	if len(lines) == 0 {
		return peer
	}
	var client netip.Addr
	var ok bool
	switch name {
	case "X-Forwarded-For":
		client, ok = c.walk(lines, parseHost)
	case "Forwarded":
		client, ok = c.walk(lines, parseForwarded)
	default:
		if len(lines) == 1 {
			client, ok = parseHost(lines[0])
		}
	}
	if !ok {
		return peer
	}
	return client
}

// walk goes from the nearest hop to the farthest until one is not trusted.
func (c Resolver) walk(lines []string, parse func(string) (netip.Addr, bool)) (last netip.Addr, ok bool) {
	hops := 0
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			var entry string
			var closed bool
			rest, entry, more, closed = cutLast(rest)
			if hops++; hops > maxHops || !closed {
				return netip.Addr{}, false
			}
			a, ok := parse(entry)
			if !ok {
				return netip.Addr{}, false
			}
			if last = a; !c.trusts(a) {
				return a, true
			}
		}
	}
	return last, last.IsValid()
}

// cutLast splits list at its last comma outside of quotes. closed is false when a quote
// stays open: a client may have sent it to swallow what the proxy appended.
func cutLast(list string) (rest, entry string, more, closed bool) {
	if strings.IndexByte(list, '"') < 0 {
		if i := strings.LastIndexByte(list, ','); i >= 0 {
			return list[:i], list[i+1:], true, true
		}
		return "", list, false, true
	}
	quoted, at := false, -1
	for i := 0; i < len(list); i++ {
		switch {
		case list[i] == '\\' && quoted:
			i++
		case list[i] == '"':
			quoted = !quoted
		case list[i] == ',' && !quoted:
			at = i
		}
	}
	if at < 0 {
		return "", list, false, !quoted
	}
	return list[:at], list[at+1:], true, !quoted
}

// parseForwarded reads the for= node of one element of a Forwarded header. "unknown"
// and obfuscated identifiers ("_hidden") are no addresses.
func parseForwarded(element string) (netip.Addr, bool) {
	for pair := range strings.SplitSeq(element, ";") {
		k, v, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if ok && strings.EqualFold(k, "for") {
			if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
				v = v[1 : len(v)-1]
			}
			return parseHost(v)
		}
	}
	return netip.Addr{}, false
}

// parseHost reads an address with or without a port and brackets.
func parseHost(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 128 {
		return netip.Addr{}, false
	}
	host := s
	switch {
	case strings.HasPrefix(s, "["): // [2001:db8::1] and [2001:db8::1]:4711
		i := strings.IndexByte(s, ']')
		if i < 0 || i+1 < len(s) && !isPort(s[i+1:]) {
			return netip.Addr{}, false
		}
		host = s[1:i]
	case strings.Count(s, ":") == 1: // 192.0.2.1:4711
		i := strings.IndexByte(s, ':')
		if !isPort(s[i:]) {
			return netip.Addr{}, false
		}
		host = s[:i]
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, false
	}
	return a.Unmap().WithZone(""), true
}

// isPort reports whether s is ":" and one to five digits.
func isPort(s string) bool {
	if len(s) < 2 || len(s) > 6 || s[0] != ':' {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// Peer returns the address of the other end of the connection, invalid when it has none.
func Peer(r *http.Request) netip.Addr {
	a, _ := parseHost(r.RemoteAddr)
	return a
}

// Parse reads an address as it stands in a log or header, with or without port,
// brackets and zone.
func Parse(s string) (netip.Addr, bool) { return parseHost(s) }
