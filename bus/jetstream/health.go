package jetstream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sidetrack-go/sidetrack/bus"
)

const (
	spaceEvery    = 250 * time.Millisecond
	repairBackoff = 250 * time.Millisecond
	maxBackoff    = 10 * time.Second
)

// health says whether the store can be used.
type health struct {
	mu    sync.Mutex
	cause error // why the store does not work; nil when it does
	low   bool  // free space is under the limit
	free  int64
	wake  chan struct{} // has an element after fail
}

// err is nil when the store can be used.
func (h *health) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.cause != nil:
		return fmt.Errorf("%w: %w", bus.ErrUnavailable, h.cause)
	case h.low:
		return fmt.Errorf("%w: %d bytes of disk space left", bus.ErrFull, h.free)
	}
	return nil
}

func (h *health) fail(err error) {
	h.mu.Lock()
	h.cause = err
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *health) recovered() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cause = nil
}

// setSpace notes the free space and reports whether its verdict changed.
func (h *health) setSpace(free int64, low bool) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed = h.low != low
	h.low, h.free = low, free
	return changed
}

func (h *health) lowSpace() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.low
}

// watchSpace refuses events before the disk is full: a full disk would break
// the store and everything else on it.
func (b *Bus) watchSpace() {
	tick := time.NewTicker(spaceEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.checkSpace()
		case <-b.ctx.Done():
			return
		}
	}
}

func (b *Bus) checkSpace() {
	free, err := freeSpace(b.node.cfg.DataDir)
	if err != nil {
		b.log.Warn("cannot read the free disk space", "dir", b.node.cfg.DataDir, "error", err)
		return
	}
	low := free < b.minFree
	if !b.health.setSpace(free, low) {
		return
	}
	if low {
		b.log.Error("disk space is short, nothing more is accepted", "dir", b.node.cfg.DataDir, "free", free, "min_free", b.minFree)
	} else {
		b.log.Info("disk space is back", "dir", b.node.cfg.DataDir, "free", free)
	}
}

// roomToPurge reports whether the store works and has room at this moment, not at the last look: a
// purge whose write fails makes the server wait for a lock that it holds itself, and
// then it can be neither used nor replaced.
func (b *Bus) roomToPurge() bool {
	if b.health.err() != nil {
		return false
	}
	if b.node == nil {
		return true
	}
	free, err := freeSpace(b.node.cfg.DataDir)
	return err == nil && free >= b.minFree
}

// keepUsable brings the store back after a failed publish.
func (b *Bus) keepUsable() {
	for {
		select {
		case <-b.health.wake:
			b.repair()
		case <-b.ctx.Done():
			return
		}
	}
}

func (b *Bus) repair() {
	b.log.Error("store does not answer, nothing is accepted until it does", "error", b.health.err())
	start := time.Now()
	for wait := repairBackoff; ; wait = min(2*wait, maxBackoff) {
		select {
		case <-time.After(wait):
		case <-b.ctx.Done():
			return
		}
		if b.node != nil && b.health.lowSpace() {
			wait = repairBackoff / 2 // look again soon
			continue
		}
		if err := b.tryRepair(); err != nil {
			b.log.Warn("store cannot be used yet", "error", err)
			continue
		}
		b.health.recovered()
		b.log.Info("store is usable again", "after", time.Since(start).Round(time.Millisecond))
		return
	}
}

// tryRepair returns nil when the store is believed to work. It restarts the
// embedded server: after a failed write JetStream says that all is well and
// accepts nothing. A cluster is left to its operators, and only asked.
func (b *Bus) tryRepair() error {
	if b.node != nil {
		if err := b.node.restart(); err != nil {
			return err
		}
		if err := b.awaitConnection(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(b.ctx, publishTimeout)
	defer cancel()
	for _, t := range b.allTopics() {
		if _, err := b.js.Stream(ctx, t.stream); err != nil {
			return fmt.Errorf("topic %s: %w", t.name, err)
		}
	}
	return nil
}

func (b *Bus) awaitConnection() error {
	deadline := time.Now().Add(5 * time.Second)
	for !b.nc.IsConnected() {
		if time.Now().After(deadline) {
			return errServerDown
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-b.ctx.Done():
			return b.ctx.Err()
		}
	}
	return nil
}

func (b *Bus) allTopics() []*topic {
	b.mu.Lock()
	defer b.mu.Unlock()
	ts := make([]*topic, 0, len(b.topics))
	for _, t := range b.topics {
		ts = append(ts, t)
	}
	return ts
}
