package sources

import (
	"net/http"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// describeDevice fills what the request's headers say about the visitor's software
// where the event does not say it itself.
func describeDevice(d *sidetrack.Device, h http.Header) {
	if d.UserAgent == "" {
		d.UserAgent = text.Clean(h.Get("User-Agent"), maxUserAgent)
	}
	if d.Language == "" {
		d.Language = firstLanguage(h.Get("Accept-Language"))
	}
	if len(d.Hints) == 0 {
		d.Hints = clientHints(h)
	}
}

// firstLanguage returns the first tag of an Accept-Language header, "" when that is
// no tag.
func firstLanguage(header string) string {
	tag, _, _ := strings.Cut(header, ",")
	tag, _, _ = strings.Cut(tag, ";")
	tag = strings.TrimSpace(tag)
	if tag == "" || len(tag) > 35 { // RFC 5646 advises to allow for 35 characters
		return ""
	}
	for _, c := range []byte(tag) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return ""
		}
	}
	return tag
}

// hintNames are the User-Agent Client Hints that are taken over. Hints about the
// network and the preferences of the visitor are not.
var hintNames = [...]struct{ header, name string }{
	{"Sec-Ch-Ua", "sec-ch-ua"},
	{"Sec-Ch-Ua-Mobile", "sec-ch-ua-mobile"},
	{"Sec-Ch-Ua-Platform", "sec-ch-ua-platform"},
	{"Sec-Ch-Ua-Arch", "sec-ch-ua-arch"},
	{"Sec-Ch-Ua-Bitness", "sec-ch-ua-bitness"},
	{"Sec-Ch-Ua-Full-Version-List", "sec-ch-ua-full-version-list"},
	{"Sec-Ch-Ua-Model", "sec-ch-ua-model"},
	{"Sec-Ch-Ua-Platform-Version", "sec-ch-ua-platform-version"},
}

// clientHints returns the hints of the request, nil when there are none.
func clientHints(h http.Header) map[string]string {
	var hints map[string]string
	for _, n := range hintNames {
		v := h[n.header]
		if len(v) == 0 {
			continue
		}
		if s := text.Clean(v[0], maxHeader); s != "" {
			if hints == nil {
				hints = make(map[string]string, 3)
			}
			hints[n.name] = s
		}
	}
	return hints
}
