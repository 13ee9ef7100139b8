package sinktest

import (
	"errors"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

// Fields checks that a configuration with one thing wrong is refused by a *sidetrack.FieldError that names the field: the keys of
// wrong, in which blanks at the end tell mistakes of one field apart. base is one that is right.
func Fields[C any](t *testing.T, base C, build func(C) (*sidetrack.Sink, error), wrong map[string]func(*C)) {
	t.Helper()
	if _, err := build(base); err != nil {
		t.Errorf("the configuration that is right is refused: %v", err)
	}
	for field, change := range wrong {
		cfg := base
		change(&cfg)
		_, err := build(cfg)
		if fe, ok := errors.AsType[*sidetrack.FieldError](err); !ok || fe.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
