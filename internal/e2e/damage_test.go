package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack/internal/faults"
)

// numbers finds the parameter n of each event in a Measurement Protocol body.
func numbers(body []byte) []string {
	var b struct {
		Events []struct {
			Params struct {
				N json.Number `json:"n"`
			} `json:"params"`
		} `json:"events"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return []string{"unreadable: " + err.Error()}
	}
	ids := make([]string, len(b.Events))
	for i, e := range b.Events {
		ids[i] = e.Params.N.String()
	}
	return ids
}

// backlog starts a process whose only sink is down, gets n events accepted and kills it. It returns how
// to start it again.
func backlog(t *testing.T, dir, busDir string, n int) (back *faults.Backend, config, addr string) {
	t.Helper()
	back = faults.NewBackend(faults.Status(http.StatusServiceUnavailable), numbers)
	t.Cleanup(back.Close)
	addr = freeAddr(t)
	config = fmt.Sprintf(`
bus: {embedded: {data_dir: %q, sync: always, max_bytes: 1GB, min_free: 1MB}}
sources:
  web: {http: {listen: %q}}
sinks:
  google:
    ga4: {measurement_id: G-TEST1234, api_secret: abc, endpoint: %q}
    needs: []
    delivery: {breaker: {failures: 5, pause: 1s}}
`, busDir, addr, back.URL)
	p := launch(t, dir, config, addr)
	sendNumbers(t, addr, 0, n)
	p.Kill()
	return back, config, addr
}

// sendNumbers sends events with the numbers from first to first+n-1, each in its own request.
func sendNumbers(t *testing.T, addr string, first, n int) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for i := first; i < first+n; i++ {
		if status := post(t.Context(), client, addr, fmt.Sprintf(`{"name":"page_view","visitor":{"client_id":"1.2"},"params":{"n":%d}}`, i)); status < 200 || status > 299 {
			t.Fatalf("status %d for event %d", status, i)
		}
	}
}

// TestDamagedMessages damages the file that holds accepted events. The process says where and how many
// are lost, delivers what can be read, and takes and delivers new events as ever.
func TestDamagedMessages(t *testing.T) {
	for name, damage := range map[string]func(string) error{
		"flipped bits": func(file string) error { return faults.Flip(file, 30_000, 40) },
		"file gone":    os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			back, config, addr := backlog(t, dir, "bus", 300)
			stored, err := filepath.Glob(filepath.Join(dir, "bus/jetstream/*/streams/sidetrack-events/msgs/1.blk"))
			if err != nil || len(stored) != 1 {
				t.Fatal(stored, err)
			}
			if err := damage(stored[0]); err != nil {
				t.Fatal(err)
			}
			back.Set(faults.OK)
			p := launch(t, dir, config, addr)
			sendNumbers(t, addr, 1000, 20)
			eventually(t, 30*time.Second, "new events delivered", func() bool {
				taken := back.Taken()
				for i := 1000; i < 1020; i++ {
					if taken[strconv.Itoa(i)] == 0 {
						return false
					}
				}
				return true
			})
			p.stop()
			old := len(back.Taken()) - 20
			said := p.Stderr.String()
			if !strings.Contains(said, fmt.Sprintf("lost_events=%d", 300-old)) || !strings.Contains(said, filepath.Join(dir, "bus")) {
				t.Errorf("%d of 300 events could be read; the log:\n%s", old, said)
			}
		})
	}
}

// TestReadOnlyDirectory turns the file system of a bus with a backlog read-only. The process
// does not start and says why; afterwards nothing is missing.
func TestReadOnlyDirectory(t *testing.T) {
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	faults.MountFor(t, disk, 64<<20)
	back, config, addr := backlog(t, dir, filepath.Join(disk, "bus"), 50)
	if err := faults.SetReadOnly(disk, true); err != nil {
		t.Fatal(err)
	}
	p := begin(t, dir, config)
	select {
	case <-p.Exited():
	case <-time.After(40 * time.Second):
		t.Fatalf("still running on a read-only disk:\n%s", p.Stderr)
	}
	if said := p.Stderr.String(); p.ExitCode() != 1 || !strings.Contains(said, filepath.Join(disk, "bus")) ||
		!strings.Contains(said, "read-only") || strings.Contains(said, "goroutine") {
		t.Errorf("exit code %d:\n%s", p.ExitCode(), said)
	}
	if err := faults.SetReadOnly(disk, false); err != nil {
		t.Fatal(err)
	}
	back.Set(faults.OK)
	q := launch(t, dir, config, addr)
	eventually(t, 30*time.Second, "everything delivered", func() bool { return len(back.Taken()) == 50 })
	q.stop()
}
