package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sidetrack-go/sidetrack/internal/faults"
)

// backend is what one HTTP sink of the server process sends to. It runs in the generator's process, so that
// the server's memory is its own, and knows every event by its number.
type backend struct {
	*faults.Backend

	seen     []uint64     // a bit for each number; OnTake's
	distinct atomic.Int64 // events taken
	repeats  atomic.Int64 // of them, that were taken already
	lags     atomic.Pointer[histogram]
}

// newBackend starts one that is well. It adds how old events are when it takes them to lags.
func newBackend(lags *histogram) *backend {
	b := &backend{Backend: faults.NewBackend(faults.OK, nil)}
	b.lags.Store(lags)
	b.OnTake(b.take)
	return b
}

// take reads the tokens of eventToken.
func (b *backend) take(tokens []string) {
	now := time.Now().UnixMicro()
	lags := b.lags.Load()
	for _, token := range tokens {
		number, received, _ := strings.Cut(token, ":")
		n, err := strconv.ParseUint(number, 10, 32)
		micros, err2 := strconv.ParseInt(received, 10, 64)
		if errors.Join(err, err2) != nil {
			panic(fmt.Sprintf("no event: %q", token)) // this tool wrote it
		}
		for int(n/64) >= len(b.seen) {
			b.seen = append(b.seen, 0)
		}
		if bit := uint64(1) << (n % 64); b.seen[n/64]&bit != 0 {
			b.repeats.Add(1)
		} else {
			b.seen[n/64] |= bit
			b.distinct.Add(1)
		}
		lags.add(time.Duration(now-micros) * time.Microsecond)
	}
}

// troubles are the ways to be sick.
var troubles = map[string]faults.Answer{
	"error":    faults.Status(http.StatusInternalServerError),
	"hang":     faults.Hang,
	"reset":    faults.Reset,
	"late":     faults.Lost(faults.Late(6*time.Second, faults.Status(http.StatusNoContent))), // the sink waits for 5 s
	"slow":     faults.Late(2*time.Second, faults.OK),
	"throttle": faults.Status(http.StatusTooManyRequests, "Retry-After", "2"),
	"refuse":   nil, // nobody listens
	"none":     faults.OK,
}

func (b *backend) fallSick(trouble string) {
	if answer := troubles[trouble]; answer != nil {
		b.Set(answer)
		return
	}
	b.Down()
}

func (b *backend) heal(trouble string) error {
	b.Set(faults.OK)
	if troubles[trouble] == nil {
		return b.Up()
	}
	return nil
}
