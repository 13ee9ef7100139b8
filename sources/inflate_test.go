package sources

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/size"
)

// codings are the content codings with their encoders.
var codings = map[string]func(string) string{
	"gzip":    gzipped,
	"x-gzip":  gzipped,
	"deflate": zlibbed,
	"Deflate": func(s string) string {
		var b bytes.Buffer
		z, _ := flate.NewWriter(&b, 6)
		_, _ = io.WriteString(z, s)
		_ = z.Close()
		return b.String()
	},
	"br": func(s string) string {
		var b bytes.Buffer
		z := brotli.NewWriter(&b)
		_, _ = io.WriteString(z, s)
		_ = z.Close()
		return b.String()
	},
	"zstd": func(s string) string {
		z, err := zstd.NewWriter(nil)
		if err != nil {
			panic(err)
		}
		defer z.Close()
		return string(z.EncodeAll([]byte(s), nil))
	},
}

func TestCodings(t *testing.T) {
	var batch strings.Builder
	for i := range 500 {
		fmt.Fprintf(&batch, `{"name":"page_view","params":{"n":%d,"text":"%x"}}`+"\n", i, i*7919)
	}
	c := newCollector(t, &fake{}, CollectorConfig{MaxBody: size.MiB})
	for coding, encode := range codings {
		t.Run(coding, func(t *testing.T) {
			for range 3 { // decompressors are used again
				f := &fake{}
				c.out = f
				if w := post(c, encode(batch.String()), "Content-Encoding", coding); w.Code != 200 || len(f.all()) != 500 {
					t.Fatalf("%d %.100s, %d events", w.Code, w.Body, len(f.all()))
				}
				whole := encode(`{"name":"a","params":{"x":"` + strings.Repeat("some text ", 100) + `"}}`)
				if w := post(c, whole, "Content-Encoding", coding); w.Code != 204 {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
				for _, cut := range []int{1, len(whole) / 2, len(whole) - 1} {
					if w := post(c, whole[:cut], "Content-Encoding", coding); w.Code != 400 || parseAnswer(t, w).Errors[0].Field != "body" {
						t.Errorf("cut at %d of %d: %d %s", cut, len(whole), w.Code, w.Body)
					}
				}
				damaged := []byte(whole)
				damaged[len(damaged)/2] ^= 0x55
				if w := post(c, string(damaged), "Content-Encoding", coding); w.Code != 400 {
					t.Errorf("damaged: %d %s", w.Code, w.Body)
				}
				if w := post(c, "", "Content-Encoding", coding); w.Code != 400 {
					t.Errorf("empty: %d %s", w.Code, w.Body)
				}
				if w := post(c, encode(strings.Repeat(" ", 2<<20)+"{}"), "Content-Encoding", coding); w.Code != 413 {
					t.Errorf("too large: %d %s", w.Code, w.Body)
				}
				if n := c.bodies.large.Load(); n != 0 {
					t.Fatalf("%d bytes are still charged", n)
				}
			}
		})
	}
}

// TestBombStopsEarly: what grows a thousandfold is given up long before the limit.
func TestBombStopsEarly(t *testing.T) {
	for coding, encode := range codings {
		read := 0
		c := newCollector(t, &fake{}, CollectorConfig{MaxBody: 64 * size.MiB, MaxBodies: 256 * size.MiB, Decoders: sidetrack.Mounts{{Name: "count", Paths: []string{"/collect"},
			Decoder: decoder(func(r *http.Request) (sidetrack.Decoded, error) {
				b, err := io.ReadAll(r.Body)
				read = len(b)
				return sidetrack.Decoded{}, err
			})}}})
		w := post(c, encode(strings.Repeat("a", 8<<20)), "Content-Encoding", coding)
		if w.Code != 413 || !strings.Contains(w.Body.String(), "200 times") || read > 4<<20 {
			t.Errorf("%s: %d %s after %d bytes", coding, w.Code, w.Body, read)
		}
	}
}

// TestWideWindows: a few bytes cannot ask for many megabytes.
func TestWideWindows(t *testing.T) {
	var large bytes.Buffer
	z := brotli.NewWriterOptions(&large, brotli.WriterOptions{Quality: 5, LGWin: 24})
	_, _ = io.WriteString(z, `{"name":"a"}`)
	_ = z.Close()
	c := newCollector(t, &fake{}, CollectorConfig{})
	if w := post(c, large.String(), "Content-Encoding", "br"); w.Code != 413 {
		t.Errorf("brotli: %d %s", w.Code, w.Body)
	}
	// A zstd frame whose header asks for a window of 2^27 bytes and more (RFC 8878, section 3.1.1.1.2).
	frame := "\x28\xb5\x2f\xfd\x00" + string([]byte{17 << 3}) + "\x01\x00\x00"
	if w := post(c, frame, "Content-Encoding", "zstd"); w.Code != 413 {
		t.Errorf("zstd: %d %s", w.Code, w.Body)
	}
}

// TestLargeBodiesShareABound: many large requests at once are turned away, small ones are not, and the room
// is free again afterwards.
func TestLargeBodiesShareABound(t *testing.T) {
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	f := &fake{emit: func(_ context.Context, events []*sidetrack.Event) error {
		if events[0].Name == "large" {
			entered <- struct{}{}
			<-leave
		}
		return nil
	}}
	c := newCollector(t, f, CollectorConfig{MaxBodies: size.MiB})
	large := strings.Repeat(" ", 600<<10) + `{"name":"large"}`
	var held sync.WaitGroup
	held.Go(func() {
		if w := post(c, large); w.Code != 204 {
			t.Errorf("the first: %d %s", w.Code, w.Body)
		}
	})
	<-entered
	for range 3 {
		if w := post(c, large); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("the second: %d %s", w.Code, w.Body)
		}
		if w := post(c, `{"name":"small"}`); w.Code != 204 {
			t.Errorf("a small one: %d %s", w.Code, w.Body)
		}
	}
	close(leave)
	held.Wait()
	if w := post(c, large); w.Code != 204 {
		t.Errorf("afterwards: %d %s", w.Code, w.Body)
	}
	if n := c.bodies.large.Load(); n != 0 {
		t.Errorf("%d bytes are still charged", n)
	}
}

