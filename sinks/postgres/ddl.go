package postgres

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sidetrack-go/sidetrack/internal/columns"
)

var layout = columns.Layout()

// typeOf is the type of a column in PostgreSQL.
func typeOf(c columns.Column) string {
	switch {
	case c.Name == "v" || c.Kind == columns.Nanos:
		return "smallint"
	case c.Kind == columns.Int:
		return "bigint"
	case c.Kind == columns.Bool:
		return "boolean"
	case c.Kind == columns.Time:
		return "timestamptz"
	case c.Kind == columns.Money:
		return "numeric(19,6)"
	case c.Kind == columns.ID:
		return "uuid"
	case c.Kind == columns.JSON:
		return "jsonb"
	}
	return "text"
}

// target is the table by its name, quoted where it is used.
type target struct{ schema, table string }

func (t target) String() string {
	if t.schema == "" {
		return pgx.Identifier{t.table}.Sanitize()
	}
	return pgx.Identifier{t.schema, t.table}.Sanitize()
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// DDL returns the statements that create: true runs: the table and its indexes, where they are not there.
// Rows are found by time, and by visitor for erasure.
func DDL(schema, table string) string {
	t := target{schema, table}
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s (\n", t)
	for i, c := range layout {
		fmt.Fprintf(&b, "    %-34s %s", quote(c.Name), typeOf(c))
		if c.Kind == columns.ID {
			b.WriteString(" PRIMARY KEY")
		}
		if i < len(layout)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString(");\n")
	for _, index := range []struct{ on, method string }{{"time", "brin"}, {"visitor_client_id", "hash"}, {"visitor_user_id", "hash"}} {
		fmt.Fprintf(&b, "CREATE INDEX IF NOT EXISTS %s ON %s USING %s (%s);\n", quote(derived(table, index.on)), t, index.method, quote(index.on))
	}
	return b.String()
}

// derived makes a name out of that of the table and a suffix, within the length of names.
func derived(table, suffix string) string {
	name := table + "_" + suffix
	if len(name) <= maxIdentifier {
		return name
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(table))
	cut := strings.ToValidUTF8(table[:maxIdentifier-len(suffix)-10], "")
	return fmt.Sprintf("%s_%08x_%s", cut, h.Sum32(), suffix)
}

// addColumns returns the statement that adds what a table of an older version lacks.
func addColumns(t target, has []bool) string {
	var add []string
	for i, c := range layout {
		if !has[i] {
			add = append(add, fmt.Sprintf("ADD COLUMN IF NOT EXISTS %s %s", quote(c.Name), typeOf(c)))
		}
	}
	if len(add) == 0 {
		return ""
	}
	return fmt.Sprintf("ALTER TABLE %s %s", t, strings.Join(add, ", "))
}
