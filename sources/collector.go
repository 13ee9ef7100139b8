package sources

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/clientip"
	"github.com/sidetrack-go/sidetrack/internal/sites"
	"github.com/sidetrack-go/sidetrack/internal/size"
)

// CollectorConfig configures a Collector. The zero value works: no proxy is trusted and
// any page may send, but no browser page of another origin can read the answer.
type CollectorConfig struct {
	// TrustedProxies are addresses and networks of the proxies in front, whose forwarding
	// headers are believed; unix stands for those on a unix socket. Empty: the client is the peer.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// ClientIPHeader is the header those proxies write: X-Forwarded-For, Forwarded or one with
	// a single address. Empty: X-Forwarded-For, or Forwarded where that is missing.
	ClientIPHeader string `yaml:"client_ip_header"`
	// Origins are the pages' origins that may send from a browser: https://shop.example, or
	// https://*.shop.example for all below it. Pages of other origins are answered 403, except those of a
	// site's hosts. Default: the origins of all sites; without any, or with "*", every page may send.
	Origins []string `yaml:"origins"`
	// AllowedHosts are the names under which the collector may be called: t.shop.example, or *.shop.example. Other requests
	// are answered 421, except for /healthz. Default: all.
	AllowedHosts []string `yaml:"allowed_hosts"`
	// Keys says whether a client must send a key of a site: optional or required. Default: optional.
	Keys string `yaml:"keys"`
	// RateLimit bounds what one client may send.
	RateLimit RateLimit `yaml:"rate_limit"`
	// HideReasons leaves out the header X-Sidetrack, which says why events were dropped.
	HideReasons bool `yaml:"hide_reasons"`
	// MaxBody bounds a request's body, as sent and decompressed. 0: 4 MiB.
	MaxBody size.Bytes `yaml:"max_body"`
	// MaxBodies bounds what the bodies of all requests under way may be larger than 64 KiB each, together: more
	// is answered 503. 0: 32 MiB.
	MaxBodies size.Bytes `yaml:"max_bodies"`
	// StoreTimeout bounds how long a request waits for storage before it is
	// answered 503. 0: 5 s.
	StoreTimeout time.Duration `yaml:"store_timeout"`
	// RetryAfter is what a refused client is told to wait, in whole seconds. 0: 5 s.
	RetryAfter time.Duration `yaml:"retry_after"`
	// Decoders are the wire protocols served. What is listed is served and nothing else; default: json at
	// /collect and pixel at /pixel.gif.
	Decoders sidetrack.Mounts `yaml:"decoders"`
	// Sites are those whose keys, hosts and origins decide where an event belongs. None: the client's word is
	// taken for the site.
	Sites []sidetrack.Site `yaml:"-"`
	// Logger gets what went wrong inside, never payloads or addresses. nil: nothing is logged.
	Logger *slog.Logger `yaml:"-"`
}

// Defaults of CollectorConfig.
const (
	defaultMaxBody      = 4 * size.MiB
	defaultMaxBodies    = 32 * size.MiB
	defaultStoreTimeout = 5 * time.Second
	defaultRetryAfter   = 5 * time.Second
)

// Collector takes events over HTTP, unless CollectorConfig.Decoders says otherwise:
//
//	POST /collect    one event, an array, {"batch": […]} or one event a line, as JSON
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
	hosts      *sites.Index // nil: all
	sites      *sites.Index
	keyed      bool   // every event needs a key
	rates      *rates // nil: no limit
	reasons    bool   // say why events were dropped
	bodies     bodies
	patience   patience
	retryAfter string
	log        *slog.Logger
}

