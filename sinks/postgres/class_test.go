package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/pgtest"
	"github.com/sidetrack-go/sidetrack/internal/sinkrun"
)

func TestClassify(t *testing.T) {
	for code, want := range map[string]sidetrack.Class{
		"22021": sidetrack.Rejected, "22P02": sidetrack.Rejected, "22003": sidetrack.Rejected, "23505": sidetrack.Rejected, "23503": sidetrack.Rejected, "44000": sidetrack.Rejected,
		"54000": sidetrack.Rejected, "P0001": sidetrack.Rejected,
		"53100": sidetrack.Throttled, "53200": sidetrack.Throttled, "53300": sidetrack.Throttled, "25006": sidetrack.Throttled,
		"28P01": sidetrack.Misconfigured, "28000": sidetrack.Misconfigured, "3D000": sidetrack.Misconfigured, "3F000": sidetrack.Misconfigured, "42P01": sidetrack.Misconfigured,
		"42703": sidetrack.Misconfigured, "42501": sidetrack.Misconfigured, "42P10": sidetrack.Misconfigured, "0A000": sidetrack.Misconfigured, "57P04": sidetrack.Misconfigured,
		"08006": sidetrack.Retry, "40001": sidetrack.Retry, "40P01": sidetrack.Retry, "55P03": sidetrack.Retry, "57014": sidetrack.Retry, "57P01": sidetrack.Retry,
		"57P03": sidetrack.Retry, "58030": sidetrack.Retry, "XX000": sidetrack.Retry, "25P02": sidetrack.Retry, "": sidetrack.Retry, "odd": sidetrack.Retry,
	} {
		err := classify(fmt.Errorf("x: %w", &pgconn.PgError{Code: code, Message: "said", Detail: "Key (name)=(somebody) exists"}), sidetrack.Unit{})
		if class, _ := sidetrack.ClassOf(err); class != want {
			t.Errorf("%q: %s, want %s", code, class, want)
		}
		if strings.Contains(err.Error(), "somebody") || !strings.Contains(err.Error(), "said") {
			t.Errorf("%q: %v", code, err)
		}
	}
	if classify(nil, sidetrack.Unit{}) != nil {
		t.Error("no error is one")
	}
}

// What the server says to real mistakes.
func classes(t *testing.T, s *pgtest.Server, conn *pgx.Conn) {
	for _, sql := range []string{
		"CREATE TABLE nokey (id uuid, rest jsonb)", "CREATE TABLE norest (id uuid PRIMARY KEY)", "CREATE TABLE own (id uuid PRIMARY KEY, rest jsonb, mine int NOT NULL)",
		"CREATE TABLE parts2 (id uuid, received timestamptz, received_nsec smallint, rest jsonb, UNIQUE (id, received)) PARTITION BY RANGE (received)",
		"CREATE TABLE partly (id uuid, rest jsonb)", "CREATE UNIQUE INDEX ON partly (id) WHERE id IS NOT NULL",
		"CREATE TABLE good (id uuid PRIMARY KEY, rest jsonb)", "CREATE VIEW seen AS SELECT * FROM good",
		"CREATE ROLE reader LOGIN PASSWORD 'reader-s3cret'", "GRANT SELECT ON good TO reader", "CREATE ROLE single LOGIN PASSWORD 'single-s3cret' CONNECTION LIMIT 0",
	} {
		run(t, conn, sql)
	}
	as := func(user string) func(*url.URL) {
		return func(u *url.URL) { u.User = url.UserPassword(user, user+"-s3cret") }
	}
	option := func(name, value string) func(*url.URL) {
		return func(u *url.URL) { u.RawQuery += "&" + url.Values{name: {value}}.Encode() }
	}
	at := time.Now()
	old := events(0, 1)
	old[0].Time, old[0].Received = at.AddDate(-5, 0, 0), at
	fresh := events(0, 3)
	for _, e := range fresh {
		e.Time, e.Received = at, at
	}
	for _, tt := range []struct {
		name, table string
		edit        func(*url.URL)
		events      []*sidetrack.Event
		want        sidetrack.Class
		says        string
	}{
		{"good", "good", nil, fresh, sidetrack.Delivered, ""},
		{"no such table", "missing", nil, fresh, sidetrack.Misconfigured, `relation "missing" does not exist`},
		{"no unique index", "nokey", nil, fresh, sidetrack.Misconfigured, "no unique index on id"},
		{"a unique index of some rows", "partly", nil, fresh, sidetrack.Misconfigured, "no unique index on id"},
		{"no column for the rest", "norest", nil, fresh, sidetrack.Misconfigured, "no column rest"},
		{"a column of the owner", "own", nil, fresh, sidetrack.Misconfigured, `"mine"`},
		{"a view", "seen", nil, fresh, sidetrack.Misconfigured, "no unique index"},
		{"no partition", "parts2", nil, fresh, sidetrack.Misconfigured, "no partition"},
		{"no partition for an odd time", "parts2", nil, old, sidetrack.Rejected, "no partition"},
		{"wrong password", "good", func(u *url.URL) { u.User = url.UserPassword("postgres", "wrong-s3cret") }, fresh, sidetrack.Misconfigured, "28P01"},
		{"no such database", "good", func(u *url.URL) { u.Path = "/nowhere" }, fresh, sidetrack.Misconfigured, "3D000"},
		{"no permission", "good", as("reader"), fresh, sidetrack.Misconfigured, "42501"},
		{"too many connections", "good", as("single"), fresh, sidetrack.Throttled, "53300"},
		{"read only", "good", option("default_transaction_read_only", "on"), fresh, sidetrack.Throttled, "25006"},
		{"too slow", "good", option("statement_timeout", "1"), events(10, 5000), sidetrack.Retry, "57014"},
		{"no server", "good", func(u *url.URL) { u.RawQuery = "host=/nowhere" }, fresh, sidetrack.Retry, "no such file"},
		{"no TLS", "good", func(u *url.URL) { u.RawQuery = "host=127.0.0.1&port=1&sslmode=require" }, fresh, sidetrack.Retry, "refused"},
		{"no such host", "good", func(u *url.URL) { u.RawQuery = "host=nowhere.invalid" }, fresh, sidetrack.Misconfigured, "nowhere.invalid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			secret := s.URL(tt.edit)
			spec := opened(t, s, func(c *Config) { c.URL, c.Table, c.Create = sidetrack.NewSecret(secret), tt.table, false })
			err := spec.Writer.Write(t.Context(), sidetrack.Unit{At: at, Events: tt.events})
			if class, _ := sidetrack.ClassOf(err); class != tt.want {
				if tt.name == "no such host" && class == sidetrack.Retry {
					t.Skipf("no resolver here: %v", err)
				}
				t.Errorf("%s, want %s: %v", class, tt.want, err)
			}
			if text := fmt.Sprint(err); !strings.Contains(text, tt.says) || strings.Contains(text, "s3cret") || strings.Contains(text, secret) {
				t.Errorf("%s, want %q", text, tt.says)
			}
			if n, err := spec.Erase(t.Context(), sidetrack.Person{UserID: "x"}); err != nil && (n != 0 || strings.Contains(err.Error(), "s3cret")) {
				t.Error(n, err)
			}
		})
	}
}

