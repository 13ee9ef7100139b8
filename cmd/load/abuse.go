package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// abuse measures what well-behaved clients notice while others do their worst: the same server serves a fixed
// rate of requests first alone, then beside a process of attackers.
func abuse(ctx context.Context, o options) error {
	if o.rate == 0 {
		o.rate = 200
	}
	c, err := startChild(ctx, "http", o)
	if err != nil {
		return err
	}
	defer c.stop()
	warm(ctx, c.addr, o)
	idle, err := c.report()
	if err != nil {
		return err
	}
	var missed []string
	var ratios []float64
	var rss int64
	for round := range o.rounds {
		quiet := wellBehaved(ctx, c.addr, o)
		stop, err := startAttack(ctx, c.addr, o)
		if err != nil {
			return err
		}
		sleep(ctx, o.seconds) // until all of them are connected
		watched, cancel := context.WithCancel(ctx)
		var highest report
		var watching sync.WaitGroup
		watching.Go(func() { highest, err = watch(watched, c) })
		under := wellBehaved(ctx, c.addr, o)
		cancel()
		watching.Wait()
		said := stop()
		if err != nil {
			return err
		}
		rss = max(rss, highest.RSS)
		ratio := float64(under.quantile(0.99)) / float64(quiet.quantile(0.99))
		ratios = append(ratios, ratio)
		fmt.Printf("round %d  quiet %s\n         abuse %s  p99 ratio %.2f\n         server: %d goroutines, RSS %d MB at most\n         attackers: %s\n",
			round+1, quiet, under, ratio, highest.Routines, highest.RSS>>20, said)
		if under.failed > 0 || under.refused > 0 || quiet.failed > 0 || quiet.refused > 0 {
			missed = append(missed, "good requests were not answered 2xx")
		}
		if o.check && under.quantile(0.99) > max(2*quiet.quantile(0.99), 100*time.Millisecond) {
			missed = append(missed, fmt.Sprintf("p99 of good clients went from %s to %s", quiet.quantile(0.99), under.quantile(0.99)))
		}
	}
	left, err := settleGoroutines(ctx, c, idle.Routines)
	if err != nil {
		return err
	}
	fmt.Printf("\np99 ratio: median %.2f (target 2), highest RSS %d MB (target 256), goroutines %d before and %d after\n", median(ratios), rss>>20, idle.Routines, left)
	if rss > 256<<20 {
		missed = append(missed, "RSS is over 256 MB")
	}
	if left > idle.Routines+2 {
		missed = append(missed, "goroutines are left behind")
	}
	if o.check && len(missed) > 0 {
		return fmt.Errorf("%v", missed)
	}
	return nil
}

// warm makes the server allocate what it needs for good clients alone.
func warm(ctx context.Context, addr string, o options) {
	o.seconds = min(o.seconds, time.Second)
	wellBehaved(ctx, addr, o)
	sleep(ctx, 200*time.Millisecond)
}

// watch returns the highest figures of the server until ctx ends.
func watch(ctx context.Context, c *child) (highest report, err error) {
	for ctx.Err() == nil {
		r, err := c.report()
		if err != nil {
			return highest, err
		}
		highest.RSS, highest.Routines = max(highest.RSS, r.RSS), max(highest.Routines, r.Routines)
		sleep(ctx, 100*time.Millisecond)
	}
	return highest, nil
}

// settleGoroutines waits until the server has let go of the attackers' connections.
func settleGoroutines(ctx context.Context, c *child, want int) (int, error) {
	for deadline := time.Now().Add(30 * time.Second); ; sleep(ctx, 100*time.Millisecond) {
		r, err := c.report()
		if err != nil || r.Routines <= want || time.Now().After(deadline) || ctx.Err() != nil {
			return r.Routines, err
		}
	}
}

// latencies are those of one measurement, from when a request was due until it was answered.
type latencies struct {
	took            []time.Duration
	refused, failed int
	again           int // requests that were sent again on a new connection
}

func (l *latencies) quantile(q float64) time.Duration {
	if len(l.took) == 0 {
		return 0
	}
	return l.took[min(len(l.took)-1, int(q*float64(len(l.took))))]
}

func (l *latencies) String() string {
	return fmt.Sprintf("%d requests, p50 %s, p99 %s, max %s; %d refused, %d failed, %d sent again", len(l.took),
		l.quantile(0.5).Round(10*time.Microsecond), l.quantile(0.99).Round(10*time.Microsecond), l.quantile(1).Round(10*time.Microsecond), l.refused, l.failed, l.again)
}

// wellBehaved sends o.rate requests a second on 16 keep-alive connections for the time of one measurement.
func wellBehaved(ctx context.Context, addr string, o options) *latencies {
	const clients = 16
	var mu sync.Mutex
	sum := &latencies{}
	next := numbered()
	var wg sync.WaitGroup
	began := time.Now()
	every := time.Duration(clients) * time.Second / time.Duration(o.rate)
	for i := range clients {
		wg.Go(func() {
			own := latencies{}
			client := goodClient{addr: addr}
			defer client.close()
			for due := began.Add(every * time.Duration(i) / clients); due.Sub(began) < o.seconds && ctx.Err() == nil; due = due.Add(every) {
				sleep(ctx, time.Until(due))
				status := client.send(next())
				switch {
				case status/100 == 2:
					own.took = append(own.took, time.Since(due))
				case status == 0:
					own.failed++
				default:
					own.refused++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			sum.took = append(sum.took, own.took...)
			sum.refused, sum.failed, sum.again = sum.refused+own.refused, sum.failed+own.failed, sum.again+client.again
		})
	}
	wg.Wait()
	slices.Sort(sum.took)
	return sum
}

// goodClient does what HTTP clients do: it keeps its connection, and when the server has closed
// that in the meantime sends the request once more on a new one.
type goodClient struct {
	addr  string
	conn  net.Conn
	r     *bufio.Reader
	again int
}

func (c *goodClient) send(request []byte) (status int) {
	for attempt := range 2 {
		if c.conn == nil {
			conn, err := net.DialTimeout("tcp", c.addr, 10*time.Second)
			if err != nil {
				return 0
			}
			c.conn, c.r = conn, bufio.NewReader(conn)
		}
		_ = c.conn.SetDeadline(time.Now().Add(30 * time.Second))
		_, err := c.conn.Write(request)
		if err == nil {
			if status, err = readAnswer(c.r); err == nil {
				return status
			}
		}
		c.close()
		if attempt == 0 {
			c.again++
		}
	}
	return 0
}

func (c *goodClient) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// startAttack starts the attackers. stop ends them and returns what they say they did.
func startAttack(ctx context.Context, addr string, o options) (stop func() string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "attack", "-addr", addr, "-idle", fmt.Sprint(o.idle), "-slow", fmt.Sprint(o.slow))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() string {
		_ = in.Close()
		line, _ := bufio.NewReader(out).ReadString('\n')
		_ = cmd.Wait()
		return line
	}, nil
}