// NewCollector returns a collector that stores into out. The error joins everything that is wrong with
// cfg; what concerns one field is a *sidetrack.FieldError.
func NewCollector(out sidetrack.Emitter, cfg CollectorConfig) (*Collector, error) {
	c, errs := newCollectorOf(out, cfg)
	for i, err := range errs {
		errs[i] = fmt.Errorf("sources: collector: %w", err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return c, nil
}

func newCollectorOf(out sidetrack.Emitter, cfg CollectorConfig) (_ *Collector, errs []error) {
	client, err := clientip.New(cfg.TrustedProxies, cfg.ClientIPHeader)
	if err != nil {
		errs = append(errs, err)
	}
	allowed, problems := newCORS(cfg.Origins)
	errs = append(errs, problems...)
	if cfg.MaxBody < 0 || cfg.MaxBodies < 0 || cfg.StoreTimeout < 0 || cfg.RetryAfter < 0 {
		errs = append(errs, errors.New("max_body, max_bodies, store_timeout and retry_after must not be negative"))
	}
	limits, problems := newRates(cfg.RateLimit)
	errs = append(errs, problems...)
	errs = append(errs, checkNaming(cfg)...)
	c := &Collector{
		out: out, mux: http.NewServeMux(), client: client, cors: allowed, rates: limits,
		sites: sites.New(cfg.Sites), keyed: cfg.Keys == keysRequired, reasons: !cfg.HideReasons,
		bodies: bodies{
			limit:   int64(orDefault(cfg.MaxBody, defaultMaxBody)),
			all:     int64(orDefault(cfg.MaxBodies, defaultMaxBodies)),
			inflate: inflaters{wide: wideInflaters()},
		},
		patience: patience{wait: orDefault(cfg.StoreTimeout, defaultStoreTimeout)},
		log:      cfg.Logger,
	}
	wait := orDefault(cfg.RetryAfter, defaultRetryAfter)
	c.retryAfter = strconv.Itoa(int((wait + time.Second - 1) / time.Second))
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.cors.sites = c.sites
	if len(cfg.AllowedHosts) > 0 {
		c.hosts = sites.New([]sidetrack.Site{{Name: "allowed", Hosts: cfg.AllowedHosts}})
	}
	c.mux.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	return c, append(errs, c.mountAll(cfg.Decoders)...)
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

const healthPath = "/healthz"

// ServeHTTP implements http.Handler.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer c.recoverPanic(w)
	if c.hosts != nil && c.hosts.ByHost(r.Host) == "" && r.URL.Path != healthPath {
		writeJSON(w, http.StatusMisdirectedRequest, answer{Errors: []answerError{{Field: "Host", Message: "is not a name of this collector"}}})
		return
	}
	if !c.cors.handle(w, r) {
		return
	}
	switch r.Method {
	case http.MethodPost, http.MethodGet, http.MethodHead:
	default:
		w.Header().Set("Allow", methods)
		writeJSON(w, http.StatusMethodNotAllowed, answer{Errors: []answerError{{Message: "want " + methods}}})
		return
	}
	if strings.Contains(r.URL.Path, "//") {
		r = withoutDoubleSlashes(r)
	}
	c.mux.ServeHTTP(w, r)
}

// withoutDoubleSlashes returns r as if its path had single slashes. A tracker whose address ends with a slash sends
// to //collect; the redirect that a mux answers loses the body, or the page's permission to read the answer.
func withoutDoubleSlashes(r *http.Request) *http.Request {
	clean, u := *r, *r.URL
	for strings.Contains(u.Path, "//") {
		u.Path = strings.ReplaceAll(u.Path, "//", "/")
	}
	u.RawPath = ""
	clean.URL = &u
	return &clean
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
		if r.Method == http.MethodHead { // a check of the link, not a view
			return
		}
		if c.rates != nil && !c.mayRequest(w, r) {
			return
		}
		b, err := c.bodies.open(w, r)
		defer func() { _ = b.Close() }()
		if err != nil {
			if r.ProtoMajor == 1 { // HTTP/2 has other requests on the connection
				w.Header().Set("Connection", "close")
			}
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
		if c.rates != nil && !c.mayEmit(w, r, len(decoded.Events)) {
			return
		}
		if c.sites != nil || c.keyed {
			c.assignSites(&decoded, r)
		}
		c.complete(decoded.Events, r)
		c.emit(w, r.Context(), decoded)
	})
}

// emit stores the events and answers.
func (c *Collector) emit(w http.ResponseWriter, ctx context.Context, d sidetrack.Decoded) {
	if len(d.Events) == 0 {
		c.respond(w, d, nil)
		return
	}
	ctx = c.patience.bound(ctx)
	if !c.reasons {
		c.respond(w, d, c.out.Emit(ctx, d.Events...))
		return
	}
	var seen drops
	err := c.out.Emit(sidetrack.ObserveDrops(ctx, &seen), d.Events...)
	w.Header()[reasonHeader] = seen.header(len(d.Events), err)
	c.respond(w, d, err)
}

// complete adds to the events what the request says and they do not.
func (c *Collector) complete(events []*sidetrack.Event, r *http.Request) {
	if len(events) == 0 {
		return
	}
	client := c.client.Client(r)
	origin := sidetrack.NewOrigin(client, r)
	said := readSignals(r.Header)
	for _, e := range events {
		distrust(e)
		relayed := e.Origin() != nil // the headers are those of a server between
		if !relayed {
			e.SetOrigin(origin)
			said.describe(&e.Device)
		}
		switch {
		case e.Page.URL != "":
			e.Page.URL = stripURL(e.Page.URL)
		case !relayed && e.App == (sidetrack.App{}) && isWebURL(said.referrer):
			e.Page.URL = cleanURL(said.referrer) // the page that made the call, not the page before it
		}
		e.Page.Referrer = stripURL(e.Page.Referrer)
		derivePage(e)
		hideAddresses(e, client)
		if relayed {
			hideAddresses(e, e.Origin().IP())
		}
	}
}
