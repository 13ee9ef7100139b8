package gawire

import (
	"strconv"
	"strings"
	"time"
)

// SessionTimeout is how long a session of Google Analytics lives without an event, unless the
// property says otherwise.
const SessionTimeout = 30 * time.Minute

// maxCookie bounds what is looked at of one cookie, in bytes. Google's are below 100.
const maxCookie = 512

// ClientID reads the client id of a _ga cookie: its last two fields, which are numbers. The
// prefix is GA1.<depth>, or two numbers in cookies of the first years. None of this is
// documented by Google; it is what gtag.js and several readers agree on.
func ClientID(cookie string) (id string, ok bool) {
	if len(cookie) > maxCookie {
		return "", false
	}
	last := strings.LastIndexByte(cookie, '.')
	if last <= 0 {
		return "", false
	}
	middle := strings.LastIndexByte(cookie[:last], '.')
	if middle <= 0 || !digits(cookie[middle+1:last]) || !digits(cookie[last+1:]) {
		return "", false
	}
	version, depth, ok := strings.Cut(cookie[:middle], ".")
	if !ok || depth == "" || version != "GA1" && !digits(version) {
		return "", false
	}
	return cookie[middle+1:], true
}

// Session is what a _ga_<stream> cookie says. Only ID is certain to be there.
type Session struct {
	MeasurementID string // of the stream the cookie belongs to, "G-…"; "" when its name does not say
	ID            string // second at which the session began, decimal
	Number        int64  // ordinal of the session; 0: unknown
	Engaged       bool
	LastEvent     time.Time // zero: unknown
	JoinTimer     int64     // seconds; what it counts is not documented
	SignedIn      bool
	EnhancedID    string // enhanced client id; "" when there is none
}

// Live reports whether an event at now still belongs to the session. A session whose last
// event is unknown is taken for live.
func (s Session) Live(now time.Time) bool {
	return s.LastEvent.IsZero() || now.Sub(s.LastEvent) <= SessionTimeout
}

// ParseSession reads a session cookie by its name and value. Two layouts exist:
//
//	GS1.<depth>.<id>.<number>.<engaged>.<last event>.<join timer>.<signed in>.<enhanced id>
//	GS2.<depth>.s<id>$o<number>$g<engaged>$t<last event>$j<join timer>$l<signed in>$h<enhanced id>
//
// The later fields of GS1 may be missing; those of GS2 come in any order, among letters
// that are not known. A field that cannot be read is as good as missing, but without an
// id there is no session.
func ParseSession(name, value string) (s Session, ok bool) {
	if len(value) > maxCookie {
		return Session{}, false
	}
	if i := strings.LastIndex(name, "_ga_"); i >= 0 && i+4 < len(name) {
		s.MeasurementID = "G-" + name[i+4:]
	}
	version, rest, _ := strings.Cut(value, ".")
	depth, rest, ok := strings.Cut(rest, ".")
	if !ok || depth == "" {
		return Session{}, false
	}
	switch version {
	case "GS1":
		const letters = "sogtjlh"
		for i := 0; i < len(letters); i++ {
			field, after, more := strings.Cut(rest, ".")
			s.set(letters[i], field)
			if rest = after; !more {
				break
			}
		}
	case "GS2":
		if strings.Contains(rest, "%24") { // some servers and proxies escape cookies
			rest = strings.ReplaceAll(rest, "%24", "$")
		}
		for field := range strings.SplitSeq(rest, "$") {
			if field != "" {
				s.set(field[0], field[1:])
			}
		}
	default:
		return Session{}, false
	}
	if s.ID == "" {
		return Session{}, false
	}
	return s, true
}

// set takes one field by its letter in GS2.
func (s *Session) set(letter byte, v string) {
	switch letter {
	case 's':
		if digits(v) && strings.Trim(v, "0") != "" {
			s.ID = v
		}
	case 'o':
		s.Number = number(v)
	case 'g':
		s.Engaged = v == "1"
	case 't':
		if n := number(v); n > 0 {
			s.LastEvent = time.Unix(n, 0)
		}
	case 'j':
		s.JoinTimer = number(v)
	case 'l':
		s.SignedIn = v == "1"
	case 'h':
		if v != "0" {
			s.EnhancedID = v
		}
	}
}

// LatestSession returns the session with the latest event of all cookies that hold one, as
// gtag.js chooses. value returns the raw value of a cookie.
func LatestSession(names []string, value func(name string) string) (latest Session, ok bool) {
	for _, name := range names {
		if !strings.HasPrefix(name, "_ga_") {
			continue
		}
		if s, good := ParseSession(name, value(name)); good && (!ok || s.LastEvent.After(latest.LastEvent)) {
			latest, ok = s, true
		}
	}
	return latest, ok
}

// number reads a decimal number that is not negative, 0 when it is none.
func number(s string) int64 {
	if !digits(s) {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// digits reports whether s is 1 to 20 decimal digits.
func digits(s string) bool {
	if s == "" || len(s) > 20 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
