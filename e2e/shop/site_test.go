// Package shop_test visits examples/shop with a real browser and looks at what reaches Google.
package shop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/sidetrack-go/sidetrack/e2e/browser"
)

// hit is one event as Google gets it.
type hit struct {
	client string
	name   string
	params map[string]any
}

// String is the event and its page.
func (h hit) String() string {
	page, _ := h.params["page_location"].(string)
	if _, path, ok := strings.Cut(page, "://"); ok {
		_, page, _ = strings.Cut(path, "/")
	}
	return h.name + " /" + page
}

// google is a local stand-in for Google's endpoint.
type google struct {
	*httptest.Server
	mu   sync.Mutex
	hits []hit
}

func newGoogle(t *testing.T) *google {
	g := &google{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			ClientID string `json:"client_id"`
			Events   []struct {
				Name   string
				Params map[string]any
			}
		}
		b, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(b, &body); err != nil {
			t.Errorf("%v: %s", err, b)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, e := range body.Events {
			g.hits = append(g.hits, hit{body.ClientID, e.Name, e.Params})
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(g.Close)
	return g
}

// take returns the events since the last call, in any order, once as many came as are wanted. It
// waits a little longer, for those that must not come. Engagement counts where it is wanted.
func (g *google) take(t *testing.T, want ...string) []hit {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		g.mu.Lock()
		n := len(g.hits)
		g.mu.Unlock()
		if n >= len(want) || time.Now().After(deadline) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(700 * time.Millisecond)
	g.mu.Lock()
	hits := g.hits
	g.hits = nil
	g.mu.Unlock()
	var got []string
	for _, h := range hits {
		if h.name == "engagement" && !slices.Contains(want, h.String()) {
			continue // after a second: how long a page is open here depends on the machine
		}
		got = append(got, h.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Google got  %q\nwant        %q", got, want)
	}
	return hits
}

// site is a running shop, seen by one browser.
type site struct {
	t    *testing.T
	ctx  context.Context
	base string
	*google
}

func newSite(t *testing.T) *site {
	t.Helper()
	ctx := browser.New(t)
	g := newGoogle(t)
	program := filepath.Join(t.TempDir(), "shop")
	build := exec.Command("go", "build", "-o", program, "./examples/shop")
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
	// The browser takes localhost for as safe as https, so cookies are what they are in production.
	cmd := exec.Command(program, "-listen", addr, "-https", "-bots", "mark", "-ga4", "G-TEST123456", "-ga4-endpoint", g.URL+"/mp/collect")
	cmd.Env = append(os.Environ(), "SHOP_SECRET=s", "GA4_API_SECRET=s")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	_, port, _ := net.SplitHostPort(addr)
	return &site{t, ctx, "http://shop.localhost:" + port, g}
}

func (s *site) do(steps ...chromedp.Action[chromedp.Void]) {
	s.t.Helper()
	if err := chromedp.Do(s.ctx, steps...); err != nil {
		s.t.Fatal(err)
	}
}

// visit loads a page by its address, and waits until its scripts have run.
func (s *site) visit(path string) {
	s.t.Helper()
	s.do(chromedp.Navigate(s.base+path), chromedp.WaitReady("footer"))
	s.eval("new Promise(r => document.readyState == 'complete' ? r() : addEventListener('load', r))")
}

// eval runs a script in the page and waits for what it promises.
func (s *site) eval(js string) {
	s.t.Helper()
	s.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Run(s.ctx, chromedp.Evaluate[any]("(async () => { await ("+js+") })()", chromedp.EvalAwaitPromise))
		return err
	}))
}

// ask returns the value of an expression.
func ask[T any](s *site, js string) T {
	s.t.Helper()
	v, err := chromedp.Run(s.ctx, chromedp.Evaluate[T](js))
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// click clicks on a visible element.
func (s *site) click(selector string) {
	s.t.Helper()
	s.do(chromedp.Click(selector, chromedp.NodeVisible))
}

// cookies returns the cookies as the browser stores them: name, flags and days until the end.
func (s *site) cookies() map[string]string {
	s.t.Helper()
	res, err := chromedp.Call(s.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{s.base}})
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]string{}
	for _, c := range res.Cookies {
		life := "session"
		if !c.Session {
			life = fmt.Sprintf("%.0f days", time.Until(time.Unix(int64(c.Expires), 0)).Hours()/24)
		}
		out[c.Name] = fmt.Sprintf("%s, http only %v, secure %v, same site %s", life, c.HTTPOnly, c.Secure, c.SameSite)
	}
	return out
}

const visitorCookie = "395 days, http only true, secure true, same site Lax"

func (s *site) wantCookies(want map[string]string) {
	s.t.Helper()
	got := s.cookies()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Errorf("cookies %v\nwant    %v", got, want)
	}
}