// TestWideInflatersAreNotHeldBySlowClients: bodies that trickle in hold none of the few.
func TestWideInflatersAreNotHeldBySlowClients(t *testing.T) {
	c := newCollector(t, &fake{}, CollectorConfig{})
	var slow sync.WaitGroup
	var ends []io.Closer
	for range cap(c.bodies.inflate.wide) + 1 {
		pr, pw := io.Pipe()
		ends = append(ends, pw)
		started := make(chan struct{})
		slow.Go(func() {
			r := httptest.NewRequest("POST", "/collect", pr)
			r.Header.Set("Content-Encoding", "zstd")
			close(started)
			c.ServeHTTP(httptest.NewRecorder(), r)
		})
		<-started
		_, _ = io.WriteString(pw, codings["zstd"](`{"name":"a"}`)[:5])
	}
	if w := post(c, codings["zstd"](`{"name":"a"}`), "Content-Encoding", "zstd"); w.Code != 204 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, e := range ends {
		_ = e.Close()
	}
	slow.Wait()
}

// TestBombsTakeNoMemory: what a bomb would grow to is never in memory. The decompressors of the other
// codings know no other way; zstd's has one for bodies that are there as a whole.
func TestBombsTakeNoMemory(t *testing.T) {
	const grown = 64 << 20
	bomb := codings["zstd"](strings.Repeat(" ", grown))
	c := newCollector(t, &fake{}, CollectorConfig{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if w := post(c, bomb, "Content-Encoding", "zstd"); w.Code != 413 {
		t.Errorf("%d", w.Code)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > grown/2 {
		t.Errorf("%d bytes were allocated", n)
	}
}
