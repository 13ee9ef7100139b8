package processors

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// MarkUserData is the mark of an event with a value that is not of the kind that user_data was told it is. The value is gone.
const MarkUserData = "user_data:unusable"

// UserDataConfig is the configuration of the user_data processor: where in an event which plain value is. A path is params.<key> or
// user_properties.<key>, where dots lead into nested values, or page.url.<key> or page.referrer.<key> for a parameter of an address.
type UserDataConfig struct {
	// Email is where e-mail addresses are: any of params.<key>, user_properties.<key>, page.url.<key> and page.referrer.<key>, as in the
	// keys below.
	Email []string `yaml:"email"`
	// Phone is where telephone numbers are, with their country code.
	Phone []string `yaml:"phone"`
	// FirstName is where first names are.
	FirstName []string `yaml:"first_name"`
	// LastName is where last names are.
	LastName []string `yaml:"last_name"`
	// Street is where streets with house numbers are.
	Street []string `yaml:"street"`
	// City is where cities are.
	City []string `yaml:"city"`
	// Region is where states or regions are; of the United States their two letters.
	Region []string `yaml:"region"`
	// PostalCode is where postal codes are.
	PostalCode []string `yaml:"postal_code"`
	// Country is where countries are, as two letters.
	Country []string `yaml:"country"`
	// Gender is where f, female, m or male are.
	Gender []string `yaml:"gender"`
	// Birthday is where dates of birth are, year first.
	Birthday []string `yaml:"birthday"`
	// ExternalID is where ids of the visitor are, beside the user id.
	ExternalID []string `yaml:"external_id"`
	// MetaCookies keeps the contents of Meta's cookies _fbp and _fbc, where ad_storage is granted too.
	MetaCookies bool `yaml:"meta_cookies"`
}

// NewUserData makes the processor that takes plain personal data out of an event before anything is stored and keeps hashes of it as the event's
// user data, where ad_user_data is granted. Where it is not, they are taken out all the same and nothing is kept. Intake only, after consent.
func NewUserData(cfg UserDataConfig) (sidetrack.Processor, error) {
	n := 0
	for _, f := range cfg.fields() {
		for _, path := range f.paths {
			if group, _ := cutPath(path); group == "" {
				return nil, &sidetrack.FieldError{Field: f.name, Problem: "must name params.<key>, user_properties.<key>, page.url.<key> or page.referrer.<key>, not " + strconv.Quote(path)}
			}
			n++
		}
	}
	if n == 0 && !cfg.MetaCookies {
		return nil, &sidetrack.FieldError{Problem: "says nothing: name at least one path, or meta_cookies"}
	}
	return &userData{cfg}, nil
}

type userDataField struct {
	name  string
	paths []string
}

func (cfg *UserDataConfig) fields() []userDataField {
	return []userDataField{
		{"email", cfg.Email},
		{"phone", cfg.Phone},
		{"first_name", cfg.FirstName},
		{"last_name", cfg.LastName},
		{"street", cfg.Street},
		{"city", cfg.City},
		{"region", cfg.Region},
		{"postal_code", cfg.PostalCode},
		{"country", cfg.Country},
		{"gender", cfg.Gender},
		{"birthday", cfg.Birthday},
		{"external_id", cfg.ExternalID},
	}
}

type userData struct{ cfg UserDataConfig }

func (p *userData) Process(_ context.Context, e *sidetrack.Event) error {
	granted := e.Consent.Get(sidetrack.AdUserData) == sidetrack.Granted
	u := e.UserData
	if u == nil || !granted {
		u = new(sidetrack.UserData)
	}
	var address sidetrack.PostalAddress
	usable := true
	for _, f := range p.cfg.fields() {
		for _, path := range f.paths {
			values, ok := take(e, path)
			for _, v := range values {
				if v = strings.TrimSpace(v); v != "" {
					ok = p.add(u, &address, f.name, v) && ok
				}
			}
			usable = usable && ok
		}
	}
	if !granted {
		return nil // what was made of it goes
	}
	if address.FirstName+address.LastName+address.Street != "" && len(u.Addresses) < sidetrack.MaxUserData {
		u.AddAddress(address) // without names nobody is found by it: Match has the rest
	}
	if p.cfg.MetaCookies && e.Consent.Get(sidetrack.AdStorage) == sidetrack.Granted {
		for key, cookie := range map[string]string{"fbp": "_fbp", "fbc": "_fbc"} {
			if len(u.Match[key]) == 0 {
				_ = u.AddMatch(key, e.Origin().Cookie(cookie)) // somebody else's cookie by that name is none
			}
		}
	}
	if !usable {
		e.Mark(MarkUserData)
	}
	if !u.IsZero() {
		e.UserData = u
	}
	return nil
}

