// Package ipmask makes addresses anonymous by cutting off their lower bits.
package ipmask

import "net/netip"

// Ranges that carry an IPv4 address inside an IPv6 one.
var (
	sixToFour = netip.MustParsePrefix("2002::/16")      // RFC 3056: bits 16 to 47
	nat64     = netip.MustParsePrefix("64:ff9b::/96")   // RFC 6052: the last 32 bits
	teredo    = netip.MustParsePrefix("2001::/32")      // RFC 4380: two of them, one obfuscated
	isatapTag = [4]byte{0x00, 0x00, 0x5e, 0xfe}         // RFC 5214: before the last 32 bits
	compat    = netip.MustParsePrefix("::/96")          // RFC 4291: deprecated, the last 32 bits
	nat64own  = netip.MustParsePrefix("64:ff9b:1::/48") // RFC 8215: position unknown
)

// Mask keeps the first v4 bits of an IPv4 and the first v6 bits of an IPv6 address. An IPv4
// address inside an IPv6 one is masked as such. The zone goes. Addresses that hide
// another one in a way that cannot be masked, and invalid ones, give the zero Addr.
func Mask(a netip.Addr, v4, v6 int) netip.Addr {
	a = a.WithZone("").Unmap()
	switch {
	case !a.IsValid():
		return netip.Addr{}
	case a.Is4():
		return cut(a, v4)
	case teredo.Contains(a), nat64own.Contains(a):
		return netip.Addr{}
	case sixToFour.Contains(a):
		return cut(a, min(v6, 16+v4))
	case nat64.Contains(a), compat.Contains(a) && !a.IsLoopback():
		if v6 < 96 {
			return cut(a, v6)
		}
		return cut(a, min(v6, 96+v4))
	}
	b := a.As16()
	if [4]byte(b[8:12]) == isatapTag || [4]byte(b[8:12]) == [4]byte{0x02, 0x00, 0x5e, 0xfe} {
		return cut(a, min(v6, 64))
	}
	return cut(a, v6)
}

func cut(a netip.Addr, bits int) netip.Addr {
	p, err := a.Prefix(max(0, min(bits, a.BitLen())))
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr()
}
