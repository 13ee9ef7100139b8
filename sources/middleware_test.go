package sources

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, "<!doctype html><title>x</title>")
}

// request is one as a browser sends it, from the sentinel address.
func request(method, target string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = sentinel + ":4711"
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
	r.Header.Set("Accept-Language", "de-AT,de;q=0.9,en;q=0.5")
	return r
}

func TestMiddlewarePageView(t *testing.T) {
	f := &fake{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET shop.example/product/{id}", func(w http.ResponseWriter, r *http.Request) {
		sidetrack.FromContext(r.Context()).SetTitle("A \x00lamp")
		page(w, r)
	})
	h := Middleware(f, WithLogger(quiet()))(mux)
	r := request("GET", "http://user:pass@shop.example/product/7?utm_source=news&utm_campaign=a%20b&gclid=Cj0#top")
	r.Host = "shop.example"
	r.Header.Set("Referer", "https://me:secret@search.example/?q=lamp#x")
	r.Header.Set("Sec-Ch-Ua-Platform", `"Linux"`)
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	r.Header.Set("X-Forwarded-Proto", "https") // of a peer that nobody trusts
	h.ServeHTTP(httptest.NewRecorder(), r)

	e := f.one(t)
	for what, pair := range map[string][2]string{
		"name":     {e.Name, sidetrack.PageView},
		"source":   {e.Source, "web"},
		"url":      {e.Page.URL, "http://shop.example/product/7?utm_source=news&utm_campaign=a%20b&gclid=Cj0"},
		"path":     {e.Page.Path, "/product/7"},
		"route":    {e.Page.Route, "/product/{id}"},
		"title":    {e.Page.Title, "A lamp"},
		"referrer": {e.Page.Referrer, "https://search.example/?q=lamp"},
		"language": {e.Device.Language, "de-AT"},
		"ua":       {e.Device.UserAgent, "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"},
		"hint":     {e.Device.Hints["sec-ch-ua-platform"], `"Linux"`},
		"utm":      {e.Campaign.Source + "|" + e.Campaign.Name, "news|a b"},
		"gclid":    {e.Campaign.ClickIDs["gclid"], "Cj0"},
		"origin":   {e.Origin().IP().String(), sentinel},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s = %q, want %q", what, pair[0], pair[1])
		}
	}
	if e.Page.Status != 200 || e.Time.IsZero() || time.Since(e.Time) > time.Minute {
		t.Errorf("status %d, time %v", e.Page.Status, e.Time)
	}
	if s := asJSON(t, e); strings.Contains(s, sentinel) || strings.Contains(s, "198.51.100.1") {
		t.Errorf("an address is in the event: %s", s)
	}
}

