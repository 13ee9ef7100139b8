package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack/internal/faults"
)

// TestFileSinkOnAFullDisk fills the disk that the file sink writes to while the bus is on another one.
// Events are accepted all the time; once there is room they are in the file, each on a whole line.
func TestFileSinkOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	small := filepath.Join(dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	faults.MountFor(t, small, 1<<20)
	addr := freeAddr(t)
	p := launch(t, dir, fmt.Sprintf(`
bus: {embedded: {data_dir: bus, sync: interval, min_free: 1MB}}
sources:
  web: {http: {listen: %q}}
sinks:
  archive:
    file: {path: small/events.ndjson}
    needs: []
    delivery: {breaker: {failures: 5, pause: 1s}}
`, addr), addr)
	client := &http.Client{Timeout: 10 * time.Second}
	sent := 0
	send := func(n int) {
		t.Helper()
		for range n {
			body := fmt.Sprintf(`{"name":"page_view","message_id":"m%d","params":{"text":%q}}`, sent, strings.Repeat("long ", 300))
			if status := post(t.Context(), client, addr, body); status < 200 || status > 299 {
				t.Fatalf("status %d for event %d", status, sent)
			}
			sent++
		}
	}
	file := filepath.Join(small, "events.ndjson")
	send(50)
	eventually(t, 20*time.Second, "events in the file", func() bool { return len(archived(t, file)) == 50 })
	// Leave room for an event and a half, so that a write ends in the middle of a line.
	ballast := filepath.Join(small, "ballast")
	if err := faults.Fill(ballast); err != nil {
		t.Fatal(err)
	}
	send(100)
	time.Sleep(2 * time.Second)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	send(20)
	eventually(t, 60*time.Second, "every event in the file", func() bool { return len(archived(t, file)) == sent })
	p.stop()
	if strings.Contains(p.Stderr.String(), "panic") {
		t.Errorf("panic:\n%s", p.Stderr)
	}
	for id, n := range archived(t, file) {
		if n > 1 {
			t.Errorf("%s is there %d times: what was taken back after a failed write came again", id, n)
		}
	}
}
