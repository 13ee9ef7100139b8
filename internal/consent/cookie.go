package consent

import (
	"iter"
	"net/url"
	"strconv"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// maxCookie is how long a cookie's value is looked at. Browsers refuse a quarter of it in one cookie.
const maxCookie = 16 << 10

// maxChunks is how many cookies a value may be spread over.
const maxChunks = 16

// values returns the values of the cookies of that name, joined ones where a tool had to split a
// long value: name.0, name.1, … or name_0, name_1, ….
func values(o *sidetrack.Origin, name string) []string {
	v := o.CookieValues(name)
	if len(v) > 0 {
		return v
	}
	for _, sep := range [...]string{".", "_"} {
		var whole strings.Builder
		for i := range maxChunks {
			part := o.Cookie(name + sep + strconv.Itoa(i))
			if part == "" {
				break
			}
			whole.WriteString(part)
		}
		if whole.Len() > 0 {
			return []string{whole.String()}
		}
	}
	return nil
}

// decodings yields s as it is and percent-decoded once and twice, as long as decoding changes it:
// pages encode what browsers forbid, and some encode what is encoded already. Quotes around the value,
// which RFC 6265 allows, are taken off.
//
// A reader takes the first that has its format. It must not decode further then: what
// is encoded inside may be anybody's text, such as the address of the page.
func decodings(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if len(s) > maxCookie {
			return
		}
		for range 3 {
			if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
				s = s[1 : len(s)-1]
			}
			if !yield(strings.TrimSpace(s)) || !strings.Contains(s, "%") {
				return
			}
			decoded, err := url.PathUnescape(s)
			if err != nil {
				return
			}
			s = decoded
		}
	}
}

// eachCookie combines what read makes of every cookie of the given names: the strictest counts. A
// cookie that is empty says nothing; one that cannot be read makes the whole unreadable.
func eachCookie(o *sidetrack.Origin, names []string, read func(raw string) (sidetrack.Consent, bool)) (sidetrack.Consent, error) {
	var c sidetrack.Consent
	good := true
	for _, name := range names {
		for _, v := range values(o, name) {
			if v == "" || v == `""` {
				continue
			}
			stated, ok := read(v)
			good = good && ok
			c = c.Restrict(stated)
		}
	}
	if !good {
		return sidetrack.Consent{}, ErrUnreadable
	}
	return c, nil
}

// decoded reads a raw value with the first decoding that parse can read.
func decoded(parse func(string) (sidetrack.Consent, bool)) func(raw string) (sidetrack.Consent, bool) {
	return func(raw string) (sidetrack.Consent, bool) {
		for s := range decodings(raw) {
			if c, ok := parse(s); ok {
				return c, true
			}
		}
		return sidetrack.Consent{}, false
	}
}

// or returns names, or the default when there are none.
func or(names []string, otherwise ...string) []string {
	if len(names) == 0 {
		return otherwise
	}
	return names
}

func orName(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}
