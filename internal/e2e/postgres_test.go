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

	"github.com/jackc/pgx/v5"

	"github.com/sidetrack-go/sidetrack/internal/pgtest"
)

// TestPostgresKill kills the process with SIGKILL and the database as pg_ctl stop -m immediate does, in turns and at random
// moments under load: everything that was answered with success is one row in the end.
func TestPostgresKill(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 3
	}
	db := pgtest.Start(t, "synchronous_commit=on")
	dir, addr := t.TempDir(), freeAddr(t)
	config := fmt.Sprintf(`
bus: {embedded: {data_dir: bus, sync: always}}
sources:
  web: {http: {listen: %q}}
sinks:
  copy:
    postgres: {url: %q, create: true}
    needs: []
    delivery: {breaker: {failures: 5, pause: 100ms}}
`, addr, db.URL(nil))
	var mu sync.Mutex
	accepted := map[string]bool{}
	var n atomic.Int64
	p := launch(t, dir, config, addr)
	for round := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				client := &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}
				defer client.CloseIdleConnections()
				for ctx.Err() == nil {
					id := fmt.Sprintf("m%d", n.Add(1))
					if status := post(ctx, client, addr, fmt.Sprintf(`{"name":"page_view","message_id":%q}`, id)); status >= 200 && status < 300 {
						mu.Lock()
						accepted[id] = true
						mu.Unlock()
					}
				}
			})
		}
		time.Sleep(200*time.Millisecond + rand.N(800*time.Millisecond))
		process, database := round%3 != 1, round%3 != 0
		if database {
			db.Kill()
		}
		if process {
			p.Kill()
		}
		time.Sleep(rand.N(300 * time.Millisecond)) // the other one goes on
		if database {
			db.Restart()
		}
		cancel()
		wg.Wait()
		if process {
			p = launch(t, dir, config, addr)
		}
	}
	var rows, events, found int
	conn := db.Connect()
	read := func() {
		ids := make([]string, 0, len(accepted))
		for id := range accepted {
			ids = append(ids, id)
		}
		err := conn.QueryRow(t.Context(), `select count(*), count(distinct message_id), count(*) filter (where message_id = any($1)) from events`,
			pgx.QueryExecModeSimpleProtocol, ids).Scan(&rows, &events, &found)
		if err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if read(); found >= len(accepted) {
			break
		}
	}
	p.stop()
	read()
	t.Logf("%d rounds, %d accepted, %d rows", rounds, len(accepted), rows)
	if found != len(accepted) || len(accepted) == 0 {
		t.Errorf("%d of %d accepted events are rows", found, len(accepted))
	}
	if rows != events {
		t.Errorf("%d rows of %d events", rows, events)
	}
}
