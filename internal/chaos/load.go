package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	clientCount = 16
	maxRequest  = 40 // events
)

// client sends events until its context ends. It never sends one twice: what comes twice at
// a backend was repeated by the process.
func (r *run) client(ctx context.Context, rng *rand.Rand) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	var body bytes.Buffer
	for ctx.Err() == nil && r.count.Load() < int64(r.o.Events) {
		n := 1 + rng.IntN(maxRequest)
		r.pace(n)
		last := int(r.next.Add(int64(n)))
		if last > len(r.accepted) {
			r.problem("more than %d events sent, and only %d accepted", last, r.count.Load())
			return
		}
		body.Reset()
		body.WriteByte('[')
		for id := last - n; id < last; id++ {
			if id > last-n {
				body.WriteByte(',')
			}
			body.WriteString(event(id))
		}
		body.WriteByte(']')
		// A request that is under way when the load ends is still answered. One that reached nobody
		// is repeated.
		ok, err := r.send(context.WithoutCancel(ctx), client, body.Bytes(), n)
		for op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" && ctx.Err() == nil; {
			time.Sleep(10 * time.Millisecond)
			op = nil
			ok, err = r.send(context.WithoutCancel(ctx), client, body.Bytes(), n)
		}
		if ok {
			r.mu.Lock()
			for id := last - n; id < last; id++ {
				r.accepted[id] = true
			}
			r.mu.Unlock()
			r.count.Add(int64(n))
		} else {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// pace waits until n more events may be sent. While the process is down nothing is saved up.
func (r *run) pace(n int) {
	r.mu.Lock()
	now := time.Now()
	at := r.paced
	if at.Before(now) {
		at = now
	}
	r.paced = at.Add(time.Duration(n) * time.Second / time.Duration(r.o.Rate))
	r.mu.Unlock()
	time.Sleep(at.Sub(now))
}

// send reports whether all n events of the body were accepted, and why there was no answer.
func (r *run) send(ctx context.Context, client *http.Client, body []byte, n int) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.addr+"/collect", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case err != nil, resp.StatusCode == http.StatusServiceUnavailable:
		return false, err
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		r.problem("status %d for good events: %.200s", resp.StatusCode, answer)
		return false, nil
	case resp.StatusCode == http.StatusOK:
		var a struct{ Accepted int }
		if err := json.Unmarshal(answer, &a); err != nil || a.Accepted != n {
			r.problem("%d events sent: %.200s", n, answer)
			return false, nil
		}
	}
	return true, nil
}

// event is one event as a client sends it.
func event(id int) string {
	at := time.Now()
	if special(id) == old {
		at = at.Add(-2 * steadyMaxAge)
	}
	return fmt.Sprintf(`{"name":"page_view","message_id":"%d","time":%d,"consent":{"analytics_storage":"granted"},`+
		`"visitor":{"client_id":"%d.1700000000"},"page":{"url":"https://shop.example/p/%d"}}`, id, at.UnixMilli(), id%5000, id%100)
}

// noteMemory keeps the most memory a process has used.
func (r *run) noteMemory() {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.process.Cmd.Process.Pid))
	if err != nil {
		return
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	if f := strings.Fields(rest); len(f) > 0 {
		if kb, err := strconv.ParseInt(f[0], 10, 64); err == nil {
			r.report.PeakRSS = max(r.report.PeakRSS, kb<<10)
		}
	}
}
