package clickhousefake

import (
	"fmt"
	"strconv"
	"strings"
)

// column of a table, as its statement says.
type column struct {
	name string
	typ  typ
}

// definition is what a CREATE TABLE statement says.
type definition struct {
	database, table string
	ifNotExists     bool
	columns         []column
	engine          string
	version         string // column of ReplacingMergeTree; "": the last row wins
	partition       []expr
	order           []expr
	settings        map[string]string
}

func (d *definition) replicated() bool { return strings.HasPrefix(d.engine, "Replicated") }

// expr is a column, or one function of it.
type expr struct{ function, column string }

// parser reads a statement token by token. The first error stays.
type parser struct {
	tokens []string
	at     int
	err    error
}

// tokenize splits a statement. Quoted identifiers and texts keep their first quote as a mark.
func tokenize(s string) ([]string, error) {
	var out []string
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			i++
		case c == '-' && strings.HasPrefix(s[i:], "--"):
			end := strings.IndexByte(s[i:], '\n')
			if end < 0 {
				return out, nil
			}
			i += end
		case c == '`' || c == '\'':
			var b strings.Builder
			b.WriteByte(c)
			j := i + 1
			for ; ; j++ {
				if j >= len(s) {
					return nil, fmt.Errorf("a quote is not closed: %.20s", s[i:])
				}
				if s[j] == '\\' && j+1 < len(s) {
					j++
					if at := strings.IndexByte("0ntrbf", s[j]); at >= 0 {
						b.WriteByte("\x00\n\t\r\b\f"[at])
						continue
					}
				} else if s[j] == c {
					break
				}
				b.WriteByte(s[j])
			}
			out = append(out, b.String())
			i = j + 1
		case word(c):
			j := i
			for j < len(s) && word(s[j]) {
				j++
			}
			out = append(out, s[i:j])
			i = j
		default:
			out = append(out, string(c))
			i++
		}
	}
	return out, nil
}

