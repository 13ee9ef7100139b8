// Package collector tests the collector with pages of other origins in a real browser.
package collector

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sidetrack-go/sidetrack/e2e/browser"
)

// page sends one event in each way that a script has, and notes in results what it was told.
const page = `<!doctype html><title>Shop</title><link rel=icon href="data:,">
<script>
const collector = %q, results = {}
const event = name => JSON.stringify({name, page: {url: location.href}, params: {how: name}})
const note = (how, what) => { results[how] = String(what) }

fetch(collector + "/collect", {method: "POST", credentials: "include",
	headers: {"Content-Type": "application/json", "X-Sidetrack-Key": "k1"}, body: event("by_fetch")})
	.then(r => note("fetch", r.status), e => note("fetch", e))

const xhr = new XMLHttpRequest()
xhr.open("POST", collector + "/collect?key=k1")
xhr.withCredentials = true
xhr.setRequestHeader("X-Custom", "1")
xhr.onload = () => note("xhr", xhr.status)
xhr.onerror = () => note("xhr", "error")
xhr.send("[" + event("by_xhr") + "]")

note("beacon", navigator.sendBeacon(collector + "/collect?key=k1", event("by_beacon")))

const img = new Image()
img.onload = () => note("image", img.width)
img.onerror = () => note("image", "error")
img.src = collector + "/pixel.gif?name=by_image&key=k1&url=" + encodeURIComponent(location.href)
</script>`

// start runs the command with a configuration and returns its address and the file of events.
func start(t *testing.T, origin string) (addr, events string) {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "sidetrack")
	build := exec.Command("go", "build", "-o", binary, "./cmd/sidetrack")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = ln.Addr().String()
	_ = ln.Close()
	events = filepath.Join(dir, "events.ndjson")
	config := filepath.Join(dir, "sidetrack.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
bus: {memory: {}}
sites:
  shop: {hosts: [shop.example], origins: [%q], keys: [k1]}
sources:
  web: {http: {listen: %q, keys: required}}
sinks:
  archive: {file: {path: %q}, needs: []}
`, origin, addr, events), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(binary, "run", "--config", config)
	cmd.Dir, cmd.Stderr, cmd.Stdout = dir, &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s", log.String())
		}
	})
	for range 200 {
		if res, err := http.Get("http://" + addr + "/healthz"); err == nil {
			_ = res.Body.Close()
			return addr, events
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the collector does not answer")
	return "", ""
}

// stored returns the events in the file by name.
func stored(t *testing.T, path string) map[string]map[string]any {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	out := map[string]map[string]any{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e map[string]any
		if json.Unmarshal(lines.Bytes(), &e) == nil { // the last line may be half written
			out[e["name"].(string)] = e
		}
	}
	return out
}

// TestCrossOrigin: a page of another origin sends by fetch, XHR with credentials, beacon and image. All
// four arrive, and the page may read the answers. A page of an origin that is not listed gets nothing in.
func TestCrossOrigin(t *testing.T) {
	ctx := browser.New(t, "shop.example", "evil.example", "t.example")
	var collector string
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, page, collector)
	}))
	defer pages.Close()
	_, port, _ := net.SplitHostPort(pages.Listener.Addr().String())
	addr, events := start(t, "http://shop.example:"+port)
	_, collectorPort, _ := net.SplitHostPort(addr)
	collector = "http://t.example:" + collectorPort

	visit := func(host string) map[string]string {
		if err := chromedp.Do(ctx, chromedp.Navigate("http://"+host+":"+port+"/")); err != nil {
			t.Fatal(err)
		}
		results, err := chromedp.Run(ctx, chromedp.Poll[map[string]string](`Object.keys(results).length === 4 && results`))
		if err != nil {
			t.Fatal(err)
		}
		return results
	}
	want := map[string]string{"fetch": "204", "xhr": "200", "beacon": "true", "image": "1"}
	if got := visit("shop.example"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the page was told %v, want %v", got, want)
	}
	names := []string{"by_beacon", "by_fetch", "by_image", "by_xhr"}
	var got map[string]map[string]any
	for range 200 {
		if got = stored(t, events); len(got) == len(names) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, name := range names {
		if e := got[name]; e == nil || e["site"] != "shop" || !strings.Contains(fmt.Sprint(e["page"]), "shop.example") {
			t.Errorf("%s: %v", name, e)
		}
	}

	evil := visit("evil.example")
	if !strings.Contains(evil["fetch"], "TypeError") || evil["xhr"] != "error" {
		t.Errorf("a page that is not listed was told %v", evil)
	}
	time.Sleep(500 * time.Millisecond)
	lines, err := os.ReadFile(events)
	if err != nil {
		t.Fatal(err)
	}
	// An image says nothing of its page's origin, so it gets in everywhere.
	for line := range strings.Lines(string(lines)) {
		if strings.Contains(line, "evil.example") && !strings.Contains(line, "by_image") {
			t.Errorf("stored for a page that is not listed: %s", line)
		}
	}
	if n := slices.Collect(strings.Lines(string(lines))); len(n) != 5 {
		t.Errorf("%d events, want the four of the shop and one image", len(n))
	}
}
