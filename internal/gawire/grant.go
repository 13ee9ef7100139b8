package gawire

import "github.com/sidetrack-go/sidetrack"

// Grant states purposes as granted about which the hit itself says nothing, because its senders
// only speak for visitors who agreed.
func Grant(c *sidetrack.Consent, purposes []sidetrack.Purpose) {
	granted := false
	for _, p := range purposes {
		if c.Get(p) == sidetrack.Unknown {
			granted = c.Set(p, sidetrack.Granted) || granted
		}
	}
	switch {
	case !granted:
	case c.How == "":
		c.How = "server"
	default:
		c.How += "+server"
	}
}
