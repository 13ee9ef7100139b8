package consent

import "github.com/sidetrack-go/sidetrack"

// ParseGCS reads the parameter gcs of Google's tags: G1, then a digit for ad_storage and
// one for analytics_storage, 1 granted, 0 denied, - not set.
func ParseGCS(s string) (c sidetrack.Consent, ok bool) {
	if len(s) != 4 || s[:2] != "G1" {
		return c, false
	}
	for i, p := range [...]sidetrack.Purpose{sidetrack.AdStorage, sidetrack.AnalyticsStorage} {
		switch s[2+i] {
		case '1':
			c.Set(p, sidetrack.Granted)
		case '0':
			c.Set(p, sidetrack.Denied)
		case '-':
		default:
			return sidetrack.Consent{}, false
		}
	}
	return c, true
}

// ParseGCD reads the parameter gcd of Google's tags: digits with a letter after each for
// ad_storage, analytics_storage, ad_user_data and ad_personalization, as in 13r3t3v3r5. Google documents no letter; those
// known to mean granted grant, l says that nothing was set, and every other denies.
func ParseGCD(s string) (c sidetrack.Consent, ok bool) {
	if len(s) < 10 || len(s) > 20 || s[0] != '1' || !digit(s[1]) {
		return c, false
	}
	for i, p := range [...]sidetrack.Purpose{sidetrack.AdStorage, sidetrack.AnalyticsStorage, sidetrack.AdUserData, sidetrack.AdPersonalization} {
		letter, after := s[2+2*i], s[3+2*i]
		if letter < 'a' || letter > 'z' || !digit(after) {
			return sidetrack.Consent{}, false
		}
		switch letter {
		case 'n', 'r', 't', 'v':
			c.Set(p, sidetrack.Granted)
		case 'l':
		default:
			c.Set(p, sidetrack.Denied)
		}
	}
	for i := 10; i < len(s); i++ { // what newer tags append
		if !digit(s[i]) && (s[i] < 'a' || s[i] > 'z') {
			return sidetrack.Consent{}, false
		}
	}
	return c, true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
