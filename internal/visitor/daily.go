package visitor

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Daily makes client ids that nothing is stored for at the visitor's: a hash of site, address and user
// agent under a key that changes every UTC day. It is safe for concurrent use.
//
// The number of addresses is small, so the ids are anonymous only once the key is gone: random
// keys are overwritten and deleted when their day ends, whether events come or not. Derived keys
// can be made again as long as the secret exists; their ids are pseudonymous.
type Daily struct {
	source keySource

	mu    sync.Mutex
	day   int64 // of key; days since 1970
	key   []byte
	timer *time.Timer // ends the day
}

// keySource gives the keys of days.
type keySource interface {
	// key returns a fresh slice with the key of a day, which belongs to the caller.
	key(day int64) []byte
	// forget deletes what is kept of the keys before the given day.
	forget(before int64)
}

// NewDaily returns a maker of daily ids whose random keys live in this process alone: a restart
// makes new ids.
func NewDaily() *Daily { return &Daily{source: randomKeys{}} }

// NewDerivedDaily returns a maker whose keys are derived from a secret, so that many machines
// agree without talking to each other.
func NewDerivedDaily(secret string) *Daily { return &Daily{source: derivedKeys(secret)} }

// NewStoredDaily returns a maker whose random keys outlive the process in a directory, which is
// made if need be. Several processes may share it.
func NewStoredDaily(dir string) (*Daily, error) {
	keys, err := newStoredKeys(dir)
	if err != nil {
		return nil, err
	}
	return &Daily{source: keys}, nil
}

const daySeconds = 86400

// ClientID returns the visitor's id for the day of now, in the form of Google's. A day that is over gets no ids
// any more: an event of it counts as today's.
func (d *Daily) ClientID(site string, ip netip.Addr, userAgent string, now time.Time) string {
	if ip.Is6() && !ip.Is4In6() { // privacy extensions change the lower half
		if p, err := ip.Prefix(64); err == nil {
			ip = p.Addr()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn(now)
	mac := hmac.New(sha256.New, d.key)
	for _, part := range []string{site, ip.Unmap().String(), userAgent} {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(part)))
		mac.Write(n[:])
		mac.Write([]byte(part))
	}
	sum := mac.Sum(nil)
	return fmt.Sprintf("%d.%d", binary.BigEndian.Uint64(sum)>>1, d.day*daySeconds)
}

// turn makes sure that there is a key for the day of now or a later one.
func (d *Daily) turn(now time.Time) {
	day := now.Unix() / daySeconds
	if d.key != nil && day <= d.day {
		return
	}
	day = max(day, d.day)
	d.drop(day)
	d.day, d.key = day, d.source.key(day)
	d.timer = time.AfterFunc(time.Until(time.Unix((day+1)*daySeconds, 0)), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.day == day {
			d.day++ // no new key for a day that is over
			d.drop(d.day)
		}
	})
}

// drop deletes the key and what is kept of those before the given day.
func (d *Daily) drop(before int64) {
	clear(d.key)
	d.key = nil
	if d.timer != nil {
		d.timer.Stop()
	}
	d.source.forget(before)
}
