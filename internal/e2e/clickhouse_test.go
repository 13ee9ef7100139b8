package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack/internal/clickhousefake"
	"github.com/sidetrack-go/sidetrack/sinks/clickhouse"
)

// TestKillBeforeClickHouse kills the process that inserts with SIGKILL under load, and takes the server away in the middle of a
// round. In the end the table holds every event that was accepted, once for SELECT … FINAL. How often one lies there
// physically is bounded by what a kill leaves in doubt.
func TestKillBeforeClickHouse(t *testing.T) {
	rounds := *kills / 2
	if testing.Short() {
		rounds = 3
	}
	const table = "web.events"
	s := clickhousefake.New(clickhousefake.Config{User: "sidetrack", Password: "pass-4711", Databases: []string{"web"}, Delay: 20 * time.Millisecond})
	defer s.Close()
	if err := s.Exec(clickhouse.DDL("web", "events")); err != nil {
		t.Fatal(err)
	}
	dir, addr := t.TempDir(), freeAddr(t)
	config := fmt.Sprintf(`
bus: {embedded: {data_dir: bus, sync: interval}}
sources:
  web: {http: {listen: %q}}
sinks:
  own:
    clickhouse: {url: %q, user: sidetrack, password: pass-4711, database: web}
    needs: []
    delivery: {breaker: {failures: 5, pause: 1s}}
`, addr, s.URL)
	var mu sync.Mutex
	accepted := map[string]bool{}
	var n atomic.Int64
	repeats := func() int {
		rows, distinct := s.Rows(table), map[string]bool{}
		for _, r := range rows {
			distinct[r["message_id"]] = true
		}
		return len(rows) - len(distinct)
	}
	allowed, before, acceptedBefore := 0, 0, 0
	for round := range rounds {
		p := launch(t, dir, config, addr)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 8 {
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
		time.Sleep(100*time.Millisecond + rand.N(500*time.Millisecond))
		if round%2 == 1 {
			s.Down(true)
			time.Sleep(200 * time.Millisecond)
			s.Down(false)
		}
		time.Sleep(rand.N(300 * time.Millisecond))
		p.Kill()
		took := time.Since(began)
		cancel()
		wg.Wait()
		t.Logf("kill %d: %d accepted so far, %d in the table, %d physical repeats in this round", round+1, len(accepted), len(s.Final(table)), repeats()-before)
		before = repeats()
		// What a kill may repeat: the units in flight, and the acks of the last tenth of a second, which a busy disk may stretch.
		allowed += 4*500 + int(float64(len(accepted)-acceptedBefore)/took.Seconds()*0.3)
		acceptedBefore = len(accepted)
	}
	p := launch(t, dir, config, addr)
	missing := func() (n int) {
		got := map[string]bool{}
		for _, r := range s.Rows(table) {
			got[r["message_id"]] = true
		}
		for id := range accepted {
			if !got[id] {
				n++
			}
		}
		return n
	}
	for deadline := time.Now().Add(60 * time.Second); missing() > 0 && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	p.stop()
	if lost := missing(); lost > 0 || len(accepted) == 0 {
		t.Errorf("%d of %d accepted events were lost", lost, len(accepted))
	}
	times := map[string]int{}
	for _, r := range s.Final(table) {
		times[r["message_id"]]++
	}
	for id, n := range times {
		if n > 1 {
			t.Errorf("%s is there %d times for SELECT … FINAL", id, n)
		}
	}
	t.Logf("%d kills, %d accepted, %d with FINAL, %d physical repeats, %d inserts", rounds, len(accepted), len(times), repeats(), len(s.Inserts()))
	if repeats() > allowed {
		t.Errorf("%d physical repeats, at most %d expected", repeats(), allowed)
	}
}
