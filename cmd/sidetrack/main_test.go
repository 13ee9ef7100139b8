package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yaml", "bus: {memory: {}}\nsources: {web: {http: {listen: '127.0.0.1:0'}}}\nsinks: {out: {stdout: {}}}\n")
	broken := write("broken.yaml", "sinks: {}\n")
	unopenable := write("unopenable.yaml", "bus: {embedded: {data_dir: "+filepath.Join(good, "x")+"}}\nsources: {web: {http: {listen: '127.0.0.1:0'}}}\nsinks: {out: {stdout: {}}}\n")
	tests := []struct {
		args []string
		want int
	}{
		{[]string{"version"}, exitOK},
		{[]string{"--help"}, exitOK},
		{[]string{"run", "--help"}, exitOK},
		{[]string{"validate", "-c", good}, exitOK},
		{[]string{"validate", "-c", broken}, exitUsage},
		{[]string{"run", "-c", broken}, exitUsage},
		{[]string{"explain", "-c", broken, "--event", "{}"}, exitUsage},
		{[]string{"import", "-c", broken, good}, exitUsage},
		{[]string{"validate", "-c", filepath.Join(dir, "absent")}, exitUsage},
		{[]string{"explain", "-c", good, "--event", "{"}, exitUsage},
		{[]string{"explain", "-c", good, "--event", `{"name":"x"}`}, exitOK},
		{[]string{"nonsense"}, exitUsage},
		{nil, exitUsage},
		{[]string{"demo", "--listen", "nowhere"}, exitUsage},
		{[]string{"run", "-c", unopenable}, exitFailed},
		{[]string{"import", filepath.Join(dir, "absent.log")}, exitFailed},
	}
	for _, tt := range tests {
		var out, errOut strings.Builder
		if got := execute(tt.args, strings.NewReader(""), &out, &errOut); got != tt.want {
			t.Errorf("%v: exit code %d, want %d\n%s%s", tt.args, got, tt.want, out.String(), errOut.String())
		}
	}
}

func TestStatedConsent(t *testing.T) {
	p, err := stated("granted")
	if err != nil {
		t.Fatal(err)
	}
	silent, denied := new(sidetrack.Event), new(sidetrack.Event)
	denied.Consent.Set(sidetrack.AnalyticsStorage, sidetrack.Denied)
	for _, e := range []*sidetrack.Event{silent, denied} {
		if err := p.Process(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if !silent.Consent.Allows(sidetrack.AnalyticsStorage) || silent.Consent.Get(sidetrack.AdStorage) != sidetrack.Unknown {
		t.Errorf("an event without consent: %+v", silent.Consent)
	}
	if denied.Consent.Get(sidetrack.AnalyticsStorage) != sidetrack.Denied {
		t.Error("the owner's decision overrode the visitor's")
	}
	if _, err := stated("granted,ad_storage"); err == nil {
		t.Error("granted is no purpose of a list")
	}
}

type emitted struct {
	events int
	counts map[sidetrack.Reason]int
}

func (e *emitted) Emit(_ context.Context, events ...*sidetrack.Event) error {
	e.events += len(events)
	return nil
}

func (e *emitted) Count(r sidetrack.Reason, n int) { e.counts[r] += n }

func TestPacedSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pending atomic.Int64
		pending.Store(maxAhead + 1)
		out := &emitted{counts: map[sidetrack.Reason]int{}}
		e := pacedEmitter{out, &pacedSource{ledger: func() pipeline.Ledger {
			return pipeline.Ledger{Sinks: []pipeline.SinkLedger{{Pending: 0}, {Pending: pending.Load()}}}
		}}}
		e.Count("asset", 3)
		if out.counts["asset"] != 3 {
			t.Error("a count got lost")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := e.Emit(ctx, new(sidetrack.Event)); err == nil || out.events != 0 {
			t.Errorf("emitted %d events far ahead of the sinks: %v", out.events, err)
		}
		go func() {
			time.Sleep(time.Second)
			pending.Store(0)
		}()
		if err := e.Emit(t.Context(), new(sidetrack.Event)); err != nil || out.events != 1 {
			t.Errorf("%d events, %v", out.events, err)
		}
	})
}
