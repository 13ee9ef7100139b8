package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/jetstream"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/internal/memlimit"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/sources"
)

// report is what a server says about itself, one line for each line it reads on stdin.
type report struct {
	Delivered int64                 `json:"delivered"` // by the counting sink
	LagP50    time.Duration         `json:"lag_p50"`   // likewise
	LagP99    time.Duration         `json:"lag_p99"`
	LagMax    time.Duration         `json:"lag_max"`
	Pending   int64                 `json:"pending"` // at the sink that is furthest behind
	Sinks     map[string]sinkReport `json:"sinks"`
	CPU       time.Duration         `json:"cpu"`  // user and system
	RSS       int64                 `json:"rss"`  // bytes, now
	Live      int64                 `json:"live"` // bytes of heap that the last collection found in use
	Routines  int                   `json:"routines"`
}

// sinkReport is a sink's row of the ledger as far as it matters here.
type sinkReport struct {
	Pending int64 `json:"pending"`
	Expired int64 `json:"expired"`
}

// serve is the server process: it prints its address, then a report for each line
// on stdin, and ends with stdin.
func serve(ctx context.Context, variant, dir, profile string, sinks []httpSink) error {
	if profile != "" {
		end, err := profiles(filepath.Join(profile, strings.ReplaceAll(variant, ":", "-")))
		if err != nil {
			return err
		}
		defer end()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s, err := newServer(ctx, variant, dir, sinks)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second}
	if s.addr == nil {
		go func() { _ = server.Serve(listener) }()
		s.addr = listener.Addr()
	}
	fmt.Println(s.addr)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		b, err := json.Marshal(s.report())
		if err != nil {
			return err
		}
		fmt.Println(string(b))
	}
	_ = server.Close()
	if s.pipeline != nil {
		return s.pipeline.Close(context.WithoutCancel(ctx))
	}
	return nil
}

// profiles begins a CPU profile. end finishes it, and adds one of the heap as it is then.
func profiles(name string) (end func(), err error) {
	cpu, err := os.Create(name + ".pprof")
	if err != nil {
		return nil, err
	}
	heap, err := os.Create(name + ".heap.pprof")
	if err != nil {
		return nil, errors.Join(err, cpu.Close())
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(err, cpu.Close(), heap.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		if err := errors.Join(pprof.WriteHeapProfile(heap), heap.Close(), cpu.Close()); err != nil {
			fmt.Fprintln(os.Stderr, "load: profiles:", err)
		}
	}, nil
}

type server struct {
	handler  http.Handler
	pipeline *pipeline.Pipeline
	counter  *counter // nil: there is none
	addr     net.Addr // where its own source listens; nil: it has none
}

// newServer makes the variants: bare, memory, interval, always; http, which has the listener of the command. They have a sink
// that counts, "…:slow" one that takes 100 ms for it, "…:none" none; and the HTTP sinks beside it.
func newServer(ctx context.Context, variant, dir string, others []httpSink) (*server, error) {
	if variant == "bare" {
		return &server{handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })}, nil
	}
	kind, counting, _ := strings.Cut(variant, ":")
	listens := kind == "http"
	if listens {
		kind = "memory"
	}
	s := &server{}
	var sinks []pipeline.SinkConfig
	switch counting {
	case "":
		s.counter = &counter{}
		sinks = append(sinks, pipeline.SinkConfig{Name: "counter", Sink: sidetrack.WriterSink(s.counter, sidetrack.MaxEvents(500))})
	case "slow":
		s.counter = &counter{latency: 100 * time.Millisecond}
		sinks = append(sinks, pipeline.SinkConfig{Name: "counter", Sink: sidetrack.WriterSink(s.counter, sidetrack.MaxEvents(25), sidetrack.Concurrency(32))})
	case "none":
	default:
		return nil, fmt.Errorf("no variant %q", variant)
	}
	for _, other := range others {
		sinks = append(sinks, other.config())
	}
	b, err := openBus(ctx, kind, dir)
	if err != nil {
		return nil, err
	}
	memlimit.Apply(ctx, len(sinks)) // as the command does
	cfg := pipeline.Config{Bus: b, Sinks: sinks}
	addrs := make(chan net.Addr, 1)
	if listens {
		web, err := sources.NewHTTP(sources.HTTPConfig{Listen: "127.0.0.1:0", OnListen: func(a net.Addr) { addrs <- a }})
		if err != nil {
			return nil, err
		}
		cfg.Sources = []pipeline.SourceConfig{{Name: "web", Source: web}}
	}
	s.pipeline, err = pipeline.New(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.pipeline.Start(ctx); err != nil {
		return nil, err
	}
	if listens {
		s.addr = <-addrs
		return s, nil
	}
	var out sidetrack.Emitter = s.pipeline
	if kind == "memory" {
		out = queued{s.pipeline}
	}
	collector, err := sources.NewCollector(out, sources.CollectorConfig{})
	if err != nil {
		return nil, err
	}
	s.handler = collector
	return s, nil
}

