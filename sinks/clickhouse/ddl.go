package clickhouse

import (
	"strings"

	"github.com/sidetrack-go/sidetrack/internal/columns"
)

// DDL returns the statement that makes the table, for a single server.
//
// Rows with the same site, day of time, and id are one event: ReplacingMergeTree keeps the last of them when it merges, and
// SELECT … FINAL shows no other before. All that sidetrack repeats by itself has the same time, so it falls into
// the same partition, outside of which rows are never compared. Without non_replicated_deduplication_window a table
// that is not replicated would not know the tokens of repeated inserts.
func DDL(database, table string) string {
	var b strings.Builder
	b.WriteString("CREATE TABLE IF NOT EXISTS " + quote(database) + "." + quote(table) + "\n(\n")
	for i, c := range layout {
		b.WriteString("    " + c.Name + " " + dataType(c))
		if i < len(layout)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString(`)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (site, toDate(time), id)
SETTINGS non_replicated_deduplication_window = 1000;
`)
	return b.String()
}

// dataType is the type of a column. Absent values are the type's zero value, but where that means something.
func dataType(c columns.Column) string {
	t := map[columns.Kind]string{
		columns.Text: "String", columns.JSON: "String", columns.Int: "Int64", columns.Bool: "Bool", columns.Time: "DateTime64(6, 'UTC')",
		columns.Nanos: "UInt16", columns.Money: "Decimal(19, 6)", columns.ID: "UUID",
	}[c.Kind]
	switch {
	case c.Nullable:
		return "Nullable(" + t + ")"
	case c.Kind == columns.Text && fewValues(c.Path):
		return "LowCardinality(String)"
	}
	return t
}

// fewValues reports whether a text mostly has one of some thousand values.
func fewValues(path string) bool {
	switch path {
	case "name", "source", "site", "page.route", "ecommerce.currency", "ecommerce.affiliation", "ecommerce.payment_type", "ecommerce.shipping_tier",
		"timing.category", "timing.variable", "social.network", "social.action":
		return true
	case "device.user_agent", "campaign.id", "campaign.term":
		return false
	}
	for _, group := range []string{"device.", "network.", "campaign.", "consent.", "app."} {
		if strings.HasPrefix(path, group) {
			return path != "network.ip"
		}
	}
	return false
}
