package chaos

import (
	"flag"
	"math/rand/v2"
	"os"
	"testing"
)

var (
	events = flag.Int("events", 50_000, "events that TestConservation gets accepted")
	seed   = flag.Uint64("seed", 0, "seed of the runs; 0: a random one")
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

func conserve(t *testing.T, o Options) *Report {
	o.Seed, o.Dir, o.Log = *seed, t.TempDir(), t.Logf
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	t.Logf("repeat it with -seed %d", o.Seed)
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", report)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	return report
}

// TestConservation kills and restarts a process under load while each of its backends fails in
// its own way: every accepted event is delivered, dead, expired or parked, as it must be.
func TestConservation(t *testing.T) {
	o := Options{Events: *events, Restarts: 10}
	if testing.Short() {
		o.Events, o.Restarts = 5_000, 2
	}
	report := conserve(t, o)
	for _, s := range report.Sinks {
		if s.Sink == "picky" && (s.Dead == 0 || s.Parked == 0) || s.Sink == "steady" && s.Expired == 0 || s.Unconfirmed == 0 && s.Sink == "liar" {
			t.Errorf("the run did not reach every fate: %+v", s)
		}
	}
}

// TestCleanRestarts stops the process by SIGTERM only: nothing comes twice but what a backend
// had taken without saying so.
func TestCleanRestarts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	conserve(t, Options{Events: *events / 5, Restarts: 5, Clean: true})
}
