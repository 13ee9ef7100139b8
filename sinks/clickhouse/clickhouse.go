// Package clickhouse keeps events in a ClickHouse table of one's own, by its HTTP interface.
//
// Facts of the interface are from ClickHouse's documentation (clickhouse.com/docs): "HTTP interface", "JSONEachRow",
// "ReplacingMergeTree", "Deduplicating inserts on retries", "Asynchronous inserts"; numbers of exceptions and the
// statuses that go with them from src/Common/ErrorCodes.cpp and src/Server/HTTP/exceptionCodeToHTTPStatus.cpp of its
// source.
package clickhouse

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// Config is the configuration of the clickhouse sink.
type Config struct {
	// URL of the HTTP interface, such as http://localhost:8123 or https://host:8443.
	URL string `yaml:"url"`
	// User who inserts. It needs INSERT on the table; to forget visitors also SELECT and ALTER DELETE. Empty: the server's user default.
	User string `yaml:"user"`
	// Password of the user.
	Password sidetrack.Secret `yaml:"password"`
	// Database of the table.
	Database string `yaml:"database"`
	// Table that events are inserted into.
	Table string `yaml:"table"`
	// Insert says how the server takes rows: async gathers those of several requests into one part and answers when it
	// is written; sync writes a part for each request.
	Insert string `yaml:"insert" enum:"async,sync"`
	// Settings of ClickHouse for each insert, such as {insert_quorum: "2"}.
	Settings map[string]string `yaml:"settings"`
	// MaxEvents is how many events are inserted at once, at most.
	MaxEvents int `yaml:"max_events"`
	// MaxBytes is how large the rows of one insert are, at most, before compression.
	MaxBytes int `yaml:"max_bytes"`
}

// Defaults is what the configuration holds before it is decoded.
func Defaults() Config {
	return Config{Database: "default", Table: "events", Insert: "async", MaxEvents: 5000, MaxBytes: 4 << 20}
}

// Bounds of what can be configured: an encoded event has 64 KiB at most, and as a row about twice that when each of
// its characters has to be escaped once more.
const (
	maxEvents = 100_000
	minBytes  = 128 << 10
)

// inFlight is how many inserts are under way at once unless the configuration says otherwise. While they are, the next
// events gather: few inserts make large ones.
const inFlight = 4

// New makes the sink. It needs analytics_storage; the owner's own copy states needs: [].
func New(cfg Config) (*sidetrack.Sink, error) {
	cfg.complete()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	// What the rows are is said by FORMAT: ClickHouse does not look at the type of a body.
	g := &generator{url: cfg.endpoint(), header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}}
	if cfg.User != "" {
		g.header["X-Clickhouse-User"] = []string{cfg.User}
	}
	if !cfg.Password.IsZero() {
		g.header["X-Clickhouse-Key"] = []string{cfg.Password.Reveal()}
	}
	return sidetrack.HTTPSink(g,
		sidetrack.MaxEvents(cfg.MaxEvents), sidetrack.MaxBytes(cfg.MaxBytes), sidetrack.Concurrency(inFlight),
		sidetrack.Accepts(sidetrack.Gzip), sidetrack.Compress(sidetrack.Zstd), // "HTTP interface", Compression
		sidetrack.Classify(classify), sidetrack.Secrets(cfg.Password), sidetrack.Erase(newEraser(&cfg, g.header).erase), sidetrack.DDL(DDL(cfg.Database, cfg.Table)),
	), nil
}

func (c *Config) complete() {
	d := Defaults()
	for _, s := range []struct{ value, def *string }{{&c.Database, &d.Database}, {&c.Table, &d.Table}, {&c.Insert, &d.Insert}} {
		if *s.value == "" {
			*s.value = *s.def
		}
	}
	if c.MaxEvents == 0 {
		c.MaxEvents = d.MaxEvents
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = d.MaxBytes
	}
}

func (c *Config) check() error {
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "":
		return &sidetrack.FieldError{Field: "url", Problem: "is missing: the server's HTTP interface, such as http://localhost:8123"}
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return &sidetrack.FieldError{Field: "url", Problem: "must be an absolute http or https URL"}
	case u.User != nil:
		return &sidetrack.FieldError{Field: "url", Problem: "must not hold a user: write user and password"}
	case u.RawQuery != "" || u.Fragment != "":
		return &sidetrack.FieldError{Field: "url", Problem: "must not have a query: write database, table and settings"}
	case u.Port() == "9000" || u.Port() == "9440":
		return &sidetrack.FieldError{Field: "url", Problem: "is the port of the native protocol: HTTP is mostly on 8123, or 8443 with TLS"}
	case !printable(c.User) || !printable(c.Password.Reveal()):
		field := "user"
		if printable(c.User) {
			field = "password"
		}
		return &sidetrack.FieldError{Field: field, Problem: "must be printable ASCII: it is sent in a header"}
	case c.User == "" && !c.Password.IsZero():
		return &sidetrack.FieldError{Field: "user", Problem: "is missing: password needs it"}
	case !nameable(c.Database):
		return &sidetrack.FieldError{Field: "database", Problem: "must be 1 to 200 characters without control characters"}
	case !nameable(c.Table):
		return &sidetrack.FieldError{Field: "table", Problem: "must be 1 to 200 characters without control characters"}
	case c.Insert != "async" && c.Insert != "sync":
		return &sidetrack.FieldError{Field: "insert", Problem: fmt.Sprintf("is %q: use async or sync", c.Insert)}
	case c.MaxEvents < 1 || c.MaxEvents > maxEvents:
		return &sidetrack.FieldError{Field: "max_events", Problem: fmt.Sprintf("is %d: write 1 to %d", c.MaxEvents, maxEvents)}
	case c.MaxBytes < minBytes:
		return &sidetrack.FieldError{Field: "max_bytes", Problem: fmt.Sprintf("is %d: write at least %d", c.MaxBytes, minBytes)}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		if problem := settingProblem(name); problem != "" {
			return &sidetrack.FieldError{Field: "settings." + name, Problem: problem}
		}
	}
	return nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func nameable(s string) bool {
	return s != "" && len(s) <= 200 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' })
}

var settingName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// settingProblem says why a parameter cannot be set, if so.
func settingProblem(name string) string {
	switch name {
	case "query", "database", "insert_deduplication_token", "wait_end_of_query", "date_time_input_format", "default_format", "compress", "decompress":
		return "is set by the sink"
	case "async_insert", "wait_for_async_insert":
		return "is set by insert: async, which waits until rows are written, or sync"
	case "user", "password":
		return "is a key of its own, sent in a header"
	case "input_format_allow_errors_num", "input_format_allow_errors_ratio":
		return "would make the server leave out events in silence"
	case "session_id", "query_id":
		return "must differ between inserts"
	}
	if !settingName.MatchString(name) {
		return "is not the name of a setting"
	}
	return ""
}
