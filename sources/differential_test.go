package sources

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sidetrack-go/sidetrack"
)

// outcome is what the other side of a connection saw, and what the handler did.
type outcome struct {
	Wire    string
	Handler []string
}

// notes is what a handler finds out about its ResponseWriter.
type notes struct {
	mu   sync.Mutex
	list []string
	done chan struct{} // closed by a handler that outlives its connection
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, fmt.Sprintf(format, args...))
}

// everything turns on whatever the middleware can do.
func everything() func(http.Handler) http.Handler {
	return Middleware(&fake{}, WithLogger(quiet()), WithTitleFromHTML(),
		WithRules(Rules{AnyMethod: true, Frames: true, Scripts: true, NotFound: true, Errors: true, NotFoundScripts: true, ErrorsScripts: true}),
		WithVisitorCookie(&VisitorCookie{Secret: sidetrack.NewSecret("s")}),
		WithConsent(func(*http.Request) sidetrack.Consent { return sidetrack.GrantAll("test") }))
}

var (
	dateLine   = regexp.MustCompile(`(?i)\r\ndate: [^\r]*`)
	cookieLine = regexp.MustCompile(`(?i)\r\nset-cookie: (__Host-)?sidetrack=[^\r]*`)
)

// TestDifferential gives each kind of handler the same request with and without the
// middleware, over real connections: the bytes on the wire are the same but for Date and
// the visitor's cookie, and so is what the handler experiences.
func TestDifferential(t *testing.T) {
	kinds := slices.Concat(answerKinds(t), streamKinds(), wrapKinds())
	if len(kinds) < 50 {
		t.Fatalf("only %d kinds of handlers", len(kinds))
	}
	names := map[string]bool{}
	for _, k := range kinds {
		if names[k.name] {
			t.Fatalf("two kinds are called %s", k.name)
		}
		names[k.name] = true
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			without := k.run(t, func(h http.Handler) http.Handler { return h })
			with := k.run(t, everything())
			without.Wire, with.Wire = k.normal(without.Wire), k.normal(with.Wire)
			if len(without.Wire) == 0 {
				t.Fatal("nothing to compare")
			}
			if diff := cmp.Diff(without, with); diff != "" {
				t.Errorf("without - and with + the middleware:\n%s", diff)
			}
		})
	}
}

// kind is one kind of handler with the request that suits it.
type kind struct {
	name    string
	request string                                // first lines and headers; "" asks for /
	talk    func(t *testing.T, c net.Conn) string // how to use the connection; nil sends request and reads to the end
	handler func(n *notes) http.Handler
	outside func(http.Handler) http.Handler // a middleware around the one that is tested
	http2   bool
	lasts   bool // the handler goes on after the connection's end
	framing bool // the sizes of chunks may differ
	limit   bool // see normal
}

// normal takes off what may differ.
func (k kind) normal(wire string) string {
	wire = cookieLine.ReplaceAllString(dateLine.ReplaceAllString(wire, ""), "")
	if head, body, ok := strings.Cut(wire, "\r\n\r\n"); ok && k.framing {
		b, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(body)))
		wire = fmt.Sprintf("%s\n%s %v", head, b, err)
	}
	if k.limit {
		// http.MaxBytesReader asks the server to close the connection by a method that no other package can
		// name, so no wrapper can have it.
		wire = strings.Replace(wire, "\r\nConnection: close", "", 1)
	}
	return wire
}

func (k kind) run(t *testing.T, mw func(http.Handler) http.Handler) outcome {
	n := &notes{done: make(chan struct{})}
	h := mw(k.handler(n))
	if k.outside != nil {
		h = k.outside(h)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	if k.http2 {
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Start()
	}
	defer srv.Close()
	var wire string
	if k.http2 {
		wire = overHTTP2(t, srv)
	} else {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		talk := k.talk
		if talk == nil {
			talk = func(t *testing.T, c net.Conn) string { send(t, c, k.request); return readAll(c) }
		}
		wire = talk(t, c)
	}
	if k.lasts {
		select {
		case <-n.done:
		case <-time.After(20 * time.Second):
			t.Error("the handler never learnt that the connection is gone")
		}
	}
	srv.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	return outcome{wire, n.list}
}

// send writes a request whose lines are separated by '|'.
func send(t *testing.T, c net.Conn, request string) {
	if request == "" {
		request = "GET / HTTP/1.1"
	}
	head, body, _ := strings.Cut(request, "||")
	lines := strings.ReplaceAll(head, "|", "\r\n") + "\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
	if strings.Contains(head, "Connection:") {
		lines = strings.ReplaceAll(head, "|", "\r\n") + "\r\nHost: shop.example\r\n\r\n"
	}
	if _, err := io.WriteString(c, lines+body); err != nil {
		t.Error(err)
	}
}

func readAll(c net.Conn) string {
	b, err := io.ReadAll(c)
	if err != nil {
		return string(b) + "\n" + fmt.Sprintf("%T", err)
	}
	return string(b) + "\nclosed"
}

// overHTTP2 returns what a client of HTTP/2 sees.
func overHTTP2(t *testing.T, srv *httptest.Server) string {
	client := srv.Client()
	client.Transport.(*http.Transport).TLSClientConfig.MinVersion = tls.VersionTLS12
	res, err := client.Get(srv.URL)
	if err != nil {
		return fmt.Sprintf("%T", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	var head strings.Builder
	_ = res.Header.Write(&head)
	return fmt.Sprintf("%s %s\r\n%s\r\n%s\r\n%v %v", res.Proto, res.Status, head.String(), body, res.Trailer, err != nil)
}

const doc = "<!doctype html><title>A page</title><p>"

func handle(f http.HandlerFunc) func(*notes) http.Handler {
	return func(*notes) http.Handler { return f }
}

func noting(f func(n *notes, w http.ResponseWriter, r *http.Request)) func(*notes) http.Handler {
	return func(n *notes) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(n, w, r) })
	}
}

