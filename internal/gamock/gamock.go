// Package gamock is a stand-in for Google's Measurement Protocol endpoints that enforces the documented
// rules strictly, for tests. It shares no code with the senders: the rules are written down a second time, on
// the parsed request, so that a mistake in one of the two shows.
//
// Source: the Measurement Protocol reference, its pages on limitations and validation, and the JSON schema
// of Google's event builder, which refuses keys it does not know.
package gamock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Message is one finding, in the form of the validation server.
type Message struct {
	FieldPath      string `json:"fieldPath"`
	Description    string `json:"description"`
	ValidationCode string `json:"validationCode"`
}

// Server answers /mp/collect with 204 whatever comes, as Google does, and /debug/mp/collect with its findings. The
// zero value is ready.
type Server struct {
	Now func() time.Time // time.Now when nil

	mu       sync.Mutex
	bodies   [][]byte
	findings []Message
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	debug := r.URL.Path == "/debug/mp/collect"
	if r.URL.Path != "/mp/collect" && !debug {
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	found := Check(now(), r.Method, r.URL.Query(), r.Header, body)
	if debug {
		w.Header().Set("Content-Type", "application/json")
		if found == nil {
			found = []Message{}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"validationMessages": found})
		return
	}
	s.mu.Lock()
	s.bodies, s.findings = append(s.bodies, body), append(s.findings, found...)
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

// Bodies returns what /mp/collect has received.
func (s *Server) Bodies() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte(nil), s.bodies...)
}

// Findings returns what was wrong with it.
func (s *Server) Findings() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.findings...)
}

type checker struct {
	now   time.Time
	app   bool
	found []Message
}

func (c *checker) say(code, field, format string, args ...any) {
	c.found = append(c.found, Message{field, fmt.Sprintf(format, args...), code})
}

// Check returns what is wrong with a request.
func Check(now time.Time, method string, query url.Values, header http.Header, body []byte) []Message {
	c := &checker{now: now}
	if method != http.MethodPost {
		c.say("VALUE_INVALID", "method", "is %s", method)
	}
	if ct, _, _ := strings.Cut(header.Get("Content-Type"), ";"); ct != "application/json" {
		c.say("VALUE_INVALID", "Content-Type", "is %q", ct)
	}
	if query.Get("api_secret") == "" {
		c.say("VALUE_REQUIRED", "api_secret", "is missing")
	}
	mid, fid := query.Get("measurement_id"), query.Get("firebase_app_id")
	c.app = fid != ""
	if (mid == "") == (fid == "") {
		c.say("VALUE_REQUIRED", "measurement_id", "one of measurement_id and firebase_app_id")
	}
	if len(body) >= 130_000 {
		c.say("VALUE_OUT_OF_BOUNDS", "body", "has %d bytes", len(body))
	}
	if !utf8.Valid(body) {
		c.say("VALUE_INVALID", "body", "is not UTF-8")
	}
	root, err := parse(body)
	if err != nil {
		c.say("VALUE_INVALID", "body", "%v", err)
		return c.found
	}
	top, ok := root.(object)
	if !ok {
		c.say("VALUE_INVALID", "body", "is no object")
		return c.found
	}
	c.request(top)
	return c.found
}

func (c *checker) request(top object) {
	c.keys("", top, "client_id", "app_instance_id", "user_id", "timestamp_micros", "user_properties", "user_data", "consent", "non_personalized_ads",
		"user_location", "ip_override", "device", "user_agent", "validation_behavior", "events")
	switch id, _ := top.get("app_instance_id").(string); {
	case c.app && !hex32.MatchString(id):
		c.say("VALUE_INVALID", "app_instance_id", "is %q", id)
	case c.app == (top.get("client_id") != nil):
		c.say("VALUE_INVALID", "client_id", "belongs to web streams, app_instance_id to apps")
	case !c.app:
		if id, _ := top.get("client_id").(string); id == "" {
			c.say("VALUE_REQUIRED", "client_id", "is missing")
		}
	}
	if v := top.get("user_id"); v != nil {
		c.text("user_id", v, 256)
	}
	c.stamp("timestamp_micros", top.get("timestamp_micros"))
	if v, ok := top.get("user_properties").(object); ok {
		c.properties(v)
	}
	if v, ok := top.get("consent").(object); ok {
		c.keys("consent", v, "ad_user_data", "ad_personalization")
		for _, m := range v {
			if m.value != "GRANTED" && m.value != "DENIED" {
				c.say("VALUE_INVALID", "consent."+m.name, "is %v", m.value)
			}
		}
	}
	if v, ok := top.get("user_data").(object); ok {
		c.userData(v)
	}
	if v, ok := top.get("user_location").(object); ok {
		c.keys("user_location", v, "city", "region_id", "country_id", "subcontinent_id", "continent_id")
	}
	if v, ok := top.get("device").(object); ok {
		c.keys("device", v, "category", "language", "screen_resolution", "operating_system", "operating_system_version", "model", "brand", "browser", "browser_version")
	}
	events, _ := top.get("events").([]any)
	if len(events) == 0 || len(events) > 25 {
		c.say("EXCEEDED_MAX_ENTITIES", "events", "has %d entries", len(events))
	}
	for i, v := range events {
		e, ok := v.(object)
		if !ok {
			c.say("VALUE_INVALID", "events", "%d is no object", i)
			continue
		}
		c.event(fmt.Sprintf("events[%d]", i), e)
	}
}

