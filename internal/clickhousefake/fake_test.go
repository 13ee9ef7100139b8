package clickhousefake

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

const ddl = "CREATE TABLE web.`t` (id UUID, n UInt8, at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)), s LowCardinality(String) COMMENT 'x', m Nullable(Decimal(5, 2)), b Bool)\n" +
	"ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (id, toDate(at)) SETTINGS non_replicated_deduplication_window = 2"

func start(t *testing.T, statement string) *Server {
	t.Helper()
	s := New(Config{User: "u", Password: "p", Databases: []string{"web"}})
	t.Cleanup(s.Close)
	if err := s.Exec(statement); err != nil {
		t.Fatal(err)
	}
	return s
}

// ask sends a request, by default a right insert into web.t. Parameters are pairs; "header:Name" sets a header.
func ask(t *testing.T, s *Server, body string, params ...string) (status int, code string, answer string) {
	t.Helper()
	q := url.Values{"query": {"INSERT INTO web.t (id, n, at, s, m, b) FORMAT JSONEachRow"}}
	header := http.Header{"X-Clickhouse-User": {"u"}, "X-Clickhouse-Key": {"p"}}
	method := http.MethodPost
	for i := 0; i < len(params); i += 2 {
		switch name, isHeader := strings.CutPrefix(params[i], "header:"); {
		case isHeader:
			header.Set(name, params[i+1])
		case params[i] == "method":
			method = params[i+1]
		default:
			q.Set(params[i], params[i+1])
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/?"+q.Encode(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("X-ClickHouse-Exception-Code"), string(b)
}

const (
	id1 = "11111111-1111-4111-8111-111111111111"
	row = `{"id":"` + id1 + `","n":7,"at":"2026-01-31 12:00:00.123","s":"ü","m":1.5,"b":true}` + "\n"
)

func TestInserts(t *testing.T) {
	iso := strings.Replace(row, "2026-01-31 12:00:00.123", "2026-01-31T13:00:00.123+01:00", 1)
	value := func(old, now string) string { return strings.Replace(row, old, now, 1) }
	for name, tt := range map[string]struct {
		body   string
		params []string
		code   int // 0: taken
		status int
	}{
		"right":                 {row, nil, 0, 200},
		"two rows on one line":  {strings.TrimSpace(row) + row, nil, 0, 200},
		"no row":                {"", nil, 0, 200},
		"no password":           {row, []string{"header:X-ClickHouse-Key", ""}, 516, 403},
		"GET":                   {row, []string{"method", "GET"}, 164, 500},
		"an unknown setting":    {row, []string{"asink_insert", "1"}, 115, 404},
		"a bad value of one":    {row, []string{"async_insert", "yes"}, 467, 500},
		"another format":        {row, []string{"query", "INSERT INTO web.t FORMAT Values"}, 73, 404},
		"no such table":         {row, []string{"query", "INSERT INTO web.x FORMAT JSONEachRow"}, 60, 404},
		"no such database":      {row, []string{"query", "INSERT INTO x.t FORMAT JSONEachRow"}, 81, 404},
		"the default database":  {row, []string{"query", "INSERT INTO t FORMAT JSONEachRow", "database", "web"}, 0, 200},
		"no such column":        {row, []string{"query", "INSERT INTO web.t (id, q) FORMAT JSONEachRow"}, 16, 500},
		"a column twice":        {row, []string{"query", "INSERT INTO web.t (id, id) FORMAT JSONEachRow"}, 15, 400},
		"no statement":          {row, []string{"query", "INSERT web.t"}, 62, 400},
		"more of it":            {row, []string{"query", "INSERT INTO web.t FORMAT JSONEachRow; DROP TABLE t"}, 62, 400},
		"an unnamed column":     {row, []string{"query", "INSERT INTO web.t (id) FORMAT JSONEachRow"}, 117, 400},
		"unnamed, to be left":   {row, []string{"query", "INSERT INTO web.t (id) FORMAT JSONEachRow", "input_format_skip_unknown_fields", "1"}, 0, 200},
		"no JSON":               {row + "x", nil, 27, 400},
		"cut":                   {row + row[:20], nil, 117, 400},
		"a field twice":         {value(`"n":7`, `"n":7,"n":7`), nil, 117, 400},
		"out of range":          {value(`"n":7`, `"n":256`), nil, 27, 400},
		"a number as text":      {value(`"n":7`, `"n":"7"`), nil, 27, 400},
		"a text as number":      {value(`"s":"ü"`, `"s":7`), nil, 27, 400},
		"no UTF-8":              {value(`ü`, "\xff"), nil, 117, 400},
		"null":                  {value(`"s":"ü"`, `"s":null`), nil, 349, 500},
		"null where it may be":  {value(`"m":1.5`, `"m":null`), nil, 0, 200},
		"too many digits":       {value(`"m":1.5`, `"m":1000`), nil, 69, 500},
		"too many decimals":     {value(`"m":1.5`, `"m":1.555`), nil, 69, 500},
		"no decimal":            {value(`"m":1.5`, `"m":1e2`), nil, 72, 400},
		"no UUID":               {value(id1, "x"), nil, 376, 400},
		"no bool":               {value(`"b":true`, `"b":1`), nil, 467, 500},
		"a time with a zone":    {iso, nil, 41, 400},
		"and best effort":       {iso, []string{"date_time_input_format", "best_effort"}, 0, 200},
		"a time of no form":     {value("12:00:00.123", "12h"), nil, 41, 400},
		"a time too exact":      {value("00.123", "00.1234"), nil, 41, 400},
		"a time too old":        {value("2026", "1899"), nil, 41, 400},
		"an unknown encoding":   {row, []string{"header:Content-Encoding", "rot13"}, 89, 500},
		"a wrong encoding":      {row, []string{"header:Content-Encoding", "gzip"}, 271, 500},
		"a wrong encoding, too": {row, []string{"header:Content-Encoding", "zstd"}, 271, 500},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, ddl)
			status, code, said := ask(t, s, tt.body, tt.params...)
			if want := strconv.Itoa(tt.code); status != tt.status || code != want && tt.code != 0 || tt.code != 0 && !strings.HasPrefix(said, "Code: "+want+". DB::Exception: ") || tt.code == 0 && said != "" {
				t.Errorf("status %d, code %s, want %d and %d: %s", status, code, tt.status, tt.code, said)
			}
			if rows := s.Rows("web.t"); tt.code != 0 && len(rows) != 0 {
				t.Errorf("%d rows of an insert that failed", len(rows))
			}
		})
	}
	s := start(t, ddl)
	if _, _, said := ask(t, s, row+value(`"n":7`, `"n":-1`)); !strings.Contains(said, "while reading the value of key n") || !strings.Contains(said, "(at row 2)") {
		t.Error(said)
	}
	ask(t, s, iso, "date_time_input_format", "best_effort")
	if got := s.Rows("web.t")[0]; got["at"] != "2026-01-31 12:00:00.123" || got["m"] != "1.5" || got["s"] != "ü" {
		t.Errorf("%v", got)
	}
}

