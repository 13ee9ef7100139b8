package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/admin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type writerFunc func(context.Context, sidetrack.Unit) error

func (f writerFunc) Write(ctx context.Context, u sidetrack.Unit) error { return f(ctx, u) }

// running starts a pipeline whose sink rejects until told otherwise, with n dead letters.
func running(t *testing.T, n int) (p *pipeline.Pipeline, takes chan struct{}) {
	t.Helper()
	takes = make(chan struct{})
	p, err := pipeline.New(pipeline.Config{Bus: memory.New(memory.Config{}), Sinks: []pipeline.SinkConfig{{Name: "a", Sink: sidetrack.WriterSink(writerFunc(func(context.Context, sidetrack.Unit) error {
		select {
		case <-takes:
			return nil
		default:
			return sidetrack.Permanent(errors.New("no"))
		}
	}))}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for range n {
		if err := p.Emit(t.Context(), &sidetrack.Event{Name: "e", Consent: sidetrack.GrantAll("test")}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	return p, takes
}

func serve(t *testing.T, p *pipeline.Pipeline) (dir string) {
	t.Helper()
	dir = t.TempDir()
	var log bytes.Buffer
	stop, err := admin.Serve(dir, p, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if log.Len() > 0 {
			t.Errorf("logged: %s", &log)
		}
		if _, err := admin.Dial(dir); !errors.Is(err, admin.ErrNotRunning) {
			t.Errorf("after the end: %v", err)
		}
	})
	return dir
}

func TestClientDoesWhatThePipelineDoes(t *testing.T) {
	p, takes := running(t, 30)
	dir := serve(t, p)
	fi, err := os.Stat(filepath.Join(dir, "control.sock"))
	if err != nil || fi.Mode().Perm() != 0o600 || fi.Mode()&fs.ModeSocket == 0 {
		t.Errorf("socket: %v, %v", fi, err)
	}
	c, err := admin.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	list := func(f pipeline.DeadFilter) (ids []uint64) {
		for l, err := range c.DeadLetters(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, l.ID)
		}
		return ids
	}
	if got := list(pipeline.DeadFilter{}); len(got) != 30 {
		t.Errorf("listed %d", len(got))
	}
	for range c.DeadLetters(t.Context(), pipeline.DeadFilter{}) { // stopping early is no harm
		break
	}
	if got := list(pipeline.DeadFilter{Limit: 4, Reasons: []sidetrack.Reason{sidetrack.ReasonRejected}}); len(got) != 4 {
		t.Errorf("listed %v", got)
	}
	l, err := c.Ledger(t.Context())
	if here := p.Ledger(); err != nil || asJSON(l) != asJSON(here) {
		t.Errorf("%s, %v, want %s", asJSON(l), err, asJSON(here))
	}
	if res, err := c.DropDead(t.Context(), pipeline.DeadFilter{Limit: 5}, pipeline.DeadOptions{}); err != nil || res.Events != 5 {
		t.Errorf("drop: %+v, %v", res, err)
	}
	close(takes)
	var progress []pipeline.DeadProgress
	o := pipeline.DeadOptions{DryRun: true, Progress: func(p pipeline.DeadProgress) { progress = append(progress, p) }}
	if res, err := c.Replay(t.Context(), pipeline.DeadFilter{}, o); err != nil || res.Events != 25 {
		t.Errorf("dry run: %+v, %v", res, err)
	}
	if len(progress) == 0 || progress[len(progress)-1].Seen != 25 {
		t.Errorf("progress %+v", progress)
	}
	o.DryRun = false
	if res, err := c.Replay(t.Context(), pipeline.DeadFilter{}, o); err != nil || res.Events != 25 || res.Sinks["a"] != 25 {
		t.Errorf("replay: %+v, %v", res, err)
	}
	if err := p.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if got, err := c.Forget(t.Context(), pipeline.Person{UserID: "u"}); err != nil || len(got.Sinks) != 1 || got.Until.Before(time.Now().Add(72*time.Hour)) {
		t.Errorf("forget: %+v, %v", got, err)
	}
	if _, err := c.Forget(t.Context(), pipeline.Person{}); err == nil || !strings.Contains(err.Error(), "nobody is named") {
		t.Errorf("forget nobody: %v", err)
	}
	if row := p.Ledger().Sinks[0]; row.Delivered != 25 || row.Replayed != 25 {
		t.Errorf("%+v", row)
	}
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestASocketThatADeadProcessLeftIsReplaced(t *testing.T) {
	p, _ := running(t, 0)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "control.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Dial(dir); !errors.Is(err, admin.ErrNotRunning) {
		t.Errorf("a file that is no socket: %v", err)
	}
	stop, err := admin.Serve(dir, p, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, err := admin.Dial(dir); err != nil {
		t.Error(err)
	}
}

func TestALongDirectoryIsAClearError(t *testing.T) {
	p, _ := running(t, 0)
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if _, err := admin.Serve(dir, p, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "shorter data_dir") {
		t.Errorf("%v", err)
	}
	if _, err := admin.Dial(dir); !errors.Is(err, admin.ErrNotRunning) {
		t.Errorf("%v", err)
	}
}

func TestBadRequests(t *testing.T) {
	p, _ := running(t, 1)
	h := admin.Handler(p)
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/ledger", "", 200},
		{"DELETE", "/ledger", "", 405},
		{"GET", "/dead/drop", "", 405},
		{"POST", "/dead/drop", "", 400},
		{"POST", "/dead/drop", "{", 400},
		{"POST", "/dead/drop", `{"filtre":{}}`, 400}, // a filter that is not understood must not mean everything
		{"POST", "/dead/drop", `{"filter":{"sink":["a"]}}`, 400},
		{"POST", "/dead/drop", `{"filter":{"ids":[` + strings.Repeat("1,", 1<<20) + `1]}}`, 400},
		{"POST", "/forget", `{}`, 200}, // the stream says that nobody is named
		{"POST", "/forget", `{"client":"x"}`, 400},
		{"GET", "/", "", 404},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body)))
		if w.Code != tt.want {
			t.Errorf("%s %s %.40q: %d, want %d", tt.method, tt.path, tt.body, w.Code, tt.want)
		}
	}
	n := 0
	for range p.DeadLetters(t.Context(), pipeline.DeadFilter{}) {
		n++
	}
	if n != 1 {
		t.Errorf("%d letters left, a bad request dropped some", n)
	}
}
