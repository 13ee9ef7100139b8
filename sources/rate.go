package sources

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"github.com/sidetrack-go/sidetrack"
)

// RateLimit bounds what one client may send. A client is an IPv4 address or an IPv6 network of 64 bits, known in
// memory alone and there by a hash whose key dies with the process.
type RateLimit struct {
	// Events a second that a client may send in the long run. 0: no limit.
	Events float64 `yaml:"events"`
	// Burst is how many events it may send at once. Default: ten times Events, at least 100.
	Burst int `yaml:"burst"`
	// Clients that are remembered; beyond, the one not seen for longest is forgotten. Each takes about 250 bytes.
	// Default: 50000.
	Clients int `yaml:"clients"`
}

const defaultRateClients = 50_000

// rates is a bounded table of clients.
type rates struct {
	events rate.Limit
	burst  int
	seed   maphash.Seed
	now    func() time.Time

	mu      sync.Mutex
	clients *simplelru.LRU[uint64, *rate.Limiter]
}

// newRates returns nil where no limit is set. Problems are *sidetrack.FieldErrors.
func newRates(cfg RateLimit) (_ *rates, problems []error) {
	if !(cfg.Events >= 0) || math.IsInf(cfg.Events, 0) || cfg.Burst < 0 || cfg.Clients < 0 {
		return nil, []error{&sidetrack.FieldError{Field: "rate_limit", Problem: "must not be negative"}}
	}
	if cfg.Events == 0 {
		if cfg.Burst > 0 || cfg.Clients > 0 {
			return nil, []error{&sidetrack.FieldError{Field: "rate_limit", Problem: "says nothing without events: the events a second of one client"}}
		}
		return nil, nil
	}
	l := &rates{events: rate.Limit(cfg.Events), burst: cfg.Burst, seed: maphash.MakeSeed(), now: time.Now}
	if l.burst == 0 {
		l.burst = int(min(max(100, 10*cfg.Events), 1<<30))
	}
	var err error
	if l.clients, err = simplelru.NewLRU[uint64, *rate.Limiter](orDefault(cfg.Clients, defaultRateClients), nil); err != nil {
		return nil, []error{err}
	}
	return l, nil
}

// take takes n events, at most a burst, of the client's allowance. When that is not enough it takes nothing and returns how
// long to wait. Clients without an address are not limited.
func (l *rates) take(client netip.Addr, n int) (wait time.Duration) {
	if !client.IsValid() || n <= 0 {
		return 0
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	key := l.key(client)
	limiter, ok := l.clients.Get(key)
	if !ok {
		limiter = rate.NewLimiter(l.events, l.burst)
		l.clients.Add(key, limiter)
	}
	r := limiter.ReserveN(now, n)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// key hashes the part of an address that a client cannot choose freely.
func (l *rates) key(a netip.Addr) uint64 {
	a = a.Unmap()
	if a.Is4() {
		b := a.As4()
		return maphash.Bytes(l.seed, b[:])
	}
	b := a.As16()
	binary.BigEndian.PutUint64(b[8:], 0)
	return maphash.Bytes(l.seed, b[:])
}

// mayRequest takes the first event's place before anything of the body is read. It returns false
// when the request is answered.
func (c *Collector) mayRequest(w http.ResponseWriter, r *http.Request) bool {
	return c.within(w, c.rates.take(c.client.Client(r), 1))
}

// mayEmit takes the place of the other events of a request. A batch that is larger than a burst needs
// a whole one, so that it can be sent at all.
func (c *Collector) mayEmit(w http.ResponseWriter, r *http.Request, events int) bool {
	return c.within(w, c.rates.take(c.client.Client(r), min(events, c.rates.burst)-1))
}

func (c *Collector) within(w http.ResponseWriter, wait time.Duration) bool {
	if wait == 0 {
		return true
	}
	const longest = time.Hour
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(min(wait, longest).Seconds()))))
	writeJSON(w, http.StatusTooManyRequests, answer{Errors: []answerError{{Message: "too many events from this client"}}})
	return false
}
