// Package sites finds the site that an event belongs to.
package sites

import (
	"net"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// Index looks sites up by what a request says. A nil Index knows no site. It is safe for
// concurrent use.
type Index struct {
	names   map[string]bool
	hosts   map[string]string // to the site's name
	below   []below
	origins map[string]string
	keys    map[string]string
}

// below is a pattern such as *.shop.example.
type below struct{ suffix, name string }

// New makes the index of a list, nil when that is empty. Where two sites claim the same, the
// first has it; a host that is written out goes before a pattern.
func New(list []sidetrack.Site) *Index {
	if len(list) == 0 {
		return nil
	}
	x := &Index{names: map[string]bool{}, hosts: map[string]string{}, origins: map[string]string{}, keys: map[string]string{}}
	claim := func(m map[string]string, key, name string) {
		if _, taken := m[key]; !taken && key != "" {
			m[key] = name
		}
	}
	for _, s := range list {
		x.names[s.Name] = true
		for _, h := range s.Hosts {
			if suffix, ok := strings.CutPrefix(strings.ToLower(h), "*"); ok {
				x.below = append(x.below, below{suffix, s.Name})
			} else {
				claim(x.hosts, strings.ToLower(h), s.Name)
			}
		}
		for _, o := range s.Origins {
			claim(x.origins, strings.ToLower(o), s.Name)
		}
		for _, k := range s.Keys {
			claim(x.keys, k, s.Name)
		}
	}
	return x
}

// Has reports whether a site has that name.
func (x *Index) Has(name string) bool { return x != nil && x.names[name] }

// ByHost returns the name of the site that has host, which may carry a port; "" when none does.
func (x *Index) ByHost(host string) string {
	if x == nil || host == "" {
		return ""
	}
	if name, ok := x.hosts[host]; ok {
		return name
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if name, ok := x.hosts[host]; ok {
		return name
	}
	for _, b := range x.below {
		if len(host) > len(b.suffix) && strings.HasSuffix(host, b.suffix) {
			return b.name
		}
	}
	return ""
}

// ByOrigin returns the name of the site whose pages have that origin: one that is listed, or
// one of its hosts.
func (x *Index) ByOrigin(origin string) string {
	if x == nil || origin == "" {
		return ""
	}
	if name, ok := x.origins[strings.ToLower(origin)]; ok {
		return name
	}
	return x.ByHost(HostOf(origin))
}

// ByKey returns the name of the site that a client's key stands for.
func (x *Index) ByKey(key string) string {
	if x == nil {
		return ""
	}
	return x.keys[key]
}

// HostOf returns the host of an absolute URL, with a port if it has one, and "" when there is none.
func HostOf(url string) string {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		return ""
	}
	if end := strings.IndexAny(rest, `/?#\`); end >= 0 {
		rest = rest[:end]
	}
	return rest[strings.LastIndexByte(rest, '@')+1:]
}
