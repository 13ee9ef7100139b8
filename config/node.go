package config

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

type kind uint8

const (
	null kind = iota
	scalar
	list
	mapping
	broken // already reported: what is wrong with it must not be told twice
)

// String names the kind as a person would.
func (k kind) String() string {
	return [...]string{"empty", "a single value", "a list", "a mapping", "broken"}[k]
}

// plainType is what a scalar without quotes means by itself, for values whose
// type the target does not say.
type plainType uint8

const (
	isString plainType = iota
	isInt
	isFloat
	isBool
)

// node is a YAML value with its place. Anchors, aliases, merge keys and tags are
// resolved, variables are not replaced yet. Aliased nodes are shared and never change.
type node struct {
	kind   kind
	pos    Position
	text   string    // scalar
	plain  plainType // scalar
	items  []*node   // list
	fields []field   // mapping, in the order of the file, keys are unique
	weight int       // number of nodes with aliases expanded
	beside []string  // keys taken out of fields already, for hints
}

type field struct {
	key   string
	pos   Position
	value *node
}

// Limits that no configuration written by people reaches. They keep hostile input
// from using much time or stack.
const (
	maxFileBytes = 256 << 10
	maxNesting   = 64
	maxNodes     = 100_000
)

func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, f := range n.fields {
		if f.key == key {
			return f.value
		}
	}
	return nil
}

// find follows a path such as "items[2].price" as far as it exists.
func (n *node) find(path string) *node {
	for part := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		next := n.get(part)
		if i, err := strconv.Atoi(part); next == nil && err == nil && i >= 0 && i < len(n.items) {
			next = n.items[i]
		}
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// read parses a document. The result is nil when it cannot be read at all.
func read(data []byte, ps *problems) *node {
	if len(data) > maxFileBytes {
		ps.add(Problem{Message: fmt.Sprintf("has %d bytes, at most %d are read", len(data), maxFileBytes), Hint: "it is likely another file"})
		return nil
	}
	if pos := tooDeep(data); pos.Line > 0 {
		ps.add(Problem{Position: pos, Message: fmt.Sprintf("is nested deeper than %d levels", maxNesting), Hint: "no section of a configuration is"})
		return nil
	}
	file, err := parse(data)
	if err != nil {
		ps.add(syntaxProblem(err))
		return nil
	}
	r := reader{ps: ps, anchors: make(map[string]*node)}
	var root *node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case root != nil:
			ps.add(Problem{Position: position(doc.Body), Message: "a second document begins here", Hint: "keep the configuration in one document, without ---"})
		default:
			root = r.value(doc.Body, 0)
		}
	}
	if r.tooLarge {
		return nil
	}
	if root == nil {
		root = &node{pos: Position{1, 1}}
	}
	return root
}

// parse shields the process from panics of the YAML library on damaged input.
func parse(data []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("is not readable as YAML")
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
}

// syntaxProblem leaves out the excerpt that the library's errors carry: a secret may be in it.
func syntaxProblem(err error) Problem {
	ye, ok := errors.AsType[yaml.Error](err)
	if !ok {
		return Problem{Message: "is not readable as YAML", Hint: "look for unclosed quotes and brackets"}
	}
	p := Problem{Message: "YAML: " + ye.GetMessage()}
	if tk := ye.GetToken(); tk != nil && tk.Position != nil {
		p.Position = Position{tk.Position.Line, tk.Position.Column}
	}
	switch {
	case strings.Contains(p.Message, "'\t'"):
		p.Message, p.Hint = "YAML: a tab cannot indent", "use spaces"
	case strings.Contains(p.Message, "mapping value is not allowed"):
		p.Hint = `put a value that contains ": " in quotes`
	case strings.Contains(p.Message, "value is not allowed in this context"):
		p.Hint = "check the indentation of this line and the one before"
	case strings.Contains(p.Message, "must be specified"):
		p.Hint = `close what is open, and put a value with ${…}, braces or brackets in quotes: "${NAME}"`
	case strings.Contains(p.Message, "end character"):
		p.Hint = "close the quote that begins here"
	case strings.Contains(p.Message, "reserved character"), strings.Contains(p.Message, "unexpected directive"):
		p.Hint = "put a value that begins with this character in quotes"
	default:
		p.Hint = "look at quotes, brackets and indentation here and in the line before"
	}
	return p
}

// tooDeep looks for nesting that would cost the parser quadratic time. It knows
// nothing of strings; brackets in those are balanced or few.
func tooDeep(data []byte) Position {
	open, number := 0, 0
	for line := range bytes.Lines(data) {
		number++
		dashes := 0
		for rest := bytes.TrimLeft(line, " "); bytes.HasPrefix(rest, []byte("- ")); rest = bytes.TrimLeft(rest[1:], " ") {
			dashes++
		}
		for i, c := range line {
			switch c {
			case '[', '{':
				open++
			case ']', '}':
				open = max(0, open-1)
			}
			if open > maxNesting || dashes > maxNesting {
				return Position{number, i + 1}
			}
		}
	}
	return Position{}
}

type reader struct {
	ps       *problems
	anchors  map[string]*node
	tooLarge bool
}

func position(n ast.Node) Position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0]
	}
	if v, ok := n.(*ast.MappingValueNode); ok && v.Key != nil {
		n = v.Key
	}
	tk := n.GetToken()
	if tk == nil || tk.Position == nil {
		return Position{}
	}
	return Position{tk.Position.Line, tk.Position.Column}
}

func (r *reader) problem(n ast.Node, message, hint string) *node {
	pos := position(n)
	r.ps.add(Problem{Position: pos, Message: message, Hint: hint})
	return &node{kind: broken, pos: pos, weight: 1}
}

