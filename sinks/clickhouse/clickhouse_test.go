package clickhouse

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/clickhousefake"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

func config() Config {
	cfg := Defaults()
	cfg.URL, cfg.User, cfg.Password = "https://clickhouse.example:8443", "sidetrack", sidetrack.NewSecret("pass-4711")
	cfg.Database = "web"
	return cfg
}

func TestContract(t *testing.T) {
	plain := Config{URL: "http://localhost:8123/", Insert: "sync", Table: "odd `name`", Settings: map[string]string{"insert_quorum": "2", "role": "a b"}}
	for name, cfg := range map[string]Config{"async": config(), "sync": plain} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(cfg) }, sinktest.Golden("testdata/golden/"+name))
		})
	}
}

func TestConfig(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"url":                                    func(c *Config) { c.URL = "" },
		"url ":                                   func(c *Config) { c.URL = "clickhouse.example:8123" },
		"url  ":                                  func(c *Config) { c.URL = "http://u:p@clickhouse.example" },
		"url   ":                                 func(c *Config) { c.URL += "?async_insert=0" },
		"url    ":                                func(c *Config) { c.URL = "http://clickhouse.example:9000" },
		"user":                                   func(c *Config) { c.User = "a\nb" },
		"user ":                                  func(c *Config) { c.User = "" },
		"password":                               func(c *Config) { c.Password = sidetrack.NewSecret("ä") },
		"database":                               func(c *Config) { c.Database = "a\x00" },
		"table":                                  func(c *Config) { c.Table = strings.Repeat("x", 201) },
		"insert":                                 func(c *Config) { c.Insert = "later" },
		"max_events":                             func(c *Config) { c.MaxEvents = -1 },
		"max_events ":                            func(c *Config) { c.MaxEvents = 1_000_000 },
		"max_bytes":                              func(c *Config) { c.MaxBytes = 1000 },
		"settings.wait_for_async_insert":         func(c *Config) { c.Settings = map[string]string{"wait_for_async_insert": "0"} },
		"settings.insert_deduplication_token":    func(c *Config) { c.Settings = map[string]string{"insert_deduplication_token": "x"} },
		"settings.input_format_allow_errors_num": func(c *Config) { c.Settings = map[string]string{"input_format_allow_errors_num": "1"} },
		"settings.a&b":                           func(c *Config) { c.Settings = map[string]string{"a&b": "x"} },
		"settings.password":                      func(c *Config) { c.Settings = map[string]string{"password": "x"} },
	} {
		cfg := config()
		change(&cfg)
		_, err := New(cfg)
		if fe, ok := err.(*sidetrack.FieldError); !ok || fe.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := New(Config{URL: "http://localhost:8123"}); err != nil {
		t.Errorf("an address is all that is needed: %v", err)
	}
}

// server starts a fake with the table of cfg, and returns cfg with its address.
func server(t testing.TB, cfg Config, change ...func(ddl string) string) (*clickhousefake.Server, Config) {
	t.Helper()
	s := clickhousefake.New(clickhousefake.Config{User: cfg.User, Password: cfg.Password.Reveal(), Databases: []string{cfg.Database}})
	t.Cleanup(s.Close)
	ddl := DDL(cfg.Database, cfg.Table)
	for _, f := range change {
		changed := f(ddl)
		if changed == ddl {
			t.Fatal("the change of the table changes nothing")
		}
		ddl = changed
	}
	if err := s.Exec(ddl); err != nil {
		t.Fatalf("%v:\n%s", err, ddl)
	}
	cfg.URL = s.URL
	return s, cfg
}

// ids returns what a column holds of the rows, in order.
func ids(rows []clickhousefake.Row, column string) []string {
	var out []string
	for _, r := range rows {
		out = append(out, r[column])
	}
	slices.Sort(out)
	return out
}

// TestTable shows that the statement makes a table, and that it can be given again.
func TestTable(t *testing.T) {
	s, cfg := server(t, config())
	if err := s.Exec(DDL(cfg.Database, cfg.Table)); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if got := DDL("default", "a`b\\"); !strings.HasPrefix(got, "CREATE TABLE IF NOT EXISTS `default`.`a\\`b\\\\`\n") {
		t.Errorf("%.80s", got)
	}
}

// TestFewValues holds the columns whose texts are kept as numbers: names of which there can be one for each visitor
// must not be among them.
func TestFewValues(t *testing.T) {
	got := map[bool][]string{}
	for _, c := range layout {
		got[dataType(c) == "LowCardinality(String)"] = append(got[dataType(c) == "LowCardinality(String)"], c.Name)
	}
	for _, name := range []string{"visitor_client_id", "visitor_user_id", "message_id", "page_url", "device_user_agent", "network_ip", "params"} {
		if !slices.Contains(got[false], name) {
			t.Errorf("%s is taken to have few values", name)
		}
	}
	for _, name := range []string{"name", "site", "network_country", "campaign_source", "consent_ad_storage"} {
		if !slices.Contains(got[true], name) {
			t.Errorf("%s is not taken to have few values", name)
		}
	}
	if len(slices.Collect(maps.Keys(got))) != 2 {
		t.Error("one kind only")
	}
}