// A server without TLS, asked for it.
func TestRefusedTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(c, make([]byte, 8)) // SSLRequest
			_, _ = c.Write([]byte("N"))
			_ = c.Close()
		}
	}()
	cfg := Defaults()
	cfg.URL = sidetrack.NewSecret("postgres://u:s3cret@" + l.Addr().String() + "/x?sslmode=require")
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = sink.Spec().Writer.Write(t.Context(), sidetrack.Unit{Events: events(0, 1)})
	if class, _ := sidetrack.ClassOf(err); class != sidetrack.Misconfigured || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%s: %v", class, err)
	}
	if err := sink.Spec().Close(); err != nil {
		t.Error(err)
	}
}

// Bad data costs only itself.
func isolation(t *testing.T, s *pgtest.Server, conn *pgx.Conn) {
	make := func(n int) []*sidetrack.Event {
		out := events(0, n)
		for i, e := range out {
			e.MessageID, e.Consent, e.Time, e.Received = fmt.Sprint("m", i), sidetrack.GrantAll("test"), time.Time{}, time.Time{}
		}
		return out
	}
	t.Run("what cannot be encoded", func(t *testing.T) {
		w := opened(t, s, func(c *Config) { c.Table = "encoded" }).Writer
		unit := make(5)
		unit[1].Ecommerce = &sidetrack.Ecommerce{Items: []sidetrack.Item{{Quantity: math.Inf(1)}}}
		unit[2].Name, unit[2].Params = "a\x00b", map[string]any{"\x00": "\x00", "x": "\xff"}
		unit[3].ID = [16]byte{}
		partial, ok := errors.AsType[*sidetrack.PartialError](w.Write(t.Context(), sidetrack.Unit{Events: unit}))
		if !ok || len(partial.Failed) != 2 {
			t.Fatalf("%v", partial)
		}
		for i := range partial.Failed {
			if class, _ := sidetrack.ClassOf(partial.Failed[i]); class != sidetrack.Rejected || i != 1 && i != 3 {
				t.Errorf("event %d: %v", i, partial.Failed[i])
			}
		}
		if n := number(t, conn, `select count(*) from encoded where name in ('e0', 'e4', 'a'||chr(65533)||'b')`); n != 3 {
			t.Errorf("%d rows of 3 good events", n)
		}
		unit = unit[1:2]
		partial, _ = errors.AsType[*sidetrack.PartialError](w.Write(t.Context(), sidetrack.Unit{Events: unit}))
		if partial == nil || len(partial.Failed) != 1 {
			t.Errorf("a unit of bad events alone: %v", partial)
		}
	})
	// The engine halves a unit that the server rejects until the event to blame is alone.
	t.Run("what the table refuses", func(t *testing.T) {
		run(t, conn, `CREATE TABLE picky (id uuid PRIMARY KEY, name text CHECK (name <> 'e77'), page_title varchar(3000), rest jsonb)`)
		run(t, conn, `CREATE INDEX ON picky (page_title)`) // whose entries are 2704 bytes at most
		cfg := Defaults()
		cfg.URL, cfg.Table = sidetrack.NewSecret(s.URL(nil)), "picky"
		sink, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		all := make(200)
		all[13].Page.Title = strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyzäöü", 100) // of several kilobytes
		all[14].Page.Title = incompressible(2900)
		r := sinkrun.Deliver(t, sink, all...)
		if len(r.Delivered) != 197 || len(r.Dead) != 3 || r.Errors["m77"] == "" || r.Errors["m13"] == "" || r.Errors["m14"] == "" {
			t.Errorf("%d delivered, dead %v: %v", len(r.Delivered), r.Dead, r.Errors)
		}
		if n := number(t, conn, "select count(*) from picky"); n != 197 {
			t.Errorf("%d rows", n)
		}
	})
}