// answerKinds are handlers that answer in one go.
func answerKinds(t *testing.T) []kind {
	dir := t.TempDir()
	file := filepath.Join(dir, "page.html")
	if err := os.WriteFile(file, []byte(doc+strings.Repeat("0123456789", 20_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_700_000_000, 0)
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
	serve := handle(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	content := handle(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(w, r, "page.html", at, strings.NewReader(doc+"content"))
	})
	return []kind{
		{name: "page", handler: handle(page)},
		{name: "page with status", handler: handle(respond(200, "text/html", doc))},
		{name: "type by content", handler: handle(respond(0, "", doc))},
		{name: "type by content after status", handler: handle(respond(200, "", doc))},
		{name: "binary by content", handler: handle(respond(0, "", "\x89PNG\r\n\x1a\n"))},
		{name: "no type wanted", handler: handle(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, doc)
		})},
		{name: "nothing", handler: handle(func(http.ResponseWriter, *http.Request) {})},
		{name: "empty write", handler: handle(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil) })},
		{name: "type without body", handler: handle(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/html") })},
		{name: "json", handler: handle(respond(0, "application/json", `{"a":1}`))},
		{name: "204", handler: handle(respond(204, "", ""))},
		{name: "304", handler: handle(respond(304, "text/html", ""))},
		{name: "body with 304", handler: noting(func(n *notes, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(304)
			_, err := io.WriteString(w, "x")
			n.add("%v", err)
		})},
		{name: "404", handler: func(*notes) http.Handler { return http.NotFoundHandler() }},
		{name: "500", handler: handle(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", 500) })},
		{name: "redirect", handler: func(*notes) http.Handler { return http.RedirectHandler("/else", http.StatusSeeOther) }},
		{name: "HEAD", request: "HEAD / HTTP/1.1", handler: handle(page)},
		{name: "HEAD of a file", request: "HEAD / HTTP/1.1", handler: serve},
		{name: "POST echo", request: "POST / HTTP/1.1|Content-Length: 5||hello", handler: handle(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })},
		{name: "body too large", limit: true, request: "POST / HTTP/1.1|Content-Length: 5||hello", handler: noting(func(n *notes, w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 3)) // asks the writer to close the connection
			n.add("%v", err)
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		})},
		{name: "OPTIONS of the server", request: "OPTIONS * HTTP/1.1", handler: handle(page)},
		{name: "HTTP/1.0", request: "GET / HTTP/1.0", handler: handle(page)},
		{name: "file", handler: serve},
		{name: "range", request: "GET / HTTP/1.1|Range: bytes=3-20", handler: serve},
		{name: "range that is too far", request: "GET / HTTP/1.1|Range: bytes=999999999-", handler: serve},
		{name: "file not modified", request: "GET / HTTP/1.1|If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT", handler: serve},
		{name: "content", handler: content},
		{name: "content with the same tag", request: `GET / HTTP/1.1|If-None-Match: "v1"`, handler: content},
		{name: "content, precondition failed", request: `GET / HTTP/1.1|If-Match: "v2"`, handler: content},
		{name: "directory", handler: func(*notes) http.Handler { return http.FileServer(http.Dir(dir)) }},
		{name: "own cookies", handler: handle(func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
			http.SetCookie(w, &http.Cookie{Name: "sidetracked", Value: "2"})
			page(w, r)
		})},
		{name: "shared by caches", handler: handle(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "public, max-age=60")
			page(w, r)
		})},
		{name: "length stated", handler: handle(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			_, _ = io.WriteString(w, "body")
		})},
		{name: "longer than stated", handler: noting(func(n *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			c, err := io.WriteString(w, "too long")
			n.add("%d %v", c, err)
		})},
		{name: "shorter than stated", handler: handle(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "400")
			_, _ = io.WriteString(w, doc)
		})},
		{name: "second status", handler: handle(func(w http.ResponseWriter, r *http.Request) { page(w, r); w.WriteHeader(500) })},
		{name: "header after the body", handler: handle(func(w http.ResponseWriter, r *http.Request) { page(w, r); w.Header().Set("X-Late", "1") })},
		{name: "closes the connection", request: "GET / HTTP/1.1|Connection: keep-alive", handler: handle(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			page(w, r)
		})},
		{name: "two requests on one connection", talk: func(t *testing.T, c net.Conn) string {
			_, _ = io.WriteString(c, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			return readAll(c)
		}, handler: handle(func(w http.ResponseWriter, r *http.Request) { page(w, r); _, _ = io.WriteString(w, r.URL.Path) })},
		{name: "status that does not exist", handler: noting(func(n *notes, w http.ResponseWriter, _ *http.Request) {
			defer func() { n.add("%v", recover()) }()
			w.WriteHeader(7)
		})},
	}
}
