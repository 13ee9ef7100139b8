package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack/internal/faults"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// ledgerOf reads the ledger, of the running process or of the store, and checks that it balances.
func ledgerOf(t *testing.T, dir string) (l pipeline.Ledger, sinks map[string]pipeline.SinkLedger) {
	t.Helper()
	if err := json.Unmarshal([]byte(command(t, dir, "ledger", "--output", "json")), &l); err != nil {
		t.Fatal(err)
	}
	sinks = map[string]pipeline.SinkLedger{}
	for _, s := range l.Sinks {
		sinks[s.Sink] = s
		ended := s.Delivered + s.Uncertain + s.Pending
		for _, column := range []map[string]int64{counts(s.Dropped), counts(s.Filtered), counts(s.Withheld), counts(s.Dead), counts(s.Expired)} {
			for _, n := range column {
				ended += n
			}
		}
		if s.Accepted+s.Replayed+s.Repeated != ended {
			t.Errorf("the ledger of %s does not balance: %+v", s.Sink, s)
		}
	}
	return l, sinks
}

func counts[R ~string](m map[R]int64) map[string]int64 {
	out := map[string]int64{}
	for r, n := range m {
		out[string(r)] = n
	}
	return out
}

// TestBacklog has one backend down while three times as much comes in as the bus keeps: that sink
// expires its oldest events, nobody is refused, the other sink gets everything. Then the process is
// killed in the middle of more, and the ledger still balances.
func TestBacklog(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr(t)
	backend := faults.NewBackend(faults.Status(500), func([]byte) []string { return nil })
	defer backend.Close()
	config := fmt.Sprintf(`
bus: {embedded: {data_dir: bus, sync: interval, max_bytes: 205MB}}
dead_letters: {max_bytes: 10MB}
sources: {web: {http: {listen: %q}}}
sinks:
  archive: {file: {path: events.ndjson, rotate: {size: 0}}, needs: []}
  down:
    ga4: {measurement_id: G-TEST123456, api_secret: x, endpoint: %q}
    needs: []
`, addr, backend.URL)
	p := launch(t, dir, config, addr)
	title := strings.Repeat("boots and socks ", 60)
	refused := 0
	var mu sync.Mutex
	send := func(ctx context.Context, prefix string, requests, each int) (accepted int) {
		work := make(chan int)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range work {
					events := make([]string, each)
					for j := range events {
						events[j] = fmt.Sprintf(`{"name":"page_view","message_id":"%s%d-%d","page":{"title":%q},"visitor":{"client_id":"c%d"}}`, prefix, i, j, title, i)
					}
					status := post(ctx, http.DefaultClient, addr, "["+strings.Join(events, ",")+"]")
					mu.Lock()
					switch status {
					case 200, 204:
						accepted += each
					case 503:
						refused++
					}
					mu.Unlock()
				}
			})
		}
		for i := range requests {
			select {
			case work <- i:
			case <-ctx.Done():
			}
		}
		close(work)
		wg.Wait()
		return accepted
	}
	const requests, each = 450, 100 // about 55 MB, the events topic has 20
	accepted := send(t.Context(), "a", requests, each)
	if refused > 0 || accepted != requests*each {
		t.Errorf("%d events accepted of %d, %d requests refused\n%s", accepted, requests*each, refused, p.Stderr)
	}
	eventually(t, 30*time.Second, "the other sink has everything", func() bool { return len(archived(t, filepath.Join(dir, "events.ndjson"))) == accepted })
	l, sinks := ledgerOf(t, dir)
	if down := sinks["down"]; l.Accepted != int64(accepted) || down.Expired["max_backlog"] == 0 || down.Pending < 5000 || len(sinks["archive"].Expired) > 0 {
		t.Errorf("accepted %d of %d; %+v", l.Accepted, accepted, sinks)
	}
	t.Logf("before the kill: down has %d pending, %d expired", sinks["down"].Pending, sinks["down"].Expired["max_backlog"])

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	go func() { time.Sleep(700 * time.Millisecond); p.Kill() }()
	accepted += send(ctx, "b", 100_000, 10)
	<-p.Exited()
	began := time.Now()
	p = launch(t, dir, config, addr)
	t.Logf("listening %s after the start", time.Since(began).Round(time.Millisecond))
	eventually(t, 30*time.Second, "the other sink has everything", func() bool {
		_, sinks = ledgerOf(t, dir)
		return sinks["archive"].Pending == 0
	})
	l, sinks = ledgerOf(t, dir)
	if l.Accepted < int64(accepted) || l.Crashes != 1 {
		t.Errorf("%d accepted by the ledger, %d by the clients; %d crashes", l.Accepted, accepted, l.Crashes)
	}
	if got := len(archived(t, filepath.Join(dir, "events.ndjson"))); int64(got) < sinks["archive"].Delivered-sinks["archive"].Repeated {
		t.Logf("%d ids in the file, as requests repeat them", got)
	}
	t.Logf("after the kill: accepted %d, archive %+v, down pending %d uncertain %d repeated %d", l.Accepted, sinks["archive"], sinks["down"].Pending, sinks["down"].Uncertain, sinks["down"].Repeated)
	p.stop()
	_, stopped := ledgerOf(t, dir)
	if stopped["down"].Pending == 0 || stopped["archive"].Pending != 0 {
		t.Errorf("after a stop: %+v", stopped)
	}
}
