package main

import (
	"sync/atomic"
	"time"
)

// histogram counts durations in steps of 100 µs up to a minute.
type histogram struct{ buckets [600_000]atomic.Int64 }

const histogramStep = 100 * time.Microsecond

func (h *histogram) add(d time.Duration) {
	h.buckets[min(max(0, int64(d/histogramStep)), int64(len(h.buckets)-1))].Add(1)
}

func (h *histogram) quantile(q float64) time.Duration {
	var total int64
	for i := range h.buckets {
		total += h.buckets[i].Load()
	}
	var sum int64
	for i := range h.buckets {
		sum += h.buckets[i].Load()
		if total > 0 && float64(sum) >= q*float64(total) {
			return time.Duration(i) * histogramStep
		}
	}
	return 0
}
