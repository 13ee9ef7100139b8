package jetstream_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/bustest"
	"github.com/sidetrack-go/sidetrack/bus/bustest/watermilltest"
	"github.com/sidetrack-go/sidetrack/bus/jetstream"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The server keeps these for the life of the process.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.init.0.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.init.1.func1"),
	)
}

const ackWait = 600 * time.Millisecond

func openAt(t *testing.T, dir, sync string) *jetstream.Bus {
	t.Helper()
	b, err := jetstream.OpenEmbedded(t.Context(), jetstream.Embedded{DataDir: dir, Sync: sync, MaxBytes: 1 << 30, MinFree: 1, AckWait: ackWait})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestContract(t *testing.T) {
	for _, sync := range []string{jetstream.SyncAlways, jetstream.SyncInterval} {
		t.Run(sync, func(t *testing.T) {
			dirs := map[bus.Bus]string{}
			bustest.Run(t, bustest.Harness{
				AckWait: ackWait,
				Open: func(t *testing.T) bus.Bus {
					dir := t.TempDir()
					b := openAt(t, dir, sync)
					dirs[b] = dir
					return b
				},
				Reopen: func(t *testing.T, b bus.Bus) bus.Bus {
					if err := b.Close(); err != nil {
						t.Fatal(err)
					}
					return openAt(t, dirs[b], sync)
				},
			})
		})
	}
}

func TestOneOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bus")
	b := openAt(t, dir, jetstream.SyncInterval)
	_, err := jetstream.OpenEmbedded(t.Context(), jetstream.Embedded{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second owner: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := openAt(t, dir, jetstream.SyncInterval).Close(); err != nil {
		t.Error(err)
	}
}

func TestWatermill(t *testing.T) {
	watermilltest.Run(t, func(t *testing.T) bus.Bus { return openAt(t, t.TempDir(), jetstream.SyncInterval) })
}
