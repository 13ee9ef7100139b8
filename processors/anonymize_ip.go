package processors

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/ipmask"
)

// AnonymizeIPConfig is the configuration of the anonymize_ip processor.
type AnonymizeIPConfig struct {
	// V4 is how many bits of an IPv4 address are kept: 0 to 32.
	V4 int `yaml:"v4"`
	// V6 is how many bits of an IPv6 address are kept: 0 to 128.
	V6 int `yaml:"v6"`
	// Remove keeps no address at all.
	Remove bool `yaml:"remove"`
}

// AnonymizeIPDefaults keeps what Google Analytics used to keep with anonymizeIp.
func AnonymizeIPDefaults() AnonymizeIPConfig { return AnonymizeIPConfig{V4: 24, V6: 48} }

// NewAnonymizeIP makes the processor that gives an event the anonymized address of its visitor: the
// first bits of the request's address. An address that cannot be read, or that hides another one, is left out.
// Keeping full addresses takes v4: 32 and v6: 128, written out. Intake only.
func NewAnonymizeIP(cfg AnonymizeIPConfig) (sidetrack.Processor, error) {
	if cfg.V4 < 0 || cfg.V4 > 32 {
		return nil, &sidetrack.FieldError{Field: "v4", Problem: fmt.Sprintf("is %d: use 0 to 32 bits", cfg.V4)}
	}
	if cfg.V6 < 0 || cfg.V6 > 128 {
		return nil, &sidetrack.FieldError{Field: "v6", Problem: fmt.Sprintf("is %d: use 0 to 128 bits", cfg.V6)}
	}
	return &anonymizeIP{cfg}, nil
}

type anonymizeIP struct{ cfg AnonymizeIPConfig }

func (a *anonymizeIP) Process(_ context.Context, e *sidetrack.Event) error {
	ip := e.Origin().IP()
	if !ip.IsValid() && e.Network.IP != "" {
		ip, _ = netip.ParseAddr(e.Network.IP) // a source without requests, or nonsense, which goes
	}
	e.Network.IP = ""
	if a.cfg.Remove {
		return nil
	}
	if masked := ipmask.Mask(ip, a.cfg.V4, a.cfg.V6); masked.IsValid() {
		e.Network.IP = masked.String()
	}
	return nil
}
