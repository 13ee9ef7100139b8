package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// eraser deletes rows. It needs the grants SELECT and ALTER DELETE, which inserting does not.
type eraser struct {
	url    string
	table  string // quoted
	header http.Header
	client *http.Client
}

func newEraser(cfg *Config, header http.Header) *eraser {
	return &eraser{url: strings.TrimSuffix(cfg.URL, "/") + "/?wait_end_of_query=1", table: cfg.name(), header: header, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// erase deletes the rows of a person and returns how many events they were. It returns when the parts of the table, on
// all replicas, are written without them; should ctx end before, the server goes on, and asking again is safe.
func (e *eraser) erase(ctx context.Context, p sidetrack.Person) (int64, error) {
	var where []string
	for _, id := range []struct{ column, value string }{{"visitor_client_id", p.ClientID}, {"visitor_user_id", p.UserID}} {
		if id.value != "" {
			where = append(where, id.column+" = "+literal(id.value))
		}
	}
	if len(where) == 0 {
		return 0, nil
	}
	of := " WHERE " + strings.Join(where, " OR ")
	answer, err := e.run(ctx, "SELECT uniqExact(id) FROM "+e.table+of, "")
	if err != nil {
		return 0, fmt.Errorf("clickhouse: count what is to be erased: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(answer), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("clickhouse: count what is to be erased: the answer is no number")
	}
	if n == 0 {
		return 0, nil
	}
	// mutations_sync: return when it is done, on all replicas.
	if _, err := e.run(ctx, "ALTER TABLE "+e.table+" DELETE"+of, "&mutations_sync=2"); err != nil {
		return 0, fmt.Errorf("clickhouse: erase: %w", err)
	}
	return n, nil
}

// literal is a text in a statement. Mutations have not always known parameters (issue 10976 of ClickHouse), and the body
// of a request, unlike its URL, is in no log of a proxy.
func literal(s string) string { return "'" + escape.Replace(s) + "'" }

var escape = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`)

// run executes a statement, with settings as they stand in a URL, and returns the body of the answer.
func (e *eraser) run(ctx context.Context, statement, settings string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+settings, strings.NewReader(statement))
	if err != nil {
		return "", err
	}
	req.Header = e.header.Clone()
	req.Header.Set("Content-Type", "text/plain")
	resp, err := e.client.Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, sidetrack.MaxResponseBytes))
	r := &sidetrack.Response{Status: resp.StatusCode, Header: resp.Header, Body: body, Cut: err != nil}
	if code, said := exception(r); code != 0 {
		return "", describe(code, said, classOf(code, said))
	}
	if r.Status != http.StatusOK || r.Cut {
		return "", fmt.Errorf("status %d", r.Status)
	}
	return string(body), nil
}
