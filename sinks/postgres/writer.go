package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/columns"
)

// writer writes units over a pool of connections, which it opens when it is first needed. It is safe for concurrent use.
type writer struct {
	target target
	create bool
	config *pgxpool.Config

	mu     sync.Mutex
	pool   *pgxpool.Pool
	plan   *plan // nil: the table has to be looked at
	closed bool

	free sync.Pool // of *lines of the current plan
}

// plan is what is known of the table, and the statements that follow from it. It is read-only.
type plan struct {
	has    []bool // columns of the layout
	begin  string
	copy   string
	finish string
}

func newWriter(cfg Config, pool *pgxpool.Config) *writer {
	return &writer{target: target{cfg.Schema, cfg.Table}, create: cfg.Create, config: pool}
}

// rollbackTime is how long a connection is given to come back to order after an error.
const rollbackTime = 2 * time.Second

// Write puts the events of the unit that the table does not have into it, in one transaction.
func (w *writer) Write(ctx context.Context, u sidetrack.Unit) error {
	conn, err := w.acquire(ctx)
	if err != nil {
		return classify(err, u)
	}
	defer conn.Release() // which closes it unless it is in order
	p, err := w.planned(ctx, conn.Conn().PgConn())
	if err != nil {
		return classify(err, u)
	}
	l := newLines(p.has)
	if kept, ok := w.free.Get().(*lines); ok && samePlan(kept.has, p.has) {
		l = kept
	}
	l.buf = l.buf[:0]
	var failed map[int]error
	for i, e := range u.Events {
		if err := l.add(e); err != nil {
			if failed == nil {
				failed = map[int]error{}
			}
			failed[i] = err
		}
	}
	if len(failed) < len(u.Events) {
		if err := w.insert(ctx, conn.Conn().PgConn(), p, l.buf); err != nil {
			w.doubt(err)
			return classify(err, u)
		}
	}
	if cap(l.buf) <= 8<<20 {
		w.free.Put(l)
	}
	if failed != nil {
		return &sidetrack.PartialError{Failed: failed}
	}
	return nil
}

func samePlan(a, b []bool) bool { return len(a) == len(b) && &a[0] == &b[0] }

func (w *writer) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil, errors.New("closed")
	}
	if w.pool == nil {
		pool, err := pgxpool.NewWithConfig(context.Background(), w.config)
		if err != nil {
			w.mu.Unlock()
			return nil, err
		}
		w.pool = pool
	}
	pool := w.pool
	w.mu.Unlock()
	return pool.Acquire(ctx)
}

// insert runs the transaction: three round trips.
func (w *writer) insert(ctx context.Context, conn *pgconn.PgConn, p *plan, lines []byte) error {
	err := exec(ctx, conn, p.begin)
	if err == nil {
		_, err = conn.CopyFrom(ctx, bytes.NewReader(lines), p.copy)
	}
	if err == nil {
		err = exec(ctx, conn, p.finish)
	}
	if err != nil && !conn.IsClosed() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
		defer cancel()
		_ = exec(ctx, conn, "ROLLBACK") // if it fails the connection is closed on release
	}
	return err
}

// exec runs statements that return nothing of interest.
func exec(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	_, err := conn.Exec(ctx, sql).ReadAll()
	return err
}

// doubt has the table looked at again after an error that says it is not what it was.
func (w *writer) doubt(err error) {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && strings.HasPrefix(pg.Code, "42") {
		w.mu.Lock()
		w.plan = nil
		w.mu.Unlock()
	}
}

// planned returns the plan, and makes it from the table when there is none.
func (w *writer) planned(ctx context.Context, conn *pgconn.PgConn) (*plan, error) {
	w.mu.Lock()
	p := w.plan
	w.mu.Unlock()
	if p != nil {
		return p, nil
	}
	if w.create {
		if err := w.createTable(ctx, conn); err != nil {
			return nil, err
		}
	}
	has, key, err := w.inspect(ctx, conn)
	if err != nil {
		return nil, err
	}
	p, err = w.planFor(has, key)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.plan = p
	w.mu.Unlock()
	return p, nil
}

