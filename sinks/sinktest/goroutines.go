package sinktest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/sidetrack-go/sidetrack/internal/hostile"
)

// goroutines checks that using and closing a sink leaves none behind. Other tests should not run at the same time.
func (s *suite) goroutines(t *testing.T) {
	before := goleak.IgnoreCurrent()
	sink, err := s.build()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	spec := sink.Spec()
	for _, u := range s.units(spec, Samples()) {
		switch {
		case spec.Generator != nil:
			_, _ = spec.Generator.Request(u) // whether it should work is for others to say
		case spec.Writer != nil:
			_ = spec.Writer.Write(t.Context(), u)
		}
	}
	for _, e := range hostile.Events() {
		e.SetOrigin(nil)
		if spec.Generator != nil {
			func() {
				defer func() { _ = recover() }()
				_, _ = spec.Generator.Request(unit(e))
			}()
		}
	}
	if spec.Close != nil {
		if err := spec.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := goleak.Find(before); err != nil {
		t.Errorf("goroutines are left behind: %v", err)
	}
}