func word(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (p *parser) peek() string {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return ""
}

func (p *parser) next() string {
	t := p.peek()
	p.at++
	return t
}

func (p *parser) fail(want string) {
	if p.err == nil {
		p.err = throw(62, fmt.Sprintf("Syntax error: failed at position %d ('%s'). Expected %s", p.at+1, p.peek(), want))
	}
}

// is takes the words, whatever their case, if they come next.
func (p *parser) is(words ...string) bool {
	for i, w := range words {
		if p.at+i >= len(p.tokens) || !strings.EqualFold(p.tokens[p.at+i], w) {
			return false
		}
	}
	p.at += len(words)
	return true
}

func (p *parser) want(words ...string) {
	if !p.is(words...) {
		p.fail(strings.Join(words, " "))
	}
}

func (p *parser) ident() string {
	t := p.next()
	if q, ok := strings.CutPrefix(t, "`"); ok && q != "" {
		return q
	}
	if t == "" || !word(t[0]) || t[0] >= '0' && t[0] <= '9' {
		p.at--
		p.fail("an identifier")
	}
	return t
}

// name is table or database.table.
func (p *parser) name() (database, table string) {
	table = p.ident()
	if p.is(".") {
		return table, p.ident()
	}
	return "", table
}

func parseCreate(statement string) (*definition, error) {
	tokens, err := tokenize(statement)
	if err != nil {
		return nil, throw(62, "Syntax error: "+err.Error())
	}
	p := &parser{tokens: tokens}
	d := &definition{settings: map[string]string{}}
	p.want("CREATE", "TABLE")
	d.ifNotExists = p.is("IF", "NOT", "EXISTS")
	d.database, d.table = p.name()
	p.want("(")
	for p.err == nil {
		c := column{name: p.ident()}
		c.typ = p.typ()
		if p.is("CODEC") {
			p.skipParens()
		}
		if p.is("COMMENT") {
			p.next()
		}
		d.columns = append(d.columns, c)
		if !p.is(",") {
			break
		}
	}
	p.want(")")
	p.want("ENGINE")
	p.is("=")
	d.engine = p.ident()
	if p.peek() == "(" {
		for _, a := range p.arguments() {
			if a != "" && a[0] != '\'' {
				d.version = a
			}
		}
	}
	for p.err == nil && p.at < len(p.tokens) {
		switch {
		case p.is("PARTITION", "BY"):
			d.partition = p.exprs()
		case p.is("ORDER", "BY"):
			d.order = p.exprs()
		case p.is("PRIMARY", "KEY"):
			_ = p.exprs()
		case p.is("SETTINGS"):
			for p.err == nil {
				k := p.ident()
				p.want("=")
				d.settings[k] = strings.TrimPrefix(p.next(), "'")
				if !p.is(",") {
					break
				}
			}
		case p.is(";"):
		default:
			p.fail("PARTITION BY, ORDER BY, SETTINGS or the end")
		}
	}
	if p.err == nil {
		p.err = d.check()
	}
	return d, p.err
}

func (d *definition) check() error {
	switch d.engine {
	case "MergeTree", "ReplacingMergeTree", "ReplicatedMergeTree", "ReplicatedReplacingMergeTree":
	default:
		return throw(36, "Unknown table engine "+d.engine)
	}
	known := map[string]bool{}
	for _, c := range d.columns {
		if known[c.name] {
			return throw(44, "Cannot add column "+c.name+": column with this name already exists")
		}
		known[c.name] = true
	}
	if len(d.order) == 0 {
		return throw(36, "ORDER BY or PRIMARY KEY is missing")
	}
	for _, e := range append(append([]expr{}, d.partition...), d.order...) {
		if !known[e.column] {
			return throw(16, "Missing columns: '"+e.column+"'")
		}
		if c := d.column(e.column); c.typ.nullable {
			return throw(44, "Sorting key contains nullable columns, but merge tree setting `allow_nullable_key` is disabled")
		}
	}
	if d.version != "" && !known[d.version] {
		return throw(16, "There is no column "+d.version)
	}
	return nil
}

func (d *definition) column(name string) *column {
	for i := range d.columns {
		if d.columns[i].name == name {
			return &d.columns[i]
		}
	}
	return nil
}

// typ reads a data type.
func (p *parser) typ() typ {
	t := typ{name: p.ident()}
	switch t.name {
	case "LowCardinality", "Nullable":
		outer := t.name
		p.want("(")
		t = p.typ()
		p.want(")")
		if outer == "Nullable" {
			t.nullable = true
		}
		return t
	case "String", "UUID", "Bool", "Date", "Float64", "UInt8", "UInt16", "UInt32", "UInt64", "Int8", "Int16", "Int32", "Int64":
	case "DateTime64", "Decimal":
		for _, a := range p.arguments() {
			n, err := strconv.Atoi(a)
			if err == nil {
				t.numbers = append(t.numbers, n)
			}
		}
		if len(t.numbers) == 0 || t.name == "Decimal" && len(t.numbers) != 2 {
			p.fail("the arguments of " + t.name)
		}
	default:
		if p.err == nil {
			p.err = throw(50, "Unknown data type family: "+t.name)
		}
	}
	return t
}

// arguments are what lies between parentheses, split at commas.
func (p *parser) arguments() (out []string) {
	p.want("(")
	for p.err == nil && !p.is(")") {
		out = append(out, p.next())
		p.is(",")
		if p.at > len(p.tokens) {
			p.fail(")")
		}
	}
	return out
}

func (p *parser) skipParens() {
	p.want("(")
	for depth := 1; depth > 0 && p.err == nil; {
		switch p.next() {
		case "(":
			depth++
		case ")":
			depth--
		case "":
			p.fail(")")
		}
	}
}

// exprs is one expression, or several between parentheses.
func (p *parser) exprs() (out []expr) {
	if !p.is("(") {
		return []expr{p.expr()}
	}
	for p.err == nil {
		out = append(out, p.expr())
		if !p.is(",") {
			break
		}
	}
	p.want(")")
	return out
}

func (p *parser) expr() expr {
	e := expr{column: p.ident()}
	if p.is("(") {
		e.function = e.column
		e.column = p.ident()
		p.want(")")
		switch e.function {
		case "toDate", "toYYYYMM":
		default:
			if p.err == nil {
				p.err = throw(46, "Unknown function "+e.function)
			}
		}
	}
	return e
}

// insertion is what an INSERT statement says.
type insertion struct {
	database, table string
	columns         []string // nil: all
	format          string
}

func parseInsert(statement string) (*insertion, error) {
	tokens, err := tokenize(statement)
	if err != nil {
		return nil, throw(62, "Syntax error: "+err.Error())
	}
	p := &parser{tokens: tokens}
	in := &insertion{}
	p.want("INSERT", "INTO")
	p.is("TABLE")
	in.database, in.table = p.name()
	if p.is("(") {
		in.columns = []string{}
		for p.err == nil {
			in.columns = append(in.columns, p.ident())
			if !p.is(",") {
				break
			}
		}
		p.want(")")
	}
	p.want("FORMAT")
	in.format = p.ident()
	if p.err == nil && p.at < len(p.tokens) {
		p.fail("the end of the statement")
	}
	return in, p.err
}
