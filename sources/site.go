package sources

import (
	"net/http"
	"strconv"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/sites"
)

// Values of CollectorConfig.Keys.
const (
	keysOptional = "optional"
	keysRequired = "required"
)

// checkNaming checks what names hosts and sites. Problems are *sidetrack.FieldErrors.
func checkNaming(cfg CollectorConfig) (problems []error) {
	problem := func(field, text string) {
		problems = append(problems, &sidetrack.FieldError{Field: field, Problem: text})
	}
	for i, h := range cfg.AllowedHosts {
		if !isHostPattern(h) {
			problem("allowed_hosts["+strconv.Itoa(i)+"]", strconv.Quote(h)+" is no host: write t.shop.example or *.shop.example, without a port")
		}
	}
	switch cfg.Keys {
	case "", keysOptional:
	case keysRequired:
		for _, s := range cfg.Sites {
			if len(s.Keys) > 0 {
				return problems
			}
		}
		problem("keys", "are required but no site has one: write keys: [k1] at a site")
	default:
		problem("keys", strconv.Quote(cfg.Keys)+" is neither optional nor required")
	}
	return problems
}

func isHostPattern(h string) bool {
	if len(h) > 2 && h[:2] == "*." {
		h = h[2:]
	}
	if h == "" || len(h) > 253 {
		return false
	}
	for _, c := range []byte(h) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return true
}

// assignSites says which site each event belongs to: by its key, by the name the client gave, by the host of
// the page, by the origin of the page that sends, by the host the request went to. An event whose key or name is wrong
// moves to the errors.
func (c *Collector) assignSites(d *sidetrack.Decoded, r *http.Request) {
	origin := first(r.Header, "Origin")
	kept := 0
	for i, e := range d.Events {
		key := ""
		switch {
		case len(d.Keys) == 1:
			key = d.Keys[0]
		case i < len(d.Keys):
			key = d.Keys[i]
		}
		err := c.assignSite(e, key, origin, r.Host)
		if err == nil && kept == i {
			kept++
			continue
		}
		if d.Indexes == nil {
			d.Indexes = make([]int, len(d.Events))
			for j := range d.Indexes {
				d.Indexes[j] = j
			}
		}
		if err != nil {
			d.Errors = append(d.Errors, sidetrack.ElementError{Index: d.Indexes[i], Err: err})
			continue
		}
		d.Events[kept], d.Indexes[kept] = e, d.Indexes[i]
		kept++
	}
	if kept < len(d.Events) {
		d.Events, d.Indexes = d.Events[:kept], d.Indexes[:kept]
	}
}

func (c *Collector) assignSite(e *sidetrack.Event, key, origin, host string) error {
	site := c.sites.ByKey(key)
	switch {
	case c.keyed && key == "":
		return notAllowed("key", "is missing")
	case c.keyed && site == "":
		return notAllowed("key", "belongs to no site")
	case site != "" && e.Site != "" && e.Site != site:
		return notAllowed("site", "is not the one of the key")
	case site != "":
		e.Site = site
	case e.Site != "":
		if !c.sites.Has(e.Site) {
			return &sidetrack.FieldError{Field: "site", Problem: "is not known here"}
		}
	default:
		if e.Site = c.sites.ByHost(sites.HostOf(e.Page.URL)); e.Site == "" {
			e.Site = c.sites.ByOrigin(origin)
		}
		if e.Site == "" {
			e.Site = c.sites.ByHost(host)
		}
	}
	return nil
}

func notAllowed(field, problem string) error {
	return &sidetrack.HTTPError{Status: http.StatusForbidden, Err: &sidetrack.FieldError{Field: field, Problem: problem}}
}

// keysOf returns the key that a request to one of the collector's own decoders names the site by: the header
// X-Sidetrack-Key, or the parameter "key" where a header cannot be set, as in sendBeacon.
func keysOf(r *http.Request) []string {
	if k := r.Header[keyHeader]; len(k) > 0 {
		return k[:1]
	}
	if r.URL.RawQuery == "" {
		return nil
	}
	if k := r.URL.Query().Get("key"); k != "" {
		return []string{k}
	}
	return nil
}

const keyHeader = "X-Sidetrack-Key"