// incompressible is n bytes that no index makes smaller.
func incompressible(n int) string {
	var b strings.Builder
	for x := uint64(88172645463325252); b.Len() < n; {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b.WriteByte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[x%64])
	}
	return b.String()
}

// Several processes may make the table at once, and one that goes comes again.
func creation(t *testing.T, s *pgtest.Server, conn *pgx.Conn) {
	edit := func(c *Config) { c.Schema, c.Table = `A "schema"; --`, `Événements "%s" of `+strings.Repeat("x", 30) }
	errs := make(chan error)
	const writers = 6
	for i := range writers {
		w := opened(t, s, edit).Writer
		go func() { errs <- w.Write(context.Background(), sidetrack.Unit{Events: events(i, 2)}) }()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	var cfg Config
	edit(&cfg)
	table := target{cfg.Schema, cfg.Table}.String()
	if n := number(t, conn, "select count(*) from "+table); n != writers+1 {
		t.Errorf("%d rows", n)
	}
	if n := number(t, conn, "select count(*) from pg_index where indrelid = $1::text::regclass", table); n != 4 {
		t.Errorf("%d indexes", n)
	}
	w := opened(t, s, edit).Writer
	for _, step := range []string{"", "DROP TABLE " + table} {
		if step != "" {
			run(t, conn, step)
		}
		err := w.Write(t.Context(), sidetrack.Unit{Events: events(0, 2)})
		if class, _ := sidetrack.ClassOf(err); step != "" && class != sidetrack.Misconfigured {
			t.Errorf("without its table: %v", err)
		}
	}
	if err := w.Write(t.Context(), sidetrack.Unit{Events: events(0, 2)}); err != nil {
		t.Errorf("the table was not made again: %v", err)
	}
}

func TestConfiguration(t *testing.T) {
	for field, cfg := range map[string]Config{
		"url":             {},
		"url ":            {URL: sidetrack.NewSecret("postgres://u:s3cret@h:port/x")},
		"url  ":           {URL: sidetrack.NewSecret("s3cret")},
		"url   ":          {URL: sidetrack.NewSecret("postgres://u:s3c%ret@h/x")},
		"url    ":         {URL: sidetrack.NewSecret("postgres://u:s3cret@h/x?sslmode=s3cret")},
		"table":           {URL: sidetrack.NewSecret("postgres://u:s3cret@h/x"), Connections: 1},
		"table ":          {URL: sidetrack.NewSecret("postgres://u:s3cret@h/x"), Connections: 1, Table: strings.Repeat("x", 64)},
		"schema":          {URL: sidetrack.NewSecret("postgres://u:s3cret@h/x"), Connections: 1, Table: "x", Schema: "\x00"},
		"connections":     {URL: sidetrack.NewSecret("postgres://u:s3cret@h/x"), Table: "x"},
		"connections    ": {URL: sidetrack.NewSecret("postgres://u:s3cret@h/x"), Table: "x", Connections: 101},
	} {
		_, err := New(cfg)
		fe, ok := errors.AsType[*sidetrack.FieldError](err)
		if !ok || fe.Field != strings.TrimSpace(field) || strings.Contains(err.Error(), "s3c") {
			t.Errorf("%q: %v", field, err)
		}
	}
	cfg := Defaults()
	cfg.URL = sidetrack.NewSecret("host=h user=u password='s3 cret'")
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if v := sink.Spec().Secrets; len(v) != 2 || v[1].Reveal() != "s3 cret" {
		t.Errorf("%d secrets", len(v))
	}
	if got := sink.Spec().DDL; got != DDL("", "events") {
		t.Errorf("ddl %s", got)
	}
	if err := sink.Spec().Close(); err != nil {
		t.Error(err)
	}
	if err := sink.Spec().Writer.Write(t.Context(), sidetrack.Unit{Events: events(0, 1)}); err == nil {
		t.Error("written after close")
	}
}
