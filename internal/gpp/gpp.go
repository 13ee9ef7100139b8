// Package gpp decodes the strings of the IAB's Global Privacy Platform (IAB Tech Lab, "Global
// Privacy Platform String", version 1, and the specifications of its sections), whole and strictly:
// what breaks a rule of the format is an error and never half a decision.
package gpp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sidetrack-go/sidetrack/internal/sixbit"
	"github.com/sidetrack-go/sidetrack/internal/tcf"
)

// MaxLength is how long a string may be. Browsers refuse cookies a quarter as long.
const MaxLength = 16 << 10

// What can be wrong with a string besides what sixbit and tcf report.
var (
	ErrLong     = errors.New("too long")
	ErrHeader   = errors.New("no header of version 1")
	ErrSections = errors.New("header and sections do not match")
	ErrVersion  = errors.New("a version of the section that is not known")
	ErrFormat   = errors.New("not in the section's format")
)

// The ids of the sections that are not of a US state (Global Privacy Platform, "Section Information").
const (
	TCFEUv2 = 2
	header  = 3
	TCFCAv1 = 5
	USPv1   = 6
	USNat   = 7
)

// highestID bounds what a header may announce: far beyond the ids given out, but not worth an attack.
const highestID = 1 << 10

// String is a decoded GPP string. It is read-only and safe for concurrent use.
type String struct {
	IDs     []int       // sections in their order, also those nobody here knows
	TCFEU   *tcf.String // section 2
	TCFCA   *Canada     // section 5
	USP     *USPrivacy  // section 6
	US      []USSection // sections 7 and up, in their order
	Unknown []int       // ids of sections that were not decoded
}

// Parse decodes s. A section with an id that is not known is skipped, as it has to be; one
// that is known and malformed makes the whole string unreadable.
func Parse(s string) (*String, error) {
	if len(s) > MaxLength {
		return nil, fmt.Errorf("gpp: parse: %w", ErrLong)
	}
	head, rest, more := strings.Cut(s, "~")
	ids, err := parseHeader(head, strings.Count(s, "~"))
	if err != nil {
		return nil, fmt.Errorf("gpp: parse header: %w", err)
	}
	g := &String{IDs: ids}
	for _, id := range ids {
		var section string
		section, rest, more = strings.Cut(rest, "~")
		if err := g.section(id, section); err != nil {
			return nil, fmt.Errorf("gpp: parse section %d: %w", id, err)
		}
	}
	if more {
		return nil, fmt.Errorf("gpp: parse: %w", ErrSections)
	}
	return g, nil
}

// parseHeader returns the ids of the sections, of which sections follow.
func parseHeader(s string, sections int) ([]int, error) {
	r, err := sixbit.Decode(s)
	if err != nil {
		return nil, err
	}
	if kind, version := r.Uint(6), r.Uint(6); r.Err() != nil || kind != header || version != 1 {
		return nil, ErrHeader
	}
	ranges := r.FibonacciRanges(highestID)
	if err := r.End(); err != nil {
		return nil, err
	}
	ids := make([]int, 0, sections)
	for _, group := range ranges {
		for id := int(group.First); id <= int(group.Last); id++ {
			if len(ids) == sections || id == header {
				return nil, ErrSections
			}
			ids = append(ids, id)
		}
	}
	if len(ids) != sections {
		return nil, ErrSections
	}
	return ids, nil
}

func (g *String) section(id int, s string) (err error) {
	if s == "" {
		return ErrSections
	}
	switch id {
	case TCFEUv2:
		g.TCFEU, err = tcf.Parse(s)
	case TCFCAv1:
		g.TCFCA, err = parseCanada(s)
	case USPv1:
		g.USP, err = ParseUSPrivacy(s)
	default:
		layout, ok := layouts[id]
		if !ok {
			g.Unknown = append(g.Unknown, id)
			return nil
		}
		var u USSection
		u, err = layout.parse(id, s)
		g.US = append(g.US, u)
	}
	return err
}
