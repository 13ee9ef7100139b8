package visitor

import "time"

// MaxAge is the longest a visitor is recognized: 13 months, as France's data protection authority
// recommends. Browsers cut at 400 days.
const MaxAge = 395 * 24 * time.Hour

// DefaultCookie is the name of the visitor cookie without its prefix.
const DefaultCookie = "sidetrack"

// maxAhead is how far in the future a cookie may have been issued: clocks of servers differ.
const maxAhead = time.Hour

// maxSame bounds how many cookies of one name are looked at.
const maxSame = 8

// Jar reads visitor cookies. It is safe for concurrent use.
type Jar struct {
	signer Signer
	names  [3]string
	maxAge time.Duration
}

// NewJar returns a jar of the cookie of that name, without prefix. A cookie is believed for maxAge from the day its id was
// issued, whatever the browser says.
func NewJar(signer Signer, name string, maxAge time.Duration) Jar {
	return Jar{signer, [3]string{"__Host-" + name, "__Secure-" + name, name}, maxAge}
}

// Signer returns the signer of the jar's cookies.
func (j Jar) Signer() Signer { return j.signer }

// MaxAge returns how long an id is believed.
func (j Jar) MaxAge() time.Duration { return j.maxAge }

// Names returns the names the cookie may have, the safest first: browsers take __Host- from
// this host over https alone, __Secure- over https alone.
func (j Jar) Names() [3]string { return j.names }

// Read returns what the first believable cookie says, and its name. get returns the values of all cookies
// of a name. Cookies that are forged, from the future or too old count as none.
func (j Jar) Read(get func(name string) []string, now time.Time) (c Stored, name string, ok bool) {
	if j.signer.IsZero() {
		return Stored{}, "", false
	}
	for _, name := range j.names {
		values := get(name)
		for _, value := range values[:min(len(values), maxSame)] {
			c, ok := j.signer.Verify(value)
			if ok && c.Issued.Before(now.Add(maxAhead)) && now.Sub(c.Issued) < j.maxAge {
				return c, name, true
			}
		}
	}
	return Stored{}, "", false
}
