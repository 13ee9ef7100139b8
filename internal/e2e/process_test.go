// Package e2e holds tests that run the command as its users do: a process, a
// configuration file, requests from outside, kill -9.
package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack/internal/faults"
)

// binary builds the command once for all tests of this package.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sidetrack-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "sidetrack")
	out, err := exec.Command("go", "build", "-o", path, "github.com/sidetrack-go/sidetrack/cmd/sidetrack").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// process is a running `sidetrack run`.
type process struct {
	*faults.Process
	t    *testing.T
	addr string
}

// begin starts the command with a configuration.
func begin(t *testing.T, dir, config string) *faults.Process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sidetrack.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "run", "--config", file)
	cmd.Dir, cmd.Stdout = dir, io.Discard
	p, err := faults.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// launch begins and waits until the collector listens on addr.
func launch(t *testing.T, dir, config, addr string) *process {
	t.Helper()
	p := &process{Process: begin(t, dir, config), t: t, addr: addr}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get("http://" + addr + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
			return p
		}
		select {
		case <-p.Exited():
			t.Fatalf("the process ended at once:\n%s", p.Stderr)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("not listening after 20 s: %v\n%s", err, p.Stderr)
		}
	}
}

// stop ends the process as an operator would.
func (p *process) stop() {
	p.t.Helper()
	if err := p.Stop(30 * time.Second); err != nil {
		p.t.Fatalf("%v\n%s", err, p.Stderr)
	}
	if code := p.ExitCode(); code != 0 && code != 3 { // 3: in order, with events left on the bus
		p.t.Errorf("exit code %d after SIGTERM:\n%s", code, p.Stderr)
	}
}

// freeAddr returns a loopback address nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := faults.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// post sends a body and returns the status, 0 when there was no answer.
func post(ctx context.Context, client *http.Client, addr, body string, header ...string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/collect", strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// archived reads the file sink's events: how often each message id arrived.
func archived(t *testing.T, path string) map[string]int {
	t.Helper()
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return map[string]int{}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	got := map[string]int{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct {
			MessageID string `json:"message_id"`
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("a line of the file is no event: %v: %q", err, lines.Text())
		}
		got[e.MessageID]++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return got
}

// eventually waits for a condition that other processes bring about.
func eventually(t *testing.T, limit time.Duration, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
