package sources

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/clientip"
	"github.com/sidetrack-go/sidetrack/internal/size"
)

// CollectorConfig configures a Collector. The zero value works: no proxy is trusted and
// any page may send, but no browser page of another origin can read the answer.
type CollectorConfig struct {
	// TrustedProxies are addresses and networks of the proxies in front, whose forwarding
	// headers are believed. Empty: the client is the peer.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// ClientIPHeader is the header those proxies write: X-Forwarded-For, Forwarded or one with
	// a single address. Empty: X-Forwarded-For, or Forwarded where that is missing.
	ClientIPHeader string `yaml:"client_ip_header"`
	// Origins are the pages' origins that may send from a browser, such as
	// https://shop.example. "*" allows all, without cookies. Empty: no CORS headers are
	// sent and the Origin header is not looked at.
	Origins []string `yaml:"origins"`
	// MaxBody bounds a request's body, as sent and decompressed. 0: 4 MiB.
	MaxBody size.Bytes `yaml:"max_body"`
	// StoreTimeout bounds how long a request waits for storage before it is
	// answered 503. 0: 5 s.
	StoreTimeout time.Duration `yaml:"store_timeout"`
	// RetryAfter is what a refused client is told to wait, in whole seconds. 0: 5 s.
	RetryAfter time.Duration `yaml:"retry_after"`
	// Decoders are the wire protocols served. What is listed is served and nothing else; default: json at
	// /collect and pixel at /pixel.gif.
	Decoders sidetrack.Mounts `yaml:"decoders"`
	// Logger gets what went wrong inside, never payloads or addresses. nil: nothing is logged.
	Logger *slog.Logger `yaml:"-"`
}

// Defaults of CollectorConfig.
const (
	defaultMaxBody      = 4 * size.MiB
	defaultStoreTimeout = 5 * time.Second
	defaultRetryAfter   = 5 * time.Second
)

// Collector takes events over HTTP, unless CollectorConfig.Decoders says otherwise:
//
//	POST /collect    one event, an array, {"batch": […]} or one event a line, as JSON; gzip and deflate
//	GET /pixel.gif   a page view as query parameters
//
// and what Mount adds. GET /healthz answers 200 while the process serves. One stored event is answered 204, several 200 with
// {"accepted": n, "errors": [{"index", "field", "message"}]}. Nothing stored is 4xx when
// the request is at fault, and 503 with Retry-After when it may be sent again.
//
// It is safe for concurrent use once all decoders are mounted. Under a path
// prefix mount it with http.StripPrefix.
type Collector struct {
	out        sidetrack.Emitter
	mux        *http.ServeMux
	client     clientip.Resolver
	cors       cors
	maxBody    int64
	patience   patience
	retryAfter string
	log        *slog.Logger
	buffers    sync.Pool // of *bufio.Reader
}

// NewCollector returns a collector that stores into out.
func NewCollector(out sidetrack.Emitter, cfg CollectorConfig) (*Collector, error) {
	client, err := clientip.New(cfg.TrustedProxies, cfg.ClientIPHeader)
	if err != nil {
		return nil, fmt.Errorf("sources: collector: %w", err)
	}
	allowed, err := newCORS(cfg.Origins)
	if err != nil {
		return nil, fmt.Errorf("sources: collector: %w", err)
	}
	if cfg.MaxBody < 0 || cfg.StoreTimeout < 0 || cfg.RetryAfter < 0 {
		return nil, errors.New("sources: collector: max_body, store_timeout and retry_after must not be negative")
	}
	c := &Collector{
		out: out, mux: http.NewServeMux(), client: client, cors: allowed,
		maxBody:  int64(orDefault(cfg.MaxBody, defaultMaxBody)),
		patience: patience{wait: orDefault(cfg.StoreTimeout, defaultStoreTimeout)},
		log:      cfg.Logger,
	}
	wait := orDefault(cfg.RetryAfter, defaultRetryAfter)
	c.retryAfter = strconv.Itoa(int((wait + time.Second - 1) / time.Second))
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	if err := c.mountAll(cfg.Decoders); err != nil {
		return nil, err
	}
	return c, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// ServeHTTP implements http.Handler.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer c.recoverPanic(w)
	if !c.cors.handle(w, r) {
		return
	}
	c.mux.ServeHTTP(w, r)
}

// recoverPanic answers 500 for a bug in a decoder. The value of the panic stays out
// of the log because it may quote the request.
func (c *Collector) recoverPanic(w http.ResponseWriter) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	c.log.Error("collector: panic in a decoder", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
	c.writeError(w, errors.New("panic"))
}

// decoding serves one wire protocol, called name in the log.
func (c *Collector) decoding(name string, d sidetrack.Decoder) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost { // whose answers nobody caches
			w.Header().Set("Cache-Control", "no-store")
		}
		b, err := openBody(w, r, c.maxBody, &c.buffers)
		defer func() { _ = b.Close() }()
		if err != nil {
			w.Header().Set("Connection", "close")
			c.writeError(w, err)
			return
		}
		r.Body = b
		decoded, err := d.Decode(r)
		if err != nil {
			if statusOf(err) == http.StatusInternalServerError {
				c.log.Error("collector: decoder failed", "decoder", name, "type", fmt.Sprintf("%T", err))
			}
			c.writeError(w, err)
			return
		}
		c.complete(decoded.Events, r)
		c.respond(w, decoded, c.emit(r.Context(), decoded.Events))
	})
}

func (c *Collector) emit(ctx context.Context, events []*sidetrack.Event) error {
	if len(events) == 0 {
		return nil
	}
	return c.out.Emit(c.patience.bound(ctx), events...)
}

// complete adds to the events what the request says and they do not.
func (c *Collector) complete(events []*sidetrack.Event, r *http.Request) {
	if len(events) == 0 {
		return
	}
	client := c.client.Client(r)
	origin := sidetrack.NewOrigin(client, r)
	referer := r.Referer()
	for _, e := range events {
		distrust(e)
		relayed := e.Origin() != nil // the headers are those of a server between
		if !relayed {
			e.SetOrigin(origin)
			describeDevice(&e.Device, r.Header)
		}
		switch {
		case e.Page.URL != "":
			e.Page.URL = stripURL(e.Page.URL)
		case !relayed && e.App == (sidetrack.App{}) && isWebURL(referer):
			e.Page.URL = cleanURL(referer) // the page that made the call, not the page before it
		}
		e.Page.Referrer = stripURL(e.Page.Referrer)
		derivePage(e)
		hideAddresses(e, client)
		if relayed {
			hideAddresses(e, e.Origin().IP())
		}
	}
}
