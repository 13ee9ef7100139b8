package sources

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sidetrack-go/sidetrack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lockedBuffer is a log that several goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// listenTCP runs an HTTP source on a free port. stop ends it and returns what Run said.
func listenTCP(t *testing.T, out sidetrack.Emitter, cfg HTTPConfig) (addr string, stop func() error) {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	return listenOn(t, out, cfg)
}

// listenOn runs an HTTP source where cfg says.
func listenOn(t *testing.T, out sidetrack.Emitter, cfg HTTPConfig) (addr string, stop func() error) {
	t.Helper()
	cfg.Listen = orDefault(cfg.Listen, "127.0.0.1:0")
	addrs := make(chan net.Addr, 1)
	cfg.OnListen = func(a net.Addr) { addrs <- a }
	s, err := NewHTTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, out) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	select {
	case a := <-addrs:
		return a.String(), stop
	case err := <-done:
		t.Fatal(err)
		return "", nil
	}
}

func client(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestHTTPServes(t *testing.T) {
	f := &fake{}
	addr, stop := listenTCP(t, f, HTTPConfig{})
	res, err := client(t).Post("http://"+addr+"/collect", "application/json", strings.NewReader(`{"name":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 204 || f.one(t).Origin().IP().String() != "127.0.0.1" {
		t.Errorf("%d, %v", res.StatusCode, f.one(t).Origin().IP())
	}
	if err := stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Error("still listening")
	}
}

// TestHTTPFinishesRequests: what is in flight when the source ends is stored and answered.
func TestHTTPFinishesRequests(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	f := &fake{emit: func(ctx context.Context, _ []*sidetrack.Event) error {
		close(entered)
		<-leave
		return ctx.Err()
	}}
	addr, stop := listenTCP(t, f, HTTPConfig{})
	status := make(chan int, 1)
	go func() {
		res, err := client(t).Post("http://"+addr+"/collect", "", strings.NewReader(`{"name":"a"}`))
		if err != nil {
			status <- 0
			return
		}
		_ = res.Body.Close()
		status <- res.StatusCode
	}()
	<-entered
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	select {
	case <-ended:
		t.Fatal("the source ended before its request")
	case <-time.After(50 * time.Millisecond):
	}
	close(leave)
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	if s := <-status; s != 204 || len(f.all()) != 1 {
		t.Errorf("status %d, %d events", s, len(f.all()))
	}
}

func TestHTTPCutsOffWhatNeverEnds(t *testing.T) {
	var log lockedBuffer
	entered := make(chan struct{})
	f := &fake{emit: func(ctx context.Context, _ []*sidetrack.Event) error { close(entered); <-ctx.Done(); return ctx.Err() }}
	cfg := HTTPConfig{ShutdownTimeout: 20 * time.Millisecond}
	cfg.StoreTimeout, cfg.Logger = time.Minute, slog.New(slog.NewTextHandler(&log, nil))
	addr, stop := listenTCP(t, f, cfg)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if res, err := client(t).Post("http://"+addr+"/collect", "", strings.NewReader(`{"name":"a"}`)); err == nil {
			_ = res.Body.Close()
		}
	}()
	<-entered
	if err := stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	<-done
	if !strings.Contains(log.String(), "cut off") {
		t.Errorf("log: %s", log.String())
	}
}

// TestHTTPSlowClients: headers and bodies that trickle in do not hold a connection.
func TestHTTPSlowClients(t *testing.T) {
	const long = time.Minute
	for name, tt := range map[string]struct {
		cfg        HTTPConfig
		send, want string
	}{
		"header": {HTTPConfig{ReadHeaderTimeout: 50 * time.Millisecond, ReadTimeout: long, IdleTimeout: long}, "POST /collect HTTP/1.1\r\nHost: x\r\nX-Slow:", ""},
		"body":   {HTTPConfig{ReadHeaderTimeout: long, ReadTimeout: 100 * time.Millisecond, IdleTimeout: long}, "POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"name\"", "408"},
		"idle":   {HTTPConfig{ReadHeaderTimeout: long, ReadTimeout: long, IdleTimeout: 50 * time.Millisecond}, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, _ := listenTCP(t, &fake{}, tt.cfg)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_, _ = io.WriteString(c, tt.send)
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			answer, err := io.ReadAll(c)
			if err != nil {
				t.Fatalf("the connection stays open: %v", err)
			}
			if !strings.Contains(string(answer), tt.want) {
				t.Errorf("answer %q", answer)
			}
		})
	}
}

func TestHTTPHostileRequests(t *testing.T) {
	f := &fake{}
	addr, _ := listenTCP(t, f, HTTPConfig{})
	for name, tt := range map[string]struct {
		request string
		status  int
	}{
		"control byte in a header": {"POST /collect HTTP/1.1\r\nHost: x\r\nUser-Agent: a\x01b\r\nContent-Length: 2\r\n\r\n{}", 400},
		"large header":             {"GET /pixel.gif HTTP/1.1\r\nHost: x\r\nX-Large: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 431},
		"announced gigabyte":       {"POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n{", 413},
		"negative length":          {"POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
		"two lengths":              {"POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400},
		"wrong method":             {"PUT /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405},
		"no HTTP":                  {"\x16\x03\x01\x02\x00\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(c, tt.request)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != tt.status {
				t.Errorf("status %d, want %d", res.StatusCode, tt.status)
			}
		})
	}
	if len(f.all()) != 0 {
		t.Errorf("%d events", len(f.all()))
	}
}

// TestHTTPLogsNoAddress provokes net/http's own log lines.
func TestHTTPLogsNoAddress(t *testing.T) {
	var log lockedBuffer
	var cfg HTTPConfig
	cfg.Decoders = sidetrack.Mounts{
		{Name: "panics", Paths: []string{"/panics"}, Decoder: decoder(func(*http.Request) (sidetrack.Decoded, error) { panic("for " + sentinel) })},
		{Name: "aborts", Paths: []string{"/aborts"}, Decoder: decoder(func(*http.Request) (sidetrack.Decoded, error) { panic(http.ErrAbortHandler) })},
	}
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	addr, _ := listenTCP(t, &fake{}, cfg)
	for path, want := range map[string]int{"/panics": 500, "/aborts": 0} {
		res, err := client(t).Get("http://" + addr + path)
		if err != nil {
			if want != 0 {
				t.Error(err)
			}
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if s := log.String(); !strings.Contains(s, "panic in a decoder") || strings.Contains(s, sentinel) || strings.Contains(s, "127.0.0.1") {
		t.Errorf("log: %s", s)
	}
}

// TestHTTPServerLog serves a handler that panics with the source's own server.
func TestHTTPServerLog(t *testing.T) {
	var log lockedBuffer
	cfg := DefaultHTTPConfig()
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	srv := (&httpSource{cfg}).server(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(ln) }()
	if res, err := client(t).Get("http://" + ln.Addr().String()); err == nil {
		_ = res.Body.Close()
	}
	_ = srv.Close()
	<-served
	for i := 0; log.String() == "" && i < 1000; i++ { // logged after the connection is closed
		time.Sleep(time.Millisecond)
	}
	if s := log.String(); !strings.Contains(s, "panic serving [address]") || strings.Contains(s, "127.0.0.1") {
		t.Errorf("log: %s", s)
	}
}

func TestServerLog(t *testing.T) {
	var b bytes.Buffer
	l := serverLog(slog.New(slog.NewTextHandler(&b, nil)))
	for in, want := range map[string]string{
		"http: panic serving 203.0.113.77:51234: boom\ngoroutine 7 [running]:\nmain.f(0xc000)\n\t/src/main.go:12 +0x1f": "http: panic serving [address]: boom",
		"http: TLS handshake error from 203.0.113.77:51234: EOF":                                                        "from [address]: EOF",
		"http: TLS handshake error from [2001:db8::77]:51234: EOF":                                                      "from [address]: EOF",
		"http: panic serving [fe80::1%eth0]:80: boom":                                                                   "serving [address]: boom",
		"read tcp 192.0.2.1:8080->203.0.113.77:1: reset":                                                                "tcp [address]->[address]: reset",
		"http: Accept error: too many open files; retrying in 5ms":                                                      "too many open files; retrying in 5ms",
		"goroutine 12 at 10:05:03, main.go:17":                                                                          "goroutine 12 at 10:05:03, main.go:17",
		"client ::ffff:203.0.113.77 sent nonsense":                                                                      "client [address] sent nonsense",
		"address 203.0.113.77.":                                                                                         "address [address].",
	} {
		b.Reset()
		l.Print(in)
		got := strings.ReplaceAll(b.String(), `\n`, "\n")
		if !strings.Contains(got, want) || strings.Contains(got, sentinel) || strings.Contains(got, "2001:db8") {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestHTTPConfigErrors(t *testing.T) {
	bad := func(edit func(*HTTPConfig)) HTTPConfig {
		c := DefaultHTTPConfig()
		edit(&c)
		return c
	}
	for name, cfg := range map[string]HTTPConfig{
		"listen":  bad(func(c *HTTPConfig) { c.Listen = "8080" }),
		"timeout": bad(func(c *HTTPConfig) { c.ReadTimeout = -1 }),
		"header":  bad(func(c *HTTPConfig) { c.MaxHeader = -1 }),
		"proxy":   bad(func(c *HTTPConfig) { c.TrustedProxies = []string{"x"} }),
		"conflict": bad(func(c *HTTPConfig) {
			c.Decoders = sidetrack.Mounts{{Name: "a", Paths: []string{"GET /healthz"}, Decoder: decoder(nil)}}
		}),
	} {
		if _, err := NewHTTP(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	s, err := NewHTTP(HTTPConfig{Listen: ln.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), &fake{}); err == nil {
		t.Error("no error for a port in use")
	}
}

func FuzzServerLog(f *testing.F) {
	f.Add("http: panic serving 203.0.113.77:1: ", ": x")
	f.Add("", "")
	s := serverLog(slog.New(slog.DiscardHandler)).Writer().(scrubbing)
	f.Fuzz(func(t *testing.T, before, after string) {
		s.scrub(before + after)
		for _, addr := range []string{sentinel + ":4711", "[2001:db8::77]:4711"} {
			msg := s.scrub(fmt.Sprintf("%.100s from %s: %.100s", before, addr, after))
			if strings.Contains(msg, " from "+addr) {
				t.Errorf("%q", msg)
			}
		}
	})
}
