package clickhouse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/clickhousefake"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

// said is the body of an exception.
func said(code int, text, name string) string {
	return fmt.Sprintf("Code: %d. DB::Exception: %s. (%s) (version 25.8.1.5101 (official build))\n", code, text, name)
}

func TestAnswers(t *testing.T) {
	header := func(kv ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			h.Set(kv[i], kv[i+1])
		}
		return h
	}
	code := func(n int) http.Header { return header("X-ClickHouse-Exception-Code", strconv.Itoa(n)) }
	const (
		delivered, retry, throttled     = sidetrack.Delivered, sidetrack.Retry, sidetrack.Throttled
		rejected, misconfigured         = sidetrack.Rejected, sidetrack.Misconfigured
		tooMany, partitions, parse, old = "Too many parts (300)", "Too many partitions for single INSERT block (more than 100)", "Cannot parse input: expected '\"' before: 'jane@example.com'", "Code: 241, e.displayText() = DB::Exception: Memory limit (total) exceeded (version 21.3.1.1)"
	)
	for name, tt := range map[string]struct {
		status int
		header http.Header
		body   string
		cut    bool
		want   sidetrack.Class
		says   string
	}{
		"taken":                         {200, header("X-ClickHouse-Summary", "{}"), "", false, delivered, ""},
		"taken, with the code 0":        {200, code(0), "", false, delivered, ""},
		"a page of somebody else":       {200, nil, "<html>login</html>", false, misconfigured, "HTTP interface"},
		"the query got lost":            {200, nil, "Ok.\n", false, misconfigured, "HTTP interface"},
		"an answer that broke off":      {200, nil, "", true, retry, "broke off"},
		"too many parts":                {500, code(252), said(252, tooMany, "TOO_MANY_PARTS"), false, throttled, "TOO_MANY_PARTS: " + tooMany},
		"too many partitions":           {500, code(252), said(252, partitions, "TOO_MANY_PARTS"), false, rejected, "TOO_MANY_PARTS"},
		"memory":                        {500, code(241), said(241, "Memory limit exceeded", "MEMORY_LIMIT_EXCEEDED"), false, throttled, "MEMORY_LIMIT_EXCEEDED"},
		"memory, of an old server":      {500, nil, old, false, throttled, "Memory limit"},
		"too many queries":              {500, code(202), "", false, throttled, "exception 202"},
		"overloaded, with a wish":       {503, header("X-ClickHouse-Exception-Code", "745", "Retry-After", "7"), "", false, throttled, ""},
		"timeout":                       {408, code(159), said(159, "Timeout exceeded", "TIMEOUT_EXCEEDED"), false, retry, "TIMEOUT_EXCEEDED"},
		"insert of unknown status":      {500, code(319), said(319, "x", "UNKNOWN_STATUS_OF_INSERT"), false, retry, ""},
		"an exception nobody knows":     {500, code(9999), "", false, retry, "exception 9999"},
		"one of a client's fault":       {400, code(36), said(36, "x", "BAD_ARGUMENTS"), false, retry, ""},
		"no table, as status 404":       {404, code(60), said(60, "Table web.events does not exist", "UNKNOWN_TABLE"), false, misconfigured, "Table web.events does not exist"},
		"no column, as status 500":      {500, code(16), said(16, "No such column v in table web.events", "NO_SUCH_COLUMN_IN_TABLE"), false, misconfigured, "No such column v"},
		"no database":                   {404, code(81), "", false, misconfigured, ""},
		"wrong password":                {403, code(516), said(516, "sidetrack: Authentication failed", "AUTHENTICATION_FAILED"), false, misconfigured, "Authentication failed"},
		"no password":                   {401, code(194), "", false, misconfigured, ""},
		"no grant":                      {403, code(497), "", false, misconfigured, ""},
		"an unknown setting":            {404, code(115), said(115, "Setting x is neither a builtin setting", "UNKNOWN_SETTING"), false, misconfigured, "Setting x"},
		"a field without a column":      {400, code(117), said(117, "Unknown field found while parsing JSONEachRow format: q", "INCORRECT_DATA"), false, misconfigured, "INCORRECT_DATA"},
		"a row that cannot be read":     {400, code(27), said(27, parse+": (while reading the value of key params): (at row 3)\n", "CANNOT_PARSE_INPUT_ASSERTION_FAILED"), false, rejected, "CANNOT_PARSE_INPUT_ASSERTION_FAILED in column params of row 3"},
		"the statement was changed":     {400, code(62), said(62, "Syntax error: failed at position 1: {\"id\":\"jane@example.com\"}", "SYNTAX_ERROR"), false, misconfigured, "SYNTAX_ERROR"},
		"late, in a header":             {200, code(252), "", false, throttled, ""},
		"late, in the body":             {200, nil, said(241, "Memory limit exceeded", "MEMORY_LIMIT_EXCEEDED"), false, throttled, ""},
		"late, behind progress":         {200, nil, "\n\n__exception__\r\nabcdef\r\n" + said(27, parse, "CANNOT_PARSE_INPUT_ASSERTION_FAILED"), false, rejected, ""},
		"a code that is no number":      {200, header("X-ClickHouse-Exception-Code", "?"), "", false, retry, ""},
		"a number beyond all":           {200, nil, "Code: 999999. DB::Exception: x", false, retry, ""},
		"a text that speaks of codes":   {500, nil, "<p>Error Code: 60. Sorry</p>", false, retry, "status 500"},
		"a proxy that asks to wait":     {429, header("Retry-After", "7"), "", false, throttled, "status 429"},
		"a proxy that is full":          {413, nil, "<html>", false, rejected, "status 413"},
		"a proxy without a server":      {502, nil, "<html>", false, retry, "status 502"},
		"a redirect":                    {301, nil, "", false, misconfigured, "status 301"},
		"the code of another exception": {500, code(241), said(252, tooMany, "TOO_MANY_PARTS"), false, throttled, "exception 241"},
	} {
		h := tt.header
		if h == nil {
			h = http.Header{}
		}
		err := classify(sidetrack.Unit{}, &sidetrack.Response{Status: tt.status, Header: h, Body: []byte(tt.body), Cut: tt.cut})
		class, after := sidetrack.ClassOf(err)
		if class != tt.want || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %s, %v; want %s, %q", name, class, err, tt.want, tt.says)
		}
		if h.Get("Retry-After") != "" && after != 7*time.Second {
			t.Errorf("%s: wait %s", name, after)
		}
		if err != nil && strings.Contains(err.Error(), "jane") {
			t.Errorf("%s: the error quotes a row: %v", name, err)
		}
	}
}

