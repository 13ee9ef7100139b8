package sources

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// Why a line of an access log is no event.
const (
	ReasonUnparseable sidetrack.Reason = "unparseable" // not a line of the format, or longer than 64 KiB
	ReasonMethod      sidetrack.Reason = "method"      // not GET
	ReasonStatus      sidetrack.Reason = "status"      // a redirect or an error: neither 2xx nor 304
	ReasonAsset       sidetrack.Reason = "asset"       // an image, script, feed, download: no page
)

// AccessLogConfig configures an access log source.
type AccessLogConfig struct {
	// Paths are files or globs, read in the order given, each plain or gzipped; "-" is standard input.
	Paths []string `yaml:"paths"`
	// Format is combined, common, nginx_json or auto, which decides line by line.
	Format string `yaml:"format" enum:"auto,combined,common,nginx_json"`
	// Host is the host of the pages, such as shop.example or https://shop.example, for
	// lines that do not name one. Without it such events have a path but no URL.
	Host string `yaml:"host"`
	// Site is the site of all events. Empty: the pipeline finds it by the host.
	Site string `yaml:"site"`
	// Include are globs of paths that count as pages whatever their ending says, such as
	// /download/*.pdf; * does not match a slash.
	Include []string `yaml:"include"`

	// Reader is read for "-". nil: standard input.
	Reader io.Reader `yaml:"-"`
	// OnProgress is told how far reading got, about every 64 KiB and at the end, from the
	// goroutine that runs the source.
	OnProgress func(Progress) `yaml:"-"`
	// Logger gets what went wrong, never lines or addresses. nil: nothing is logged.
	Logger *slog.Logger `yaml:"-"`
}

// Progress says how far an access log source got.
type Progress struct {
	Read  int64 // bytes of the files as they are on disk, compressed ones too
	Total int64 // bytes of all files; 0 when standard input is among them
	Lines int64
}

// Bounds of the access log source.
const (
	maxLine      = 64 << 10
	maxBatch     = 500
	lastFlush    = 10 * time.Second
	maxRetryTime = time.Minute // how long storage may refuse before the source gives up
)

// accessLog reads logs that web servers wrote. Every line ends as one event or as one Count of the emitter.
type accessLog struct {
	cfg   AccessLogConfig
	parse func(line string, h *hit) error
}

// NewAccessLog returns a source that reads access logs once, from their beginning, and
// ends. Requests of bots stay in: they are the bots processor's to judge.
//
// An event gets a message id made from the line without its address, so that reading a
// log a second time gives the same event ids. When storage is full the source tries again for a minute; each refusal is a row of its own.
func NewAccessLog(cfg AccessLogConfig) (sidetrack.Source, error) {
	a := &accessLog{cfg: cfg}
	switch cfg.Format {
	case "", "auto":
		a.parse = parseAny
	case "combined", "common":
		a.parse = parseCombined
	case "nginx_json":
		a.parse = parseNginxJSON
	default:
		return nil, fmt.Errorf("sources: accesslog: format %q: want auto, combined, common or nginx_json", cfg.Format)
	}
	if len(cfg.Paths) == 0 && cfg.Reader == nil {
		return nil, errors.New("sources: accesslog: paths: at least one is needed")
	}
	for _, p := range slices.Concat(cfg.Paths, cfg.Include) {
		if _, err := filepath.Match(p, ""); err != nil {
			return nil, fmt.Errorf("sources: accesslog: pattern %q is malformed", p)
		}
	}
	if len(cfg.Paths) == 0 {
		a.cfg.Paths = []string{"-"}
	}
	if cfg.Logger == nil {
		a.cfg.Logger = slog.New(slog.DiscardHandler)
	}
	base, err := baseURL(cfg.Host)
	if err != nil {
		return nil, err
	}
	a.cfg.Host = base
	return a, nil
}

// Run implements sidetrack.Source. A file that cannot be read to its end costs what
// could not be read, and the error comes at the end; the other files are read.
func (a *accessLog) Run(ctx context.Context, out sidetrack.Emitter) error {
	files, total, err := a.files()
	if err != nil {
		return err
	}
	run := &logRun{accessLog: a, out: out, counts: make(map[sidetrack.Reason]int), progress: Progress{Total: total}}
	run.counter, _ = out.(interface {
		Count(reason sidetrack.Reason, n int)
	})
	var failed []error
	for _, path := range files {
		err := run.file(ctx, path)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("sources: accesslog: %w", err))
			if _, ok := errors.AsType[*stuckError](err); ok {
				break
			}
		}
	}
	// What was read is accounted for, also when ctx ended.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
	defer cancel()
	if err := run.flush(last); err != nil {
		failed = append(failed, fmt.Errorf("sources: accesslog: %w", err))
	}
	run.report()
	return errors.Join(failed...)
}

// files resolves the globs and sums up the sizes.
func (a *accessLog) files() (files []string, total int64, err error) {
	stdin := false
	for _, p := range a.cfg.Paths {
		if p == "-" {
			files, stdin = append(files, p), true
			continue
		}
		matches, err := filepath.Glob(p)
		if err != nil || len(matches) == 0 {
			return nil, 0, fmt.Errorf("sources: accesslog: no file matches %q", p)
		}
		for _, m := range matches {
			info, err := os.Stat(m)
			if err != nil {
				return nil, 0, fmt.Errorf("sources: accesslog: %w", err)
			}
			if info.IsDir() {
				continue
			}
			files, total = append(files, m), total+info.Size()
		}
	}
	if stdin {
		total = 0
	}
	return files, total, nil
}