func TestEncodings(t *testing.T) {
	s := start(t, ddl)
	var g bytes.Buffer
	w := gzip.NewWriter(&g)
	_, _ = io.WriteString(w, row)
	_ = w.Close()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for encoding, body := range map[string]string{"gzip": g.String(), "zstd": string(z.EncodeAll([]byte(row), nil))} {
		if status, _, said := ask(t, s, body, "header:Content-Encoding", encoding, "insert_deduplicate", "0"); status != 200 {
			t.Errorf("%s: %d %s", encoding, status, said)
		}
	}
	if n := len(s.Rows("web.t")); n != 2 {
		t.Errorf("%d rows", n)
	}
}

// TestRepeats has what the documentation says of repeated inserts: the window, tokens, content, and asynchronous ones.
func TestRepeats(t *testing.T) {
	sync, async := []string{"async_insert", "0"}, []string{"async_insert", "1", "async_insert_deduplicate", "1"}
	token := func(kind []string, t string) []string {
		return append(append([]string{}, kind...), "insert_deduplication_token", t)
	}
	replicated := strings.Replace(ddl, "ReplacingMergeTree", "ReplicatedReplacingMergeTree('/x', '{replica}')", 1)
	forgetful := ddl[:strings.Index(ddl, " SETTINGS")]
	for name, tt := range map[string]struct {
		ddl     string
		inserts [][]string
		want    int
	}{
		"the same token":                    {ddl, [][]string{token(sync, "a"), token(sync, "a")}, 1},
		"two tokens":                        {ddl, [][]string{token(sync, "a"), token(sync, "b")}, 2},
		"no token, the same content":        {ddl, [][]string{sync, sync}, 1},
		"beyond the window":                 {ddl, [][]string{token(sync, "a"), token(sync, "b"), token(sync, "c"), token(sync, "a")}, 4},
		"switched off":                      {ddl, [][]string{token(sync, "a"), append(token(sync, "a"), "insert_deduplicate", "0")}, 2},
		"a table without a window":          {forgetful, [][]string{token(sync, "a"), token(sync, "a")}, 2},
		"asynchronous":                      {ddl, [][]string{token(async, "a"), token(async, "a")}, 2},
		"asynchronous, replicated":          {replicated, [][]string{token(async, "a"), token(async, "a")}, 1},
		"asynchronous, replicated, not set": {replicated, [][]string{token(async[:2], "a"), token(async[:2], "a")}, 2},
	} {
		s := start(t, tt.ddl)
		for _, params := range tt.inserts {
			if status, _, said := ask(t, s, row, params...); status != 200 {
				t.Errorf("%s: %d %s", name, status, said)
			}
		}
		if n := len(s.Rows("web.t")); n != tt.want {
			t.Errorf("%s: %d rows, want %d", name, n, tt.want)
		}
		if n := len(s.Final("web.t")); n != 1 {
			t.Errorf("%s: %d rows with FINAL", name, n)
		}
	}
}

