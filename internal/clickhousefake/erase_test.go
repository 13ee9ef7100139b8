package clickhousefake

import (
	"strings"
	"testing"
)

func TestDeletes(t *testing.T) {
	const count, remove = "SELECT uniqExact(id) FROM web.t WHERE ", "ALTER TABLE web.`t` DELETE WHERE "
	s := start(t, ddl)
	ask(t, s, row)
	ask(t, s, strings.Replace(row, "00.123", "00.124", 1)+strings.Replace(strings.Replace(row, id1, "2"+id1[1:], 1), "ü", `o'\\x`, 1))
	sync := []string{"mutations_sync", "2"}
	for _, tt := range []struct {
		query  string
		params []string
		status int
		code   string
		says   string
		rows   int
	}{
		{count + "s = 'ü'", nil, 200, "", "1\n", 3},
		{count + `s = 'ü' OR s = 'o\'\\x'`, nil, 200, "", "2\n", 3},
		{count + `s = 'o\'\x'`, nil, 200, "", "0\n", 3},
		{count + "q = 'ü'", nil, 404, "47", "'q'", 3},
		{"SELECT uniqExact(id) FROM web.q WHERE s = 'ü'", nil, 404, "60", "web.q", 3},
		{count + "s = ü", nil, 400, "62", "", 3},
		{count + "s = 'o'x'", nil, 400, "62", "", 3},
		{remove + "s = 'ü' OR 1", sync, 400, "62", "", 3},
		{remove + "s = 'ü'", nil, 200, "", "", 3}, // later
		{remove + "s = 'ü'", sync, 200, "", "", 1},
		{remove + `s = 'o\'\\x'`, sync, 200, "", "", 0},
	} {
		status, code, said := ask(t, s, "", append([]string{"query", tt.query}, tt.params...)...)
		if status != tt.status || code != tt.code || !strings.Contains(said, tt.says) || len(s.Rows("web.t")) != tt.rows {
			t.Errorf("%s %v: %d %s %q, %d rows", tt.query, tt.params, status, code, said, len(s.Rows("web.t")))
		}
	}
	ask(t, s, row, "insert_deduplicate", "0")
	ask(t, s, "", "query", remove+"s = 'ü'")
	if s.Flush(); len(s.Rows("web.t")) != 0 {
		t.Error("what was to be deleted later is there")
	}
}
