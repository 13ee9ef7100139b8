package meta

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack/internal/flat"
)

// Meta must not get personal data other than as the hashes of user_data (Business Tools Terms), and a request with some in plain counts as a
// violation. What can be recognized is taken out of everything else: e-mail addresses, telephone numbers with + and the
// country code, and whatever is named like personal data.

var (
	email = regexp.MustCompile(`[\p{L}\p{N}._%+'!$*^{|}~-]{1,64}(?:@|%40|%2540)[\p{L}\p{N}%-]{1,63}(?:\.[\p{L}\p{N}%-]{1,63}){1,5}`)
	phone = regexp.MustCompile(`(?:\+|%2[Bb])[ (]{0,2}[1-9](?:[ ().\-/]{0,3}[0-9]){6,15}`)
)

const (
	emailMark = "[email]"
	phoneMark = "[phone]"
)

// redact replaces e-mail addresses and telephone numbers.
func redact(s string) string {
	if strings.ContainsRune(s, '@') || strings.Contains(s, "%40") || strings.Contains(s, "%2540") {
		s = email.ReplaceAllLiteralString(s, emailMark)
	}
	if strings.ContainsRune(s, '+') || strings.Contains(s, "%2B") || strings.Contains(s, "%2b") {
		s = phone.ReplaceAllLiteralString(s, phoneMark)
	}
	return s
}

func holdsPersonalData(s string) bool { return redact(s) != s }

// clean is redact with a note.
func (w *writer) clean(field, s string) string {
	out := redact(s)
	if out != s {
		w.note(RulePersonalData, field, "has personal data: taken out")
	}
	return out
}

// personalKeys are names of params and parameters of addresses whose values are personal data, without signs between the words.
var personalKeys = []string{
	"em", "mail", "ph", "tel", "telephone", "mobile", "cell", "fn", "ln", "fname", "lname", "givenname", "familyname", "username", "dob", "dateofbirth",
	"address", "address1", "address2", "street", "streetaddress", "zip", "zipcode", "postcode", "postalcode", "password", "ssn", "iban", "cardnumber", "creditcard",
}

// personalEnds are how such names end, whatever they begin with: billing_first_name.
var personalEnds = []string{"email", "emailaddress", "phone", "phonenumber", "firstname", "lastname", "surname", "fullname", "customername", "birthday", "birthdate"}

func isPersonalKey(k string) bool {
	k = strings.Map(func(r rune) rune {
		switch r {
		case '_', '-', '.', ' ', '[', ']':
			return -1
		}
		return r
	}, strings.ToLower(k))
	return slices.Contains(personalKeys, k) || slices.ContainsFunc(personalEnds, func(end string) bool { return strings.HasSuffix(k, end) })
}

// scrub takes personal data out of what flat made of a value.
func scrub(v any) (out any, changed bool) {
	switch v := v.(type) {
	case string:
		s := redact(v)
		return s, s != v
	case []any:
		for i, e := range v {
			if e, c := scrub(e); c {
				if !changed {
					v, changed = slices.Clone(v), true
				}
				v[i] = e
			}
		}
		return v, changed
	case flat.Properties:
		m, c := scrubMap(v)
		return flat.Properties(m), c
	case map[string]any:
		return scrubMap(v)
	}
	return v, false
}

func scrubMap(m map[string]any) (out map[string]any, changed bool) {
	out = make(map[string]any, len(m))
	for k, v := range m {
		if isPersonalKey(k) || holdsPersonalData(k) {
			changed = true
			continue
		}
		e, c := scrub(v)
		out[k], changed = e, changed || c
	}
	return out, changed
}

// withoutPersonalData is the address without the parameters that are personal data, and without a fragment.
func withoutPersonalData(u *url.URL) (s string, changed bool) {
	c := *u
	c.User, c.Fragment, c.RawFragment = nil, "", ""
	if path := redact(c.Path); path != c.Path {
		c.Path, c.RawPath, changed = path, "", true
	}
	if c.RawQuery != "" {
		kept := slices.DeleteFunc(strings.Split(c.RawQuery, "&"), isPersonalPair)
		query := strings.Join(kept, "&")
		changed, c.RawQuery = changed || query != c.RawQuery, query
	}
	return c.String(), changed || u.User != nil
}

// isPersonalPair reports whether key=value of a query is personal data, encoded once or twice, or has some in an address of its own.
func isPersonalPair(pair string) bool {
	for range 3 {
		for part := range strings.FieldsFuncSeq(pair, func(r rune) bool { return r == '?' || r == '&' || r == ';' || r == '#' }) {
			key, _, _ := strings.Cut(part, "=")
			if isPersonalKey(key) {
				return true
			}
		}
		if holdsPersonalData(pair) {
			return true
		}
		decoded, err := url.PathUnescape(pair)
		if err != nil || decoded == pair {
			return false
		}
		pair = decoded
	}
	return false
}

// sorted makes the order of notes the same for the same event.
func sorted(p flat.Properties) []string { return slices.Sorted(maps.Keys(p)) }
