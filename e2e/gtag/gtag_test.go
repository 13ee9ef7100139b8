// Package gtag_test lets real pages send to the command's collector what they would send to
// Google, and looks at what reaches Google.
package gtag_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sidetrack-go/sidetrack/e2e/browser"
)

// hit is one event as Google gets it.
type hit struct {
	Client  string
	User    string
	Consent map[string]string
	Name    string
	Params  map[string]any
}

// google is a stand-in for Google's endpoint.
type google struct {
	*httptest.Server
	mu   sync.Mutex
	hits []hit
}

func newGoogle(t *testing.T) *google {
	g := &google{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			ClientID string            `json:"client_id"`
			UserID   string            `json:"user_id"`
			Consent  map[string]string `json:"consent"`
			Events   []struct {
				Name   string
				Params map[string]any
			}
		}
		text, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(text, &body); err != nil {
			t.Errorf("%v: %s", err, text)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, e := range body.Events {
			g.hits = append(g.hits, hit{body.ClientID, body.UserID, body.Consent, e.Name, e.Params})
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(g.Close)
	return g
}

// await returns the first event that is wanted, once it came.
func (g *google) await(t *testing.T, what string, wanted func(hit) bool) hit {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		g.mu.Lock()
		for _, h := range g.hits {
			if wanted(h) {
				g.mu.Unlock()
				return h
			}
		}
		all := fmt.Sprintf("%+v", g.hits)
		g.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatalf("Google never got %s, but %s", what, all)
		}
	}
}

// collect runs `sidetrack run` and returns the port of its collector.
func collect(t *testing.T, googleURL, origin string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "sidetrack")
	build := exec.Command("go", "build", "-o", program, "./cmd/sidetrack")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	config := filepath.Join(t.TempDir(), "sidetrack.yaml")
	text := fmt.Sprintf(`
bus: {memory: {}}
sources:
  web:
    http:
      listen: %s
      origins: [%q]
      decoders:
        gtag: {measurement_ids: [G-TEST123456], grant: [analytics_storage]}
        json:
intake:
  - consent: {}
  - visitor: {google: true}
  - anonymize_ip: {}
sinks:
  ga:
    ga4: {measurement_id: G-TEST123456, api_secret: s, endpoint: %q}
`, addr, origin, googleURL+"/mp/collect")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "run", "-c", config)
	cmd.Dir = t.TempDir()
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if r, err := http.Get("http://" + addr + "/healthz"); err == nil {
			_ = r.Body.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%v\n%s", err, &log)
		}
	}
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// page has a small client of the npm registry, which sends beacons, and a button for it.
const page = `<!doctype html><title>Products – Ünïcode</title>
<script>window.minimalAnalytics = {trackingId: 'G-TEST123456', analyticsEndpoint: '%[1]s/g/collect', autoTrack: true}</script>
<script src="/client.js"></script>
<a id="out" href="https://elsewhere.example/" onclick="event.preventDefault()">away</a>
`

// rich does what gtag.js does in its first-party mode: an XHR with credentials and a batch, one line
// for each event. It answers with the status the page may read.
const rich = `new Promise(done => {
	document.cookie = '_ga=GA1.2.1111111111.1700000000; domain=shop.example; path=/';
	document.cookie = '_ga_TEST123456=GS2.1.s' + (%[2]d) + '$o5$g1$t' + (%[2]d) + '$j60$l0$h0; domain=shop.example; path=/';
	const x = new XMLHttpRequest();
	x.open('POST', '%[1]s/g/collect?v=2&tid=G-TEST123456&gtm=45je&_p=1&gcs=G111&gcd=13r3r3q2r5l1&cid=1111111111.1700000000&uid=u-42&ul=de-at&sr=800x600&_s=1&sid=%[2]d&sct=5&seg=1' +
		'&dl=' + encodeURIComponent(location.href) + '&dt=Shop&richsstsse');
	x.withCredentials = true;
	x.onload = () => done(x.status);
	x.onerror = () => done(-1);
	x.send('en=add_to_cart&cu=EUR&epn.value=39.98&pr1=idSKU-1~nmT-shirt~pr19.99~qt2&_et=1500\r\nen=scroll&epn.percent_scrolled=90&_et=20&dt=Other');
})`

