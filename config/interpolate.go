package config

import (
	"strings"
)

// expand replaces ${NAME} and ${NAME:-default} in a scalar. $${ stands for a literal
// ${. The default serves when the variable is unset or empty. What is replaced is
// never read as YAML: a value cannot add keys. The third result says what is
// wrong; used holds the values that came in.
func expand(text string, env func(string) (string, bool)) (out string, used []string, problem, hint string) {
	if !strings.Contains(text, "${") {
		return text, nil, "", ""
	}
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			b.WriteString(text)
			return b.String(), used, "", ""
		}
		if i > 0 && text[i-1] == '$' {
			b.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		b.WriteString(text[:i])
		inner, rest, ok := strings.Cut(text[i+2:], "}")
		if !ok {
			return "", nil, "${ without }", "write $${ for a literal ${"
		}
		name, fallback, hasDefault := strings.Cut(inner, ":-")
		if !isVariable(name) {
			return "", nil, "not a variable: ${" + inner + "}", "write ${NAME} or ${NAME:-default}; $${ for a literal ${"
		}
		v, set := env(name)
		switch {
		case hasDefault && v == "":
			v = fallback
		case !set:
			return "", nil, "environment variable " + name + " is not set", "set it, or give a default: ${" + name + ":-…}"
		default:
			used = append(used, v)
		}
		b.WriteString(v)
		text = rest
	}
}

func isVariable(s string) bool {
	for i, c := range s {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