// logRun is the state of one Run.
type logRun struct {
	*accessLog
	out      sidetrack.Emitter
	counter  interface{ Count(sidetrack.Reason, int) }
	pending  []*sidetrack.Event
	counts   map[sidetrack.Reason]int
	waiting  int // lines not accounted for yet
	progress Progress
	told     int64

	repeats map[string]int // how often a message id came, by id
	before  map[string]int // those before repeats was begun anew
}

// line makes one line an event or a count.
func (r *logRun) line(ctx context.Context, line string, complete bool) error {
	r.progress.Lines++
	var h hit
	reason := ReasonUnparseable
	if complete && r.parse(line, &h) == nil {
		reason = r.judge(&h)
	}
	if reason != "" {
		r.counts[reason]++
	} else {
		r.pending = append(r.pending, r.event(&h))
	}
	if r.waiting++; r.waiting >= maxBatch {
		return r.flush(ctx)
	}
	return nil
}

// judge returns why h is no page view, "" when it is one.
func (r *logRun) judge(h *hit) sidetrack.Reason {
	switch {
	case h.method != "GET":
		return ReasonMethod
	case h.status/100 != 2 && h.status != 304:
		return ReasonStatus
	case !isPagePath(h.target) && !r.included(h.path()):
		return ReasonAsset
	}
	return ""
}

func (r *logRun) included(path string) bool {
	for _, pattern := range r.cfg.Include {
		if ok, _ := filepath.Match(pattern, path); ok {
			return true
		}
	}
	return false
}

func (r *logRun) event(h *hit) *sidetrack.Event {
	e := &sidetrack.Event{Name: sidetrack.PageView, Time: h.time, Site: r.cfg.Site, MessageID: r.messageID(h)}
	base := r.cfg.Host
	if h.host != "" {
		if b, err := baseURL(h.scheme + h.host); err == nil {
			base = b
		}
	}
	if base != "" {
		setPage(e, base+h.target)
	} else {
		e.Page.Path = text.Clean(h.path(), maxURL)
	}
	e.Page.Status = h.status
	if ref := cleanURL(h.referrer); isWebURL(ref) {
		e.Page.Referrer = ref
	}
	e.Device.UserAgent = text.Clean(h.userAgent, maxUserAgent)
	hideAddresses(e, h.client)
	e.SetOrigin(sidetrack.NewOrigin(h.client, nil))
	return e
}

// maxRepeats bounds what is remembered of earlier lines; at least so many are.
const maxRepeats = 10_000

// messageID names the line by everything in it but the address, from which the address
// could be found by trying all. Equal lines are numbered, also where
// lines of other seconds stand between them: servers write a line when the answer ends.
func (r *logRun) messageID(h *hit) string {
	sum := sha256.New()
	for _, s := range []string{h.time.UTC().Format(time.RFC3339Nano), h.host, h.target, strconv.Itoa(h.status), h.bytes, h.referrer, h.userAgent} {
		_, _ = io.WriteString(sum, s)
		_, _ = sum.Write([]byte{0})
	}
	id := "log-" + hex.EncodeToString(sum.Sum(nil)[:16])
	if len(r.repeats) >= maxRepeats || r.repeats == nil {
		r.before, r.repeats = r.repeats, make(map[string]int)
	}
	n := max(r.repeats[id], r.before[id])
	r.repeats[id] = n + 1
	if n > 0 {
		id += "-" + strconv.Itoa(n)
	}
	return id
}

// stuckError ends the source: storage refused for too long.
type stuckError struct{ err error }

func (e *stuckError) Error() string { return "storage keeps refusing: " + e.err.Error() }
func (e *stuckError) Unwrap() error { return e.err }

// flush accounts for all lines so far.
func (r *logRun) flush(ctx context.Context) error {
	r.waiting = 0
	for reason, n := range r.counts {
		if r.counter != nil {
			r.counter.Count(reason, n)
		}
	}
	clear(r.counts)
	batch := r.pending
	r.pending = make([]*sidetrack.Event, 0, maxBatch)
	deadline := time.Now().Add(maxRetryTime)
	for wait := 50 * time.Millisecond; len(batch) > 0; wait = min(2*wait, 5*time.Second) {
		spare := cloneAll(batch) // what was emitted is not ours any more
		err := r.out.Emit(ctx, batch...)
		refused, ok := errors.AsType[*sidetrack.RefusedError](err)
		if !ok {
			return err
		}
		batch = batch[:0:0]
		var last error
		for _, f := range refused.Refused {
			if errors.Is(f.Err, sidetrack.ErrOverloaded) || errors.Is(f.Err, sidetrack.ErrUnavailable) {
				batch, last = append(batch, spare[f.Index]), f.Err
			}
		}
		if len(batch) == 0 {
			return nil // the rest was invalid and is counted
		}
		if time.Now().Add(wait).After(deadline) {
			return &stuckError{last}
		}
		r.cfg.Logger.Warn("accesslog: storage refuses, trying again", "events", len(batch), "after", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func cloneAll(events []*sidetrack.Event) []*sidetrack.Event {
	c := make([]*sidetrack.Event, len(events))
	for i, e := range events {
		c[i] = e.Clone()
	}
	return c
}

func (r *logRun) report() {
	if r.cfg.OnProgress != nil {
		r.cfg.OnProgress(r.progress)
	}
}
