// Package header checks headers that a configuration adds to requests.
package header

import (
	"net/textproto"
	"slices"
	"strings"
)

// separators are what RFC 9110, section 5.6.2, keeps out of names, beside blanks and what is not ASCII.
const separators = `"(),/:;<=>?@[\]{}`

// NameProblem says why a name cannot be set, if so. Beside what belongs to the connection, the names in own are the sink's;
// they are in canonical form.
func NameProblem(name string, own ...string) string {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(separators, r) }):
		return "is not the name of a header"
	case canonical == "Content-Length", canonical == "Host", canonical == "Transfer-Encoding", slices.Contains(own, canonical):
		return "is set by the sink"
	}
	return ""
}

// ValueProblem says why a value cannot be sent as it is, if so.
func ValueProblem(value string) string {
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) {
		return "must be printable ASCII"
	}
	return ""
}
