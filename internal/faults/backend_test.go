package faults

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask sends two events and returns the status, 0 when there was no answer, the body,
// and the error that reading it met.
func ask(t *testing.T, b *Backend, limit time.Duration) (int, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.URL, strings.NewReader("a\nb\n"))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(body), err
}

// TestAnswers shows that each fault is what its name says, as a client sees it.
func TestAnswers(t *testing.T) {
	bad := func(id string) bool { return id == "b" }
	for name, c := range map[string]struct {
		answer      Answer
		status      int
		body        string
		fails       bool
		taken       int
		unconfirmed int
	}{
		"ok":              {answer: OK, status: 204, taken: 2},
		"status":          {answer: Status(500), status: 500},
		"status success":  {answer: Status(202), status: 202, taken: 2},
		"lost":            {answer: Lost(Status(502)), status: 502, taken: 2, unconfirmed: 2},
		"lost, then late": {answer: Lost(Late(time.Millisecond, Status(200))), status: 200, taken: 2, unconfirmed: 2},
		"hang":            {answer: Hang, fails: true},
		"reset":           {answer: Reset, fails: true},
		"late":            {answer: Late(time.Minute, OK), fails: true},
		"soon":            {answer: Late(time.Millisecond, OK), status: 204, taken: 2},
		"garbage":         {answer: Garbage, fails: true},
		"cut":             {answer: CutStatus, fails: true},
		"endless header":  {answer: EndlessHeader, fails: true},
		"short body":      {answer: ShortBody(200, "promise"), status: 200, body: "promise", fails: true},
		"slow drip":       {answer: Drip(200, "slow", time.Minute), status: 200, fails: true},
		"drip":            {answer: Drip(200, "slow", time.Millisecond), status: 200, body: "slow"},
		"endless body":    {answer: EndlessBody(200), status: 200, body: strings.Repeat("x", 1<<20)},
		"error body":      {answer: ErrorBody(`{"ok":false}`), status: 200, body: `{"ok":false}`},
		"partial": {answer: Partial(func(id string) int {
			if bad(id) {
				return 400
			}
			return 0
		}), status: 200, body: "refused 1 400\n", taken: 1},
		"poison":    {answer: Poison(bad, Status(400), OK), status: 400},
		"no poison": {answer: Poison(func(string) bool { return false }, Status(400), OK), status: 204, taken: 2},
		"flap up":   {answer: Flap(time.Hour, OK, time.Hour, Hang), status: 204, taken: 2},
		"flap down": {answer: Flap(0, OK, time.Hour, Status(503)), status: 503},
		"mix":       {answer: Mix(rand.New(rand.NewPCG(1, 2)), Weighted{0, Hang}, Weighted{3, OK}), status: 204, taken: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := NewBackend(c.answer, nil)
			defer b.Close()
			limit := 10 * time.Second
			if c.fails {
				limit = 2 * time.Second
			}
			status, body, err := ask(t, b, limit)
			if status != c.status || body != c.body || (err != nil) != c.fails {
				t.Errorf("status %d, body %.50q, error %v; want status %d, body %.50q, failure %v", status, body, err, c.status, c.body, c.fails)
			}
			taken := b.Taken()
			for id, n := range taken {
				if n != 1 {
					t.Errorf("event %s was taken %d times by one request", id, n)
				}
			}
			if _, unconfirmed := b.Counts(); len(taken) != c.taken || unconfirmed != c.unconfirmed {
				t.Errorf("%d events taken, %d of them unconfirmed; want %d and %d", len(taken), unconfirmed, c.taken, c.unconfirmed)
			}
		})
	}
}

func TestSequence(t *testing.T) {
	b := NewBackend(Sequence(Status(503), Throttle(90*time.Second), OK), nil)
	defer b.Close()
	for _, want := range []int{503, 429, 204, 204} {
		if status, _, err := ask(t, b, 10*time.Second); status != want {
			t.Errorf("status %d (%v), want %d", status, err, want)
		}
	}
	if n := b.Taken()["a"]; n != 2 {
		t.Errorf("taken %d times, want twice", n)
	}
}

func TestProcess(t *testing.T) {
	sleeper := func(script string) *Process {
		p, err := Start(exec.Command("/bin/sh", "-c", script))
		if err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); !strings.Contains(p.Stderr.String(), "up"); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("no sign of life")
			}
		}
		return p
	}
	p := sleeper("echo up >&2; exec sleep 60")
	p.Kill()
	if code := p.ExitCode(); code != -1 {
		t.Errorf("exit code %d after kill -9", code)
	}
	p = sleeper("trap 'exit 3' TERM; echo up >&2; while :; do sleep 0.01; done")
	if err := p.Stop(10 * time.Second); err != nil || p.ExitCode() != 3 {
		t.Errorf("stop: %v, exit code %d, want 3", err, p.ExitCode())
	}
	p = sleeper("trap '' TERM; echo up >&2; while :; do sleep 0.01; done")
	if err := p.Stop(50 * time.Millisecond); err == nil {
		t.Error("a process that heeds no SIGTERM was stopped without an error")
	}
}

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Flip(file, 1, 2), Flip(file, -1, 1)); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(file); string(b) != "a\x9d\x9cde\x99" {
		t.Errorf("flipped: %q", b)
	}
	if err := Flip(file, 5, 2); err == nil {
		t.Error("bytes behind the end were flipped")
	}
	small := filepath.Join(dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	MountFor(t, small, 1<<20)
	ballast := filepath.Join(small, "ballast")
	if err := Fill(ballast); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(small, "more"), []byte("x"), 0o600); err == nil {
		t.Error("a full file system took a byte")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := SetReadOnly(small, true); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(small, "more"), []byte("x"), 0o600); err == nil {
		t.Error("a read-only file system took a byte")
	}
	if err := SetReadOnly(small, false); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(small, "more"), []byte("x"), 0o600); err != nil {
		t.Errorf("writable again: %v", err)
	}
}

func TestDownAndUp(t *testing.T) {
	b := NewBackend(Hang, nil)
	defer b.Close()
	held := make(chan error)
	go func() {
		_, _, err := ask(t, b, time.Minute)
		held <- err
	}()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if requests, _ := b.Counts(); requests == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the request did not come")
		}
	}
	b.Set(OK)
	b.Down()
	if err := <-held; err == nil {
		t.Error("a connection survived")
	}
	if _, _, err := ask(t, b, time.Minute); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("while it is down: %v", err)
	}
	if err := b.Up(); err != nil {
		t.Fatal(err)
	}
	if status, _, err := ask(t, b, time.Minute); status != 204 || err != nil || b.Taken()["a"] != 1 {
		t.Errorf("up again: %d, %v, %v", status, err, b.Taken())
	}
}
