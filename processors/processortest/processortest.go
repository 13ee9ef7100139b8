// Package processortest is the contract of a processor as a test suite: for the ones of
// this project and for anybody else's.
package processortest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/hostile"
)

// Option changes what Run expects.
type Option func(*expectations)

type expectations struct{ stateful bool }

// Stateful is for processors that remember earlier events, which belong to intake: the
// same event need not give the same result twice.
func Stateful() Option { return func(x *expectations) { x.stateful = true } }

// Run checks a processor against the contract of sidetrack.Processor. build must return a new
// processor each time.
func Run(t *testing.T, build func() (sidetrack.Processor, error), opts ...Option) {
	t.Helper()
	var x expectations
	for _, o := range opts {
		o(&x)
	}
	fresh := func(t *testing.T) sidetrack.Processor {
		t.Helper()
		p, err := build()
		if err != nil {
			t.Fatalf("build: %v", err)
		}
		return p
	}
	t.Run("hostile events", func(t *testing.T) {
		p := fresh(t)
		for name, e := range hostile.Events() {
			func() {
				defer func() {
					if r := recover(); r != nil {
						t.Errorf("%s: panic: %v", name, r)
					}
				}()
				err := p.Process(t.Context(), e)
				if reason, ok := sidetrack.DropReason(err); ok && !goodReason(reason) {
					t.Errorf("%s: reason %q is no short lower-case word", name, reason)
				}
			}()
		}
	})
	if !x.stateful {
		t.Run("deterministic", func(t *testing.T) {
			a, b := fresh(t), fresh(t)
			for name := range hostile.Events() {
				one, two := hostile.Events()[name], hostile.Events()[name]
				errOne, errTwo := a.Process(t.Context(), one), b.Process(t.Context(), two)
				if fmt.Sprint(errOne) != fmt.Sprint(errTwo) || text(one) != text(two) {
					t.Errorf("%s: two processors of one configuration differ:\n%s %v\n%s %v", name, text(one), errOne, text(two), errTwo)
				}
			}
		})
	}
	t.Run("concurrent use", func(t *testing.T) {
		p := fresh(t)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for _, e := range hostile.Events() {
					_ = p.Process(context.Background(), e)
				}
			})
		}
		wg.Wait()
	})
	t.Run("origin stays hidden", func(t *testing.T) {
		p := fresh(t)
		for name, e := range hostile.Events() {
			before := text(e)
			err := p.Process(t.Context(), e)
			if !strings.Contains(before, hostile.Address) && strings.Contains(text(e), hostile.Address) {
				t.Errorf("%s: the full address was copied into the event: %s", name, text(e))
			}
			if err != nil && strings.Contains(fmt.Sprintf("%v %+v", err, err), hostile.Address) {
				t.Errorf("%s: the full address is in the error: %v", name, err)
			}
		}
	})
}

func goodReason(r sidetrack.Reason) bool {
	return r != "" && len(r) <= 32 && strings.Trim(string(r), "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func text(e *sidetrack.Event) string {
	b, err := e.AppendJSON(nil)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
