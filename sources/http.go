package sources

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/size"
)

// HTTPConfig configures a collector with a listener of its own.
type HTTPConfig struct {
	// Listen is where to listen: a TCP address such as ":8080" or "127.0.0.1:8080", "unix:/run/sidetrack.sock" for a
	// socket, "systemd" for the socket that a socket unit opened, or "systemd:web" for the one of several with that name.
	Listen string `yaml:"listen"`
	// SocketMode is the mode of a unix socket's file. Default: 0660.
	SocketMode string `yaml:"socket_mode"`
	// TLS names a certificate. With it HTTP/2 is spoken too. Default: plain HTTP.
	TLS TLSConfig `yaml:"tls"`
	// H2C allows HTTP/2 without TLS, for a proxy in front that speaks it.
	H2C bool `yaml:"h2c"`
	// MaxConnections are open at once. With more, the one that has waited for its next request for longest is closed.
	MaxConnections int `yaml:"max_connections"`

	CollectorConfig `yaml:",inline"`

	// ReadHeaderTimeout bounds how long the header of a request may take.
	ReadHeaderTimeout time.Duration `yaml:"read_header_timeout"`
	// ReadTimeout bounds how long a whole request may take to arrive.
	ReadTimeout time.Duration `yaml:"read_timeout"`
	// WriteTimeout bounds the time from the end of the header to the end of the answer.
	WriteTimeout time.Duration `yaml:"write_timeout"`
	// IdleTimeout is how long a connection is kept open between requests.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// ShutdownTimeout bounds how long requests in flight are waited for at the end.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout"`
	// MaxHeader bounds the header of a request.
	MaxHeader size.Bytes `yaml:"max_header"`

	// OnListen is told the actual address before the first request is served.
	OnListen func(net.Addr) `yaml:"-"`
}

// DefaultHTTPConfig returns the values that hold where the configuration is silent.
func DefaultHTTPConfig() HTTPConfig {
	return HTTPConfig{
		Listen: "127.0.0.1:8080",
		CollectorConfig: CollectorConfig{
			MaxBody: defaultMaxBody, MaxBodies: defaultMaxBodies, StoreTimeout: defaultStoreTimeout, RetryAfter: defaultRetryAfter,
		},
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		ShutdownTimeout:   10 * time.Second,
		MaxHeader:         32 * size.KiB,
		MaxConnections:    1024,
		SocketMode:        defaultSocketMode,
	}
}

// httpSource is a collector behind its own server.
type httpSource struct{ cfg HTTPConfig }

// NewHTTP returns a source that listens and serves a Collector until its context ends. Zero
// values are replaced by those of DefaultHTTPConfig.
func NewHTTP(cfg HTTPConfig) (sidetrack.Source, error) {
	d := DefaultHTTPConfig()
	cfg.Listen = orDefault(cfg.Listen, d.Listen)
	cfg.ReadHeaderTimeout = orDefault(cfg.ReadHeaderTimeout, d.ReadHeaderTimeout)
	cfg.ReadTimeout = orDefault(cfg.ReadTimeout, d.ReadTimeout)
	cfg.WriteTimeout = orDefault(cfg.WriteTimeout, d.WriteTimeout)
	cfg.IdleTimeout = orDefault(cfg.IdleTimeout, d.IdleTimeout)
	cfg.ShutdownTimeout = orDefault(cfg.ShutdownTimeout, d.ShutdownTimeout)
	cfg.MaxHeader = orDefault(cfg.MaxHeader, d.MaxHeader)
	cfg.MaxConnections = orDefault(cfg.MaxConnections, d.MaxConnections)
	cfg.SocketMode = orDefault(cfg.SocketMode, d.SocketMode)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	problem := func(err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("sources: http: %w", err))
		}
	}
	problem(checkListen(cfg))
	problem(cfg.TLS.check())
	if cfg.MaxConnections < 0 {
		problem(&sidetrack.FieldError{Field: "max_connections", Problem: "must not be negative"})
	}
	if min(cfg.ReadHeaderTimeout, cfg.ReadTimeout, cfg.WriteTimeout, cfg.IdleTimeout, cfg.ShutdownTimeout) < 0 || cfg.MaxHeader < 0 {
		problem(errors.New("timeouts and max_header must not be negative"))
	}
	if _, err := NewCollector(nil, cfg.CollectorConfig); err != nil { // what is wrong shows at load, not at start
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &httpSource{cfg: cfg}, nil
}

// Run implements sidetrack.Source. When ctx ends it stops listening, answers the requests in flight
// and returns nil; requests that take longer than ShutdownTimeout are cut off.
func (s *httpSource) Run(ctx context.Context, out sidetrack.Emitter) error {
	c, err := NewCollector(out, s.cfg.CollectorConfig)
	if err != nil {
		return err
	}
	srv := s.server(c)
	if s.cfg.TLS.enabled() {
		cert, err := newCertificate(s.cfg.TLS, s.cfg.Logger)
		if err != nil {
			return fmt.Errorf("sources: http: %w", err)
		}
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
	}
	ln, err := listen(ctx, s.cfg)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("sources: http: %w", err)
	}
	if s.cfg.OnListen != nil {
		s.cfg.OnListen(ln.Addr())
	}
	served := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			served <- srv.ServeTLS(ln, "", "")
		} else {
			served <- srv.Serve(ln)
		}
	}()
	select {
	case err := <-served:
		return fmt.Errorf("sources: http: serve: %w", err)
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ShutdownTimeout)
	defer cancel()
	if err := srv.Shutdown(wait); err != nil {
		s.cfg.Logger.Warn("http: requests in flight were cut off", "after", s.cfg.ShutdownTimeout)
		_ = srv.Close()
		c.patience.end()
	}
	<-served
	return nil
}

func (s *httpSource) server(h http.Handler) *http.Server {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(s.cfg.H2C)
	return &http.Server{
		Handler:           h,
		Protocols:         &p,
		ReadHeaderTimeout: s.cfg.ReadHeaderTimeout,
		ReadTimeout:       s.cfg.ReadTimeout,
		WriteTimeout:      s.cfg.WriteTimeout,
		IdleTimeout:       s.cfg.IdleTimeout,
		MaxHeaderBytes:    int(s.cfg.MaxHeader),
		ConnState:         newConnections(s.cfg.MaxConnections).state,
		ErrorLog:          serverLog(s.cfg.Logger),
	}
}
