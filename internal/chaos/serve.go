package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/jetstream"
	"github.com/sidetrack-go/sidetrack/internal/faults"
	"github.com/sidetrack-go/sidetrack/internal/memlimit"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/sources"
)

// env holds the settings of the process that the run kills; without it the program is the run itself.
const env = "SIDETRACK_CHAOS_PROCESS"

// fateFile is the descriptor on which that process reports fates, one write each, so that
// none is lost with it.
const fateFile = 3

type settings struct {
	Dir    string        `json:"dir"`
	Addr   string        `json:"addr"`
	Window bus.Window    `json:"window"`
	Sinks  []sinkSetting `json:"sinks"`
}

type sinkSetting struct {
	Name   string        `json:"name"`
	URL    string        `json:"url"`
	MaxAge time.Duration `json:"max_age,omitempty"`
}

// Main is called at the start of every program that uses Run. In the process that Run
// starts from the same executable it does not return.
func Main() {
	text := os.Getenv(env)
	if text == "" {
		return
	}
	if err := serve(text); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve is an ordinary server: the embedded bus with an fsync for each commit, a collector, and
// HTTP sinks with the engine's own delivery.
func serve(text string) error {
	var cfg settings
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	b, err := jetstream.OpenEmbedded(ctx, jetstream.Embedded{DataDir: cfg.Dir, Sync: jetstream.SyncAlways, MinFree: 1, Logger: log})
	if err != nil {
		return err
	}
	fates := os.NewFile(fateFile, "fates")
	config := pipeline.Config{Bus: b, Logger: log, Observe: func(_ context.Context, f pipeline.Fate) {
		if f.Column == pipeline.Expired || f.Column == pipeline.Dead {
			_, _ = fmt.Fprintf(fates, "%s %s %s\n", f.Sink, f.Column, f.Event.MessageID)
		}
	}}
	for _, s := range cfg.Sinks {
		config.Sinks = append(config.Sinks, s.config(cfg.Window))
	}
	memlimit.Apply(ctx, len(config.Sinks)) // as the command does
	p, err := pipeline.New(config)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	if err := p.Start(ctx); err != nil {
		return errors.Join(err, p.Close(context.Background()))
	}
	collector, err := sources.NewCollector(p, sources.CollectorConfig{Logger: log})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", collector)

	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	<-ctx.Done()
	return errors.Join(server.Shutdown(context.Background()), p.Close(context.Background()))
}

// The engine's bounds in the process: shorter than an operator would have them, so that
// every state is reached and left many times in a run.
const (
	unitEvents  = 50
	concurrency = 8
	timeout     = 5 * time.Second
	isolate     = 3 * time.Second
)

func (s sinkSetting) config(window bus.Window) pipeline.SinkConfig {
	g := sidetrack.GeneratorFunc(func(u sidetrack.Unit) (*sidetrack.Request, error) {
		var body strings.Builder
		for _, e := range u.Events {
			body.WriteString(e.MessageID)
			body.WriteByte('\n')
		}
		return &sidetrack.Request{URL: s.URL, Body: []byte(body.String())}, nil
	})
	return pipeline.SinkConfig{
		Name: s.Name,
		Sink: sidetrack.HTTPSink(g, sidetrack.MaxEvents(unitEvents), sidetrack.MaxAge(s.MaxAge), sidetrack.Classify(classify)),
		Delivery: pipeline.Delivery{
			Concurrency: concurrency, Timeout: timeout, Window: window, Isolate: isolate,
			Breaker:    pipeline.Breaker{Failures: 5, Pause: 300 * time.Millisecond},
			MinBackoff: 50 * time.Millisecond, MaxBackoff: time.Second,
		},
	}
}

// classify reads what faults.Partial and faults.ErrorBody answer.
func classify(u sidetrack.Unit, r *sidetrack.Response) error {
	if err := sidetrack.DefaultClassify(u, r); err != nil {
		return err
	}
	if r.Cut {
		return errors.New("200, and the answer was cut short")
	}
	if strings.HasPrefix(string(r.Body), "error") {
		return errors.New("200, and an error in the body")
	}
	failed := map[int]error{}
	for line := range strings.Lines(string(r.Body)) {
		text, ok := strings.CutPrefix(line, faults.PartialMark)
		if !ok {
			continue
		}
		index, status, _ := strings.Cut(strings.TrimSpace(text), " ")
		i, err := strconv.Atoi(index)
		if err != nil {
			return fmt.Errorf("unreadable answer: %w", err)
		}
		err = fmt.Errorf("status %s", status)
		if status == "400" {
			err = sidetrack.Permanent(err)
		}
		failed[i] = err
	}
	if len(failed) > 0 {
		return &sidetrack.PartialError{Failed: failed}
	}
	return nil
}
