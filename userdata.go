package sidetrack

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// UserData is what a signed-in visitor entrusted to the site, for backends that match it with their
// own accounts ("enhanced conversions"). It holds SHA-256 hashes of the normalized values, in lower-case
// hexadecimal, and nothing that names a person: a hash of an e-mail address is still personal
// data, so sinks send it only where ad_user_data is granted.
//
// Backends normalize differently before they hash, and of a hash of another form nothing can be found. Emails, Phones and
// Addresses are as Google's guide to user-provided data says; Match has what differs for Meta, and for those
// who took over its names and rules. AddEmail, AddPhone and AddAddress fill both, AddMatch the latter.
type UserData struct {
	Emails    []string // hashes
	Phones    []string // hashes of + and the digits
	Addresses []AddressData
	Match     map[string][]string // hashes by Meta's names: em, ph, fn, …; see AddMatch
}

// AddressData is a postal address. The names and the street are hashes, the rest is plain.
type AddressData struct {
	FirstName  string // hash
	LastName   string // hash
	Street     string // hash
	City       string // lower case, letters only
	Region     string
	PostalCode string
	Country    string // ISO 3166-1 alpha-2
}

// PostalAddress is a postal address in plain text: the argument of AddAddress, never part of an event.
type PostalAddress struct {
	FirstName, LastName, Street, City, Region, PostalCode, Country string
}

// MaxUserData is how many e-mail addresses, telephone numbers and addresses each an event may have.
const MaxUserData = 10

// IsZero reports whether there is none.
func (u *UserData) IsZero() bool {
	return u == nil || len(u.Emails) == 0 && len(u.Phones) == 0 && len(u.Addresses) == 0 && len(u.Match) == 0
}

// AddEmail adds the hash of an e-mail address: without surrounding blanks, in lower case, and for
// gmail.com and googlemail.com without dots before the @. The error does not show the address.
func (u *UserData) AddEmail(email string) error {
	email = strings.ToLower(strings.TrimSpace(email))
	local, domain, ok := splitEmail(email)
	if !ok {
		return errors.New("sidetrack: user data: that is no e-mail address")
	}
	if domain == "gmail.com" || domain == "googlemail.com" {
		local = strings.ReplaceAll(local, ".", "")
	}
	u.Emails = append(u.Emails, hashed(local+"@"+domain))
	if local+"@"+domain != email {
		u.addHash("em", hashed(email))
	}
	return nil
}

// splitEmail cuts an address that could be one.
func splitEmail(email string) (local, domain string, ok bool) {
	local, domain, ok = strings.Cut(email, "@")
	ok = ok && local != "" && strings.Contains(domain, ".") && !strings.ContainsAny(email, " \t\r\n") && !strings.Contains(domain, "@")
	return local, domain, ok
}

// addHash adds to Match what another normalization makes, and nothing twice.
func (u *UserData) addHash(key, hash string) {
	if hash == "" || slices.Contains(u.Match[key], hash) {
		return
	}
	if u.Match == nil {
		u.Match = make(map[string][]string)
	}
	u.Match[key] = append(u.Match[key], hash)
}

// AddPhone adds the hash of a telephone number, which must be international: with its country
// code, after + or 00 or nothing. The error does not show the number.
func (u *UserData) AddPhone(number string) error {
	number = strings.TrimSpace(number)
	digits := keep(number, unicode.IsDigit)
	if !strings.HasPrefix(number, "+") {
		digits = strings.TrimPrefix(digits, "00")
	}
	if len(digits) < 7 || len(digits) > 15 || digits[0] == '0' {
		return errors.New("sidetrack: user data: the telephone number must be in international form, such as +43 1 234567")
	}
	u.Phones = append(u.Phones, hashed("+"+digits))
	u.addHash("ph", hashed(digits))
	return nil
}

// AddAddress adds a postal address with its names and street hashed.
func (u *UserData) AddAddress(p PostalAddress) {
	symbols := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsSpace(r) }
	digitsToo := func(r rune) bool { return symbols(r) || unicode.IsDigit(r) }
	normal := func(s string, allowed func(rune) bool) string {
		return strings.ToLower(strings.TrimSpace(keep(s, allowed)))
	}
	for key, name := range map[string]string{"fn": p.FirstName, "ln": p.LastName} {
		if plain := strings.ToLower(strings.TrimSpace(name)); plain != normal(name, symbols) {
			u.addHash(key, hashed(plain))
		}
	}
	u.Addresses = append(u.Addresses, AddressData{
		FirstName:  hashed(normal(p.FirstName, symbols)),
		LastName:   hashed(normal(p.LastName, symbols)),
		Street:     hashed(normal(p.Street, digitsToo)),
		City:       normal(p.City, symbols),
		Region:     strings.TrimSpace(p.Region),
		PostalCode: strings.TrimSpace(p.PostalCode),
		Country:    strings.TrimSpace(p.Country),
	})
}

