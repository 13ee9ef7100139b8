package sources

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// unixClient talks to a socket, whatever the URL says.
func unixClient(t *testing.T, path string) *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "st") // short: the path of a socket is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s.sock")
	// What a killed process leaves behind.
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = stale.Close()

	f := &fake{}
	cfg := HTTPConfig{Listen: "unix:" + path, SocketMode: "0600"}
	cfg.TrustedProxies = []string{"unix"}
	_, stop := listenOn(t, f, cfg)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://t.shop.example/collect", strings.NewReader(`{"name":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", sentinel)
	res, err := unixClient(t, path).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if ip := f.one(t).Origin().IP().String(); res.StatusCode != 204 || ip != sentinel {
		t.Errorf("%d, client %s", res.StatusCode, ip)
	}
	second, err := NewHTTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context(), f); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a served socket: %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context(), f); err == nil {
		t.Error("a file was taken for a socket")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file is gone: %v", err)
	}
}

// TestSystemdSocket runs this program as systemd does: with a listening socket as descriptor 3.
func TestSystemdSocket(t *testing.T) {
	if os.Getenv("LISTEN_FDS") != "" {
		ctx, cancel := context.WithCancel(context.Background())
		go func() { _, _ = io.ReadAll(os.Stdin); cancel() }()
		s, err := NewHTTP(HTTPConfig{Listen: os.Getenv("TEST_LISTEN")})
		if err == nil {
			err = s.Run(ctx, &fake{})
		}
		if err != nil {
			fmt.Println("error:", err)
		}
		return
	}
	for _, tt := range []struct{ listen, fds, names, wrong string }{
		{"systemd", "1", "", ""},
		{"systemd:web", "2", "other:web", "no socket"}, // its descriptor is not open here
		{"systemd:web", "1", "web", ""},
		{"systemd:web", "1", "other", "no socket"},
		{"systemd", "2", "a:b", "name one"},
		{"systemd", "0", "", "socket unit"},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		file, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run '^TestSystemdSocket$'`, os.Args[0])
		cmd.Env = append(os.Environ(), "LISTEN_FDS="+tt.fds, "LISTEN_FDNAMES="+tt.names, "TEST_LISTEN="+tt.listen)
		cmd.ExtraFiles = []*os.File{file}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var out lockedBuffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if tt.wrong == "" {
			// The kernel keeps the connection until the child accepts it.
			res, err := client(t).Get("http://" + ln.Addr().String() + "/healthz")
			if err != nil {
				t.Errorf("%+v: %v", tt, err)
			} else {
				_ = res.Body.Close()
			}
			_ = stdin.Close()
		}
		_ = cmd.Wait()
		_, _ = file.Close(), ln.Close()
		if got := out.String(); tt.wrong == "" && strings.Contains(got, "error") || tt.wrong != "" && !strings.Contains(got, "error") {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

// writeCertificate makes a self-signed certificate with a serial number.
func writeCertificate(t *testing.T, cfg TLSConfig, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := errors.Join(os.WriteFile(cfg.CertFile, cert, 0o600),
		os.WriteFile(cfg.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	files := TLSConfig{CertFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem")}
	pool := writeCertificate(t, files, 1)
	f := &fake{}
	addr, _ := listenOn(t, f, HTTPConfig{TLS: files})
	for _, h2 := range []bool{true, false} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: h2}
		res, err := (&http.Client{Transport: tr}).Post("https://"+addr+"/collect", "", strings.NewReader(`{"name":"a"}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		tr.CloseIdleConnections()
		if want := map[bool]int{true: 2, false: 1}[h2]; res.StatusCode != 204 || res.ProtoMajor != want {
			t.Errorf("%d by %s", res.StatusCode, res.Proto)
		}
	}
	if _, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if len(f.all()) != 2 {
		t.Errorf("%d events", len(f.all()))
	}
}