// TestAnswersOfAServer has the answers that a server gives in the situations that configurations bring about.
func TestAnswersOfAServer(t *testing.T) {
	old := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		change func(*Config)
		table  func(string) string
		fault  *clickhousefake.Fault
		want   sidetrack.Class
		says   string
	}{
		"right":             {want: sidetrack.Delivered},
		"wrong password":    {change: func(c *Config) { c.Password = sidetrack.NewSecret("other") }, want: sidetrack.Misconfigured, says: "Authentication failed"},
		"wrong user":        {change: func(c *Config) { c.User = "nobody" }, want: sidetrack.Misconfigured, says: "AUTHENTICATION_FAILED"},
		"no table":          {change: func(c *Config) { c.Table = "other" }, want: sidetrack.Misconfigured, says: "sidetrack ddl"},
		"no database":       {change: func(c *Config) { c.Database = "other" }, want: sidetrack.Misconfigured, says: "Database other does not exist"},
		"no such setting":   {change: func(c *Config) { c.Settings = map[string]string{"no_such": "1"} }, want: sidetrack.Misconfigured, says: "no_such"},
		"a path beside it":  {change: func(c *Config) { c.URL += "/sub" }, want: sidetrack.Misconfigured, says: "404"},
		"a missing column":  {table: func(s string) string { return strings.Replace(s, "    page_title String,\n", "", 1) }, want: sidetrack.Misconfigured, says: "page_title"},
		"a narrower column": {table: func(s string) string { return strings.Replace(s, "page_status Int64", "page_status Int8", 1) }, want: sidetrack.Rejected, says: "in column page_status"},
		"one more column":   {table: func(s string) string { return strings.Replace(s, "    v Int64", "    shard UInt8, v Int64", 1) }, want: sidetrack.Delivered},
		"late":              {fault: &clickhousefake.Fault{Code: 241, Text: "Memory limit exceeded", Late: true}, want: sidetrack.Throttled},
		"in the body":       {fault: &clickhousefake.Fault{Code: 252, Text: "Too many parts", InBody: true}, want: sidetrack.Throttled},
		"of a proxy":        {fault: &clickhousefake.Fault{Status: 502}, want: sidetrack.Retry},
	} {
		t.Run(name, func(t *testing.T) {
			var changes []func(string) string
			if tt.table != nil {
				changes = append(changes, tt.table)
			}
			s, cfg := server(t, config(), changes...)
			s.Fault(func(int) *clickhousefake.Fault { return tt.fault })
			if tt.change != nil {
				tt.change(&cfg)
			}
			sink, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			view := sinktest.Samples()[0]
			err = send(t, sink, sidetrack.Unit{ID: uuid.NewSHA1(uuid.Nil, []byte(name)), Events: []*sidetrack.Event{view}, At: old, Attempt: 1})
			if class, _ := sidetrack.ClassOf(err); class != tt.want || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v, want %s with %q", class, err, tt.want, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), view.Visitor.ClientID) {
				t.Errorf("the error quotes the event: %v", err)
			}
			if n := len(s.Rows("web.events")); n != 1 && tt.want == sidetrack.Delivered || n != 0 && tt.want != sidetrack.Delivered {
				t.Errorf("%d rows", n)
			}
		})
	}
}

