package postgres

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/columns"
	"github.com/sidetrack-go/sidetrack/internal/columns/columnstest"
	"github.com/sidetrack-go/sidetrack/internal/pgtest"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

// stored reads a table back into events, by id. A column of the layout that the table lacks is null.
func stored(t *testing.T, conn *pgx.Conn, table string, lacks ...string) map[uuid.UUID]*sidetrack.Event {
	t.Helper()
	var list []string
	for _, c := range layout {
		expr := quote(c.Name)
		switch c.Kind {
		case columns.Time:
			expr = "(extract(epoch from " + expr + ") * 1000000)::bigint"
		case columns.Money:
			expr = "(" + expr + " * 1000000)::bigint"
		}
		if slices.Contains(lacks, c.Name) {
			expr = "null"
		}
		list = append(list, "("+expr+")::text")
	}
	rows, err := conn.Query(t.Context(), "SELECT "+strings.Join(list, ", ")+" FROM "+quote(table))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := map[uuid.UUID]*sidetrack.Event{}
	for rows.Next() {
		r := columns.Row{Values: make([]columns.Value, len(layout))}
		for i, raw := range rows.RawValues() {
			v := &r.Values[i]
			if v.Set = raw != nil; !v.Set {
				continue
			}
			text := string(raw)
			switch layout[i].Kind {
			case columns.Text, columns.JSON:
				v.Text = text
			case columns.ID:
				v.ID = uuid.MustParse(text)
			case columns.Bool:
				if text == "true" {
					v.Int = 1
				}
			default:
				if v.Int, err = strconv.ParseInt(text, 10, 64); err != nil {
					t.Fatalf("%s: %v", layout[i].Name, err)
				}
			}
		}
		e, err := r.Event()
		if err != nil {
			t.Fatal(err)
		}
		out[e.ID] = e
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// asRead is the event as the table gives it back: its JSON, without NUL, which nobody can store here.
func asRead(e *sidetrack.Event) *sidetrack.Event {
	b, err := e.AppendJSON(nil)
	if err != nil {
		return nil
	}
	out, err := sidetrack.ParseEvent(noNULInJSON(string(b)))
	if err != nil {
		return nil
	}
	return out
}

// odd are events that are filled at random, the same ones each time, and ordinary ones.
func odd(t *testing.T) []*sidetrack.Event {
	t.Helper()
	out := sinktest.Samples()
	gen := columnstest.Events()
	for seed := 0; len(out) < 300 && seed < 2000; seed++ {
		e := gen.Example(seed)
		e.ID = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, "odd", seed))
		if asRead(e) != nil {
			out = append(out, e)
		}
	}
	if len(out) < 300 {
		t.Fatalf("only %d events", len(out))
	}
	return out
}

