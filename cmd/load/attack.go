package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// attackers count what they did.
type attackers struct {
	addr                                  string
	idle, slow, bombs, floods, open, most atomic.Int64
}

// attack opens idle connections, sends headers and bodies a byte at a time, decompression bombs, floods of headers and
// what is no HTTP, until stdin ends. What the server closes is opened again: slow ones at once, idle ones 10 s later.
func attack(ctx context.Context, addr string, idle, slow int) error {
	ctx, cancel := context.WithCancel(ctx)
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); cancel() }()
	a := &attackers{addr: addr}
	var wg sync.WaitGroup
	for i := range idle {
		wg.Go(func() {
			sleep(ctx, time.Duration(i)*time.Second/4000) // 4,000 a second
			a.repeat(ctx, 10*time.Second, func(c net.Conn) {
				a.idle.Add(1)
				if i%2 == 0 { // half of them have been served once
					_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
				}
				_, _ = io.Copy(io.Discard, c)
			})
		})
	}
	head := "POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
	for i := range slow {
		wg.Go(func() {
			a.repeat(ctx, 100*time.Millisecond, func(c net.Conn) {
				a.slow.Add(1)
				text := head + "X-Slow: " + strings.Repeat("x", 1<<10)
				if i%2 == 0 {
					text = head + "\r\n" + strings.Repeat(" ", 1<<16)
				}
				for _, b := range []byte(text) {
					if _, err := c.Write([]byte{b}); err != nil || ctx.Err() != nil {
						return
					}
					sleep(ctx, 50*time.Millisecond)
				}
			})
		})
	}
	large := bombs()
	for i, b := range large {
		wg.Go(func() {
			for range a.tenTimesASecond(ctx, i) {
				a.once(ctx, []byte(fmt.Sprintf("POST /collect HTTP/1.1\r\nHost: x\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", b.coding, len(b.body), b.body)))
				a.bombs.Add(1)
			}
		})
	}
	for i, f := range []string{
		"GET /pixel.gif HTTP/1.1\r\nHost: x\r\nX-Large: " + strings.Repeat("x", 1<<20),
		"GET /pixel.gif HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a:b\r\n", 50_000) + "\r\n",
		"GET /pixel.gif?" + strings.Repeat("p.x=y&", 50_000) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("[", 200_000),
		"POST /collect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\n{\r\n", 20_000) + "0\r\n\r\n",
		"\x16\x03\x01" + strings.Repeat("\xff", 1<<16),
	} {
		wg.Go(func() {
			for range a.tenTimesASecond(ctx, len(large)+i) {
				a.once(ctx, []byte(f))
				a.floods.Add(1)
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	fmt.Printf("%d idle connections opened, %d open together at most, %d slow ones, %d bombs, %d floods\n", a.idle.Load(), a.most.Load(), a.slow.Load(), a.bombs.Load(), a.floods.Load())
	return nil
}

// tenTimesASecond ticks until ctx ends, for each attacker at another moment.
func (a *attackers) tenTimesASecond(ctx context.Context, attacker int) iter.Seq[struct{}] {
	return func(yield func(struct{}) bool) {
		sleep(ctx, time.Duration(attacker)*9*time.Millisecond)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil && yield(struct{}{}) {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}
}

// repeat connects and calls f with the connection until ctx ends, which closes it.
func (a *attackers) repeat(ctx context.Context, pause time.Duration, f func(net.Conn)) {
	for ; ctx.Err() == nil; sleep(ctx, pause) {
		c, err := net.DialTimeout("tcp", a.addr, 10*time.Second)
		if err != nil {
			continue
		}
		if n := a.open.Add(1); n > a.most.Load() {
			a.most.Store(n)
		}
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		f(c)
		stop()
		_ = c.Close()
		a.open.Add(-1)
	}
}

// once sends a request on its own connection and reads what comes.
func (a *attackers) once(ctx context.Context, request []byte) {
	c, err := net.DialTimeout("tcp", a.addr, 10*time.Second)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if _, err := c.Write(request); err == nil {
		_, _ = c.Read(make([]byte, 512))
	}
}

type bomb struct{ coding, body string }

// bombs are 64 MiB of spaces in each coding, one of them unlabelled and one cut off.
func bombs() []bomb {
	spaces := bytes.Repeat([]byte(" "), 64<<20)
	var gz, br bytes.Buffer
	z := gzip.NewWriter(&gz)
	_, _ = z.Write(spaces)
	_ = z.Close()
	b := brotli.NewWriter(&br)
	_, _ = b.Write(spaces)
	_ = b.Close()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	defer enc.Close()
	zst := enc.EncodeAll(spaces, nil)
	return []bomb{{"gzip", gz.String()}, {"br", br.String()}, {"zstd", string(zst)}, {"", gz.String()}, {"gzip", gz.String()[:gz.Len()/2]}}
}