func TestMiddlewareTrackerOutlivesTheRequest(t *testing.T) {
	f := &fake{}
	var tracker *sidetrack.Tracker
	mux := http.NewServeMux()
	mux.HandleFunc("/cart/{id}", func(w http.ResponseWriter, r *http.Request) {
		tracker = sidetrack.FromContext(r.Context())
		tracker.SetTitle("Cart")
		if err := tracker.Event("add_to_cart", map[string]any{"n": 1}); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	r := request("POST", "http://shop.example/cart/7")
	Middleware(f, WithLogger(quiet()))(mux).ServeHTTP(httptest.NewRecorder(), r)
	r.Header.Set("User-Agent", "changed afterwards")
	r.URL.Path = "/changed"

	done := make(chan struct{})
	for range 4 {
		go func() { _ = tracker.Event("later", nil); done <- struct{}{} }()
	}
	for range 4 {
		<-done
	}
	events := f.all()
	if len(events) != 5 {
		t.Fatalf("%d events, want 5", len(events))
	}
	for _, e := range events {
		if e.Page.Route != "/cart/{id}" || e.Page.Path != "/cart/7" || e.Page.Title != "Cart" || e.Origin().IP().String() != sentinel || strings.HasPrefix(e.Device.UserAgent, "changed") {
			t.Errorf("%s: %+v, title %q", e.Name, e.Page, e.Page.Title)
		}
	}
}

// panicky is a queue with a bug.
type panicky struct{}

func (panicky) Enqueue(...*sidetrack.Event) error { panic("queue " + sentinel) }

func TestMiddlewareNeverBreaksAPage(t *testing.T) {
	broken := func(*http.Request) string { panic("route") }
	tests := map[string]struct {
		queue sidetrack.Queue
		opt   Option
		logs  bool
	}{
		"queue refuses": {&fake{emit: func(context.Context, []*sidetrack.Event) error { return sidetrack.ErrOverloaded }}, WithSource("web"), false},
		"queue panics":  {panicky{}, WithSource("web"), true},
		"route panics":  {&fake{}, WithRoute(broken), true},
		"client address panics": {&fake{}, WithClientIP(func(r *http.Request) netip.Addr {
			panic("client " + r.RemoteAddr)
		}), true},
		"visitor panics": {&fake{}, WithVisitor(func(*http.Request) sidetrack.Visitor { panic("visitor") }), true},
		"skip panics":    {&fake{}, WithSkip(func(*http.Request) bool { panic("skip") }), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			mw := Middleware(tt.queue, tt.opt, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			w := httptest.NewRecorder()
			mw(http.HandlerFunc(page)).ServeHTTP(w, request("GET", "http://shop.example/"))
			if w.Code != 200 || !strings.Contains(w.Body.String(), "<title>") {
				t.Errorf("page is %d %q", w.Code, w.Body)
			}
			if strings.Contains(log.String(), sentinel) || (log.Len() > 0) != tt.logs {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}

func TestMiddlewareOptions(t *testing.T) {
	f := &fake{}
	h := Middleware(f, WithLogger(quiet()), WithTrustedProxies(netip.MustParsePrefix("10.0.0.0/8")), WithSite("shop"), WithSource("front"),
		WithVisitor(func(*http.Request) sidetrack.Visitor { return sidetrack.Visitor{ClientID: "1.2"} }),
		WithSkip(func(r *http.Request) bool { return r.URL.Path == "/admin" }))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/admin" && sidetrack.FromContext(r.Context()) != nil {
			t.Error("a tracker for a skipped request")
		}
		page(w, r)
	}))
	r := request("GET", "http://shop.example/admin")
	h.ServeHTTP(httptest.NewRecorder(), r)
	r = request("GET", "http://shop.example/")
	r.RemoteAddr = "10.0.0.1:5"
	r.Header.Set("X-Forwarded-For", "198.51.100.1, "+sentinel)
	r.Header.Set("X-Forwarded-Proto", "https")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	e := f.one(t)
	if e.Origin().IP().String() != sentinel || e.Page.URL != "https://shop.example/" || e.Site != "shop" || e.Source != "front" || e.Visitor.ClientID != "1.2" {
		t.Errorf("%+v, client %v", e, e.Origin().IP())
	}

	f = &fake{}
	h = Middleware(f, WithBaseURL("https://www.example/"), WithLogger(quiet()))(http.HandlerFunc(page))
	r = request("GET", "http://internal:8080/a?b=c")
	r.Header.Set("X-Forwarded-Proto", "gopher")
	h.ServeHTTP(httptest.NewRecorder(), r)
	if e := f.one(t); e.Page.URL != "https://www.example/a?b=c" {
		t.Errorf("url = %s", e.Page.URL)
	}
}

// TestRecorderKeepsInterfaces serves over real connections: what a handler can do with its
// ResponseWriter must not depend on the middleware.
func TestRecorderKeepsInterfaces(t *testing.T) {
	f := &fake{}
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, []byte("<!doctype html>file"), 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/flush", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.(http.Flusher).Flush()
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html") // goes nowhere
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
		_ = rw.Flush()
		_ = c.Close()
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	mux.HandleFunc("/copy", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("<!doctype html>copied")); err != nil {
			t.Error(err)
		}
	})
	srv := httptest.NewServer(Middleware(f, WithLogger(quiet()))(mux))
	defer srv.Close()
	for path, views := range map[string]int{"/flush": 1, "/hijack": 0, "/file": 1, "/copy": 1} {
		f.mu.Lock()
		f.events = nil
		f.mu.Unlock()
		res, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";"); kind != "text/html" {
			t.Errorf("%s is %q", path, kind)
		}
		for range 200 { // a hijacked or flushed answer is read before the handler ends
			if len(f.all()) == views {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if got := len(f.all()); got != views {
			t.Errorf("%s: %d page views, want %d", path, got, views)
		}
	}
}

// discard takes everything.
type discard struct{}

func (discard) Enqueue(...*sidetrack.Event) error               { return nil }
func (discard) Emit(context.Context, ...*sidetrack.Event) error { return nil }

func TestMiddlewareClientAddress(t *testing.T) {
	proxies := netip.MustParsePrefix("10.0.0.0/8")
	for name, tt := range map[string]struct {
		opt    Option
		peer   string
		header string
		want   string
	}{
		"peer":                      {WithSource("web"), sentinel + ":1", "X-Forwarded-For: 198.51.100.1", sentinel},
		"mapped peer":               {WithSource("web"), "[::ffff:" + sentinel + "%eth0]:1", "", sentinel},
		"no peer":                   {WithSource("web"), "@", "", "invalid IP"},
		"forwarded for":             {WithTrustedProxies(proxies), "10.0.0.1:1", "X-Forwarded-For: 198.51.100.1, " + sentinel + ", 10.9.9.9", sentinel},
		"forwarded":                 {WithTrustedProxies(proxies), "10.0.0.1:1", `Forwarded: for="[2001:db8::7]:4711";proto=https`, "2001:db8::7"},
		"not from a proxy":          {WithTrustedProxies(proxies), "192.0.2.1:1", "X-Forwarded-For: " + sentinel, "192.0.2.1"},
		"nonsense from a proxy":     {WithTrustedProxies(proxies), "10.0.0.1:1", "X-Forwarded-For: x", "10.0.0.1"},
		"single":                    {WithProxyHeader("CF-Connecting-IP", proxies), "10.0.0.1:1", "CF-Connecting-IP: " + sentinel, sentinel},
		"single, not from a proxy":  {WithProxyHeader("CF-Connecting-IP", proxies), "192.0.2.1:1", "CF-Connecting-IP: " + sentinel, "192.0.2.1"},
		"single, another is sent":   {WithProxyHeader("CF-Connecting-IP", proxies), "10.0.0.1:1", "X-Forwarded-For: " + sentinel, "10.0.0.1"},
		"Forwarded, another is":     {WithProxyHeader("Forwarded", proxies), "10.0.0.1:1", "X-Forwarded-For: " + sentinel, "10.0.0.1"},
		"own function":              {WithClientIP(func(*http.Request) netip.Addr { return netip.MustParseAddr("::ffff:192.0.2.7") }), sentinel + ":1", "", "192.0.2.7"},
		"own function finds no one": {WithClientIP(func(*http.Request) netip.Addr { return netip.Addr{} }), sentinel + ":1", "", sentinel},
	} {
		f := &fake{}
		r := request("GET", "http://shop.example/")
		r.RemoteAddr = tt.peer
		if k, v, ok := strings.Cut(tt.header, ": "); ok {
			r.Header.Set(k, v)
		}
		Middleware(f, tt.opt, WithLogger(quiet()))(http.HandlerFunc(page)).ServeHTTP(httptest.NewRecorder(), r)
		if got := f.one(t).Origin().IP().String(); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// FuzzMiddleware sends any headers through a middleware with everything turned on: the page comes out as it is,
// every event can be stored and the address is in none of them.
func FuzzMiddleware(f *testing.F) {
	f.Add("a=b; sidetrack=v1.1.2.3.x; _ga=GA1.1.1.2", "https://search.example/?q=x#y", "Mozilla/5.0", "de-AT,de;q=0.9", "198.51.100.1, "+sentinel, "prefetch", "/p?utm_source=%zz&gclid=1")
	f.Add(strings.Repeat("sidetrack=v1.1.2.3.x;", 50), "//user:pass@x", "\xff\x00", "*", "for=\"[::1]\";;,", "", "/%2f/../?a=b;c&"+sentinel)
	cookie := &VisitorCookie{Secret: sidetrack.NewSecret("s"), AdoptGoogle: true}
	opts := []Option{
		WithLogger(quiet()), WithTitleFromHTML(), WithVisitorCookie(cookie), WithTrustedProxies(netip.MustParsePrefix("10.0.0.0/8")),
		WithConsent(func(*http.Request) sidetrack.Consent { return sidetrack.GrantAll("x") }),
	}
	f.Fuzz(func(t *testing.T, cookies, referer, agent, language, forwarded, purpose, target string) {
		q := &fake{}
		r := httptest.NewRequest("GET", "https://shop.example/", nil)
		r.RemoteAddr = "10.0.0.1:1"
		path, query, _ := strings.Cut(target, "?")
		r.URL.Path, r.URL.RawQuery = "/"+path, query
		for k, v := range map[string]string{
			"Cookie": cookies, "Referer": referer, "User-Agent": agent, "Accept-Language": language, "X-Forwarded-For": forwarded,
			"Sec-Purpose": purpose, "Sec-Ch-Ua": agent, "X-Requested-With": purpose,
		} {
			r.Header[k] = []string{v}
		}
		w := httptest.NewRecorder()
		Middleware(q, opts...)(http.HandlerFunc(page)).ServeHTTP(w, r)
		if w.Code != 200 || !strings.Contains(w.Body.String(), "<title>x</title>") {
			t.Fatalf("page %d %s", w.Code, w.Body)
		}
		now := time.Now()
		for _, e := range q.all() {
			e.Received, e.ID[0] = now, 1
			if err := e.Validate(now); err != nil {
				t.Errorf("not storable: %v", err)
			}
			if ip := e.Origin().IP(); ip.IsValid() && !ip.IsLoopback() && len(ip.String()) > 6 && strings.Contains(asJSON(t, e), ip.String()) {
				t.Errorf("%s is in %s", ip, asJSON(t, e))
			}
		}
	})
}
