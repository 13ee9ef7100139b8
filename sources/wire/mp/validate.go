package mp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// Codes of Google's validation server.
const (
	valueInvalid  = "VALUE_INVALID"
	valueRequired = "VALUE_REQUIRED"
	nameInvalid   = "NAME_INVALID"
	nameReserved  = "NAME_RESERVED"
	outOfBounds   = "VALUE_OUT_OF_BOUNDS"
	tooMany       = "EXCEEDED_MAX_ENTITIES"
)

// finding is one message of the validation server. The path is exact here, where Google's is
// often only "events".
type finding struct {
	Path        string `json:"fieldPath"`
	Description string `json:"description"`
	Code        string `json:"validationCode"`
}

// validate answers a request to the validation server. Nothing of it is stored.
func validate(body string, s stream, now time.Time) (sidetrack.Decoded, error) {
	c := checker{now: now, app: s.firebaseAppID != "", found: []finding{}}
	if root, err := object(body); err != nil {
		c.add("", valueInvalid, "the body "+problemOf(err))
	} else {
		c.request(root)
	}
	text, err := json.Marshal(struct {
		Messages []finding `json:"validationMessages"`
	}{c.found})
	if err != nil {
		return sidetrack.Decoded{}, fmt.Errorf("mp: encode findings: %w", err)
	}
	return sidetrack.Decoded{Reply: sidetrack.Reply{Status: http.StatusOK, ContentType: "application/json", Body: text}}, nil
}

func problemOf(err error) string {
	if f, ok := err.(*sidetrack.FieldError); ok {
		return f.Problem
	}
	return "cannot be read"
}

// checker holds a request against the documented rules. Limits that Google only enforces when asked
// to are checked only then.
type checker struct {
	now    time.Time
	app    bool
	strict bool
	found  []finding
}

// maxFindings bounds an answer.
const maxFindings = 100

func (c *checker) add(path, code, description string) {
	if len(c.found) < maxFindings {
		c.found = append(c.found, finding{path, description, code})
	}
}

// known are the members of the body.
var known = []string{
	"client_id", "app_instance_id", "user_id", "timestamp_micros", "user_properties", "user_data", "consent", "non_personalized_ads", "user_location",
	"ip_override", "device", "user_agent", "validation_behavior", "validationBehavior", "events",
}

func (c *checker) request(root map[string]any) {
	c.strict = root["validation_behavior"] == "ENFORCE_RECOMMENDATIONS" || root["validationBehavior"] == "ENFORCE_RECOMMENDATIONS"
	for _, key := range sorted(root) {
		if !slices.Contains(known, key) {
			c.add(key, nameInvalid, "there is no such field")
		}
	}
	id := "client_id"
	if c.app {
		id = "app_instance_id"
	}
	if word(root[id]) == "" {
		c.add(id, valueRequired, id+" is required")
	} else if c.app && (len(word(root[id])) != 32 || !isHex(word(root[id]))) {
		c.add(id, valueInvalid, "app_instance_id must be 32 hexadecimal digits")
	}
	if utf8.RuneCountInString(word(root["user_id"])) > gawire.MaxUserID {
		c.add("user_id", outOfBounds, fmt.Sprintf("user_id is longer than %d characters", gawire.MaxUserID))
	}
	c.timestamp("timestamp_micros", root["timestamp_micros"])
	c.consent(root["consent"])
	c.properties(root["user_properties"])
	events, ok := root["events"].([]any)
	switch {
	case !ok || len(events) == 0:
		c.add("events", valueRequired, "events must be a list with at least one event")
	case len(events) > 25:
		c.add("events", tooMany, "a request may have 25 events")
	}
	for i, v := range events {
		c.event(fmt.Sprintf("events[%d]", i), v)
	}
}

func (c *checker) consent(v any) {
	stated, ok := v.(map[string]any)
	if !ok && v != nil {
		c.add("consent", valueInvalid, "consent must be an object")
	}
	for _, key := range sorted(stated) {
		switch s := stated[key]; {
		case key != "ad_user_data" && key != "ad_personalization":
			c.add("consent."+key, nameInvalid, "there is no such field")
		case s != "GRANTED" && s != "DENIED":
			c.add("consent."+key, valueInvalid, "must be GRANTED or DENIED")
		}
	}
}

func (c *checker) properties(v any) {
	all, ok := v.(map[string]any)
	switch {
	case !ok && v != nil:
		c.add("user_properties", valueInvalid, "user_properties must be an object")
	case len(all) > gawire.MaxUserProperties:
		c.add("user_properties", tooMany, fmt.Sprintf("a request may have %d user properties", gawire.MaxUserProperties))
	}
	for _, name := range sorted(all) {
		path := "user_properties." + name
		c.name(path, name, gawire.MaxUserPropertyName, gawire.ReservedUserProperty(name))
		p, ok := all[name].(map[string]any)
		if !ok {
			c.add(path, valueInvalid, "must be an object with a value")
			continue
		}
		c.length(path+".value", p["value"], gawire.MaxUserPropertyValue)
		c.timestamp(path+".timestamp_micros", p["timestamp_micros"])
	}
}

