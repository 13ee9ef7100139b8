package visitor

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Daily makes client ids that nothing is stored for at the visitor's: a hash of address and user
// agent under a key that changes every UTC day. It is safe for concurrent use.
//
// Without a secret the keys are random and live in this process only: the ids of a past day can never be
// made again. With a secret they are derived from it, so that several processes and restarts
// agree; the ids are then pseudonymous as long as the secret exists.
type Daily struct {
	secret []byte

	mu  sync.Mutex
	day int64
	key []byte
}

// NewDaily returns a maker of daily ids; secret may be empty.
func NewDaily(secret string) *Daily { return &Daily{secret: []byte(secret)} }

// ClientID returns the visitor's id for the day of now, in the form of Google's.
func (d *Daily) ClientID(site string, ip netip.Addr, userAgent string, now time.Time) string {
	if ip.Is6() && !ip.Is4In6() { // privacy extensions change the lower half
		if p, err := ip.Prefix(64); err == nil {
			ip = p.Addr()
		}
	}
	day := now.Unix() / 86400
	mac := hmac.New(sha256.New, d.dayKey(day))
	for _, part := range []string{site, ip.Unmap().String(), userAgent} {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(part)))
		mac.Write(n[:])
		mac.Write([]byte(part))
	}
	sum := mac.Sum(nil)
	return fmt.Sprintf("%d.%d", binary.BigEndian.Uint64(sum)>>1, day*86400)
}

func (d *Daily) dayKey(day int64) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.key != nil && d.day == day {
		return d.key
	}
	if len(d.secret) > 0 {
		mac := hmac.New(sha256.New, d.secret)
		_, _ = fmt.Fprintf(mac, "sidetrack daily visitor v1 %d", day)
		d.key = mac.Sum(nil)
	} else {
		d.key = make([]byte, 32)
		_, _ = rand.Read(d.key) // never fails
	}
	d.day = day
	return d.key
}
