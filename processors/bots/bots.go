// Package bots recognizes crawlers, libraries and monitors by their user agent.
//
// The patterns are those of the project crawler-user-agents (version 1.60.0, MIT licence, in
// LICENSE-crawler-user-agents); patterns.txt holds them unchanged, one a line.
package bots

import (
	"context"
	_ "embed"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

//go:embed patterns.txt
var patterns string

// Reason of an event that this processor drops.
const Reason sidetrack.Reason = "bot"

// Config is the configuration of the bots processor.
type Config struct {
	// Action is drop, or mark to keep the event with a mark such as bot:Googlebot.
	Action string `yaml:"action" enum:"drop,mark"`
	// Allow are texts whose presence in the user agent means that it is no bot.
	Allow []string `yaml:"allow"`
}

// Defaults drops bots.
func Defaults() Config { return Config{Action: "drop"} }

// New makes the processor.
func New(cfg Config) (sidetrack.Processor, error) {
	if cfg.Action != "drop" && cfg.Action != "mark" {
		return nil, &sidetrack.FieldError{Field: "action", Problem: fmt.Sprintf("is %q: use drop or mark", cfg.Action)}
	}
	d, err := NewDetector()
	if err != nil {
		return nil, err
	}
	return &processor{cfg, d}, nil
}

type processor struct {
	cfg      Config
	detector *Detector
}

func (p *processor) Process(_ context.Context, e *sidetrack.Event) error {
	for _, s := range p.cfg.Allow {
		if strings.Contains(e.Device.UserAgent, s) {
			return nil
		}
	}
	name, bot := p.detector.Match(e.Device.UserAgent)
	switch {
	case !bot:
		return nil
	case p.cfg.Action == "mark":
		e.Mark("bot:" + name)
		return nil
	}
	return sidetrack.Drop(Reason)
}

// Detector matches user agents against the patterns. It is safe for concurrent use.
//
// Each pattern is filed under four bytes that any match of it contains, so that a user
// agent is compared with the few patterns that could match and not with all of them.
type Detector struct {
	filed  [1 << 10]uint64 // bit set by hash for every key of byGram: most places of a user agent stop here
	byGram map[uint32][]*pattern
	rest   []*pattern // without a literal of that length
}

// gram is the length of the literals that patterns are filed under.
const gram = 4

type pattern struct {
	name    string
	literal string
	whole   bool // the literal is the whole pattern
	re      *regexp.Regexp
}

// NewDetector reads the patterns.
func NewDetector() (*Detector, error) {
	d := &Detector{byGram: map[uint32][]*pattern{}}
	for source := range strings.Lines(patterns) {
		source = strings.TrimSpace(source)
		re, err := regexp.Compile(source)
		if err != nil {
			return nil, fmt.Errorf("bots: pattern %q: %w", source, err)
		}
		parsed, err := syntax.Parse(source, syntax.Perl)
		if err != nil {
			return nil, fmt.Errorf("bots: pattern %q: %w", source, err)
		}
		name := strings.NewReplacer(`\`, "", "^", "", "$", "").Replace(source)
		parsed = parsed.Simplify()
		alternatives := []*syntax.Regexp{parsed}
		if parsed.Op == syntax.OpAlternate {
			alternatives = parsed.Sub
		}
		for _, alt := range alternatives {
			literal, whole := required(alt)
			d.file(&pattern{name: name, literal: literal, whole: whole, re: re})
		}
	}
	return d, nil
}

func (d *Detector) file(p *pattern) {
	if len(p.literal) < gram {
		d.rest = append(d.rest, p)
		return
	}
	key := gramAt(p.literal, 0)
	h := hash(key)
	d.filed[h>>6] |= 1 << (h & 63)
	d.byGram[key] = append(d.byGram[key], p)
}

// required returns the longest text that every match of re contains, and whether re is
// nothing but that text.
func required(re *syntax.Regexp) (literal string, whole bool) {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return "", false
		}
		return string(re.Rune), true
	case syntax.OpCapture, syntax.OpPlus:
		literal, _ = required(re.Sub[0])
		return literal, false
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if l, _ := required(sub); len(l) > len(literal) {
				literal = l
			}
		}
		return literal, false
	}
	return "", false
}

func gramAt(s string, i int) uint32 {
	return uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 | uint32(s[i+3])<<24
}

// hash spreads a key over the bits of Detector.filed.
func hash(key uint32) uint32 { return (key * 2654435761) >> 16 }

// Match returns the name of the pattern that recognizes ua as a bot's. No user agent
// at all is a bot too: browsers send one.
func (d *Detector) Match(ua string) (name string, bot bool) {
	if strings.TrimSpace(ua) == "" {
		return "none", true
	}
	for i := 0; i+gram <= len(ua); i++ {
		key := gramAt(ua, i)
		if h := hash(key); d.filed[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		for _, p := range d.byGram[key] {
			if strings.HasPrefix(ua[i:], p.literal) && (p.whole || p.re.MatchString(ua)) {
				return p.name, true
			}
		}
	}
	for _, p := range d.rest {
		if strings.Contains(ua, p.literal) && p.re.MatchString(ua) {
			return p.name, true
		}
	}
	return "", false
}