var (
	hex32    = regexp.MustCompile(`^[0-9a-fA-F]{32}$`)
	hex64    = regexp.MustCompile(`^[0-9a-f]{64}$`)
	name     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	digits   = regexp.MustCompile(`^\d+$`)
	currency = regexp.MustCompile(`^[A-Z]{3}$`)
)

func (c *checker) name(field, s string, limit int) {
	if !name.MatchString(s) {
		c.say("NAME_INVALID", field, "%q", s)
	}
	if len(s) > limit {
		c.say("NAME_INVALID", field, "%q has %d characters", s, len(s))
	}
}

func prefixed(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func (c *checker) properties(props object) {
	if len(props) > 25 {
		c.say("EXCEEDED_MAX_ENTITIES", "user_properties", "has %d entries", len(props))
	}
	for _, m := range props {
		field := "user_properties." + m.name
		c.name(field, m.name, 24)
		switch m.name {
		case "first_open_time", "first_visit_time", "last_deep_link_referrer", "user_id", "first_open_after_install":
			c.say("NAME_RESERVED", field, "is reserved")
		}
		if prefixed(m.name, "_", "firebase_", "ga_", "google_") {
			c.say("NAME_RESERVED", field, "has a reserved prefix")
		}
		v, ok := m.value.(object)
		if !ok || v.get("value") == nil {
			c.say("VALUE_REQUIRED", field+".value", "is missing")
			continue
		}
		c.keys(field, v, "value", "timestamp_micros")
		c.scalar(field+".value", v.get("value"), 36)
		if t := v.get("timestamp_micros"); t != nil {
			if n, ok := t.(json.Number); !ok || strings.ContainsAny(n.String(), ".eE-") {
				c.say("VALUE_INVALID", field+".timestamp_micros", "is %v", t)
			}
		}
	}
}

func (c *checker) userData(u object) {
	c.keys("user_data", u, "sha256_email_address", "sha256_phone_number", "address")
	hash := func(field string, v any) {
		if s, ok := v.(string); !ok || !hex64.MatchString(s) {
			c.say("VALUE_INVALID", field, "is no SHA-256 hash")
		}
	}
	for _, k := range []string{"sha256_email_address", "sha256_phone_number"} {
		list, _ := u.get(k).([]any)
		for _, v := range list {
			hash("user_data."+k, v)
		}
	}
	list, _ := u.get("address").([]any)
	for _, v := range list {
		a, _ := v.(object)
		c.keys("user_data.address", a, "sha256_first_name", "sha256_last_name", "sha256_street", "city", "region", "postal_code", "country")
		for _, m := range a {
			if strings.HasPrefix(m.name, "sha256_") {
				hash("user_data.address."+m.name, m.value)
			}
		}
	}
}

func (c *checker) stamp(field string, v any) {
	if v == nil {
		return
	}
	n, ok := v.(json.Number)
	t, err := n.Int64()
	if !ok || err != nil {
		c.say("VALUE_INVALID", field, "is %v", v)
		return
	}
	if age := c.now.Sub(time.UnixMicro(t)); age > 72*time.Hour || age < 0 {
		c.say("VALUE_OUT_OF_BOUNDS", field, "is %s old", age)
	}
}

func (c *checker) text(field string, v any, limit int) {
	s, ok := v.(string)
	if n := utf8.RuneCountInString(s); !ok || n > limit {
		c.say("VALUE_OUT_OF_BOUNDS", field, "has %d characters, at most %d", n, limit)
	}
}

func (c *checker) scalar(field string, v any, limit int) {
	switch v := v.(type) {
	case string:
		c.text(field, v, limit)
	case json.Number, bool:
	default:
		c.say("VALUE_INVALID", field, "is a %T", v)
	}
}

func (c *checker) keys(field string, o object, known ...string) {
next:
	for _, m := range o {
		for _, k := range known {
			if m.name == k {
				continue next
			}
		}
		c.say("NAME_INVALID", field, "unknown key %q", m.name)
	}
}

// parse reads JSON and refuses repeated names.
func parse(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := value(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("text after the value")
	}
	return v, nil
}

type member struct {
	name  string
	value any
}

type object []member

func (o object) get(name string) any {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

func value(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		o := object{}
		seen := map[string]bool{}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			name := k.(string)
			if seen[name] {
				return nil, fmt.Errorf("NAME_DUPLICATED: %q", name)
			}
			seen[name] = true
			v, err := value(d)
			if err != nil {
				return nil, err
			}
			o = append(o, member{name, v})
		}
		_, err := d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := value(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	return t, nil
}
