// Package match is the one vocabulary of conditions on events: of exclude, of when on sinks and
// processors, and of config tests.
package match

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// Matcher is a condition. All keys given must hold; within a key one of the values
// suffices. In values '*' stands for any text.
type Matcher struct {
	// Sites are names of sites.
	Sites []string `yaml:"sites"`
	// Sources are names of sources.
	Sources []string `yaml:"sources"`
	// Names are event names, such as page_view or shop_*.
	Names []string `yaml:"names"`
	// Hosts of the page, without port; upper and lower case are the same.
	Hosts []string `yaml:"hosts"`
	// Paths of the page, such as /admin/*.
	Paths []string `yaml:"paths"`
	// Routes are patterns of the router, compared as text.
	Routes []string `yaml:"routes"`
	// UserAgents; upper and lower case are the same.
	UserAgents []string `yaml:"user_agents"`
	// Marks of the event, such as bot:*.
	Marks []string `yaml:"marks"`
	// Params by name: the values one of which the parameter must have as text.
	Params map[string][]string `yaml:"params"`
	// Consent by purpose: granted, denied or unknown.
	Consent map[string]string `yaml:"consent"`
	// IPRanges are networks of the visitor's address. Needs the request: intake only.
	IPRanges []string `yaml:"ip_ranges" sidetrack:"intake"`
	// OwnVisits matches visitors with the cookie sidetrack_own. Needs the request: intake only.
	OwnVisits bool `yaml:"own_visits" sidetrack:"intake"`
	// Not is a condition that must not hold.
	Not *Matcher `yaml:"not"`
}

// OwnVisitsCookie marks the browsers of the site's own people.
const OwnVisitsCookie = "sidetrack_own"

// OptOutCookie marks the browsers of visitors who asked not to be counted.
const OptOutCookie = "sidetrack_optout"

// NeedsOrigin reports whether the condition asks for what only intake sees.
func (m Matcher) NeedsOrigin() bool {
	return len(m.IPRanges) > 0 || m.OwnVisits || m.Not != nil && m.Not.NeedsOrigin()
}

// Compile checks the condition and makes a function of it that is safe for concurrent
// use. Every problem is in the error, each a *FieldError.
func (m Matcher) Compile() (func(*sidetrack.Event) bool, error) {
	var tests []func(*sidetrack.Event) bool
	var errs []error
	add := func(given bool, test func(*sidetrack.Event) bool) {
		if given {
			tests = append(tests, test)
		}
	}
	lower := func(list []string) []string {
		out := make([]string, len(list))
		for i, s := range list {
			out[i] = strings.ToLower(s)
		}
		return out
	}
	hosts, agents := lower(m.Hosts), lower(m.UserAgents)
	add(len(m.Sites) > 0, func(e *sidetrack.Event) bool { return anyGlob(m.Sites, e.Site) })
	add(len(m.Sources) > 0, func(e *sidetrack.Event) bool { return anyGlob(m.Sources, e.Source) })
	add(len(m.Names) > 0, func(e *sidetrack.Event) bool { return anyGlob(m.Names, e.Name) })
	add(len(m.Hosts) > 0, func(e *sidetrack.Event) bool { return anyGlob(hosts, strings.ToLower(hostOf(e))) })
	add(len(m.Paths) > 0, func(e *sidetrack.Event) bool { return anyGlob(m.Paths, pathOf(e)) })
	add(len(m.Routes) > 0, func(e *sidetrack.Event) bool { return anyGlob(m.Routes, e.Page.Route) })
	add(len(agents) > 0, func(e *sidetrack.Event) bool { return anyGlob(agents, strings.ToLower(e.Device.UserAgent)) })
	add(len(m.Marks) > 0, func(e *sidetrack.Event) bool {
		return slices.ContainsFunc(e.Marks, func(s string) bool { return anyGlob(m.Marks, s) })
	})
	for _, name := range slices.Sorted(maps.Keys(m.Params)) {
		values := m.Params[name]
		add(true, func(e *sidetrack.Event) bool {
			v, ok := e.Params[name]
			return ok && anyGlob(values, textOf(v))
		})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Consent)) {
		purpose, err := sidetrack.ParsePurpose(name)
		if err != nil {
			errs = append(errs, &sidetrack.FieldError{Field: "consent." + name, Problem: fmt.Sprintf("is no purpose: use one of %v", sidetrack.Purposes())})
			continue
		}
		state, ok := sidetrack.ParseState(m.Consent[name])
		if !ok {
			errs = append(errs, &sidetrack.FieldError{Field: "consent." + name, Problem: "must be granted, denied or unknown"})
			continue
		}
		add(true, func(e *sidetrack.Event) bool { return e.Consent.Get(purpose) == state })
	}
	var ranges []netip.Prefix
	for i, s := range m.IPRanges {
		p, err := parsePrefix(s)
		if err != nil {
			errs = append(errs, &sidetrack.FieldError{Field: fmt.Sprintf("ip_ranges[%d]", i), Problem: fmt.Sprintf("%q is no network: write 192.0.2.0/24 or an address", s)})
			continue
		}
		ranges = append(ranges, p)
	}
	add(len(m.IPRanges) > 0, func(e *sidetrack.Event) bool {
		ip := e.Origin().IP()
		return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(ip) })
	})
	add(m.OwnVisits, func(e *sidetrack.Event) bool { return e.Origin().Cookie(OwnVisitsCookie) != "" })
	if m.Not != nil {
		not, err := m.Not.Compile()
		if err != nil {
			errs = append(errs, fmt.Errorf("not: %w", err))
		}
		add(true, func(e *sidetrack.Event) bool { return !not(e) })
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if len(tests) == 0 {
		return nil, &sidetrack.FieldError{Problem: "the condition is empty and would match everything: give at least one key"}
	}
	return func(e *sidetrack.Event) bool {
		for _, test := range tests {
			if !test(e) {
				return false
			}
		}
		return true
	}, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, err
	}
	return p.Masked(), nil
}

func hostOf(e *sidetrack.Event) string {
	if e.Page.URL == "" {
		return ""
	}
	u, err := url.Parse(e.Page.URL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func pathOf(e *sidetrack.Event) string {
	if e.Page.Path != "" || e.Page.URL == "" {
		return e.Page.Path
	}
	u, err := url.Parse(e.Page.URL)
	if err != nil {
		return ""
	}
	if u.Path == "" {
		return "/"
	}
	return u.Path
}

func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case nil:
		return ""
	}
	return fmt.Sprint(v)
}
