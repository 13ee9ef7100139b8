package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var kills = flag.Int("kills", 20, "how often TestKill kills the process")

// TestKill kills the process with SIGKILL at random moments under load and checks
// that everything it had answered with success is delivered in the end.
func TestKill(t *testing.T) {
	if testing.Short() {
		*kills = 3
	}
	dir, addr := t.TempDir(), freeAddr(t)
	config := fmt.Sprintf(`
bus: {embedded: {data_dir: bus, sync: always}}
sources:
  web: {http: {listen: %q}}
sinks:
  archive:
    file: {path: events.ndjson}
    needs: []
`, addr)
	file := filepath.Join(dir, "events.ndjson")
	var mu sync.Mutex
	accepted := map[string]bool{}
	var n atomic.Int64
	repeatsBefore, acceptedBefore, allowed := 0, 0, 0
	for round := range *kills {
		p := launch(t, dir, config, addr)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				client := &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}
				defer client.CloseIdleConnections()
				for ctx.Err() == nil {
					id := fmt.Sprintf("m%d", n.Add(1))
					status := post(ctx, client, addr, fmt.Sprintf(`{"name":"page_view","message_id":%q}`, id))
					if status >= 200 && status < 300 {
						mu.Lock()
						accepted[id] = true
						mu.Unlock()
					}
				}
			})
		}
		began := time.Now()
		time.Sleep(100*time.Millisecond + rand.N(900*time.Millisecond))
		p.Kill()
		took := time.Since(began)
		cancel()
		wg.Wait()
		got := archived(t, file)
		repeats := 0
		for _, c := range got {
			repeats += c - 1
		}
		t.Logf("kill %d: %d accepted so far, %d in the file, %d repeats in this round", round+1, len(accepted), len(got), repeats-repeatsBefore)
		repeatsBefore = repeats
		// What a kill may repeat: the unit in flight, and the acks of the last tenth of a second, which
		// a busy disk may stretch.
		allowed += 500 + int(float64(len(accepted)-acceptedBefore)/took.Seconds()*0.3)
		acceptedBefore = len(accepted)
	}
	p := launch(t, dir, config, addr)
	missing := func() (n int) {
		got := archived(t, file)
		for id := range accepted {
			if got[id] == 0 {
				n++
			}
		}
		return n
	}
	for deadline := time.Now().Add(30 * time.Second); missing() > 0 && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	p.stop()
	if lost := missing(); lost > 0 || len(accepted) == 0 {
		t.Errorf("%d of %d accepted events were lost", lost, len(accepted))
	}
	got, repeats := archived(t, file), 0
	for _, c := range got {
		repeats += c - 1
	}
	t.Logf("%d kills, %d accepted, %d delivered, %d repeats", *kills, len(accepted), len(got), repeats)
	if repeats > allowed {
		t.Errorf("%d repeats, at most %d expected", repeats, allowed)
	}
}