func (r *reader) value(n ast.Node, depth int) *node {
	if depth > maxNesting {
		return r.problem(n, fmt.Sprintf("is nested deeper than %d levels", maxNesting), "no section of a configuration is")
	}
	switch n := n.(type) {
	case nil:
		return &node{weight: 1}
	case *ast.MappingNode:
		return r.mapping(n, n.Values, depth)
	case *ast.MappingValueNode:
		return r.mapping(n, []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		out := &node{kind: list, pos: position(n), weight: 1}
		for _, v := range n.Values {
			out.items = append(out.items, r.child(out, v, position(n), depth))
		}
		return out
	case *ast.AnchorNode:
		v := r.value(n.Value, depth)
		if n.Name != nil {
			r.anchors[n.Name.GetToken().Value] = v
		}
		return v
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		v := r.anchors[name]
		if v == nil {
			return r.problem(n, "no anchor &"+name+" comes before this alias", "define it first: x-"+name+": &"+name+" …")
		}
		return v
	case *ast.TagNode:
		return r.tag(n, depth)
	default:
		return r.scalar(n)
	}
}

// child reads a value that belongs to parent. An absent value is placed at its key.
func (r *reader) child(parent *node, n ast.Node, at Position, depth int) *node {
	v := r.value(n, depth+1)
	if v.pos.Line == 0 {
		v.pos = at
	}
	if parent.weight += v.weight; parent.weight > maxNodes {
		parent.weight = maxNodes + 1
		if !r.tooLarge {
			r.ps.add(Problem{Position: v.pos, Message: fmt.Sprintf("makes more than %d values once aliases are expanded", maxNodes), Hint: "use fewer aliases of aliases"})
		}
		r.tooLarge = true
		return &node{kind: broken, pos: at}
	}
	return v
}

func (r *reader) mapping(n ast.Node, values []*ast.MappingValueNode, depth int) *node {
	out := &node{kind: mapping, pos: position(n), weight: 1}
	var merged []field
	lines := make(map[string]int, len(values)) // of the keys so far
	for _, mv := range values {
		at := position(mv.Key)
		if mv.Key.IsMergeKey() {
			merged = append(merged, r.merge(mv, depth)...)
			continue
		}
		key, ok := r.key(mv.Key)
		if !ok {
			continue
		}
		v := r.child(out, mv.Value, at, depth)
		if first, ok := lines[key]; ok {
			r.ps.add(Problem{Position: at, Message: fmt.Sprintf("key %q is here for the second time", key),
				Hint: fmt.Sprintf("the first is in line %d", first)})
			continue
		}
		lines[key] = at.Line
		out.fields = append(out.fields, field{key, at, v})
	}
	for _, f := range merged { // what is written out, or merged earlier, wins
		if _, ok := lines[f.key]; !ok {
			lines[f.key] = f.pos.Line
			out.fields = append(out.fields, f)
			out.weight += f.value.weight
		}
	}
	return out
}

func (r *reader) merge(mv *ast.MappingValueNode, depth int) []field {
	v := r.value(mv.Value, depth+1)
	sources := []*node{v}
	if v.kind == list {
		sources = v.items
	}
	var out []field
	for _, s := range sources {
		if s.kind == broken {
			continue
		}
		if s.kind != mapping {
			r.problem(mv.Key, "<< merges mappings, this is "+s.kind.String(), "write <<: *anchor")
			continue
		}
		out = append(out, s.fields...)
	}
	return out
}

func (r *reader) key(n ast.MapKeyNode) (string, bool) {
	var inner ast.Node = n
	if mk, ok := inner.(*ast.MappingKeyNode); ok {
		inner = mk.Value
	}
	v := r.value(inner, 0)
	if v.kind != scalar && v.kind != broken {
		r.problem(n, "a key must be a plain word", "write key: value")
	}
	if v.kind != scalar {
		return "", false
	}
	return v.text, true
}

func (r *reader) tag(n *ast.TagNode, depth int) *node {
	v := r.value(n.Value, depth+1)
	switch token.ReservedTagKeyword(n.Start.Value) {
	case token.StringTag:
		if v.kind != scalar {
			break
		}
		c := *v
		c.plain = isString
		return &c
	case token.IntegerTag, token.FloatTag, token.BooleanTag, token.NullTag, token.MappingTag, token.SequenceTag:
		return v
	}
	return r.problem(n, "the tag "+strconv.Quote(n.Start.Value)+" has no meaning here", "remove it")
}

func (r *reader) scalar(n ast.Node) *node {
	out := &node{kind: scalar, pos: position(n), weight: 1}
	switch n := n.(type) {
	case *ast.NullNode:
		out.kind = null
	case *ast.StringNode:
		out.text = n.Value
		if tk := n.GetToken(); tk.Type == token.StringType && (strings.Contains(out.text, ": ") || strings.HasSuffix(out.text, ":")) {
			return r.problem(n, `": " inside a value without quotes`, "put the value in quotes, or write a comma or a new line where another key begins")
		}
	case *ast.LiteralNode:
		out.text = n.Value.Value
	case *ast.IntegerNode:
		out.text, out.plain = n.Token.Value, isInt
	case *ast.FloatNode:
		out.text, out.plain = n.Token.Value, isFloat
	case *ast.BoolNode:
		out.text, out.plain = n.Token.Value, isBool
	case *ast.InfinityNode, *ast.NanNode:
		out.text, out.plain = n.GetToken().Value, isFloat
	default:
		return r.problem(n, "is nothing a configuration can use", "write a text, a number, true or false")
	}
	return out
}
