package processors

import (
	"context"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/match"
)

// ReasonExcluded is why exclude drops an event.
const ReasonExcluded sidetrack.Reason = "excluded"

// ExcludeConfig is the configuration of the exclude processor: a condition, and what
// to do when it holds.
type ExcludeConfig struct {
	match.Matcher `yaml:",inline"`
	// Name of the rule, for its mark. Default: exclude.
	Name string `yaml:"name"`
	// Test marks the event "test:<name>" instead of dropping it, to try a rule on real traffic.
	Test bool `yaml:"test"`
}

// NewExclude makes a processor that drops the events its condition holds for. With
// ip_ranges or own_visits it works in intake only.
func NewExclude(cfg ExcludeConfig) (sidetrack.Processor, error) {
	matches, err := cfg.Compile()
	if err != nil {
		return nil, err
	}
	if cfg.Name == "" {
		cfg.Name = "exclude"
	}
	return &exclude{matches, cfg}, nil
}

type exclude struct {
	matches func(*sidetrack.Event) bool
	cfg     ExcludeConfig
}

// NeedsOrigin reports whether the rule works in intake only.
func (x *exclude) NeedsOrigin() bool { return x.cfg.NeedsOrigin() }

func (x *exclude) Process(_ context.Context, e *sidetrack.Event) error {
	switch {
	case !x.matches(e):
		return nil
	case x.cfg.Test:
		e.Mark("test:" + x.cfg.Name)
		return nil
	}
	return sidetrack.Drop(ReasonExcluded)
}
