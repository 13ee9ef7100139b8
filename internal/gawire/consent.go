package gawire

import "github.com/sidetrack-go/sidetrack"

// ParseGCS reads the Consent Mode state of a hit: "G1" and one character each for ad_storage
// and analytics_storage: 1 granted, 0 denied, - not set. ok is false for anything else.
func ParseGCS(s string) (adStorage, analyticsStorage sidetrack.State, ok bool) {
	if len(s) != 4 || s[:2] != "G1" {
		return 0, 0, false
	}
	adStorage, ok1 := gcsState(s[2])
	analyticsStorage, ok2 := gcsState(s[3])
	if !ok1 || !ok2 {
		return 0, 0, false
	}
	return adStorage, analyticsStorage, true
}

func gcsState(c byte) (sidetrack.State, bool) {
	switch c {
	case '1':
		return sidetrack.Granted, true
	case '0':
		return sidetrack.Denied, true
	case '-':
		return sidetrack.Unknown, true
	}
	return sidetrack.Unknown, false
}

// Signal is one purpose in a gcd string: what the page set as default and what the visitor
// decided afterwards.
type Signal struct{ Default, Update sidetrack.State }

// State is what holds: the update, else the default.
func (s Signal) State() sidetrack.State {
	if s.Update != sidetrack.Unknown {
		return s.Update
	}
	return s.Default
}

// GCD is the content of a gcd string, Consent Mode v2.
type GCD struct {
	AdStorage, AnalyticsStorage, AdUserData, AdPersonalization Signal
}

// ParseGCD reads a gcd string: a version, which is 1, then a digit and a letter for each of
// the four purposes, then a trailer whose meaning is not known. Two bits of the letter are the
// default and two the update: 2 denied, 3 granted. Purposes that are missing are unknown. ok is
// false when the string is none, or a character is not of the alphabet.
func ParseGCD(s string) (g GCD, ok bool) {
	if len(s) < 3 || len(s) > 64 || s[0] != '1' {
		return GCD{}, false
	}
	for i, signal := range [...]*Signal{&g.AdStorage, &g.AnalyticsStorage, &g.AdUserData, &g.AdPersonalization} {
		at := 1 + 2*i
		if at+1 >= len(s) || i > 0 && s[at] == '5' { // 5 begins the trailer
			break
		}
		x := letterValue(s[at+1])
		if s[at] < '0' || s[at] > '9' || x < 0 {
			return GCD{}, false
		}
		signal.Default, signal.Update = gcdState(x>>2&3), gcdState(x&3)
	}
	return g, true
}

func letterValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'Z':
		return int(c-'A') + 36
	case c == '-':
		return 62
	case c == '_':
		return 63
	}
	return -1
}

func gcdState(bits int) sidetrack.State {
	switch bits {
	case 2:
		return sidetrack.Denied
	case 3:
		return sidetrack.Granted
	}
	return sidetrack.Unknown
}

// Consent returns the four purposes as they hold.
func (g GCD) Consent() sidetrack.Consent {
	var c sidetrack.Consent
	c.Set(sidetrack.AdStorage, g.AdStorage.State())
	c.Set(sidetrack.AnalyticsStorage, g.AnalyticsStorage.State())
	c.Set(sidetrack.AdUserData, g.AdUserData.State())
	c.Set(sidetrack.AdPersonalization, g.AdPersonalization.State())
	return c
}
