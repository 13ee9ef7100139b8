package full_test

import (
	"testing"

	"github.com/sidetrack-go/sidetrack/pipeline/standard"
	"github.com/sidetrack-go/sidetrack/pipeline/standard/full"
)

// What full adds are sinks that say what they need, and nothing of standard is missing.
func TestRegistry(t *testing.T) {
	inStandard := map[string]bool{}
	for _, f := range standard.Registry().Sinks() {
		inStandard[f.Name] = true
	}
	added := 0
	for _, f := range full.Registry().Sinks() {
		if inStandard[f.Name] {
			delete(inStandard, f.Name)
			continue
		}
		added++
		if _, err := f.Build(f.Config()); err == nil { // defaults name no database
			t.Errorf("sink %s is made although it does not know where to write", f.Name)
		}
	}
	if added == 0 || len(inStandard) > 0 {
		t.Errorf("%d sinks added, of standard %v are missing", added, inStandard)
	}
	if a, b := len(standard.Registry().Processors()), len(full.Registry().Processors()); a != b {
		t.Errorf("%d processors, standard has %d", b, a)
	}
}