func TestCertificateIsRenewed(t *testing.T) {
	dir := t.TempDir()
	files := TLSConfig{CertFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem")}
	writeCertificate(t, files, 1)
	var log lockedBuffer
	c, err := newCertificate(files, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		c.checked = c.checked.Add(-certificateCheck)
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Int64()
	}
	later := func(minutes time.Duration) {
		at := time.Now().Add(minutes * time.Minute)
		if err := errors.Join(os.Chtimes(files.CertFile, at, at), os.Chtimes(files.KeyFile, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if serial() != 1 {
		t.Fatal("not the first")
	}
	writeCertificate(t, files, 2)
	later(1)
	if got := serial(); got != 2 {
		t.Errorf("serial %d after the renewal", got)
	}
	if err := os.WriteFile(files.KeyFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	later(2)
	first, second := serial(), serial()
	if first != 2 || second != 2 || strings.Count(log.String(), "the old one stays") != 1 {
		t.Errorf("with a broken key: %s", log.String())
	}
	if err := os.Remove(files.CertFile); err != nil {
		t.Fatal(err)
	}
	if serial() != 2 {
		t.Error("without a file")
	}
	writeCertificate(t, files, 3)
	later(3)
	if serial() != 3 {
		t.Error("after it was put right")
	}
	if _, err := newCertificate(TLSConfig{CertFile: "/nowhere", KeyFile: "/nowhere"}, nil); err == nil {
		t.Error("no error for missing files")
	}
}

func TestCleartextHTTP2(t *testing.T) {
	for _, on := range []bool{true, false} {
		addr, _ := listenOn(t, &fake{}, HTTPConfig{H2C: on})
		var p http.Protocols
		p.SetUnencryptedHTTP2(true)
		tr := &http.Transport{Protocols: &p}
		res, err := (&http.Client{Transport: tr}).Post("http://"+addr+"/collect", "", strings.NewReader(`{"name":"a"}`))
		if err == nil {
			_ = res.Body.Close()
		}
		tr.CloseIdleConnections()
		if on != (err == nil) || on && (res.StatusCode != 204 || res.ProtoMajor != 2) {
			t.Errorf("on: %v, %v %v", on, res, err)
		}
	}
}

func TestListenProblems(t *testing.T) {
	for _, cfg := range []HTTPConfig{
		{Listen: "8080"}, {Listen: "unix:"}, {Listen: "unix:/" + strings.Repeat("x", 108)}, {Listen: "unix:/a", SocketMode: "rw"},
		{TLS: TLSConfig{CertFile: "c"}}, {TLS: TLSConfig{KeyFile: "c"}}, {MaxConnections: -1},
	} {
		if _, err := NewHTTP(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		} else if _, ok := errors.AsType[*sidetrack.FieldError](err); !ok {
			t.Errorf("%v has no field", err)
		}
	}
}

// TestIdleConnectionsMakeRoom: with the bound reached, who waits for longest goes, and who is served stays.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	f := &fake{emit: func(context.Context, []*sidetrack.Event) error { close(entered); <-leave; return nil }}
	addr, _ := listenOn(t, f, HTTPConfig{MaxConnections: 3})
	dial := func(first string) net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(c, first)
		return c
	}
	busy := dial("POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{\"name\":\"a\"}")
	<-entered
	health := "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	served := func(c net.Conn) bool {
		_, _ = io.WriteString(c, health)
		n, err := c.Read(make([]byte, 1024))
		return n > 0 && err == nil
	}
	oldest := dial("")
	idle := dial("")
	if !served(idle) {
		t.Fatal("an idle connection is not served")
	}
	for range 20 { // each pushes out the one before, and first of all the oldest
		if !served(dial("")) {
			t.Fatal("a new connection is not served")
		}
	}
	for _, c := range []net.Conn{oldest, idle} {
		if _, err := c.Read(make([]byte, 1024)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("an idle connection is still open: %v", err)
		}
	}
	close(leave)
	if answer, err := io.ReadAll(busy); err != nil || !strings.Contains(string(answer), " 204 ") {
		t.Errorf("the connection at work was cut off: %q, %v", answer, err)
	}
}

// TestConnectionsAreCounted: everything that opens is counted once and forgotten when it closes.
func TestConnectionsAreCounted(t *testing.T) {
	c := newConnections(2)
	conns := make([]net.Conn, 4)
	for i := range conns {
		conns[i], _ = net.Pipe()
	}
	c.note(conns[0], http.StateNew)
	c.note(conns[0], http.StateActive)
	c.note(conns[1], http.StateNew)
	c.note(conns[1], http.StateActive)
	if v := c.note(conns[2], http.StateNew); v != conns[2] {
		t.Errorf("with all at work %v has to go", v)
	}
	c.note(conns[2], http.StateClosed)
	c.note(conns[0], http.StateIdle)
	if v := c.note(conns[3], http.StateNew); v != conns[0] {
		t.Errorf("the idle one stays, %v goes", v)
	}
	for _, i := range []int{0, 1, 3} {
		c.note(conns[i], http.StateClosed)
	}
	if c.open != 0 || c.waiting.Len() != 0 || len(c.place) != 0 {
		t.Errorf("%d open, %d waiting", c.open, c.waiting.Len())
	}
}
