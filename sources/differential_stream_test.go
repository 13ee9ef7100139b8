package sources

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	chimiddleware "github.com/go-chi/chi/v5/middleware"
)

// streamKinds are handlers that do more with their connection than answer.
func streamKinds() []kind {
	return []kind{
		{name: "copied", handler: noting(func(n *notes, w http.ResponseWriter, _ *http.Request) {
			c, err := io.Copy(w, strings.NewReader(doc))
			n.add("%d %v", c, err)
		})},
		{name: "large copy", framing: true, handler: noting(func(n *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			c, err := io.Copy(w, io.LimitReader(xs{}, 300_000))
			n.add("%d %v", c, err)
		})},
		{name: "large copy, length stated", handler: handle(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "300000")
			_, _ = io.Copy(w, io.LimitReader(xs{}, 300_000))
		})},
		{name: "copy that fails half way", handler: noting(func(n *notes, w http.ResponseWriter, _ *http.Request) {
			c, err := io.Copy(w, io.MultiReader(strings.NewReader(doc+"half"), failing{}))
			n.add("%d %v", c, err)
		})},
		{name: "stream", handler: handle(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			for i := range 5 {
				_, _ = fmt.Fprintf(w, "<p>%d", i)
				w.(http.Flusher).Flush()
			}
		})},
		{name: "header first", talk: func(t *testing.T, c net.Conn) string {
			send(t, c, "")
			r := bufio.NewReader(c)
			first, _ := r.ReadString('\n') // must come before the handler goes on
			_, _ = io.WriteString(c, "go")
			rest, _ := io.ReadAll(r)
			return first + string(rest)
		}, handler: handle(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, doc)
		})},
		{name: "server-sent events", request: "GET / HTTP/1.1|Accept: text/event-stream", handler: noting(func(n *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			rc := http.NewResponseController(w)
			for i := range 3 {
				_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
				n.add("flush %v", rc.Flush())
			}
		})},
		{name: "controller", handler: noting(func(n *notes, w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			n.add("%v %v %v", rc.SetReadDeadline(time.Now().Add(time.Minute)), rc.SetWriteDeadline(time.Now().Add(time.Minute)), rc.EnableFullDuplex())
			page(w, r)
		})},
		{name: "full duplex", talk: func(t *testing.T, c net.Conn) string {
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\nConnection: close\r\n\r\nping")
			r := bufio.NewReader(c)
			var got strings.Builder
			for !strings.Contains(got.String(), "pong") {
				s, err := r.ReadString('g')
				if got.WriteString(s); err != nil {
					return got.String() + err.Error()
				}
			}
			_, _ = io.WriteString(c, "done")
			rest, _ := io.ReadAll(r)
			return got.String() + string(rest)
		}, handler: handle(func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			_ = rc.EnableFullDuplex()
			_, _ = io.CopyN(io.Discard, r.Body, 4)
			_, _ = io.WriteString(w, "pong")
			_ = rc.Flush()
			_, _ = io.Copy(w, r.Body)
		})},
		{name: "write deadline", handler: noting(func(n *notes, w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(-time.Second))
			_, _ = w.Write([]byte(doc))
			n.add("%v", http.NewResponseController(w).Flush() != nil)
		})},
		{name: "trailers announced", handler: handle(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, doc)
			w.Header().Set("X-Sum", "7")
		})},
		{name: "trailers by prefix", handler: handle(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, doc)
			w.(http.Flusher).Flush()
			w.Header().Set(http.TrailerPrefix+"X-Sum", "7")
		})},
		{name: "early hints", handler: handle(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(103)
			w.WriteHeader(102)
			page(w, r)
		})},
		{name: "100-continue", talk: func(t *testing.T, c net.Conn) string {
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
			r := bufio.NewReader(c)
			first, _ := r.ReadString('\n')
			_, _ = io.WriteString(c, "hi")
			rest, _ := io.ReadAll(r)
			return first + string(rest)
		}, handler: handle(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })},
		{name: "WebSocket upgrade", request: "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13", talk: func(t *testing.T, c net.Conn) string {
			send(t, c, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: websocket")
			_, _ = io.WriteString(c, "frame")
			return readAll(c)
		}, handler: noting(func(n *notes, w http.ResponseWriter, _ *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				n.add("%v", err)
				return
			}
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
			frame := make([]byte, 5)
			_, err = io.ReadFull(rw, frame)
			_, _ = rw.Write(frame)
			_ = rw.Flush()
			n.add("%s %v", frame, err)
			_ = c.Close()
		})},
		{name: "hijacked", handler: noting(func(n *notes, w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			n.add("%v", err)
			_, _ = io.WriteString(c, "not HTTP at all")
			_, err = w.Write([]byte("x"))
			n.add("%v", err)
			_ = c.Close()
		})},
		{name: "hijacked after the header", handler: noting(func(n *notes, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(200)
			c, rw, err := w.(http.Hijacker).Hijack()
			n.add("%v", err)
			_, _ = rw.WriteString("by hand")
			_ = rw.Flush()
			_ = c.Close()
		})},
		{name: "panic before the answer", handler: handle(func(http.ResponseWriter, *http.Request) { panic("x") })},
		{name: "panic after a little", handler: handle(func(w http.ResponseWriter, r *http.Request) { page(w, r); panic("x") })},
		{name: "panic after a flush", handler: handle(func(w http.ResponseWriter, r *http.Request) {
			page(w, r)
			w.(http.Flusher).Flush()
			panic("x")
		})},
		{name: "aborted", handler: handle(func(w http.ResponseWriter, r *http.Request) { page(w, r); panic(http.ErrAbortHandler) })},
		{name: "client closes early", lasts: true, talk: func(t *testing.T, c net.Conn) string {
			send(t, c, "")
			first, _ := bufio.NewReader(c).ReadString('\n')
			_ = c.Close()
			return first
		}, handler: noting(func(n *notes, w http.ResponseWriter, r *http.Request) {
			defer close(n.done)
			w.Header().Set("Content-Type", "text/html")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			n.add("%v", r.Context().Err())
			var err error
			for err == nil { // until the system has noticed, too
				_, err = io.Copy(w, io.LimitReader(xs{}, 1<<20))
			}
			n.add("write fails")
		})},
		{name: "HTTP/2 page", http2: true, handler: handle(page)},
		{name: "HTTP/2 stream", http2: true, handler: noting(func(n *notes, w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, doc)
			n.add("%v", http.NewResponseController(w).Flush())
			_, _ = io.WriteString(w, "more")
		})},
		{name: "HTTP/2 trailers", http2: true, handler: handle(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, doc)
			w.Header().Set("X-Sum", "7")
		})},
		{name: "HTTP/2 push", http2: true, handler: noting(func(n *notes, w http.ResponseWriter, r *http.Request) {
			p, ok := w.(http.Pusher)
			if n.add("%v", ok); ok {
				n.add("%v", p.Push("/a.css", nil))
			}
			page(w, r)
		})},
		{name: "HTTP/2 panic", http2: true, handler: handle(func(w http.ResponseWriter, r *http.Request) { page(w, r); panic("x") })},
		{name: "HTTP/2 abilities", http2: true, handler: abilitiesKind()},
		{name: "HTTP/1 abilities", handler: abilitiesKind()},
	}
}

