package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// erase deletes the rows of a person.
func (w *writer) erase(ctx context.Context, p sidetrack.Person) (int64, error) {
	conn, err := w.acquire(ctx)
	if err != nil {
		return 0, classify(err, sidetrack.Unit{})
	}
	defer conn.Release()
	pg := conn.Conn().PgConn()
	plan, err := w.planned(ctx, pg)
	if err != nil {
		return 0, classify(err, sidetrack.Unit{})
	}
	var where []string
	var args [][]byte
	for _, id := range []struct{ column, key, value string }{{"visitor_client_id", "client_id", p.ClientID}, {"visitor_user_id", "user_id", p.UserID}} {
		if id.value == "" {
			continue
		}
		args = append(args, []byte(asStored(id.value)))
		n := "$" + strconv.Itoa(len(args)) + "::text"
		for i, c := range layout {
			if c.Name == id.column && plan.has[i] {
				where = append(where, quote(c.Name)+" = "+n)
			} else if c.Name == id.column { // it is in rest then
				where = append(where, fmt.Sprintf("rest->'visitor'->>'%s' = %s", id.key, n))
			}
		}
	}
	if len(args) == 0 {
		return 0, nil
	}
	r := pg.ExecParams(ctx, fmt.Sprintf("DELETE FROM %s WHERE %s", w.target, strings.Join(where, " OR ")), args, nil, nil, nil).Read()
	if r.Err != nil {
		w.doubt(r.Err)
		return 0, classify(r.Err, sidetrack.Unit{})
	}
	return r.CommandTag.RowsAffected(), nil
}
