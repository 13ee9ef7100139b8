package clickhousefake

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// condition is column = value, any of which has to hold.
type condition []struct{ column, value string }

func (c condition) holds(r Row) bool {
	for _, x := range c {
		if r[x.column] == x.value {
			return true
		}
	}
	return false
}

// where reads column = 'text' OR …
func (p *parser) where() (out condition) {
	for p.err == nil {
		column := p.ident()
		p.want("=")
		value, ok := strings.CutPrefix(p.next(), "'")
		if !ok {
			p.at--
			p.fail("a text")
		}
		out = append(out, struct{ column, value string }{column, value})
		if !p.is("OR") {
			break
		}
	}
	if p.err == nil && p.at < len(p.tokens) {
		p.fail("the end of the statement")
	}
	return out
}

// other runs the statements beside CREATE TABLE and INSERT that the fake knows: it counts rows by id, and deletes some.
func (s *Server) other(statement string, set settings, w http.ResponseWriter) error {
	tokens, err := tokenize(statement)
	if err != nil {
		return throw(62, "Syntax error: "+err.Error())
	}
	p := &parser{tokens: tokens}
	counting := p.is("SELECT", "uniqExact", "(", "id", ")", "FROM")
	if !counting {
		p.want("ALTER", "TABLE")
	}
	database, name := p.name()
	if !counting {
		p.want("DELETE")
	}
	p.want("WHERE")
	where := p.where()
	if p.err != nil {
		return p.err
	}
	if s.cfg.InsertOnly {
		return throw(497, s.cfg.User+": Not enough privileges. To execute this query, it's necessary to have the grant ALTER DELETE ON "+database+"."+name)
	}
	t := s.tables[database+"."+name]
	if t == nil {
		return throw(60, fmt.Sprintf("Table %s.%s does not exist", database, name))
	}
	for _, c := range where {
		if t.column(c.column) == nil {
			return throw(47, "Missing columns: '"+c.column+"'")
		}
	}
	if counting {
		seen := map[string]bool{}
		for _, r := range t.rows {
			if where.holds(r) {
				seen[r["id"]] = true
			}
		}
		_, _ = fmt.Fprintf(w, "%d\n", len(seen))
		return nil
	}
	remove := func() { t.rows = slices.DeleteFunc(t.rows, where.holds) }
	if set.number("mutations_sync") == 0 {
		s.buffered = append(s.buffered, remove) // some time later
		return nil
	}
	remove()
	return nil
}
