package sidetrack

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// MatchKeys returns the keys of UserData.Match.
func MatchKeys() []string { return slices.Clone(matchKeys[:]) }

// matchKeys are Meta's names: developers.facebook.com, Conversions API, "Customer Information Parameters".
var matchKeys = [...]string{"em", "ph", "fn", "ln", "ge", "db", "dobd", "dobm", "doby", "ct", "st", "zp", "country", "external_id", "fbp", "fbc"}

// AddMatch adds the hash of a plain value to Match, normalized as Meta's page on customer information parameters
// says:
//
//   - em: an e-mail address, in lower case; dots stay
//   - ph: a telephone number with its country code, as digits alone, without + or 00
//   - fn, ln: first and last name, in lower case
//   - ge: gender: f, female, m or male
//   - db: the date of birth, year first; or dobd, dobm, doby: its day, month and year
//   - ct, st: city, and state or region, letters alone
//   - zp: postal code, without blanks and dashes; of the United States the first five digits
//   - country: ISO 3166-1 alpha-2
//   - external_id: the site's own id of the visitor, in lower case
//   - fbp, fbc: the content of Meta's cookies _fbp and _fbc, which are no hashes and stay as they are
//
// A value that is a SHA-256 hash already, in 64 hexadecimal digits, is taken as it is. An empty value adds nothing, one that is
// there already nothing more. The error does not show the value.
func (u *UserData) AddMatch(key, value string) error {
	if !slices.Contains(matchKeys[:], key) {
		return fmt.Errorf("sidetrack: user data: no key %q: use one of %s", clip(key), strings.Join(matchKeys[:], ", "))
	}
	v := strings.TrimSpace(value)
	if v == "" {
		return nil
	}
	switch lower := strings.ToLower(v); {
	case key == "fbp" || key == "fbc":
		if !isMetaCookie(v) {
			return fmt.Errorf("sidetrack: user data: %s must have the form fb.1.<milliseconds>.<value>", key)
		}
	case isHash(lower):
		v = lower
	case key != "external_id" && len(lower) == 32 && isHex(lower):
		return fmt.Errorf("sidetrack: user data: %s is a hash of another kind: SHA-256 is wanted", key)
	default:
		var err error
		if v, err = normalMatch(key, lower); err != nil {
			return err
		}
		v = hashed(v)
	}
	if slices.Contains(u.Match[key], v) {
		return nil
	}
	if len(u.Match[key]) >= MaxUserData {
		return fmt.Errorf("sidetrack: user data: more than %d entries of %s", MaxUserData, key)
	}
	if u.Match == nil {
		u.Match = make(map[string][]string)
	}
	u.Match[key] = append(u.Match[key], v)
	return nil
}

// normalMatch is what is hashed of v, which is in lower case and trimmed.
func normalMatch(key, v string) (string, error) {
	ok := true
	switch key {
	case "em":
		_, _, ok = splitEmail(v)
	case "ph":
		v = strings.TrimPrefix(keep(v, isDigit), "00")
		ok = len(v) >= 7 && len(v) <= 16 && v[0] != '0'
	case "ge":
		v, ok = gender(v)
	case "db":
		v = keep(v, isDigit)
		born, err := time.Parse("20060102", v)
		ok = err == nil && born.Year() >= minBirth && born.Year() <= maxBirth
	case "dobd":
		v, ok = twoDigits(v, 31)
	case "dobm":
		v, ok = twoDigits(v, 12)
	case "doby":
		year, err := strconv.Atoi(v)
		ok = err == nil && len(v) == 4 && year >= minBirth && year <= maxBirth
	case "ct":
		v = keep(v, isLetter)
		ok = v != ""
	case "st":
		if country, state, iso := strings.Cut(v, "-"); iso && len(country) == 2 && len(state) <= 3 {
			v = state // ISO 3166-2: us-ca
		}
		v = keep(v, isLetter)
		ok = v != ""
	case "zp":
		if five, four, dash := strings.Cut(v, "-"); dash && len(five) == 5 && len(four) == 4 && keep(five+four, isDigit) == five+four {
			v = five
		}
		v = keep(v, func(r rune) bool { return isLetter(r) || unicode.IsDigit(r) })
		ok = v != ""
	case "country":
		ok = len(v) == 2 && v[0] >= 'a' && v[0] <= 'z' && v[1] >= 'a' && v[1] <= 'z'
	}
	if !ok {
		return "", errors.New("sidetrack: user data: " + wantedMatch(key))
	}
	return v, nil
}