// What is written is read back: all of it, whatever was in it.
func everything(t *testing.T, s *pgtest.Server, conn *pgx.Conn) {
	same := func(t *testing.T, want []*sidetrack.Event, got map[uuid.UUID]*sidetrack.Event) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%d rows of %d events", len(got), len(want))
		}
		for _, e := range want {
			if r := asRead(e); !reflect.DeepEqual(got[e.ID], r) {
				a, _ := r.AppendJSON(nil)
				b := []byte("no row")
				if got[e.ID] != nil {
					b, _ = got[e.ID].AppendJSON(nil)
				}
				t.Fatalf("written %s\nread    %s", a, b)
			}
		}
	}
	t.Run("all columns", func(t *testing.T) {
		w := opened(t, s, func(c *Config) { c.Table = "everything" }).Writer
		want := odd(t)
		if err := w.Write(t.Context(), sidetrack.Unit{Events: want}); err != nil {
			t.Fatal(err)
		}
		same(t, want, stored(t, conn, "everything"))
	})
	// A table of the owner's own, or of an older version: what has no column is in rest.
	t.Run("few columns", func(t *testing.T) {
		run(t, conn, `CREATE TABLE few (id uuid UNIQUE, name varchar, "time" timestamptz, visitor_client_id text, ecommerce_value float8, own int DEFAULT 7, rest json)`)
		var lacks []string
		for _, c := range layout {
			switch c.Name {
			case "id", "name", "visitor_client_id", "rest":
			default:
				lacks = append(lacks, c.Name)
			}
		}
		spec := opened(t, s, func(c *Config) { c.Table, c.Create = "few", false })
		want := odd(t)
		for _, e := range want { // what a float8 does to money is the owner's choice
			e.Ecommerce = nil
		}
		if err := spec.Writer.Write(t.Context(), sidetrack.Unit{Events: want}); err != nil {
			t.Fatal(err)
		}
		same(t, want, stored(t, conn, "few", lacks...))
		if n := number(t, conn, "select count(*) from few where own = 7"); n != len(want) {
			t.Errorf("%d rows with the owner's default", n)
		}
		if n, err := spec.Erase(t.Context(), sidetrack.Person{UserID: "u-77"}); err != nil || n != 1 {
			t.Errorf("erased %d rows by a user id in rest: %v", n, err)
		}
	})
	t.Run("an older table gets its columns", func(t *testing.T) {
		run(t, conn, `CREATE TABLE older AS SELECT * FROM everything WITH NO DATA; ALTER TABLE older DROP COLUMN rest, DROP COLUMN page_url, ADD PRIMARY KEY (id)`)
		w := opened(t, s, func(c *Config) { c.Table = "older" }).Writer
		want := odd(t)
		if err := w.Write(t.Context(), sidetrack.Unit{Events: want}); err != nil {
			t.Fatal(err)
		}
		same(t, want, stored(t, conn, "older"))
	})
	t.Run("a partitioned table", func(t *testing.T) {
		ddl := strings.NewReplacer(" PRIMARY KEY", "", "\n);\n", ",\n PRIMARY KEY (id, received)\n) PARTITION BY RANGE (received);\n").Replace(DDL("", "parts"))
		run(t, conn, ddl+`CREATE TABLE parts_now PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')`)
		w := opened(t, s, func(c *Config) { c.Table, c.Create = "parts", false }).Writer
		for range 2 {
			if err := w.Write(t.Context(), sidetrack.Unit{Events: sinktest.Samples()}); err != nil {
				t.Fatal(err)
			}
		}
		same(t, sinktest.Samples(), stored(t, conn, "parts"))
	})
}

func run(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
}

func TestNUL(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":"b"}`: `{"a":"b"}`, `"\u0000"`: "\"\ufffd\"", `"\\u0000"`: `"\\u0000"`, `"\\\u0000\u0001"`: "\"\\\\\ufffd\\u0001\"", `\`: `\`, `"\u0000\u0000"`: "\"\ufffd\ufffd\"",
	} {
		if got := noNULInJSON(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if got := asStored("a\x00\xff\xfeb"); got != "a\ufffd\ufffd\ufffdb" {
		t.Errorf("%q", got)
	}
}

// The statements of the documentation are those that the sink runs, and all of them run.
func documentation(t *testing.T, s *pgtest.Server, conn *pgx.Conn) {
	text, err := os.ReadFile("../../docs/sinks/postgres.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```sql\n(.*?)^```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 8 {
		t.Fatalf("%d blocks", len(blocks))
	}
	if blocks[0][1] != DDL("", "events") {
		t.Errorf("the documented table is not what create makes:\n%s", DDL("", "events"))
	}
	for _, b := range blocks[:2] {
		run(t, conn, b[1])
	}
	for _, table := range []string{"events", "events_by_month"} {
		w := opened(t, s, func(c *Config) { c.Table, c.Create = table, false }).Writer
		if err := w.Write(t.Context(), sidetrack.Unit{Events: sinktest.Samples()}); err != nil {
			t.Errorf("%s: %v", table, err)
		}
		if n := number(t, conn, "select count(*) from "+table); n != len(sinktest.Samples()) {
			t.Errorf("%s: %d rows", table, n)
		}
	}
	for _, b := range blocks[2:] {
		run(t, conn, b[1])
	}
	if n := number(t, conn, `select count(*) from events where ecommerce_value = 59.9 and ecommerce_tax = 9.98 and jsonb_array_length(ecommerce_items) = 2`); n != 1 {
		t.Errorf("%d purchases", n)
	}
}