// planFor makes the statements. key is the columns of the unique index that tells events apart.
func (w *writer) planFor(has []bool, key []string) (*plan, error) {
	var names []string
	for i, c := range layout {
		if has[i] {
			names = append(names, quote(c.Name))
		} else if c.Name == "id" || c.Name == "rest" {
			return nil, sidetrack.Misconfiguration(fmt.Errorf("postgres: table %s has no column %s: create: true adds it", w.target, c.Name))
		}
	}
	if len(key) == 0 {
		return nil, sidetrack.Misconfiguration(fmt.Errorf("postgres: table %s has no unique index on id (or on id and the columns it is partitioned by), without which events that come twice would be two rows", w.target))
	}
	for i := range key {
		key[i] = quote(key[i])
	}
	list := strings.Join(names, ", ")
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, w.target, list)
	stage := quote(fmt.Sprintf("sidetrack_%016x", h.Sum64())) // another table or list of columns has another one
	return &plan{
		has: has,
		begin: fmt.Sprintf("BEGIN; SET LOCAL client_min_messages = warning; CREATE TEMPORARY TABLE IF NOT EXISTS %s ON COMMIT DELETE ROWS AS SELECT %s FROM %s WITH NO DATA",
			stage, list, w.target),
		copy:   fmt.Sprintf("COPY pg_temp.%s (%s) FROM STDIN", stage, list),
		finish: fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM pg_temp.%s ON CONFLICT (%s) DO NOTHING; COMMIT", w.target, list, list, stage, strings.Join(key, ", ")),
	}, nil
}

// inspect reads which columns the table has, and the smallest unique index that tells events apart: on id, or on id and the columns
// that a partitioned table needs in it.
func (w *writer) inspect(ctx context.Context, conn *pgconn.PgConn) (has []bool, key []string, err error) {
	const columnsOf = `SELECT attname FROM pg_catalog.pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`
	const keysOf = `SELECT string_agg(a.attname, chr(10) ORDER BY k.n) FROM pg_catalog.pg_index i
CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, n)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = $1::text::regclass AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
AND k.n <= i.indnkeyatts GROUP BY i.indexrelid ORDER BY count(*), 1`
	names, err := w.query(ctx, conn, columnsOf)
	if err != nil {
		return nil, nil, err
	}
	has = make([]bool, len(layout))
	position := map[string]int{}
	for i, c := range layout {
		position[c.Name] = i
	}
	for _, n := range names {
		if i, ok := position[n]; ok {
			has[i] = true
		}
	}
	keys, err := w.query(ctx, conn, keysOf)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range keys {
		if list := strings.Split(k, "\n"); usable(list, position) {
			return has, list, nil
		}
	}
	return has, nil, nil
}

// usable reports whether an index on these columns tells events apart: two rows with an id differ in nothing else.
func usable(key []string, position map[string]int) bool {
	id := false
	for _, name := range key {
		i, ours := position[name]
		if !ours {
			return false
		}
		id = id || layout[i].Kind == columns.ID
	}
	return id
}

// query returns the first column of what a statement about the table gives.
func (w *writer) query(ctx context.Context, conn *pgconn.PgConn, sql string) ([]string, error) {
	r := conn.ExecParams(ctx, sql, [][]byte{[]byte(w.target.String())}, nil, nil, nil).Read()
	if r.Err != nil {
		return nil, r.Err
	}
	var out []string
	for _, row := range r.Rows {
		out = append(out, string(row[0]))
	}
	return out, nil
}

// createTable makes what is missing. Several processes may do so at once.
func (w *writer) createTable(ctx context.Context, conn *pgconn.PgConn) error {
	has, key, err := w.inspect(ctx, conn)
	complete := err == nil && len(key) > 0
	for _, there := range has {
		complete = complete && there
	}
	if complete {
		return nil // it may be that somebody else made it, and that we must not
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); err != nil && (!ok || pg.Code != "42P01" && pg.Code != "3F000") {
		return err
	}
	steps := []string{"BEGIN; SET LOCAL client_min_messages = warning; SELECT pg_catalog.pg_advisory_xact_lock(7310868, 1)"}
	if err != nil { // there is no table
		if pg, _ := errors.AsType[*pgconn.PgError](err); pg.Code == "3F000" {
			steps = append(steps, "CREATE SCHEMA IF NOT EXISTS "+quote(w.target.schema))
		}
		steps = append(steps, DDL(w.target.schema, w.target.table))
	} else if add := addColumns(w.target, has); add != "" {
		steps = append(steps, add)
	}
	for _, sql := range append(steps, "COMMIT") {
		if err := exec(ctx, conn, sql); err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
			defer cancel()
			_ = exec(ctx, conn, "ROLLBACK")
			return err
		}
	}
	return nil
}

// close waits for connections that are in use and closes all.
func (w *writer) close() error {
	w.mu.Lock()
	pool := w.pool
	w.pool, w.closed = nil, true
	w.mu.Unlock()
	if pool != nil {
		pool.Close()
	}
	return nil
}