func (c *checker) event(path string, v any) {
	e, ok := v.(map[string]any)
	if !ok {
		c.add(path, valueInvalid, "an event must be an object")
		return
	}
	name, _ := e["name"].(string)
	if name == "" {
		c.add(path+".name", valueRequired, "an event needs a name")
	} else {
		c.name(path+".name", name, gawire.MaxName, gawire.ReservedEvent(name, c.app))
	}
	c.timestamp(path+".timestamp_micros", e["timestamp_micros"])
	params, ok := e["params"].(map[string]any)
	if !ok && e["params"] != nil {
		c.add(path+".params", valueInvalid, "params must be an object")
	}
	path += ".params"
	if c.strict && len(params) > gawire.MaxParams {
		c.add(path, tooMany, fmt.Sprintf("an event may have %d parameters", gawire.MaxParams))
	}
	for _, key := range sorted(params) {
		v := params[key]
		if key == "items" {
			c.items(path+".items", v)
			continue
		}
		c.name(path+"."+key, key, gawire.MaxName, gawire.ReservedParam(key))
		switch v.(type) {
		case map[string]any, []any:
			c.add(path+"."+key, valueInvalid, "must be text, a number or true or false")
		}
		c.length(path+"."+key, v, limitOf(key))
	}
	c.shop(path, name, params)
}

// limitOf returns how long the text of a parameter may be.
func limitOf(param string) int {
	switch param {
	case "page_location":
		return gawire.MaxPageLocation
	case "page_referrer":
		return gawire.MaxPageReferrer
	case "page_title":
		return gawire.MaxPageTitle
	}
	return gawire.MaxValue
}

// shop checks what recommended events of a shop require.
func (c *checker) shop(path, name string, params map[string]any) {
	currency, has := params["currency"]
	if has {
		if code, ok := currency.(string); !ok || len(code) != 3 || gawire.Name(code, 3) != code {
			c.add(path+".currency", valueInvalid, "must be a code of three letters, ISO 4217")
		}
	}
	if !gawire.ShopEvent(name) {
		return
	}
	if _, value := params["value"]; value && !has {
		c.add(path+".currency", valueRequired, "is required once there is a value")
	}
	if id, there := params["transaction_id"]; (name == sidetrack.Purchase || name == sidetrack.Refund) && (!there || id == "") {
		c.add(path+".transaction_id", valueRequired, "is required")
	}
}

func (c *checker) items(path string, v any) {
	list, ok := v.([]any)
	if !ok {
		c.add(path, valueInvalid, "items must be a list")
		return
	}
	if len(list) > gawire.MaxItems {
		c.add(path, tooMany, fmt.Sprintf("an event may have %d items", gawire.MaxItems))
	}
	for i, v := range list {
		own := fmt.Sprintf("%s[%d]", path, i)
		item, ok := v.(map[string]any)
		switch {
		case !ok:
			c.add(own, valueInvalid, "an item must be an object")
		case word(item["item_id"]) == "" && word(item["item_name"]) == "":
			c.add(own, valueRequired, "an item needs item_id or item_name")
		}
		for _, key := range sorted(item) {
			c.name(own+"."+key, key, gawire.MaxName, false) // reserved prefixes are not for items
			c.length(own+"."+key, item[key], gawire.MaxValue)
		}
	}
}

// name checks the form of a name and that it is not Google's own.
func (c *checker) name(path, name string, limit int, reserved bool) {
	switch {
	case reserved:
		c.add(path, nameReserved, fmt.Sprintf("the name %.60q is reserved", name))
	case gawire.Name(name, max(limit, len(name))) != name || name == "":
		c.add(path, nameInvalid, fmt.Sprintf("the name %.60q must begin with a letter and consist of letters, digits and underscores", name))
	case len(name) > limit:
		c.add(path, nameInvalid, fmt.Sprintf("the name %.60q is longer than %d characters", name, limit))
	}
}

func (c *checker) length(path string, v any, limit int) {
	if s, ok := v.(string); ok && c.strict && utf8.RuneCountInString(s) > limit {
		c.add(path, outOfBounds, fmt.Sprintf("is longer than %d characters", limit))
	}
}

func (c *checker) timestamp(path string, v any) {
	if v == nil {
		return
	}
	t, err := moment(v)
	switch {
	case err != nil:
		c.add(path, valueInvalid, problemOf(err))
	case t.After(c.now.Add(time.Minute)):
		c.add(path, outOfBounds, "lies in the future")
	case c.strict && c.now.Sub(t) > 72*time.Hour:
		c.add(path, outOfBounds, "is more than 72 hours old")
	}
}

func isHex(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i] | 0x20; !(s[i] >= '0' && s[i] <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

// sorted returns the names in order, so that the same body gets the same answer.
func sorted(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