// keep returns the characters of s that ok allows.
func keep(s string, ok func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if ok(r) {
			return r
		}
		return -1
	}, s)
}

// hashed is empty for nothing.
func hashed(s string) string {
	if s == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func isHash(s string) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

const noHash = "must be a SHA-256 hash in 64 lower-case hexadecimal digits, never plain text"

// validate makes sure that what should be hashes are hashes: plain text is never stored.
func (u *UserData) validate() error {
	if len(u.Emails) > MaxUserData || len(u.Phones) > MaxUserData || len(u.Addresses) > MaxUserData {
		return &FieldError{Problem: fmt.Sprintf("has more than %d entries of a kind", MaxUserData)}
	}
	for _, v := range u.Emails {
		if !isHash(v) {
			return &FieldError{Field: "sha256_email_address", Problem: noHash}
		}
	}
	for _, v := range u.Phones {
		if !isHash(v) {
			return &FieldError{Field: "sha256_phone_number", Problem: noHash}
		}
	}
	for i := range u.Addresses {
		a := &u.Addresses[i]
		for _, f := range [...]struct{ name, v string }{{"sha256_first_name", a.FirstName}, {"sha256_last_name", a.LastName}, {"sha256_street", a.Street}} {
			if f.v != "" && !isHash(f.v) {
				return &FieldError{Field: fmt.Sprintf("address[%d].%s", i, f.name), Problem: noHash}
			}
		}
		for _, f := range [...]struct{ name, v string }{{"city", a.City}, {"region", a.Region}, {"postal_code", a.PostalCode}, {"country", a.Country}} {
			if err := checkText(f.name, f.v); err != nil {
				return inside(err, fmt.Sprintf("address[%d]", i))
			}
		}
	}
	return validateMatch(u.Match)
}

func (u *UserData) clone() *UserData {
	if u == nil {
		return nil
	}
	return &UserData{append([]string(nil), u.Emails...), append([]string(nil), u.Phones...), append([]AddressData(nil), u.Addresses...), cloneLists(u.Match)}
}

func (w *jsonWriter) userData(u *UserData) {
	w.open("user_data")
	w.texts("sha256_email_address", u.Emails)
	w.texts("sha256_phone_number", u.Phones)
	w.lose(u.Addresses != nil && len(u.Addresses) == 0)
	if len(u.Addresses) > 0 {
		w.key("address")
		w.b = append(w.b, '[')
		for i := range u.Addresses {
			a := &u.Addresses[i]
			if i > 0 {
				w.b = append(w.b, ',')
			}
			w.b = append(w.b, '{')
			w.text("sha256_first_name", a.FirstName)
			w.text("sha256_last_name", a.LastName)
			w.text("sha256_street", a.Street)
			w.text("city", a.City)
			w.text("region", a.Region)
			w.text("postal_code", a.PostalCode)
			w.text("country", a.Country)
			w.b = append(w.b, '}')
		}
		w.b = append(w.b, ']')
	}
	w.match(u.Match)
	w.b = append(w.b, '}')
}

func (d *decoder) userData(u *UserData) error {
	return d.object(func(key string) error {
		switch key {
		case "sha256_email_address":
			u.Emails = nil
			return d.array(func(int) error { return d.appendText(&u.Emails) })
		case "sha256_phone_number":
			u.Phones = nil
			return d.array(func(int) error { return d.appendText(&u.Phones) })
		case "address":
			u.Addresses = nil
			return d.array(func(i int) error {
				if i >= MaxUserData {
					return &FieldError{Problem: fmt.Sprintf("has more than %d entries", MaxUserData)}
				}
				u.Addresses = append(u.Addresses, AddressData{})
				return d.address(&u.Addresses[i])
			})
		case "match":
			return d.match(&u.Match)
		}
		return d.skip()
	})
}

func (d *decoder) address(a *AddressData) error {
	return d.object(func(key string) error {
		switch key {
		case "sha256_first_name":
			return d.text(&a.FirstName)
		case "sha256_last_name":
			return d.text(&a.LastName)
		case "sha256_street":
			return d.text(&a.Street)
		case "city":
			return d.text(&a.City)
		case "region":
			return d.text(&a.Region)
		case "postal_code":
			return d.text(&a.PostalCode)
		case "country":
			return d.text(&a.Country)
		}
		return d.skip()
	})
}
