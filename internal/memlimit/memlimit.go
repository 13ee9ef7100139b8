// Package memlimit sets how much memory the garbage collector may trade for less work.
package memlimit

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Memory of the process: what it needs anyway, and what each sink may hold in its window.
const (
	base    = 52 << 20
	perSink = 20 << 20
)

// percent is how much the heap may grow between collections as long as it stays under the limit.
const percent = 400

// The limit gives way to what is in use: it leaves a share of that, and what is not heap. Without room the collector would
// run all the time; and the embedded store keeps the file it writes to in memory only until a collection, and then reads it again.
const (
	room    = 0.5
	notHeap = 8 << 20
	step    = 8 << 20 // the limit is a multiple of it, so that it seldom changes
)

// every is how often Apply looks at what is in use.
const every = time.Second

// Apply lets the heap grow further between collections than Go does by itself, because it is
// small here and most of it is garbage, and bounds it at the same time. Until ctx ends the bound follows
// what is in use where that is more than expected. GOGC and GOMEMLIMIT in the environment win.
func Apply(ctx context.Context, sinks int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	current := limit(sinks, 0)
	debug.SetMemoryLimit(current)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if next := limit(sinks, inUse()); next != current {
				current = next
				debug.SetMemoryLimit(current)
			}
		}
	}()
}

// limit is for so many sinks and bytes of heap in use.
func limit(sinks int, live int64) int64 {
	needed := live + int64(room*float64(live)) + notHeap
	return max(base+perSink*int64(sinks), (needed+step-1)/step*step)
}

// inUse is what the last collection found.
func inUse() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
