package sources

import (
	"net/url"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// Bounds of what is taken over from headers and URLs, in bytes. Longer values are
// cut: a visitor's odd browser must not cost the event.
const (
	maxURL       = 2048
	maxUserAgent = 1024
	maxHeader    = 256
	maxCampaign  = 256
	maxTitle     = 1024
)

// cleanURL returns s without user info and fragment, bounded and free of control
// characters: for what comes from headers.
func cleanURL(s string) string { return stripURL(text.Clean(s, maxURL)) }

// stripURL returns s without user info and fragment. What does not parse as a URL is
// cut at its fragment at least.
func stripURL(s string) string {
	s, _, _ = strings.Cut(s, "#")
	s = strings.TrimSpace(s)
	if !strings.Contains(s, "@") {
		return s
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	end := len(rest)
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		end = i
	}
	if i := strings.LastIndexByte(rest[:end], '@'); i >= 0 {
		return scheme + "://" + rest[i+1:]
	}
	return s
}

// isWebURL reports whether s is an absolute http or https URL with a host.
func isWebURL(s string) bool {
	for _, scheme := range [...]string{"https://", "http://"} {
		if len(s) > len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
			return s[len(scheme)] != '/' && s[len(scheme)] != '?'
		}
	}
	return false
}

// setPage sets the page's URL and what follows from it where it is still empty:
// the path and the campaign.
func setPage(e *sidetrack.Event, address string) {
	e.Page.URL = cleanURL(address)
	derivePage(e)
}

// derivePage fills the path and the campaign from the page's URL where they are empty.
func derivePage(e *sidetrack.Event) {
	if e.Page.URL == "" {
		return
	}
	rest, query, _ := strings.Cut(e.Page.URL, "?")
	if e.Page.Path == "" && isWebURL(rest) {
		rest = rest[strings.Index(rest, "://")+3:]
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			e.Page.Path = rest[i:]
		} else {
			e.Page.Path = "/"
		}
	}
	if query != "" && emptyCampaign(&e.Campaign) {
		readCampaign(&e.Campaign, query)
	}
}

func emptyCampaign(c *sidetrack.Campaign) bool {
	return c.ID == "" && c.Source == "" && c.Medium == "" && c.Name == "" && c.Term == "" && c.Content == "" &&
		c.Platform == "" && c.Format == "" && c.Tactic == "" && len(c.ClickIDs) == 0
}

// readCampaign takes utm_* parameters and click ids from a raw query. It splits at
// ampersands only: url.ParseQuery gives up on pairs with a semicolon.
func readCampaign(c *sidetrack.Campaign, query string) {
	for pair := range strings.SplitSeq(query, "&") {
		k, v, _ := strings.Cut(pair, "=")
		if v == "" {
			continue
		}
		var field *string
		switch k {
		case "utm_id":
			field = &c.ID
		case "utm_source":
			field = &c.Source
		case "utm_medium":
			field = &c.Medium
		case "utm_campaign":
			field = &c.Name
		case "utm_term":
			field = &c.Term
		case "utm_content":
			field = &c.Content
		case "utm_source_platform":
			field = &c.Platform
		case "utm_creative_format":
			field = &c.Format
		case "utm_marketing_tactic":
			field = &c.Tactic
		case "gclid", "dclid", "gbraid", "wbraid", "fbclid", "msclkid", "ttclid", "twclid", "li_fat_id", "yclid", "epik", "ScCid", "rdt_cid":
			if v = unescape(v); v != "" && c.ClickIDs[k] == "" {
				if c.ClickIDs == nil {
					c.ClickIDs = make(map[string]string, 1)
				}
				c.ClickIDs[k] = v
			}
			continue
		default:
			continue
		}
		if *field == "" {
			*field = unescape(v)
		}
	}
}

// unescape decodes a query value; one that is not properly escaped stays as it is.
func unescape(v string) string {
	if u, err := url.QueryUnescape(v); err == nil {
		v = u
	}
	return text.Clean(v, maxCampaign)
}
