package visitor

import "strings"

// GoogleClientID reads the client id of a _ga cookie: GA1.<depth>.<random>.<seconds>, the depth
// being a number or, in old ones, two joined by '-'. Other versions than GA1 are not known.
func GoogleClientID(cookie string) (string, bool) {
	parts := strings.Split(cookie, ".")
	if len(parts) < 4 || parts[0] != "GA1" {
		return "", false
	}
	id := parts[len(parts)-2] + "." + parts[len(parts)-1]
	return id, ValidClientID(id)
}

// GoogleSession is what a _ga_<stream> cookie says about the session.
type GoogleSession struct {
	ID     string // second at which it began, decimal
	Number string // ordinal, decimal
}

// ParseGoogleSession reads GS1.<depth>.<id>.<number>.… and GS2.<depth>.s<id>$o<number>$…
func ParseGoogleSession(cookie string) (s GoogleSession, ok bool) {
	version, rest, _ := strings.Cut(cookie, ".")
	_, rest, _ = strings.Cut(rest, ".") // depth
	switch version {
	case "GS1":
		parts := strings.Split(rest, ".")
		if len(parts) < 2 {
			return GoogleSession{}, false
		}
		s = GoogleSession{parts[0], parts[1]}
	case "GS2":
		for field := range strings.SplitSeq(rest, "$") {
			switch {
			case strings.HasPrefix(field, "s"):
				s.ID = field[1:]
			case strings.HasPrefix(field, "o"):
				s.Number = field[1:]
			}
		}
	}
	if !digits(s.ID) || s.Number != "" && !digits(s.Number) {
		return GoogleSession{}, false
	}
	return s, true
}
