package sources

import (
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// describe fills what the request's headers say about the visitor's software
// where the event does not say it itself.
func (s *signals) describe(d *sidetrack.Device) {
	if d.UserAgent == "" {
		d.UserAgent = text.Clean(s.agent, maxUserAgent)
	}
	if d.Language == "" {
		d.Language = firstLanguage(s.language)
	}
	if len(d.Hints) > 0 {
		return
	}
	for i, v := range s.hints {
		if v = text.Clean(v, maxHeader); v != "" {
			if d.Hints == nil {
				d.Hints = make(map[string]string, 3)
			}
			d.Hints[hintNames[i].name] = v
		}
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