// cookies lets the collector find out who it is from the cookies alone.
const cookies = `fetch('%[1]s/collect', {method: 'POST', credentials: 'include', headers: {'Content-Type': 'application/json'},
	body: JSON.stringify({name: 'from_cookies', consent: {analytics_storage: 'granted'}})}).then(r => r.status)`

func TestRealPage(t *testing.T) {
	ctx := browser.New(t, "shop.example", "t.shop.example")
	google := newGoogle(t)
	client, err := os.ReadFile("testdata/minimal-analytics-ga4-1.8.7/index.js")
	if err != nil {
		t.Fatal(err)
	}
	var collector string
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/client.js":
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write(client)
		case "/products":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = fmt.Fprintf(w, page, collector)
		default:
			http.NotFound(w, r)
		}
	}))
	defer shop.Close()
	u, err := url.Parse(shop.URL)
	if err != nil {
		t.Fatal(err)
	}
	origin := "http://shop.example:" + u.Port()
	collector = "http://t.shop.example:" + collect(t, google.URL, origin)

	if err := chromedp.Do(ctx, chromedp.Navigate(origin+"/products?utm_source=news")); err != nil {
		t.Fatal(err)
	}
	view := google.await(t, "the page view of the small client", func(h hit) bool { return h.Name == "page_view" })
	if view.Params["page_title"] != "Products – Ünïcode" || view.Params["page_location"] != origin+"/products?utm_source=news" || view.Params["source"] != "news" ||
		view.Params["session_id"] == nil || view.Params["session_number"] != 1.0 || len(view.Client) != 16 {
		t.Errorf("%+v", view)
	}
	if err := chromedp.Do(ctx, chromedp.Evaluate[chromedp.Void](`document.getElementById("out").click()`)); err != nil {
		t.Fatal(err)
	}
	click := google.await(t, "its click", func(h hit) bool { return h.Name == "click" })
	if click.Client != view.Client || click.Params["session_id"] != view.Params["session_id"] || click.Params["outbound"] != "true" {
		t.Errorf("%+v\nafter %+v", click, view)
	}

	session := time.Now().Unix()
	status, err := chromedp.Run(ctx, chromedp.Evaluate[int](fmt.Sprintf(rich, collector, session), chromedp.EvalAwaitPromise))
	if err != nil || status != http.StatusOK {
		t.Fatalf("the page may read status %d, %v", status, err)
	}
	add := google.await(t, "the first line of the batch", func(h hit) bool { return h.Name == "add_to_cart" })
	scroll := google.await(t, "the second", func(h hit) bool { return h.Name == "scroll" })
	for _, h := range []hit{add, scroll} {
		if h.Client != "1111111111.1700000000" || h.User != "u-42" || h.Params["session_id"] != fmt.Sprint(session) || h.Params["session_number"] != 5.0 ||
			h.Consent["ad_user_data"] != "DENIED" || h.Consent["ad_personalization"] != "GRANTED" || h.Params["page_location"] != origin+"/products?utm_source=news" {
			t.Errorf("%+v", h)
		}
	}
	if add.Params["value"] != 39.98 || add.Params["currency"] != "EUR" || add.Params["engagement_time_msec"] != 1500.0 || add.Params["page_title"] != "Shop" || scroll.Params["page_title"] != "Other" {
		t.Errorf("%+v\n%+v", add, scroll)
	}

	status, err = chromedp.Run(ctx, chromedp.Evaluate[int](fmt.Sprintf(cookies, collector), chromedp.EvalAwaitPromise))
	if err != nil || status != http.StatusNoContent {
		t.Fatalf("status %d, %v", status, err)
	}
	own := google.await(t, "the event without an id", func(h hit) bool { return h.Name == "from_cookies" })
	if own.Client != add.Client || own.Params["session_id"] != add.Params["session_id"] || own.Params["session_number"] != 5.0 {
		t.Errorf("client and session of the cookies: %+v", own)
	}
}
