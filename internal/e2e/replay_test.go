package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack/internal/faults"
)

// command runs sidetrack with arguments and the configuration of dir, and returns what it printed.
func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, append(args, "--config", filepath.Join(dir, "sidetrack.yaml"))...)
	var out, errOut bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("sidetrack %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errOut.String())
	}
	return out.String()
}

// deadEvents lists the numbers of a sink's dead events.
func deadEvents(t *testing.T, dir, sink string) map[string]int {
	t.Helper()
	got := map[string]int{}
	lines := bufio.NewScanner(strings.NewReader(command(t, dir, "dead", "ls", "--sink", sink, "--output", "json")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l struct {
			Reason string
			Events []struct {
				Params struct{ N json.Number }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Reason != "rejected" {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		for _, e := range l.Events {
			got[e.Params.N.String()]++
		}
	}
	return got
}

// TestReplayKilled replays dead letters of one sink and kills the work in the middle of it: once
// the running process that does it, once the command that does it on a store of its own. Repeated, it
// brings every event to that sink, and none to another one.
func TestReplayKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	const total = 2500
	refuse := faults.Status(http.StatusBadRequest)
	google, other := faults.NewBackend(refuse, numbers), faults.NewBackend(refuse, numbers)
	t.Cleanup(google.Close)
	t.Cleanup(other.Close)
	dir, addr := t.TempDir(), freeAddr(t)
	config := fmt.Sprintf(`
bus: {embedded: {data_dir: bus, sync: interval, min_free: 1MB}}
sources:
  web: {http: {listen: %q}}
sinks:
  google:
    ga4: {measurement_id: G-TEST1234, api_secret: abc, endpoint: %q}
    needs: []
  other:
    ga4: {measurement_id: G-TEST1234, api_secret: abc, endpoint: %q}
    needs: []
    when: {params: {odd: [1]}}
`, addr, google.URL, other.URL)
	p := launch(t, dir, config, addr)
	client := &http.Client{Timeout: 10 * time.Second}
	for first := 0; first < total; first += 100 {
		batch := make([]string, 100)
		for i := range batch {
			n := first + i
			batch[i] = fmt.Sprintf(`{"name":"page_view","visitor":{"client_id":"1.%d"},"params":{"n":%d,"odd":%d}}`, n/25, n, n%2)
		}
		if status := post(t.Context(), client, addr, "["+strings.Join(batch, ",")+"]"); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
	eventually(t, 60*time.Second, "everything dead", func() bool {
		return len(deadEvents(t, dir, "google")) == total && len(deadEvents(t, dir, "other")) == total/2
	})
	if out := command(t, dir, "dead", "replay", "--sink", "google", "--reason", "rejected", "--dry-run"); !strings.Contains(out, strconv.Itoa(total)) {
		t.Errorf("dry run: %s", out)
	}
	google.Set(faults.OK)
	other.Set(faults.OK)
	time.Sleep(300 * time.Millisecond)
	if n := len(google.Taken()); n > 0 || len(deadEvents(t, dir, "google")) != total {
		t.Fatalf("a dry run replayed %d events", n)
	}

	// The running process does the work and is killed.
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	replay := func() *faults.Process {
		cmd := exec.Command(path, "dead", "replay", "--sink", "google", "--reason", "rejected", "--config", filepath.Join(dir, "sidetrack.yaml"))
		cmd.Dir = dir
		r, err := faults.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Kill)
		return r
	}
	r := replay()
	eventually(t, 20*time.Second, "the first replayed event", func() bool { return len(google.Taken()) > 0 })
	p.Kill()
	<-r.Exited()
	if r.ExitCode() == 0 {
		t.Log("the replay was over before the process was killed")
	}
	after := deadEvents(t, dir, "google") // of the store itself: nothing runs
	t.Logf("killed with the process: %d of %d letters left, %d events arrived", len(after), total, len(google.Taken()))

	// The command does the work on the store and is killed.
	if len(after) > 0 {
		counts := filepath.Join(dir, "bus", "counts", "retry-google")
		before, _ := os.ReadFile(counts)
		r = replay()
		eventually(t, 20*time.Second, "a message on the retry topic", func() bool {
			now, _ := os.ReadFile(counts)
			return !bytes.Equal(before, now)
		})
		r.Kill()
		t.Logf("killed with the command: %d letters left", len(deadEvents(t, dir, "google")))
	}

	p = launch(t, dir, config, addr)
	command(t, dir, "dead", "replay", "--sink", "google")
	eventually(t, 60*time.Second, "every event at the sink", func() bool { return len(google.Taken()) == total })
	if left := deadEvents(t, dir, "google"); len(left) > 0 {
		t.Errorf("%d letters left", len(left))
	}
	if n := len(deadEvents(t, dir, "other")); n != total/2 || len(other.Taken()) > 0 {
		t.Errorf("the other sink has %d letters, want %d, and got %d events, want none", n, total/2, len(other.Taken()))
	}
	p.stop()
	repeats := -total
	for _, n := range google.Taken() {
		repeats += n
	}
	t.Logf("%d events replayed, %d repeats", total, repeats)
	// By each kill: the letters of one message, and what was in flight.
	if most := 2 * (500 + 32*25); repeats > most {
		t.Errorf("%d repeats, at most %d are explained", repeats, most)
	}
}
