package clickhousefake

import (
	"strings"
	"testing"
)

func TestDeletes(t *testing.T) {
	const count, remove = "SELECT uniqExact(id) FROM web.t WHERE s = {a:String} OR s = {b:String}", "ALTER TABLE web.`t` DELETE WHERE s = {a:String}"
	s := start(t, ddl)
	ask(t, s, row)
	ask(t, s, strings.Replace(row, "00.123", "00.124", 1)+strings.Replace(strings.Replace(row, id1, "2"+id1[1:], 1), "ü", `o'\\x`, 1))
	for _, tt := range []struct {
		query  string
		params []string
		status int
		code   string
		says   string
		rows   int
	}{
		{count, []string{"param_a", "ü", "param_b", "-"}, 200, "", "1\n", 3},
		{count, []string{"param_a", "ü", "param_b", `o'\\x`}, 200, "", "2\n", 3},
		{count, []string{"param_a", "ü"}, 500, "456", "`b` was not set", 3},
		{count, []string{"param_a", "a\tb", "param_b", ""}, 500, "457", "isn't parsed completely", 3},
		{"SELECT uniqExact(id) FROM web.t WHERE q = {a:String}", []string{"param_a", "ü"}, 404, "47", "'q'", 3},
		{"SELECT uniqExact(id) FROM web.q WHERE s = {a:String}", []string{"param_a", "ü"}, 404, "60", "web.q", 3},
		{"SELECT uniqExact(id) FROM web.t WHERE s = 'ü'", nil, 400, "62", "", 3},
		{remove + " OR 1", []string{"param_a", "ü"}, 400, "62", "", 3},
		{remove, []string{"param_a", "ü"}, 200, "", "", 3}, // later
		{remove, []string{"param_a", "ü", "mutations_sync", "2"}, 200, "", "", 1},
		{remove, []string{"param_a", `o'\\x`, "mutations_sync", "2"}, 200, "", "", 0},
	} {
		status, code, said := ask(t, s, "", append([]string{"query", tt.query}, tt.params...)...)
		if status != tt.status || code != tt.code || !strings.Contains(said, tt.says) || len(s.Rows("web.t")) != tt.rows {
			t.Errorf("%s %v: %d %s %q, %d rows", tt.query, tt.params, status, code, said, len(s.Rows("web.t")))
		}
	}
	ask(t, s, row, "insert_deduplicate", "0")
	ask(t, s, "", "query", remove, "param_a", "ü")
	if s.Flush(); len(s.Rows("web.t")) != 0 {
		t.Error("what was to be deleted later is there")
	}
}
