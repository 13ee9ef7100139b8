package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// payload is one event of about 800 bytes, as a site would send it.
const payload = `{"name":"purchase","time":%d,"visitor":{"client_id":"%d.1700000000","session_id":"1700000123"},` +
	`"page":{"url":"https://shop.example/checkout/thanks?order=10042","title":"Thank you for your order","referrer":"https://shop.example/checkout"},` +
	`"device":{"user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36","language":"de-AT","screen":"1920x1080"},` +
	`"consent":{"analytics_storage":"granted","ad_user_data":"denied"},` +
	`"ecommerce":{"currency":"EUR","value":59.9,"transaction_id":"T-10042","items":[{"item_id":"SKU-1","item_name":"Walking boots","price":49.9,"quantity":1},{"item_id":"SKU-2","item_name":"Socks","price":5,"quantity":2}]},` +
	`"params":{"theme":"dark","logged_in":true,"step":3}}`

// body returns the n-th event, told apart by its client id.
func body(n int64) string { return fmt.Sprintf(payload, time.Now().UnixMilli(), n) }

// requestText is a whole HTTP/1.1 request.
func requestText(b string) string {
	return "POST /collect HTTP/1.1\r\nHost: load.example\r\nContent-Type: application/json\r\nContent-Length: " +
		strconv.Itoa(len(b)) + "\r\n\r\n" + b
}

// tally is what a generator saw.
type tally struct {
	ok, refused, failed atomic.Int64
	latency             *histogram // of answers since they were due, for offer; nil: not measured
}

// flood sends requests on conns connections as fast as they are answered.
func flood(ctx context.Context, addr string, conns int, t *tally) {
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() {
			text := []byte(requestText(body(int64(i))))
			for ctx.Err() == nil {
				if err := exchange(ctx, addr, func() []byte { return text }, nil, t); err != nil && ctx.Err() == nil {
					t.failed.Add(1)
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
}

// offer sends rate requests a second, spread over conns connections, whether or not
// earlier ones were answered in time.
func offer(ctx context.Context, addr string, conns, rate int, next func() []byte, t *tally) {
	work := make(chan time.Time, rate)
	var wg sync.WaitGroup
	for range conns {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := exchange(ctx, addr, next, work, t); err != nil && ctx.Err() == nil {
					t.failed.Add(1)
				}
			}
		})
	}
	began := time.Now()
	var sent int64
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		<-tick.C
		for due := int64(time.Since(began).Seconds() * float64(rate)); sent < due; sent++ {
			select {
			case work <- began.Add(time.Duration(sent) * time.Second / time.Duration(rate)):
			case <-ctx.Done():
			}
		}
	}
	wg.Wait()
}

// exchange sends requests on one connection until ctx ends or the connection breaks.
func exchange(ctx context.Context, addr string, next func() []byte, work <-chan time.Time, t *tally) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	r := bufio.NewReaderSize(conn, 4096)
	for {
		var due time.Time
		if work != nil {
			select {
			case due = <-work:
			case <-ctx.Done():
				return nil
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if _, err := conn.Write(next()); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return err
		}
		status, err := readAnswer(r)
		switch {
		case err != nil:
			return err
		case status >= 200 && status < 300:
			t.ok.Add(1)
			if t.latency != nil && !due.IsZero() {
				t.latency.add(time.Since(due))
			}
		default:
			t.refused.Add(1)
		}
	}
}

// readAnswer reads one response as far as needed to send the next request.
func readAnswer(r *bufio.Reader) (status int, err error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || !strings.HasPrefix(line, "HTTP/1.1 ") {
		return 0, errors.New("no HTTP answer")
	}
	if status, err = strconv.Atoi(line[9:12]); err != nil {
		return 0, err
	}
	length := 0
	for {
		header, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(header) <= 2 {
			break
		}
		if k, v, ok := strings.Cut(string(header), ":"); ok && strings.EqualFold(k, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(v)); err != nil {
				return 0, err
			}
		}
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return status, err
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
