// Package gawire holds the names and limits of Google Analytics 4 that its senders and
// readers share. Source: the Measurement Protocol reference and its page on limitations.
package gawire

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits, in characters unless said otherwise.
const (
	MaxName              = 40
	MaxParams            = 25 // of an event
	MaxValue             = 100
	MaxPageLocation      = 1000
	MaxPageReferrer      = 420
	MaxPageTitle         = 300
	MaxUserProperties    = 25
	MaxUserPropertyName  = 24
	MaxUserPropertyValue = 36
	MaxUserID            = 256
	MaxItems             = 200
	MaxItemParams        = 27
)

var reservedEvents = []string{
	"ad_activeview", "ad_click", "ad_exposure", "ad_query", "ad_reward", "adunit_exposure", "app_clear_data", "app_exception", "app_install",
	"app_remove", "app_store_refund", "app_update", "app_upgrade", "dynamic_link_app_open", "dynamic_link_app_update", "dynamic_link_first_open",
	"error", "firebase_campaign", "firebase_in_app_message_action", "firebase_in_app_message_dismiss", "firebase_in_app_message_impression",
	"first_open", "first_visit", "notification_dismiss", "notification_foreground", "notification_open", "notification_receive",
	"notification_send", "os_update", "session_start", "user_engagement",
}

var reservedOnWeb = []string{"ad_impression", "in_app_purchase", "screen_view"}

// ReservedEvent reports whether Google takes no event of that name over the protocol.
func ReservedEvent(name string, app bool) bool {
	return slices.Contains(reservedEvents, name) || !app && slices.Contains(reservedOnWeb, name)
}

// ReservedParam reports whether an event parameter of that name is ignored.
func ReservedParam(name string) bool {
	return name == "firebase_conversion" || hasPrefix(name, "_", "firebase_", "ga_", "google_", "gtag.")
}

// Namespaced reports whether a parameter is kept from another protocol under a name of its
// own, such as "ua.tid": it is for sinks of that protocol.
func Namespaced(name string) bool { return hasPrefix(name, "ua.", "mp.", "gtag.") }

// ReservedUserProperty reports whether a user property of that name is ignored.
func ReservedUserProperty(name string) bool {
	switch name {
	case "first_open_time", "first_visit_time", "last_deep_link_referrer", "user_id", "first_open_after_install":
		return true
	}
	return hasPrefix(name, "_", "firebase_", "ga_", "google_")
}

func hasPrefix(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

// Name makes a valid name of s: letters, digits and '_', a letter first, at most limit
// characters. It returns "" when nothing is left.
func Name(s string, limit int) string {
	valid := s != "" && len(s) <= limit && letter(s[0])
	for i := 0; valid && i < len(s); i++ {
		valid = letter(s[i]) || s[i] >= '0' && s[i] <= '9' || s[i] == '_'
	}
	if valid {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case b.Len() == limit:
			return b.String()
		case r < utf8.RuneSelf && (letter(byte(r)) || b.Len() > 0 && (r >= '0' && r <= '9' || r == '_')):
			b.WriteRune(r)
		case b.Len() > 0:
			b.WriteByte('_')
		}
	}
	return strings.TrimRight(b.String(), "_")
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// Clip cuts s to at most limit characters, which are valid UTF-8 afterwards. Google ignores a
// value that is too long.
func Clip(s string, limit int) string {
	if len(s) <= limit && utf8.ValidString(s) {
		return s
	}
	s = strings.ToValidUTF8(s, "\ufffd")
	n := 0
	for i := range s {
		if n == limit {
			return s[:i]
		}
		n++
	}
	return s
}