// send delivers a unit as the engine does, without what the engine adds.
func send(t testing.TB, sink *sidetrack.Sink, u sidetrack.Unit) error {
	t.Helper()
	spec := sink.Spec()
	made, err := spec.Generator.Request(u)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), made.MethodOrPost(), made.URL, bytes.NewReader(made.Body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = made.Header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return spec.Classify(u, &sidetrack.Response{Status: resp.StatusCode, Header: resp.Header, Body: body, Cut: err != nil})
}

func FuzzClassify(f *testing.F) {
	f.Add(200, "", "", false)
	f.Add(500, "252", said(252, "Too many parts (300)", "TOO_MANY_PARTS"), false)
	f.Add(200, "241", "", false)
	f.Add(200, "", said(27, "Cannot parse input: (while reading the value of key v): (at row 3)", "X"), true)
	f.Add(200, "", "\r\n__exception__\r\nabc\r\nCode: 1. DB::Exception: y", false)
	f.Add(403, "516", "Code: 516, e.displayText() = DB::Exception: \xff\x00", false)
	f.Add(200, "-1", "Code: 0. DB::Exception", false)
	f.Add(429, "99999999999999999999", "Code: 99999999999999999999. ", false)
	f.Fuzz(func(t *testing.T, status int, header, body string, cut bool) {
		h := http.Header{}
		if header != "" {
			h.Set("X-ClickHouse-Exception-Code", header)
		}
		r := &sidetrack.Response{Status: status, Header: h, Body: []byte(body), Cut: cut}
		err := classify(sidetrack.Unit{}, r)
		class, _ := sidetrack.ClassOf(err)
		if class == sidetrack.Delivered {
			n, bad := strconv.Atoi(strings.TrimSpace(header))
			switch {
			case header != "" && (bad != nil || n != 0):
				t.Errorf("delivered in spite of the code %q", header)
			case status == http.StatusOK && strings.TrimSpace(body) != "":
				t.Errorf("delivered in spite of the body %q", body)
			case status == http.StatusOK && cut:
				t.Error("delivered although the answer broke off")
			case status < 200 || status > 299:
				t.Errorf("delivered with status %d", status)
			}
			return
		}
		if s := err.Error(); len(s) > 1000 || strings.ContainsAny(s, "\n\r\x00") {
			t.Errorf("not fit for a log: %q", s)
		}
		if _, ok := errors.AsType[*sidetrack.PartialError](err); ok {
			t.Error("an insert is taken as a whole")
		}
	})
}