// TestFinal has rows that FINAL makes one of, and such that it does not.
func TestFinal(t *testing.T) {
	later, nextDay, nextMonth := strings.Replace(row, "12:00", "13:00", 1), strings.Replace(row, "01-31", "01-30", 1), strings.Replace(row, "01-31", "02-01", 1)
	for name, tt := range map[string]struct {
		ddl  string
		rows []string
		want int
		last string // n of the row that is left
	}{
		"the last one":      {ddl, []string{row, strings.Replace(later, `"n":7`, `"n":8`, 1)}, 1, "8"},
		"another day":       {ddl, []string{row, nextDay}, 2, ""},
		"another partition": {strings.Replace(ddl, ", toDate(at)", "", 1), []string{row, nextMonth}, 2, ""},
		"greatest version":  {strings.Replace(ddl, "ReplacingMergeTree", "ReplacingMergeTree(n)", 1), []string{strings.Replace(row, `"n":7`, `"n":10`, 1), strings.Replace(row, `"n":7`, `"n":9`, 1)}, 1, "10"},
		"no replacing":      {strings.Replace(ddl, "ReplacingMergeTree", "MergeTree", 1), []string{row, later}, 2, ""},
	} {
		s := start(t, tt.ddl)
		for _, r := range tt.rows {
			ask(t, s, r)
		}
		got := s.Final("web.t")
		if len(got) != tt.want || tt.last != "" && got[0]["n"] != tt.last {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestNobodyWaits(t *testing.T) {
	s := start(t, ddl)
	lazy := []string{"async_insert", "1", "wait_for_async_insert", "0"}
	ask(t, s, row, lazy...)
	if n := len(s.Rows("web.t")); n != 0 {
		t.Errorf("%d rows before they were written", n)
	}
	s.Flush()
	ask(t, s, row, lazy...)
	s.Down(true)
	if status, _, _ := ask(t, s, row); status != 0 {
		t.Errorf("status %d of a server that is down", status)
	}
	s.Down(false)
	s.Flush()
	if n := len(s.Rows("web.t")); n != 1 {
		t.Errorf("%d rows: what nobody waited for dies with the server", n)
	}
}

func TestFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		fault  Fault
		status int
		code   string
		body   string
		rows   int
	}{
		"exception":       {Fault{Code: 252, Text: "Too many parts"}, 500, "252", "Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)", 0},
		"late":            {Fault{Code: 241, Late: true}, 200, "241", "Code: 241.", 0},
		"in the body":     {Fault{Code: 241, InBody: true}, 200, "", "Code: 241.", 0},
		"stored":          {Fault{Code: 210, Stored: true}, 500, "210", "Code: 210.", 1},
		"proxy":           {Fault{Status: 502}, 502, "", "<html>", 0},
		"reset":           {Fault{Reset: true}, 0, "", "", 0},
		"reset at length": {Fault{Reset: true, Stored: true}, 0, "", "", 1},
	} {
		s := start(t, ddl)
		s.Fault(func(int) *Fault { return &tt.fault })
		status, code, said := ask(t, s, row)
		if status != tt.status || code != tt.code || !strings.Contains(said, tt.body) || len(s.Rows("web.t")) != tt.rows {
			t.Errorf("%s: %d %q %q, %d rows", name, status, code, said, len(s.Rows("web.t")))
		}
	}
	s := New(Config{PartsToThrow: 2})
	defer s.Close()
	if err := s.Exec("CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 5 {
		_, code, _ := ask(t, s, `{"n":1}`, "query", "INSERT INTO t FORMAT JSONEachRow", "header:X-ClickHouse-User", "default", "header:X-ClickHouse-Key", "")
		got = append(got, code)
	}
	if strings.Join(got, ",") != ",,252,,252" {
		t.Errorf("%q", got)
	}
}

func TestStatements(t *testing.T) {
	for name, statement := range map[string]string{
		"type":           "CREATE TABLE t (n Number) ENGINE = MergeTree ORDER BY n",
		"engine":         "CREATE TABLE t (n UInt8) ENGINE = Log ORDER BY n",
		"no order":       "CREATE TABLE t (n UInt8) ENGINE = MergeTree",
		"order":          "CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY m",
		"nullable order": "CREATE TABLE t (n Nullable(UInt8)) ENGINE = MergeTree ORDER BY n",
		"function":       "CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY foo(n)",
		"column twice":   "CREATE TABLE t (n UInt8, n UInt8) ENGINE = MergeTree ORDER BY n",
		"version":        "CREATE TABLE t (n UInt8) ENGINE = ReplacingMergeTree(v) ORDER BY n",
		"not closed":     "CREATE TABLE t (n UInt8",
		"a quote":        "CREATE TABLE `t (n UInt8) ENGINE = MergeTree ORDER BY n",
		"more":           "CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n DROP",
		"arguments":      "CREATE TABLE t (n Decimal(5)) ENGINE = MergeTree ORDER BY n",
		"database":       "CREATE TABLE x.t (n UInt8) ENGINE = MergeTree ORDER BY n",
		"twice":          "CREATE TABLE web.t (n UInt8) ENGINE = MergeTree ORDER BY n",
	} {
		if err := start(t, ddl).Exec(statement); err == nil {
			t.Errorf("%s: %s is taken", name, statement)
		}
	}
	if err := start(t, ddl).Exec("CREATE TABLE IF NOT EXISTS web.t (n UInt8) ENGINE = MergeTree ORDER BY n -- a comment"); err != nil {
		t.Error(err)
	}
}