func abilitiesKind() func(*notes) http.Handler {
	return noting(func(n *notes, w http.ResponseWriter, r *http.Request) {
		n.add("%07b", abilitiesOf(w))
		page(w, r)
	})
}

// wrapKinds have other middleware on either side.
func wrapKinds() []kind {
	bigPage := func(w http.ResponseWriter, r *http.Request) {
		page(w, r)
		_, _ = io.WriteString(w, strings.Repeat("<p>text", 1000))
	}
	timeout := func(after time.Duration) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler { return http.TimeoutHandler(h, after, "too slow") }
	}
	slow := noting(func(n *notes, w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		n.add("%v", r.Context().Err())
		close(n.done)
	})
	const zipped = "GET / HTTP/1.1|Accept-Encoding: gzip"
	inside := func(mw func(http.Handler) http.Handler, h http.HandlerFunc) func(*notes) http.Handler {
		return func(*notes) http.Handler { return mw(h) }
	}
	return []kind{
		{name: "gzip inside", request: zipped, handler: inside(zipping, bigPage)},
		{name: "gzip outside", request: zipped, handler: handle(bigPage), outside: zipping},
		{name: "gzip outside, implicit type", request: zipped, handler: handle(respond(0, "", doc)), outside: zipping},
		{name: "chi's compress inside", request: zipped, handler: inside(chimiddleware.Compress(5), bigPage)},
		{name: "chi's compress outside", request: zipped, handler: handle(bigPage), outside: chimiddleware.Compress(5)},
		{name: "chi's compress outside, flushed", request: zipped, handler: handle(func(w http.ResponseWriter, r *http.Request) {
			bigPage(w, r)
			w.(http.Flusher).Flush()
			bigPage(w, r)
		}), outside: chimiddleware.Compress(5)},
		{name: "recovered inside", handler: inside(recovering, func(http.ResponseWriter, *http.Request) { panic(http.StatusText(500)) })},
		{name: "timeout inside", handler: inside(timeout(time.Minute), bigPage)},
		{name: "timeout inside, too slow", lasts: true, handler: func(n *notes) http.Handler { return timeout(10 * time.Millisecond)(slow(n)) }},
		{name: "timeout outside", handler: handle(bigPage), outside: timeout(time.Minute)},
		{name: "timeout outside, too slow", lasts: true, handler: slow, outside: timeout(10 * time.Millisecond)},
		// How a proxy cuts a stream depends on when the parts of it come.
		{name: "reverse proxy", framing: true, handler: proxyTo(bigPage)},
		{name: "reverse proxy, stream", framing: true, handler: proxyTo(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: 1\n\n")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "data: 2\n\n")
		})},
		{name: "reverse proxy, backend breaks off", framing: true, handler: proxyTo(func(w http.ResponseWriter, r *http.Request) {
			bigPage(w, r)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		})},
		{name: "reverse proxy, upgrade", talk: func(t *testing.T, c net.Conn) string {
			send(t, c, "GET / HTTP/1.1|Connection: Upgrade|Upgrade: echo")
			r := bufio.NewReader(c)
			var head strings.Builder
			for !strings.HasSuffix(head.String(), "\r\n\r\n") {
				line, err := r.ReadString('\n')
				if head.WriteString(line); err != nil {
					return head.String() + err.Error()
				}
			}
			_, _ = io.WriteString(c, "ping")
			echo := make([]byte, 4)
			_, err := io.ReadFull(r, echo)
			return fmt.Sprint(head.String(), string(echo), err)
		}, handler: proxyTo(func(w http.ResponseWriter, _ *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_ = rw.Flush()
			_, _ = io.CopyN(c, rw, 4)
			_ = c.Close()
		})},
	}
}

// zipping is the least of a compressing middleware: its writer can only write.
func zipping(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		next.ServeHTTP(zipWriter{w, z}, r)
		_ = z.Close()
	})
}

func recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				http.Error(w, "sorry", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

type zipWriter struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (z zipWriter) Write(p []byte) (int, error) { return z.z.Write(p) }

// proxyTo is a proxy in front of h.
func proxyTo(h http.HandlerFunc) func(*notes) http.Handler {
	return func(*notes) http.Handler {
		backend := httptest.NewServer(h)
		target, _ := url.Parse(backend.URL)
		proxy := httputil.NewSingleHostReverseProxy(target)
		proxy.ErrorLog = log.New(io.Discard, "", 0)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer backend.Close()
			proxy.ServeHTTP(w, r)
		})
	}
}

// xs is an endless body.
type xs struct{}

func (xs) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// failing cannot be read.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
