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

// TestDiskFull fills the file system under the bus and frees it again. It mounts a small
// file system in memory, which needs root.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	small := filepath.Join(dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	faults.MountFor(t, small, 48<<20)
	addr := freeAddr(t)
	p := launch(t, dir, fmt.Sprintf(`
bus: {embedded: {data_dir: small/bus, sync: always, max_bytes: 1GB, min_free: 1MB}}
sources:
  web: {http: {listen: %q}}
sinks:
  archive:
    file: {path: events.ndjson}
    needs: []
`, addr), addr)
	client := &http.Client{Timeout: 10 * time.Second}
	accepted := map[string]bool{}
	send := func(id string) int {
		status := post(t.Context(), client, addr, fmt.Sprintf(`{"name":"page_view","message_id":%q}`, id))
		if status >= 200 && status < 300 {
			accepted[id] = true
		}
		return status
	}
	for i := range 100 {
		if status := send(fmt.Sprintf("before%d", i)); status > 299 {
			t.Fatalf("status %d with free space", status)
		}
	}
	ballast := filepath.Join(small, "ballast")
	if err := faults.Fill(ballast); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range 30 {
		status := send(fmt.Sprintf("full%d", i))
		switch {
		case status == http.StatusServiceUnavailable:
			refused++
		case status < 200 || status > 299:
			t.Errorf("status %d on a full disk, want 503", status)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if refused < 20 {
		t.Errorf("only %d of 30 refused on a full disk", refused)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	freed := time.Now()
	defer func() { t.Log(p.Stderr) }()
	eventually(t, 30*time.Second, "events accepted again", func() bool { return send(fmt.Sprintf("after%d", time.Now().UnixNano())) < 300 })
	t.Logf("accepting again %s after the disk was freed; %d of 30 refused meanwhile", time.Since(freed).Round(time.Millisecond), refused)
	file := filepath.Join(dir, "events.ndjson")
	eventually(t, 40*time.Second, "every accepted event delivered", func() bool {
		got := archived(t, file)
		for id := range accepted {
			if got[id] == 0 {
				return false
			}
		}
		return true
	})
	p.stop()
	if strings.Contains(p.Stderr.String(), "panic") {
		t.Errorf("panic:\n%s", p.Stderr)
	}
}
