package config

import (
	"context"

	"github.com/sidetrack-go/sidetrack"
)

// namedProcessor calls a processor by its type in the file, for explain and messages.
type namedProcessor struct {
	name string
	sidetrack.Processor
}

func (p namedProcessor) String() string { return p.name }

// conditional runs a processor only on events that match.
type conditional struct {
	sidetrack.Processor
	when func(*sidetrack.Event) bool
}

func (p conditional) Process(ctx context.Context, e *sidetrack.Event) error {
	if !p.when(e) {
		return nil
	}
	return p.Processor.Process(ctx, e)
}
