package e2e

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack/pipeline/standard/full"
)

// The sentinels are documentation addresses; every spelling of them is searched for.
const (
	sentinel4 = "203.0.113.77"
	sentinel6 = "2001:db8:7:7:7:7:7:77"

	// sentinelPeer is the address that connections come from, which needs to be one of this machine's.
	sentinelPeer = "127.0.113.77"
)

// wire has requests for each decoder there is, in which {ip} stands for an address: a path with a
// query, then lines of a body to post.
var wire = map[string][]string{
	"json":  {"/collect", `{"name":"page_view","visitor":{"client_id":"1.2","user_id":"{ip}"},"network":{"ip":"{ip}"},"params":{"uip":"{ip}","note":"seen {ip}"}}`},
	"pixel": {"/pixel.gif?name=page_view&client_id=1.2&url=https://shop.example/%3Fip={ip}&p.cip={ip}"},
	"gtag": {
		"/g/collect?v=2&tid=G-TEST1234&cid=1.2&sid=1700000000&en=page_view&dl=https://shop.example/%3Fip%3D{ip}&dr=https://o.example/{ip}&_uip={ip}&uip={ip}&uid={ip}&ep.ip={ip}&up.ip={ip}&dt=for%20{ip}",
		"en=scroll&ep.client_ip={ip}\r\nen=search&ep.search_term={ip}",
	},
	"mp": {"/mp/collect?measurement_id=G-TEST1234&api_secret=x", `{"client_id":"1.2","user_id":"{ip}","ip_override":"{ip}","user_properties":{"ip":{"value":"{ip}"}},` +
		`"events":[{"name":"page_view","params":{"page_location":"https://shop.example/?ip={ip}","ip":"{ip}","uip":"{ip}"}}]}`},
	"ua": {"/ua/collect?v=1&t=pageview&tid=UA-1-1&cid=1.2&uip={ip}&uid={ip}&dl=https://shop.example/%3Fip%3D{ip}&cd1={ip}&dt={ip}"},
}

var spellings = []string{
	sentinelPeer, sentinel4, "203%2E0%2E113%2E77", "::ffff:cb00:714d", sentinel6, "2001%3Adb8%3A7%3A7", "2001:0db8:0007:0007:0007:0007:0007:0077",
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

	dir, addr, direct := t.TempDir(), freeAddr(t), freeAddr(t)
	decoders := "{"
	for _, d := range full.Registry().Decoders() {
		if wire[d.Name] == nil {
			t.Errorf("decoder %s: this test knows no request for it: add one", d.Name)
		}
		at := ""
		if d.Name == "ua" {
			at = "at: /ua" // beside the one that has the same path
		}
		decoders += fmt.Sprintf("%s: {%s}, ", d.Name, at)
	}
	decoders += "}"
	log := fmt.Sprintf("%s - - [10/Oct/2025:13:55:36 +0000] \"GET /a?ip=%s HTTP/1.1\" 200 5 \"https://x.example/?from=%s\" \"Mozilla/5.0 (X11; Linux x86_64) %s\"\n"+
		"%s - - [10/Oct/2025:13:55:37 +0000] broken %s\n", sentinel4, sentinel4, sentinel4, sentinel4, sentinel6, sentinel6)
	if err := os.WriteFile(filepath.Join(dir, "access.log"), []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, dir, fmt.Sprintf(`
bus: {embedded: {data_dir: bus, sync: always}}
sources:
  web: {http: {listen: %q, trusted_proxies: [127.0.0.0/8], decoders: %s}}
  direct: {http: {listen: %q, decoders: %s}}
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
`, addr, decoders, direct, decoders, google.URL, refusing.URL), addr)
	client := &http.Client{Timeout: 5 * time.Second}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(sentinelPeer)}}
	fromPeer := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: dialer.DialContext}}
	defer fromPeer.CloseIdleConnections()
	for name, hit := range wire {
		for _, ip := range []string{sentinel4, sentinel6} {
			for where, c := range map[string]*http.Client{addr: client, direct: fromPeer} {
				// Of a client that came by no proxy its own address is known, and it is none that is looked
				// for in texts: there only the connection and headers that are not believed have one.
				text := ip
				if where == direct {
					text = "none"
				}
				target := "http://" + where + strings.ReplaceAll(hit[0], "{ip}", url.QueryEscape(text))
				req, err := http.NewRequest(http.MethodGet, target, nil)
				if len(hit) > 1 {
					req, err = http.NewRequest(http.MethodPost, target, strings.NewReader(strings.ReplaceAll(hit[1], "{ip}", text)))
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, h := range []string{"X-Forwarded-For", "X-Real-Ip", "Cf-Connecting-Ip", "True-Client-Ip"} {
					req.Header.Set(h, ip)
				}
				req.Header.Set("Forwarded", `for="`+ip+`"`)
				req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) "+text)
				req.Header.Set("Cookie", "_ga=GA1.1.1.2; ip="+ip)
				resp, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode < 200 || resp.StatusCode > 299 {
					t.Errorf("%s: status %d: %s", name, resp.StatusCode, body)
				}
			}
		}
	}
	for i, ip := range []string{sentinel4, sentinel6, "::ffff:" + sentinel4} {
		for j, field := range []string{
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
			body := fmt.Sprintf(`{"name":"page_view","message_id":"m%[2]d-%[3]d","visitor":{"client_id":"1.2"},`+field+`}`, ip, i, j)
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
	eventually(t, 20*time.Second, "50 events in the file", func() bool {
		b, _ := os.ReadFile(file)
		return bytes.Count(b, []byte("\n")) >= 50
	})
	eventually(t, 20*time.Second, "a request at the mock of Google", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Count(requests.String(), "POST ") >= 10
	})
	letters := ""
	eventually(t, 20*time.Second, "20 dead letters", func() bool {
		letters = command(t, dir, "dead", "ls", "--output", "json")
		return strings.Count(letters, "rejected") >= 20
	})
	search(t, "dead letters", []byte(letters))
	search(t, "the ledger", []byte(command(t, dir, "ledger", "--output", "json")))
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
