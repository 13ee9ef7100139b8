package e2e

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The sentinels are documentation addresses; every spelling of them is searched for.
const (
	sentinel4 = "203.0.113.77"
	sentinel6 = "2001:db8:7:7:7:7:7:77"
)

var spellings = []string{
	sentinel4, "203%2E0%2E113%2E77", "::ffff:cb00:714d", sentinel6, "2001%3Adb8%3A7%3A7", "2001:0db8:0007:0007:0007:0007:0007:0077",
}

// TestSentinelAddress plants a client address in the peer position, in headers and in
// payload fields of every source and searches everything the process leaves behind.
func TestSentinelAddress(t *testing.T) {
	var mu sync.Mutex
	var requests bytes.Buffer
	google := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		fmt.Fprintf(&requests, "%s %s\n%v\n%s\n", r.Method, r.URL, r.Header, b)
		mu.Unlock()
	}))
	defer google.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }))
	defer refusing.Close()

	dir, addr := t.TempDir(), freeAddr(t)
	log := fmt.Sprintf("%s - - [10/Oct/2025:13:55:36 +0000] \"GET /a?ip=%s HTTP/1.1\" 200 5 \"https://x.example/?from=%s\" \"Mozilla/5.0 (X11; Linux x86_64) %s\"\n"+
		"%s - - [10/Oct/2025:13:55:37 +0000] broken %s\n", sentinel4, sentinel4, sentinel4, sentinel4, sentinel6, sentinel6)
	if err := os.WriteFile(filepath.Join(dir, "access.log"), []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, dir, fmt.Sprintf(`
bus: {embedded: {data_dir: bus, sync: always}}
sources:
  web: {http: {listen: %q, trusted_proxies: [127.0.0.0/8]}}
  log: {accesslog: {paths: [access.log], host: shop.example}}
sinks:
  google:
    ga4: {measurement_id: G-TEST1234, api_secret: abc, endpoint: %q}
    needs: []
  refusing:
    ga4: {measurement_id: G-TEST1234, api_secret: abc, endpoint: %q}
    needs: []
  archive:
    file: {path: events.ndjson}
    needs: []
  console:
    stdout: {}
    needs: []
`, addr, google.URL, refusing.URL), addr)
	client := &http.Client{Timeout: 5 * time.Second}
	for i, ip := range []string{sentinel4, sentinel6, "::ffff:" + sentinel4} {
		for _, field := range []string{
			`"network":{"ip":"%[1]s"}`,
			`"params":{"uip":"%[1]s","nested":{"deep":["%[1]s"]},"text":"seen from %[1]s today"}`,
			`"user_properties":{"ip":"%[1]s"}`,
			`"page":{"url":"https://shop.example/x?ip=%[1]s&y=1","title":"for %[1]s","referrer":"https://other.example/?a=%[1]s"}`,
			`"visitor":{"user_id":"%[1]s"}`,
			`"device":{"user_agent":"agent %[1]s"}`,
			`"campaign":{"term":"%[1]s"}`,
			`"exception":{"description":"no route to %[1]s"}`,
			`"ecommerce":{"affiliation":"%[1]s","items":[{"item_id":"%[1]s"}]}`,
		} {
			body := fmt.Sprintf(`{"name":"page_view","message_id":"m","visitor":{"client_id":"1.2"},`+field+`}`, ip)
			status := post(t.Context(), client, addr, body,
				"X-Forwarded-For", ip, "Forwarded", "for=\""+ip+"\"", "X-Real-Ip", ip, "Referer", "https://shop.example/?c="+ip, "User-Agent", "Mozilla/5.0 "+ip)
			if status < 200 || status > 299 {
				t.Errorf("sentinel %d: status %d for %s", i, status, body)
			}
		}
		for _, bad := range []string{"{", fmt.Sprintf(`{"name":"%s","time":"%s"}`, ip, ip), fmt.Sprintf(`[{"name":5,"network":{"ip":"%s"}}]`, ip)} {
			post(t.Context(), client, addr, bad, "X-Forwarded-For", ip)
		}
		pixel, err := http.NewRequest(http.MethodGet, "http://"+addr+"/pixel.gif?name=page_view&client_id=1.2&url=https://shop.example/%3Fip="+ip+"&p.cip="+ip, nil)
		if err != nil {
			t.Fatal(err)
		}
		pixel.Header.Set("X-Forwarded-For", ip)
		resp, err := client.Do(pixel)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	file := filepath.Join(dir, "events.ndjson")
	eventually(t, 20*time.Second, "30 events in the file", func() bool {
		b, _ := os.ReadFile(file)
		return bytes.Count(b, []byte("\n")) >= 30
	})
	eventually(t, 20*time.Second, "a request at the mock of Google", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Count(requests.String(), "POST ") >= 10
	})
	p.stop()

	mu.Lock()
	search(t, "requests to the backend", requests.Bytes())
	mu.Unlock()
	search(t, "the log", []byte(p.Stderr.String()))
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "access.log" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		search(t, strings.TrimPrefix(path, dir), b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 3 {
		t.Errorf("only %d files searched", files)
	}
}

func search(t *testing.T, where string, content []byte) {
	t.Helper()
	for _, s := range spellings {
		if i := bytes.Index(content, []byte(s)); i >= 0 {
			t.Errorf("%s holds the address %s: …%q…", where, s, content[max(0, i-120):min(len(content), i+60)])
		}
	}
}