// Years of birth that are no mistake for something else; generous, as there is no clock here.
const (
	minBirth = 1900
	maxBirth = 2099
)

func wantedMatch(key string) string {
	switch key {
	case "em":
		return "em is no e-mail address"
	case "ph":
		return "ph must be a telephone number in international form, such as +43 1 234567"
	case "ge":
		return "ge must be f, female, m or male"
	case "db":
		return "db must be a date, year first, such as 1990-12-31"
	case "country":
		return "country must be two letters (ISO 3166-1 alpha-2)"
	}
	return key + " has no value of its kind"
}

func gender(v string) (string, bool) {
	switch v {
	case "f", "female", "woman", "girl":
		return "f", true
	case "m", "male", "man", "boy":
		return "m", true
	}
	return "", false
}

func twoDigits(v string, limit int) (string, bool) {
	n, err := strconv.Atoi(v)
	return fmt.Sprintf("%02d", n), err == nil && n >= 1 && n <= limit && keep(v, isDigit) == v
}

func isDigit(r rune) bool  { return r >= '0' && r <= '9' }
func isLetter(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) }

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// isMetaCookie reports whether s has the form that Meta's page on fbp and fbc describes: fb, the level of the domain, milliseconds since
// 1970, and a value.
func isMetaCookie(s string) bool {
	part := strings.SplitN(s, ".", 4)
	if len(s) > maxMetaCookie || len(part) != 4 || part[0] != "fb" || len(part[1]) != 1 || len(part[2]) < 12 || len(part[2]) > 14 || part[3] == "" {
		return false
	}
	return keep(part[1]+part[2], isDigit) == part[1]+part[2] && strings.Trim(part[3], metaCookieValue) == ""
}

const (
	maxMetaCookie   = 1000 // click ids have a few hundred characters
	metaCookieValue = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
)

// validateMatch makes sure that what should be hashes are hashes.
func validateMatch(m map[string][]string) error {
	if len(m) > len(matchKeys) {
		return &FieldError{Field: "match", Problem: "has keys that do not exist"}
	}
	for key, values := range m {
		field := "match." + clip(key)
		switch {
		case !slices.Contains(matchKeys[:], key):
			return &FieldError{Field: field, Problem: "does not exist: use one of " + strings.Join(matchKeys[:], ", ")}
		case len(values) > MaxUserData:
			return &FieldError{Field: field, Problem: fmt.Sprintf("has more than %d entries", MaxUserData)}
		}
		for _, v := range values {
			switch {
			case key == "fbp" || key == "fbc":
				if !isMetaCookie(v) {
					return &FieldError{Field: field, Problem: "must have the form fb.1.<milliseconds>.<value>"}
				}
			case !isHash(v):
				return &FieldError{Field: field, Problem: noHash}
			}
		}
	}
	return nil
}

func cloneLists(m map[string][]string) map[string][]string {
	if m == nil {
		return nil
	}
	c := make(map[string][]string, len(m))
	for k, v := range m {
		c[k] = slices.Clone(v)
	}
	return c
}

func (w *jsonWriter) match(m map[string][]string) {
	if len(m) == 0 {
		w.lose(m != nil)
		return
	}
	w.open("match")
	var space [16]string
	for _, k := range sortedKeys(m, space[:0]) {
		w.lose(m[k] == nil)
		w.mapKey(k)
		w.b = append(w.b, '[')
		for i, v := range m[k] {
			if i > 0 {
				w.b = append(w.b, ',')
			}
			w.quote(v)
		}
		w.b = append(w.b, ']')
	}
	w.b = append(w.b, '}')
}

func (d *decoder) match(p *map[string][]string) error {
	m := map[string][]string{}
	err := d.object(func(key string) error {
		if !slices.Contains(matchKeys[:], key) {
			return d.skip()
		}
		list := []string{}
		err := d.array(func(int) error { return d.appendText(&list) })
		if err == nil {
			m[key] = list
		}
		return err
	})
	if err == nil && len(m) > 0 {
		*p = m
	}
	return err
}