// add reports whether v was a value of its kind.
func (p *userData) add(u *sidetrack.UserData, address *sidetrack.PostalAddress, field, v string) bool {
	switch field {
	case "email":
		return once(&u.Emails, u.AddEmail, v) || u.AddMatch("em", v) == nil // which takes hashes
	case "phone":
		return once(&u.Phones, u.AddPhone, v) || u.AddMatch("ph", v) == nil
	case "gender":
		return u.AddMatch("ge", v) == nil
	case "birthday":
		return u.AddMatch("db", v) == nil
	case "external_id":
		return u.AddMatch("external_id", v) == nil
	}
	key, part := "", (*string)(nil)
	switch field {
	case "first_name":
		key, part = "fn", &address.FirstName
	case "last_name":
		key, part = "ln", &address.LastName
	case "street":
		part = &address.Street
	case "city":
		key, part = "ct", &address.City
	case "region":
		key, part = "st", &address.Region
	case "postal_code":
		key, part = "zp", &address.PostalCode
	case "country":
		key, part = "country", &address.Country
	}
	if *part == "" && !isHash(v) {
		*part = v
	}
	return key == "" || u.AddMatch(key, v) == nil
}

// once lets add append to list, and takes back what is one too many or there already.
func once(list *[]string, add func(string) error, v string) bool {
	n := len(*list)
	if add(v) != nil {
		return false
	}
	if l := *list; slices.Contains(l[:n], l[n]) {
		*list = l[:n]
	} else if n >= sidetrack.MaxUserData {
		*list = l[:n]
		return false
	}
	return true
}

// isHash reports whether v looks like a SHA-256 hash, of which no other form can be made.
func isHash(v string) bool {
	return len(v) == 64 && strings.Trim(v, "0123456789abcdefABCDEF") == ""
}

// pathGroups are what a path can lead into.
var pathGroups = []string{"params", "user_properties", "page.url", "page.referrer"}

// cutPath returns an empty group for a path that leads nowhere.
func cutPath(path string) (group, key string) {
	for _, group := range pathGroups {
		if key, ok := strings.CutPrefix(path, group+"."); ok && key != "" {
			return group, key
		}
	}
	return "", ""
}

// take takes the texts at a path out of e. ok is false when something else was there.
func take(e *sidetrack.Event, path string) (values []string, ok bool) {
	group, key := cutPath(path)
	var m map[string]any
	switch group {
	case "page.url":
		return takeParameter(&e.Page.URL, key), true
	case "page.referrer":
		return takeParameter(&e.Page.Referrer, key), true
	case "params":
		m = e.Params
	case "user_properties":
		m = e.UserProperties
	}
	for {
		if v, there := m[key]; there {
			delete(m, key)
			return texts(v)
		}
		outer, inner, nested := strings.Cut(key, ".")
		m, _ = m[outer].(map[string]any)
		if key = inner; !nested || m == nil {
			return nil, true
		}
	}
}

// takeParameter takes a parameter out of the query of an address and leaves the rest as it is.
func takeParameter(address *string, key string) (values []string) {
	before, query, ok := strings.Cut(*address, "?")
	if !ok {
		return nil
	}
	query, fragment, _ := strings.Cut(query, "#")
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		k, v, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(k); err != nil || name != key {
			return false
		}
		if plain, err := url.QueryUnescape(v); err == nil {
			values = append(values, plain)
		}
		return true
	})
	if *address = before; len(kept) > 0 {
		*address += "?" + strings.Join(kept, "&")
	}
	if fragment != "" {
		*address += "#" + fragment
	}
	return values
}

func texts(v any) (values []string, ok bool) {
	switch v := v.(type) {
	case nil:
		return nil, true
	case string:
		return []string{v}, true
	case int64:
		return []string{strconv.FormatInt(v, 10)}, true
	case []any:
		ok = true
		for _, e := range v {
			more, good := texts(e)
			values, ok = append(values, more...), ok && good
		}
		return values, ok
	}
	return nil, false
}
