package clickhouse

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/clickhousefake"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

// TestErase deletes one person's rows, repeats too, and leaves others, whatever an id holds.
func TestErase(t *testing.T) {
	s, cfg := server(t, config())
	sink := build(t, cfg)
	const odd = "o'\\t\t\nx` {a:String} \x00"
	for i, id := range []sidetrack.Visitor{{ClientID: "me"}, {ClientID: "me", UserID: "u"}, {ClientID: "other", UserID: "u"}, {ClientID: "other"}, {}, {UserID: odd}, {ClientID: "me'"}} {
		e := sinktest.Samples()[0]
		e.ID, e.Visitor = uuid.NewSHA1(uuid.Nil, []byte{byte(i)}), id
		for attempt := range 2 { // each lies there twice
			if err := send(t, sink, sidetrack.Unit{ID: uuid.NewSHA1(uuid.Nil, []byte{byte(i), byte(attempt)}), Events: []*sidetrack.Event{e}, At: e.Time, Attempt: 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	erase := sink.Spec().Erase
	for _, tt := range []struct {
		who        sidetrack.Person
		want, left int
	}{
		{sidetrack.Person{}, 0, 14},
		{sidetrack.Person{ClientID: "nobody", UserID: "nobody"}, 0, 14},
		{sidetrack.Person{UserID: "' OR 1 --"}, 0, 14},
		{sidetrack.Person{UserID: odd}, 1, 12},
		{sidetrack.Person{ClientID: "me"}, 2, 8},
		{sidetrack.Person{ClientID: "me"}, 0, 8},
		{sidetrack.Person{ClientID: "nobody", UserID: "u"}, 1, 6},
	} {
		n, err := erase(t.Context(), tt.who)
		if left := len(s.Rows(events)); err != nil || n != int64(tt.want) || left != tt.left {
			t.Errorf("%+v: %d erased, %d rows left, %v; want %d and %d", tt.who, n, left, err, tt.want, tt.left)
		}
	}
}

func TestEraseFails(t *testing.T) {
	for name, tt := range map[string]struct {
		fake   clickhousefake.Config
		change func(*Config)
		says   string
	}{
		"no grant":       {clickhousefake.Config{InsertOnly: true}, nil, "ALTER DELETE"},
		"no table":       {clickhousefake.Config{}, func(c *Config) { c.Table = "none" }, "web.none"},
		"wrong password": {clickhousefake.Config{}, func(c *Config) { c.Password = sidetrack.NewSecret("secret-0815") }, "Authentication"},
		"no server":      {clickhousefake.Config{}, func(c *Config) { c.URL = "http://127.0.0.1:1" }, "refused"},
		"another path":   {clickhousefake.Config{}, func(c *Config) { c.URL += "/x" }, "status 404"},
	} {
		cfg := config()
		tt.fake.User, tt.fake.Password, tt.fake.Databases = cfg.User, cfg.Password.Reveal(), []string{cfg.Database}
		s := clickhousefake.New(tt.fake)
		cfg.URL = s.URL
		if err := s.Exec(DDL(cfg.Database, cfg.Table)); err != nil {
			t.Fatal(err)
		}
		if tt.change != nil {
			tt.change(&cfg)
		}
		n, err := build(t, cfg).Spec().Erase(t.Context(), sidetrack.Person{ClientID: "client-4711"})
		if said := fmt.Sprint(err); err == nil || n != 0 || !strings.Contains(said, tt.says) || strings.Contains(said, "secret-0815") || strings.Contains(said, "client-4711") {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		s.Close()
	}
}
