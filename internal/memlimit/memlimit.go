// Package memlimit sets how much memory the garbage collector may trade for less work.
package memlimit

import (
	"os"
	"runtime/debug"
)

// Memory of the process: what it needs anyway, and what each sink may hold in its window.
const (
	base    = 52 << 20
	perSink = 20 << 20
)

// percent is how much the heap may grow between collections as long as it stays under the limit.
const percent = 400

// Apply lets the heap grow further between collections than Go does by itself, because it is
// small here and most of it is garbage, and bounds it at the same time. GOGC and
// GOMEMLIMIT in the environment win.
func Apply(sinks int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(base + perSink*sinks))
	}
}
