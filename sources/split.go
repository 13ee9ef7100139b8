package sources

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// The functions of this file find where the JSON values of a request begin and end
// without decoding them. They check brackets and strings only: whether a value is
// proper JSON is the event decoder's business, element by element.

var errCut = errors.New("is no complete JSON: a bracket or a string stays open")

// skipSpace returns the first position from i that is no JSON white space.
func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

func trimSpace(s string) string { return strings.Trim(s, " \t\r\n") }

// skipString returns the position after the string that begins at s[i].
func skipString(s string, i int) (int, error) {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1, nil
		}
	}
	return i, errCut
}

// skipValue returns the position after the value that begins at s[i]. It counts
// brackets without caring for their kind.
func skipValue(s string, i int) (int, error) {
	if i >= len(s) {
		return i, errCut
	}
	switch s[i] {
	case '"':
		return skipString(s, i)
	case '{', '[':
	default: // a number, a word or nonsense
		for i < len(s) && !strings.ContainsRune(",:]}[{\" \t\r\n", rune(s[i])) {
			i++
		}
		return i, nil
	}
	for depth := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			end, err := skipString(s, i)
			if err != nil {
				return end, err
			}
			i = end - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1, nil
			}
		}
	}
	return i, errCut
}

// wholeArray returns the elements of the array that s is.
func wholeArray(s string) ([]string, error) {
	var elements []string
	i := skipSpace(s, 1)
	if i < len(s) && s[i] == ']' {
		i++
	} else {
		for {
			start := skipSpace(s, i)
			end, err := skipValue(s, start)
			if err != nil {
				return nil, err
			}
			element := trimSpace(s[start:end])
			if element == "" {
				return nil, fmt.Errorf("is no JSON: a value is missing at byte %d", start)
			}
			if len(elements) == MaxElements {
				return nil, errTooMany()
			}
			elements = append(elements, element)
			if i = skipSpace(s, end); i >= len(s) {
				return nil, errCut
			}
			if s[i] == ']' {
				i++
				break
			}
			if s[i] != ',' {
				return nil, fmt.Errorf("is no JSON: no comma between values at byte %d", i)
			}
			i++
		}
	}
	if i = skipSpace(s, i); i < len(s) {
		return nil, fmt.Errorf("has something after the array, at byte %d", i)
	}
	return elements, nil
}

// batchOf returns the array of {"batch": [...]}; ok is false when s is an object
// without such a key, which is an event. An envelope has no other keys that mean something:
// ignoring them would lose, for example, a consent that was stated once for all.
func batchOf(s string) (array string, ok bool, err error) {
	var other string
	i := skipSpace(s, 1)
	for i < len(s) && s[i] == '"' {
		end, err := skipString(s, i)
		if err != nil {
			return "", false, nil
		}
		key := s[i+1 : end-1]
		if i = skipSpace(s, end); i >= len(s) || s[i] != ':' {
			return "", false, nil
		}
		start := skipSpace(s, i+1)
		if end, err = skipValue(s, start); err != nil {
			return "", false, nil
		}
		switch key {
		case "batch":
			if array = trimSpace(s[start:end]); array == "" || array[0] != '[' {
				return "", false, &sidetrack.FieldError{Field: "batch", Problem: "must be an array of events"}
			}
			ok = true
		case "sent_at", "sentAt": // when the client sent it: allowed, not needed
		default:
			other = key
		}
		if i = skipSpace(s, end); i < len(s) && s[i] == ',' {
			i = skipSpace(s, i+1)
		}
	}
	if ok && other != "" {
		return "", false, &sidetrack.FieldError{Field: cutName(other), Problem: "stands beside batch: it belongs into each event"}
	}
	return array, ok, nil
}

// cutName bounds the part of an answer that quotes the request.
func cutName(s string) string {
	if len(s) > 200 {
		s = s[:200]
	}
	return strings.ToValidUTF8(s, "?")
}

// manyLines reports whether a second line begins like an event of its own.
func manyLines(s string) bool {
	_, rest, _ := strings.Cut(s, "\n")
	for line := range strings.SplitSeq(rest, "\n") {
		if strings.HasPrefix(line, "{") {
			return true
		}
	}
	return false
}

// splitLines returns the lines that are not blank.
func splitLines(s string) ([]string, error) {
	var elements []string
	for line := range strings.SplitSeq(s, "\n") {
		line = trimSpace(line)
		if line == "" {
			continue
		}
		if len(elements) == MaxElements {
			return nil, errTooMany()
		}
		elements = append(elements, line)
	}
	return elements, nil
}

func errTooMany() error {
	return &sidetrack.HTTPError{
		Status: http.StatusRequestEntityTooLarge,
		Err:    &sidetrack.FieldError{Field: "batch", Problem: fmt.Sprintf("has more than %d events", MaxElements)},
	}
}
