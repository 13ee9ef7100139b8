package sidetrack

import (
	"net"
	"strings"
)

// Site is a property events belong to. Name is part of the event, of the visitor
// hash, of routing and of the ledger.
type Site struct {
	Name    string
	Hosts   []string // hosts of its pages, "shop.example" or "*.shop.example"
	Origins []string // origins whose pages may send, "https://shop.example"
	Keys    []string // keys that clients send to name the site; not secret
}

// HasHost reports whether host, with or without a port, is one of the site's.
func (s Site) HasHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	for _, pattern := range s.Hosts {
		pattern = strings.ToLower(pattern)
		if suffix, ok := strings.CutPrefix(pattern, "*."); ok {
			if strings.HasSuffix(host, "."+suffix) {
				return true
			}
		} else if host == pattern {
			return true
		}
	}
	return false
}
