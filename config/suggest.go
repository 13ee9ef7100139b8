package config

import (
	"slices"
	"strings"
)

// suggestion is the hint for a word that is none of allowed: the nearest one, and
// the list.
func suggestion(word, what string, allowed []string) string {
	allowed = slices.Sorted(slices.Values(allowed))
	var b strings.Builder
	if near := nearest(word, allowed); near != "" {
		b.WriteString("did you mean " + near + "? ")
	}
	if len(allowed) == 0 {
		b.WriteString("there are no " + what)
	} else {
		b.WriteString(what + ": " + strings.Join(allowed, ", "))
	}
	return b.String()
}

// nearest returns the word that a typing mistake most likely meant, "" when none is near.
func nearest(word string, words []string) string {
	fold := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "-", "_")) }
	best, bestDistance := "", 1+max(1, min(3, len(word)/3))
	for _, w := range words {
		if d := distance(fold(word), fold(w)); d < bestDistance {
			best, bestDistance = w, d
		}
	}
	if best != "" || len(word) < 4 {
		return best
	}
	for _, w := range words { // half of a longer word
		if strings.HasPrefix(fold(w), fold(word)) {
			if best != "" {
				return ""
			}
			best = w
		}
	}
	return best
}

// distance counts insertions, deletions, replacements and swaps of neighbours.
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	var prev2, prev, row [longest + 1]int
	for j := range len(b) + 1 {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
		prev2, prev = prev, row
	}
	return prev[len(b)]
}
