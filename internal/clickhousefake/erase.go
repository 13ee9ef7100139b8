package clickhousefake

import (
	"fmt"
	"net/http"
	"net/url"
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

// where reads column = {name:String} OR …, with the values of the request's parameters param_name.
func (p *parser) where(q url.Values) (out condition) {
	for p.err == nil {
		column := p.ident()
		p.want("=")
		p.want("{")
		name := p.ident()
		p.want(":")
		p.want("String")
		p.want("}")
		if p.err == nil && !q.Has("param_"+name) {
			p.err = throw(456, "Query parameter `"+name+"` was not set")
		}
		if p.err == nil && strings.ContainsAny(q.Get("param_"+name), "\t\n") {
			p.err = throw(457, "Value "+q.Get("param_"+name)+" cannot be parsed as String for query parameter '"+name+"' because it isn't parsed completely")
		}
		out = append(out, struct{ column, value string }{column, unescape(q.Get("param_" + name))})
		if !p.is("OR") {
			break
		}
	}
	if p.err == nil && p.at < len(p.tokens) {
		p.fail("the end of the statement")
	}
	return out
}

// unescape reads the value of a parameter, which is in the form of TabSeparated.
func unescape(s string) string {
	return strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\r`, "\r", `\0`, "\x00", `\b`, "\b", `\f`, "\f", `\'`, `'`).Replace(s)
}

// other runs the statements beside CREATE TABLE and INSERT that the fake knows: it counts rows by id, and deletes some.
func (s *Server) other(statement string, q url.Values, set settings, w http.ResponseWriter) error {
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
	where := p.where(q)
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
