package sources

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// full is a ResponseWriter with every optional method; each notes that it was called.
type full struct {
	http.ResponseWriter
	called map[string]bool
}

var errPassed = errors.New("passed on")

func (f *full) Flush()                               { f.called["Flush"] = true }
func (f *full) FlushError() error                    { f.called["FlushError"] = true; return errPassed }
func (f *full) Push(string, *http.PushOptions) error { f.called["Push"] = true; return errPassed }
func (f *full) CloseNotify() <-chan bool             { f.called["CloseNotify"] = true; return nil }
func (f *full) WriteString(string) (int, error)      { f.called["WriteString"] = true; return 7, errPassed }
func (f *full) ReadFrom(io.Reader) (int64, error)    { f.called["ReadFrom"] = true; return 8, errPassed }
func (f *full) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	f.called["Hijack"] = true
	return nil, nil, errPassed
}

// TestWrapKeepsAbilities gives the middleware writers with each set of optional methods.
func TestWrapKeepsAbilities(t *testing.T) {
	for set := range abilities(1 << 7) {
		f := &full{httptest.NewRecorder(), map[string]bool{}}
		inner := (&recorder{w: f}).with(set) // the generated types are handy as writers, too
		if got := abilitiesOf(inner); got != set {
			t.Fatalf("set %07b came out as %07b", set, got)
		}
		rec := &recorder{w: inner}
		outer := rec.wrap()
		if got := abilitiesOf(outer); got != set {
			t.Fatalf("a writer that can %07b can %07b behind the middleware", set, got)
		}
		if u, ok := outer.(interface{ Unwrap() http.ResponseWriter }); !ok || u.Unwrap() != inner {
			t.Fatalf("set %07b cannot be unwrapped", set)
		}
		outer.Header().Set("Content-Type", "text/plain")
		want := map[string]bool{}
		if w, ok := outer.(http.Pusher); ok {
			want["Push"] = w.Push("/x", nil) == errPassed
		}
		if w, ok := outer.(closeNotify); ok {
			w.CloseNotify()
			want["CloseNotify"] = true
		}
		if w, ok := outer.(http.Flusher); ok {
			w.Flush()
			want["Flush"] = rec.code == 200
		}
		if w, ok := outer.(flushErrorer); ok {
			want["FlushError"] = w.FlushError() == errPassed && rec.code == 200
		}
		if w, ok := outer.(io.StringWriter); ok {
			n, err := w.WriteString("x")
			want["WriteString"] = n == 7 && err == errPassed
		}
		if w, ok := outer.(io.ReaderFrom); ok {
			n, err := w.ReadFrom(strings.NewReader("x"))
			want["ReadFrom"] = n == 8 && err == errPassed
		}
		if w, ok := outer.(http.Hijacker); ok {
			_, _, err := w.Hijack()
			want["Hijack"] = err == errPassed && !rec.hijacked
		}
		for name, ok := range want {
			if !ok || !f.called[name] {
				t.Errorf("set %07b: %s: result right %v, passed on %v", set, name, ok, f.called[name])
			}
		}
		if len(f.called) != len(want) {
			t.Errorf("set %07b: called %v", set, f.called)
		}
	}
}

// TestReadFromLooksAtTheBeginning checks that only what is needed to find a type takes the
// way through Write.
func TestReadFromLooksAtTheBeginning(t *testing.T) {
	body := "<!doctype html><title>x</title>" + strings.Repeat("y", 100_000)
	for name, tt := range map[string]struct {
		kind  string
		title *titleScanner
		wrote int
	}{
		"type known":   {"text/html", nil, 0},
		"type unknown": {"", nil, sniffLen},
		"title wanted": {"text/html", &titleScanner{}, maxTitleScan},
		"other type":   {"text/plain", &titleScanner{}, 0},
	} {
		w := &writeCounter{ResponseRecorder: httptest.NewRecorder()}
		rec := &recorder{w: w, title: tt.title}
		if tt.kind != "" {
			rec.Header().Set("Content-Type", tt.kind)
		}
		n, err := rec.wrap().(io.ReaderFrom).ReadFrom(strings.NewReader(body))
		if n != int64(len(body)) || err != nil || w.Body.String() != body {
			t.Errorf("%s: %d of %d bytes, %v", name, n, len(body), err)
		}
		if w.wrote != tt.wrote {
			t.Errorf("%s: %d bytes written, want %d", name, w.wrote, tt.wrote)
		}
	}
}

// writeCounter counts what was written and not read from.
type writeCounter struct {
	*httptest.ResponseRecorder
	wrote int
}

func (c *writeCounter) Write(p []byte) (int, error) {
	c.wrote += len(p)
	return c.ResponseRecorder.Write(p)
}

func (c *writeCounter) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(writeOnly{c.ResponseRecorder}, r)
}
