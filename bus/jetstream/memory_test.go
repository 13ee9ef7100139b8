package jetstream_test

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/jetstream"
)

// TestABacklogTakesNoMemory lets messages pile up for a group that settles nothing, beside one that does. What waits is on the
// disk: once the store has let go of the files that it had just written, nothing is left of it in memory.
func TestABacklogTakesNoMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("the store keeps what it has written for ten seconds")
	}
	const messages, most = 20_000, 640 << 10 // bytes, 32 a message
	b, err := jetstream.OpenEmbedded(t.Context(), jetstream.Embedded{DataDir: t.TempDir(), Sync: jetstream.SyncInterval})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	if _, err := b.Declare(t.Context(), bus.Topic{Name: "events", Groups: []string{"healthy", "stuck"}}); err != nil {
		t.Fatal(err)
	}
	window := bus.Window{Messages: 10, Bytes: 1 << 20}
	healthy, err := b.Subscriber("healthy", window).Subscribe(t.Context(), "events")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for m := range healthy {
			m.Ack()
		}
	}()
	stuck, err := b.Subscriber("stuck", window).Subscribe(t.Context(), "events")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range stuck { // holds them all
		}
	}()
	payload := make([]byte, 1000)
	inUse := func() int64 {
		for range 4 { // what is weak or pooled goes with the third
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := inUse()
	for range messages {
		m := message.NewMessage(uuid.NewString(), payload)
		m.Metadata = message.Metadata{bus.MetaEvents: strconv.Itoa(1)}
		if err := b.Publisher().Publish("events", m); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		now := inUse()
		if now <= before+most {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d KB in use before, %d KB with %d messages", before>>10, now>>10, messages)
		}
	}
	if st, err := b.Stats(t.Context(), "events", "stuck"); err != nil || st.PendingEvents != messages {
		t.Errorf("%+v, %v: not all of them wait", st, err)
	}
}
