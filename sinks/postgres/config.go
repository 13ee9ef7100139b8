// Package postgres keeps the owner's own copy of events in a table of PostgreSQL, one row each, see
// internal/columns for what is where.
//
// A unit is copied (COPY) into a temporary table and inserted from there in the same transaction, without
// the events that are in the table already: an event that comes twice is one row, by its id. The first one stays.
package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sidetrack-go/sidetrack"
)

// Config is the configuration of the postgres sink.
type Config struct {
	// URL of the database, with everything libpq knows about it in the query: postgres://user:password@host:5432/name?sslmode=verify-full&sslrootcert=ca.pem.
	// Key=value form works too. What it leaves out comes from the PG* variables of the environment.
	URL sidetrack.Secret `yaml:"url"`
	// Schema that the table is in. Default: the first one of the search_path that has it.
	Schema string `yaml:"schema"`
	// Table that events are written to.
	Table string `yaml:"table"`
	// Create makes the table, its indexes and missing columns before the first write.
	Create bool `yaml:"create"`
	// Connections is how many are open at most, and how many units are written at once.
	Connections int `yaml:"connections"`
}

// Defaults writes to the table events over two connections.
func Defaults() Config { return Config{Table: "events", Connections: 2} }

// Limits.
const (
	maxUnit        = 5000 // events of a transaction; memory is bounded by the sink's window
	maxIdentifier  = 63   // bytes of a name, NAMEDATALEN-1 of PostgreSQL; a longer one would be cut silently
	maxConnections = 100
)

// New makes the sink. It connects at the first write. It needs analytics_storage; the owner's own
// copy states needs: [].
func New(cfg Config) (*sidetrack.Sink, error) {
	if cfg.URL.IsZero() {
		return nil, &sidetrack.FieldError{Field: "url", Problem: "is missing: such as postgres://user:password@host:5432/name"}
	}
	pool, err := pgxpool.ParseConfig(cfg.URL.Reveal())
	if err != nil { // whose text repeats what it was given
		return nil, &sidetrack.FieldError{Field: "url", Problem: "is no connection string (or a file or service that it names cannot be read): want postgres://user:password@host:5432/name?sslmode=verify-full, with special characters of the password percent-encoded"}
	}
	for _, f := range []struct{ field, v string }{{"schema", cfg.Schema}, {"table", cfg.Table}} {
		if err := checkName(f.v); err != nil && (f.field == "table" || f.v != "") {
			return nil, &sidetrack.FieldError{Field: f.field, Problem: err.Error()}
		}
	}
	if cfg.Connections < 1 || cfg.Connections > maxConnections {
		return nil, &sidetrack.FieldError{Field: "connections", Problem: fmt.Sprintf("must be between 1 and %d", maxConnections)}
	}
	pool.MaxConns = int32(cfg.Connections)
	pool.MinConns, pool.MinIdleConns = 0, 0
	if params := pool.ConnConfig.RuntimeParams; params["application_name"] == "" {
		params["application_name"] = "sidetrack"
	}
	w := newWriter(cfg, pool)
	return sidetrack.WriterSink(w, sidetrack.MaxEvents(maxUnit), sidetrack.Concurrency(cfg.Connections),
		sidetrack.Secrets(cfg.URL, sidetrack.NewSecret(pool.ConnConfig.Password)),
		sidetrack.DDL(DDL(cfg.Schema, cfg.Table)), sidetrack.Close(w.close), sidetrack.Erase(w.erase), sidetrack.Preview(preview), sidetrack.DDL(DDL(cfg.Schema, cfg.Table))), nil
}

// checkName refuses what PostgreSQL would not take as a name, or would change.
func checkName(s string) error {
	switch {
	case s == "":
		return errors.New("is missing")
	case len(s) > maxIdentifier:
		return fmt.Errorf("is longer than the %d bytes of a name in PostgreSQL", maxIdentifier)
	case strings.ContainsRune(s, 0) || strings.ToValidUTF8(s, "") != s:
		return errors.New("is no name")
	}
	return nil
}
