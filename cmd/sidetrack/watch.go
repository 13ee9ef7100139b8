package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/metrics"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/admin"
)

// watcher is the server of the admin section: /metrics and /ledger. The nil watcher is one that is not configured.
type watcher struct {
	listener net.Listener
	metrics  *metrics.Metrics
	server   *http.Server
}

// listenAdmin opens the address of the admin section, before anything runs, and has the attempts of the
// pipeline observed.
func listenAdmin(cfg *config.Config) (*watcher, error) {
	if cfg.Admin.Listen == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", cfg.Admin.Listen)
	if err != nil {
		return nil, fmt.Errorf("open the address of admin: %w", err)
	}
	w := &watcher{listener: l, metrics: metrics.New()}
	cfg.Pipeline.ObserveAttempt = w.metrics.Attempt
	return w, nil
}

// serve answers for p until close.
func (w *watcher) serve(p *pipeline.Pipeline, log *slog.Logger) {
	if w == nil {
		return
	}
	w.metrics.Watch(p)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", w.metrics.Handler())
	mux.Handle("/ledger", admin.Ledger(p))
	w.server = &http.Server{Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	go func() {
		if err := w.server.Serve(w.listener); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("the admin address answers no more", "error", err)
		}
	}()
	log.Info("admin", "metrics", "http://"+w.listener.Addr().String()+"/metrics", "ledger", "http://"+w.listener.Addr().String()+"/ledger")
}

// closeGrace is how long a scrape may go on.
const closeGrace = time.Second

func (w *watcher) close() {
	switch {
	case w == nil:
	case w.server == nil:
		_ = w.listener.Close()
	default:
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		if w.server.Shutdown(ctx) != nil {
			_ = w.server.Close()
		}
	}
}