func openBus(ctx context.Context, kind, dir string) (bus.Bus, error) {
	switch kind {
	case "memory":
		return memory.New(memory.Config{}), nil
	case "interval", "always":
		return jetstream.OpenEmbedded(ctx, jetstream.Embedded{DataDir: dir, Sync: kind})
	}
	return nil, fmt.Errorf("no variant %q", kind)
}

// queued answers when the event is in the queue, as the middleware does.
type queued struct{ q sidetrack.Queue }

func (q queued) Emit(_ context.Context, events ...*sidetrack.Event) error {
	return q.q.Enqueue(events...)
}

// counter is a sink that only counts, after a latency.
type counter struct {
	latency time.Duration
	n       atomic.Int64
	lags    histogram
}

func (c *counter) Write(ctx context.Context, u sidetrack.Unit) error {
	if c.latency > 0 {
		select {
		case <-time.After(c.latency):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	now := time.Now()
	for _, e := range u.Events {
		c.lags.add(now.Sub(e.Received))
	}
	c.n.Add(int64(len(u.Events)))
	return nil
}

func (s *server) report() report {
	var r report
	if s.counter != nil {
		r.Delivered = s.counter.n.Load()
		r.LagP50, r.LagP99, r.LagMax = s.counter.lags.quantile(0.5), s.counter.lags.quantile(0.99), s.counter.lags.quantile(1)
	}
	if s.pipeline != nil {
		r.Sinks = map[string]sinkReport{}
		for _, row := range s.pipeline.Ledger().Sinks {
			own := sinkReport{Pending: row.Pending}
			for _, n := range row.Expired {
				own.Expired += n
			}
			r.Sinks[row.Sink] = own
			r.Pending = max(r.Pending, own.Pending)
		}
	}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		r.CPU = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	r.RSS, r.Live, r.Routines = residentBytes(), liveBytes(), runtime.NumGoroutine()
	return r
}

func liveBytes() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// child is a running server process.
type child struct {
	addr string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	dir  string
}

func startChild(ctx context.Context, variant string, o options, sinks ...httpSink) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sidetrack-load-")
	if err != nil {
		return nil, err
	}
	list, err := json.Marshal(sinks)
	if err != nil {
		return nil, err
	}
	c := &child{dir: dir, cmd: exec.CommandContext(ctx, self, "serve", "-variant", variant, "-sinks", string(list), "-dir", dir, "-profile", o.profile)}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	if !c.out.Scan() {
		c.stop()
		return nil, errors.New("the server process did not start")
	}
	c.addr = c.out.Text()
	return c, nil
}

func (c *child) report() (r report, err error) {
	if _, err := io.WriteString(c.in, "\n"); err != nil {
		return r, err
	}
	if !c.out.Scan() {
		return r, errors.New("the server process ended")
	}
	return r, json.Unmarshal(c.out.Bytes(), &r)
}

func (c *child) stop() {
	_ = c.in.Close()
	done := make(chan struct{})
	go func() { _ = c.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		_ = c.cmd.Process.Kill()
		<-done
	}
	_ = os.RemoveAll(c.dir)
}
