package sidetrack

import (
	"fmt"
	"strings"
)

// Purpose is what data may be used for, by the names of Google's Consent Mode.
type Purpose string

// The purposes. There are no others: a backend with finer ones maps them to these.
const (
	AnalyticsStorage       Purpose = "analytics_storage"
	AdStorage              Purpose = "ad_storage"
	AdUserData             Purpose = "ad_user_data"
	AdPersonalization      Purpose = "ad_personalization"
	FunctionalityStorage   Purpose = "functionality_storage"
	PersonalizationStorage Purpose = "personalization_storage"
	SecurityStorage        Purpose = "security_storage"
)

// Purposes returns all purposes in their fixed order.
func Purposes() []Purpose {
	return append([]Purpose(nil), purposeNames[:]...)
}

// purposeNames is in the order of Consent.states.
var purposeNames = [...]Purpose{
	AnalyticsStorage, AdStorage, AdUserData, AdPersonalization,
	FunctionalityStorage, PersonalizationStorage, SecurityStorage,
}

// ParsePurpose checks a name.
func ParsePurpose(s string) (Purpose, error) {
	if purposeIndex(Purpose(s)) < 0 {
		return "", fmt.Errorf("sidetrack: unknown purpose %q, want one of %v", s, Purposes())
	}
	return Purpose(s), nil
}

func purposeIndex(p Purpose) int {
	switch p {
	case AnalyticsStorage:
		return 0
	case AdStorage:
		return 1
	case AdUserData:
		return 2
	case AdPersonalization:
		return 3
	case FunctionalityStorage:
		return 4
	case PersonalizationStorage:
		return 5
	case SecurityStorage:
		return 6
	}
	return -1
}

// State is the decision about one purpose. The zero value is Unknown.
type State uint8

// The three states. Unknown counts as denied wherever data would leave.
const (
	Unknown State = iota
	Denied
	Granted
)

// String returns "unknown", "denied" or "granted".
func (s State) String() string {
	switch s {
	case Denied:
		return "denied"
	case Granted:
		return "granted"
	}
	return "unknown"
}

// ParseState reads the words of String; ok is false for anything else.
func ParseState(s string) (state State, ok bool) {
	switch s {
	case "granted":
		return Granted, true
	case "denied":
		return Denied, true
	case "unknown", "":
		return Unknown, true
	}
	return Unknown, false
}

// Consent is the visitor's decision for every purpose, and how it was learnt. The
// zero value knows nothing, which permits nothing. It is a plain value: copies
// are independent and comparable.
type Consent struct {
	states [7]State
	// How says where the decision came from: "payload", "server", the name of what was
	// read, such as "cookie", "tcf" or "gpc", "default", or several joined by '+'.
	How string
}

// Get returns the state of p; Unknown for a purpose that does not exist.
func (c Consent) Get(p Purpose) State {
	if i := purposeIndex(p); i >= 0 {
		return c.states[i]
	}
	return Unknown
}

// Set sets the state of p. It reports whether p exists.
func (c *Consent) Set(p Purpose, s State) bool {
	i := purposeIndex(p)
	if i >= 0 {
		c.states[i] = s
	}
	return i >= 0
}

// GrantAll returns consent to every purpose, stated by how.
func GrantAll(how string) Consent {
	return Grant(how, Purposes()...)
}

// Grant returns consent to the given purposes, stated by how. Server jobs use
// it to say whose consent they act on.
func Grant(how string, purposes ...Purpose) Consent {
	c := Consent{How: how}
	for _, p := range purposes {
		c.Set(p, Granted)
	}
	return c
}

// Allows reports whether every purpose is granted. No purposes: true.
func (c Consent) Allows(purposes ...Purpose) bool {
	for _, p := range purposes {
		if c.Get(p) != Granted {
			return false
		}
	}
	return true
}

// IsZero reports whether nothing is known.
func (c Consent) IsZero() bool { return c == Consent{} }

// Restrict combines two statements about the same visitor: denied wins over
// granted, and either wins over unknown.
func (c Consent) Restrict(other Consent) Consent {
	out := c
	for i, s := range other.states {
		if s == Denied || out.states[i] == Unknown {
			out.states[i] = s
		}
	}
	switch {
	case out.How == "":
		out.How = other.How
	case other.How != "" && !strings.Contains("+"+out.How+"+", "+"+other.How+"+"):
		out.How += "+" + other.How
	}
	return out
}
