package memlimit

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimit(t *testing.T) {
	for _, c := range []struct {
		sinks      int
		live, want int64 // MB
	}{
		{sinks: 1, want: 72},
		{sinks: 1, live: 42, want: 72},
		{sinks: 1, live: 45, want: 80},
		{sinks: 2, live: 75, want: 128},
		{sinks: 10, live: 75, want: 252},
	} {
		if got := limit(c.sinks, c.live<<20) >> 20; got != c.want {
			t.Errorf("%d sinks, %d MB in use: %d MB, want %d", c.sinks, c.live, got, c.want)
		}
	}
}

// TestLimitFollowsWhatIsInUse holds more than the limit would be, and lets go of it again.
func TestLimitFollowsWhatIsInUse(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(name, "") // brings back what it was
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	before, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	defer debug.SetMemoryLimit(before)
	defer debug.SetGCPercent(percent)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		Apply(ctx, 1)
		look := func() int64 {
			runtime.GC()
			time.Sleep(every + every/2)
			synctest.Wait()
			return debug.SetMemoryLimit(-1) >> 20
		}
		if got := look(); got != 72 {
			t.Errorf("at first %d MB", got)
		}
		ballast := make([]byte, 100<<20)
		if got := look(); got < 150 || got > 200 {
			t.Errorf("%d MB while 100 MB are in use", got)
		}
		runtime.KeepAlive(ballast)
		if got := look(); got != 72 {
			t.Errorf("afterwards %d MB", got)
		}
	})
}

func TestEnvironmentWins(t *testing.T) {
	t.Setenv("GOGC", "100")
	t.Setenv("GOMEMLIMIT", "1GiB")
	before := debug.SetMemoryLimit(-1)
	synctest.Test(t, func(t *testing.T) {
		Apply(t.Context(), 1)
		time.Sleep(2 * every)
	})
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("the limit went from %d to %d", before, got)
	}
}
