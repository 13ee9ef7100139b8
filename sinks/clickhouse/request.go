package clickhouse

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/columns"
	"github.com/sidetrack-go/sidetrack/internal/jsonenc"
)

var layout = columns.Layout()

// endpoint is the URL of inserts, but for the token of the unit.
func (c *Config) endpoint() string {
	p := url.Values{
		// The whole answer is made before its status is sent: an exception has a status of its own.
		"wait_end_of_query": {"1"},
		// Times have a zone. The default form has none, and means the column's.
		"date_time_input_format": {"best_effort"},
	}
	if c.Insert == "async" {
		// Wait, always: without, the server says that it has what it may lose yet, and keeps errors to itself.
		p["async_insert"], p["wait_for_async_insert"], p["async_insert_deduplicate"] = []string{"1"}, []string{"1"}, []string{"1"}
	} else {
		p["async_insert"] = []string{"0"} // 1 is the default of newer servers
	}
	for k, v := range c.Settings {
		p[k] = []string{v}
	}
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(c.URL, "/") + "/?query=" + strings.ReplaceAll(url.QueryEscape(c.statement()), "%2C", ","))
	for _, k := range slices.Sorted(maps.Keys(p)) {
		b.WriteString("&" + k + "=" + url.QueryEscape(p[k][0]))
	}
	b.WriteString("&insert_deduplication_token=")
	return b.String()
}

// statement names the columns: a table may have others, and one that lacks some is found out at once.
func (c *Config) statement() string {
	names := make([]string, len(layout))
	for i := range layout {
		names[i] = layout[i].Name
	}
	return "INSERT INTO " + c.name() + " (" + strings.Join(names, ",") + ") FORMAT JSONEachRow"
}

// name is the table's, quoted.
func (c *Config) name() string { return quote(c.Database) + "." + quote(c.Table) }

var quoting = strings.NewReplacer("\\", "\\\\", "`", "\\`")

func quote(identifier string) string { return "`" + quoting.Replace(identifier) + "`" }

type generator struct {
	url    string
	header http.Header
	rows   sync.Pool // of *columns.Row
}

// Request makes an insert of the unit's rows. The unit's id is the token by which the server knows a repeat of it.
func (g *generator) Request(u sidetrack.Unit) (*sidetrack.Request, error) {
	if len(u.Events) == 0 {
		return nil, errors.New("clickhouse: no events")
	}
	row, ok := g.rows.Get().(*columns.Row)
	if !ok {
		row = &columns.Row{}
	}
	defer g.rows.Put(row)
	body := make([]byte, 0, 1024*len(u.Events))
	failed := map[int]error{}
	for i, e := range u.Events {
		if err := row.Set(e); err != nil {
			failed[i] = fmt.Errorf("clickhouse: encode: %w", err)
			continue
		}
		body = appendRow(body, row.Values)
	}
	var err error
	if len(failed) > 0 {
		err = &sidetrack.PartialError{Failed: failed}
	}
	if len(body) == 0 {
		return nil, err
	}
	return &sidetrack.Request{URL: g.url + u.ID.String(), Header: g.header.Clone(), Body: body}, err
}

// timeForm is that of a DateTime64(6): whole microseconds, with the zone.
const timeForm = `"2006-01-02T15:04:05.000000Z"`

// appendRow appends a row of JSONEachRow. What is absent is left out: the column's default stands for it.
func appendRow(b []byte, values []columns.Value) []byte {
	b = append(b, '{')
	for i := range values {
		v := &values[i]
		if !v.Set {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), layout[i].Name...), `":`...)
		switch layout[i].Kind {
		case columns.Text, columns.JSON:
			b = jsonenc.AppendString(b, v.Text)
		case columns.Bool:
			b = strconv.AppendBool(b, v.Int != 0)
		case columns.Time:
			b = time.UnixMicro(v.Int).UTC().AppendFormat(b, timeForm)
		case columns.Money:
			b = sidetrack.Money(v.Int).AppendJSON(b)
		case columns.ID:
			b = append(append(append(b, '"'), v.ID.String()...), '"')
		default:
			b = strconv.AppendInt(b, v.Int, 10)
		}
	}
	return append(b, '}', '\n')
}
