package gtag

import (
	"strings"

	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// hint keeps one client hint under the name and in the form of its request header, as RFC 8941
// writes it, so that it reads like the hints of any other source.
func (h *hit) hint(key, value string) {
	var header, v string
	switch key {
	case "uaa":
		header, v = "sec-ch-ua-arch", quoted(value)
	case "uab":
		header, v = "sec-ch-ua-bitness", quoted(value)
	case "uam":
		header, v = "sec-ch-ua-model", quoted(value)
	case "uap":
		header, v = "sec-ch-ua-platform", quoted(value)
	case "uapv":
		header, v = "sec-ch-ua-platform-version", quoted(value)
	case "uamb":
		header, v = "sec-ch-ua-mobile", boolean(value)
	case "uaw":
		header, v = "sec-ch-ua-wow64", boolean(value)
	case "uafvl":
		header, v = "sec-ch-ua-full-version-list", versions(value)
	}
	if v == "" {
		delete(h.e.Device.Hints, header)
		return
	}
	if h.e.Device.Hints == nil {
		h.e.Device.Hints = make(map[string]string, 8)
	}
	h.e.Device.Hints[header] = v
}

// maxHint bounds one part of a hint, in bytes.
const maxHint = 128

// quoted writes a string of a structured header; "" stays one, which is what a browser sends for
// a model it does not know.
func quoted(s string) string {
	if len(s) > maxHint {
		return ""
	}
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c >= 0x20 && c < 0x7f:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func boolean(s string) string {
	switch s {
	case "0":
		return "?0"
	case "1":
		return "?1"
	}
	return ""
}

// maxBrands bounds a list of versions: browsers send three or four.
const maxBrands = 16

// versions turns brand;version|brand;version into a list of the header. Each part was
// escaped once more before the query was.
func versions(s string) string {
	var b strings.Builder
	n := 0
	for entry := range strings.SplitSeq(s, "|") {
		brand, version, ok := strings.Cut(entry, ";")
		if !ok || n == maxBrands {
			continue
		}
		brand, version = quoted(gawire.Unescape(brand)), quoted(gawire.Unescape(version))
		if len(brand) <= 2 || version == "" {
			continue
		}
		if n > 0 {
			b.WriteString(", ")
		}
		b.WriteString(brand)
		b.WriteString(";v=")
		b.WriteString(version)
		n++
	}
	return b.String()
}
