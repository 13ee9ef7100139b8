package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/columns"
	"github.com/sidetrack-go/sidetrack/internal/pgtest"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

// BenchmarkWrite compares what the sink does with the ways that are easier to write. One operation is one event.
func BenchmarkWrite(b *testing.B) {
	s := pgtest.Start(b, "fsync=on", "max_wal_size=4GB")
	conn := s.Connect()
	samples := sinktest.Samples()
	serial := 0
	fresh := func(n int) []*sidetrack.Event {
		out := make([]*sidetrack.Event, n)
		for i := range out {
			serial++
			e := *samples[serial%len(samples)]
			e.ID, e.Visitor.ClientID = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, serial)), fmt.Sprint("client-", serial/10)
			out[i] = &e
		}
		return out
	}
	measure := func(name string, size int, write func(b *testing.B, unit []*sidetrack.Event)) {
		b.Run(fmt.Sprintf("%s/unit=%d", name, size), func(b *testing.B) {
			unit := fresh(size)
			b.ResetTimer()
			for done := 0; done < b.N; done += size {
				write(b, unit)
				b.StopTimer()
				unit = fresh(size)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
	for _, size := range []int{100, 1000, 5000} {
		cfg := Defaults()
		cfg.URL, cfg.Table, cfg.Create = sidetrack.NewSecret(s.URL(nil)), fmt.Sprint("copy", size), true
		sink, err := New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		measure("copy", size, func(b *testing.B, unit []*sidetrack.Event) {
			if err := sink.Spec().Writer.Write(b.Context(), sidetrack.Unit{At: time.Now(), Events: unit}); err != nil {
				b.Fatal(err)
			}
		})
		_ = sink.Spec().Close()
	}
	if _, err := conn.Exec(b.Context(), `CREATE TABLE rows AS SELECT * FROM copy100 WITH NO DATA; ALTER TABLE rows ADD PRIMARY KEY (id); `+
		`CREATE INDEX ON rows USING brin ("time"); CREATE INDEX ON rows USING hash (visitor_client_id); CREATE INDEX ON rows USING hash (visitor_user_id)`); err != nil {
		b.Fatal(err)
	}
	var names, marks []string
	for i, c := range layout {
		names, marks = append(names, quote(c.Name)), append(marks, fmt.Sprintf("$%d", i+1))
	}
	insert := "INSERT INTO rows (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ") ON CONFLICT (id) DO NOTHING"
	for _, size := range []int{1, 1000} { // a transaction for each row, one for many
		measure("prepared inserts", size, func(b *testing.B, unit []*sidetrack.Event) {
			tx, err := conn.Begin(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for _, e := range unit {
				if _, err := tx.Exec(b.Context(), insert, arguments(b, e)...); err != nil {
					b.Fatal(err)
				}
			}
			if err := tx.Commit(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
	measure("pipelined inserts", 1000, func(b *testing.B, unit []*sidetrack.Event) {
		var batch pgx.Batch
		for _, e := range unit {
			batch.Queue(insert, arguments(b, e)...)
		}
		if err := conn.SendBatch(b.Context(), &batch).Close(); err != nil {
			b.Fatal(err)
		}
	})
}

// arguments is an event as parameters of a statement.
func arguments(b *testing.B, e *sidetrack.Event) []any {
	b.Helper()
	var row columns.Row
	if err := row.Set(e); err != nil {
		b.Fatal(err)
	}
	out := make([]any, len(layout))
	for i, c := range layout {
		v := row.Values[i]
		switch {
		case !v.Set:
		case c.Kind == columns.ID:
			out[i] = v.ID
		case c.Kind == columns.Time:
			out[i] = time.UnixMicro(v.Int)
		case c.Kind == columns.Int, c.Kind == columns.Nanos:
			out[i] = v.Int
		case c.Kind == columns.Bool:
			out[i] = v.Int != 0
		default:
			out[i] = string(appendValue(nil, c.Kind, &v))
		}
	}
	return out
}
