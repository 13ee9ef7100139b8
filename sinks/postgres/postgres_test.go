package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/pgtest"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

// opened is a sink on a table of its own.
func opened(t *testing.T, s *pgtest.Server, edit func(*Config)) sidetrack.SinkSpec {
	t.Helper()
	cfg := Defaults()
	cfg.URL, cfg.Table, cfg.Create = sidetrack.NewSecret(s.URL(nil)), t.Name(), true
	if edit != nil {
		edit(&cfg)
	}
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	spec := sink.Spec()
	t.Cleanup(func() {
		if err := spec.Close(); err != nil {
			t.Error(err)
		}
	})
	return spec
}

func TestServer(t *testing.T) {
	s := pgtest.Start(t)
	conn := s.Connect()
	for name, f := range map[string]func(*testing.T, *pgtest.Server, *pgx.Conn){
		"contract":                contract,
		"repeats":                 repeats,
		"everything is read back": everything,
		"documentation":           documentation,
		"classes":                 classes,
		"isolation":               isolation,
		"creation":                creation,
	} {
		t.Run(name, func(t *testing.T) { f(t, s, conn) })
	}
}

func contract(t *testing.T, s *pgtest.Server, _ *pgx.Conn) {
	sinktest.Run(t, func() (*sidetrack.Sink, error) {
		cfg := Defaults()
		cfg.URL, cfg.Create, cfg.Table = sidetrack.NewSecret(s.URL(nil)), true, "Contract \"x\" "+time.Now().Format(time.RFC3339Nano)
		return New(cfg)
	})
}

// events makes n events with ids of their own, from first on.
func events(first, n int) (out []*sidetrack.Event) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for i := first; i < first+n; i++ {
		out = append(out, &sidetrack.Event{ID: uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, i)), Name: fmt.Sprint("e", i), Time: at, Received: at})
	}
	return out
}

func number(t *testing.T, conn *pgx.Conn, sql string, args ...any) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// An event that comes again, in the same unit or another, is one row, and the first one stays.
func repeats(t *testing.T, s *pgtest.Server, conn *pgx.Conn) {
	w := opened(t, s, func(c *Config) { c.Table = "repeats" }).Writer
	again := events(0, 1)[0]
	again.Name = "changed"
	for _, unit := range [][]*sidetrack.Event{append(events(0, 3), events(1, 1)...), append(events(2, 3), again)} {
		if err := w.Write(t.Context(), sidetrack.Unit{Events: unit}); err != nil {
			t.Fatal(err)
		}
	}
	if n, first := number(t, conn, "select count(*) from repeats"), number(t, conn, "select count(*) from repeats where name = 'e0'"); n != 5 || first != 1 {
		t.Errorf("%d rows, %d of the first one", n, first)
	}
}
