// Package goatcounter delivers events to GoatCounter by its API, in batches.
//
// Facts of the protocol are from GoatCounter's API reference (goatcounter.com/help/api) and the source of its endpoint /api/v0/count. GoatCounter counts
// pages and events by name: it has neither amounts nor properties.
package goatcounter

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/flat"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// Config is the configuration of the goatcounter sink.
type Config struct {
	// Endpoint is where your GoatCounter is, such as https://shop.goatcounter.com: the host says which site.
	Endpoint string `yaml:"endpoint"`
	// Token is an API token with the permission to record pageviews.
	Token sidetrack.Secret `yaml:"token"`
}

// Limits: the API reference, and what the server validates, in bytes here, in characters there. It takes 60 requests in 120 seconds, so
// requests are made one after the other, and large.
const (
	maxEvents    = 500
	maxPath      = 2048
	maxTitle     = 1024
	maxRef       = 2048
	maxUserAgent = 512
)

// RuleTooLong is the rule of notes on values that are cut or left out because GoatCounter refuses longer ones.
const RuleTooLong sidetrack.Reason = "value_too_long"

// New makes the sink. It needs analytics_storage.
func New(cfg Config) (*sidetrack.Sink, error) {
	u, err := url.Parse(cfg.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return nil, &sidetrack.FieldError{Field: "endpoint", Problem: "must be an absolute http or https URL without a path: where your GoatCounter is"}
	case cfg.Token.IsZero():
		return nil, &sidetrack.FieldError{Field: "token", Problem: "is missing: an API token that may record pageviews"}
	case strings.ContainsFunc(cfg.Token.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, &sidetrack.FieldError{Field: "token", Problem: "must be printable ASCII without spaces"}
	}
	g := &generator{url: strings.TrimSuffix(cfg.Endpoint, "/") + "/api/v0/count", header: http.Header{
		"Content-Type": {"application/json"}, "Authorization": {"Bearer " + cfg.Token.Reveal()},
	}}
	return sidetrack.HTTPSink(g, sidetrack.MaxEvents(maxEvents), sidetrack.Concurrency(1), sidetrack.Classify(classify), sidetrack.Secrets(cfg.Token)), nil
}

type generator struct {
	url    string
	header http.Header
}

// hit is a page view or an event.
type hit struct {
	Path      string  `json:"path"`
	Title     string  `json:"title,omitempty"`
	Event     bool    `json:"event,omitempty"`
	Ref       string  `json:"ref,omitempty"`
	Query     string  `json:"query,omitempty"`
	Size      []int64 `json:"size,omitempty"` // width, height, scale
	UserAgent string  `json:"user_agent,omitempty"`
	Language  string  `json:"language,omitempty"`
	Location  string  `json:"location,omitempty"`
	IP        string  `json:"ip,omitempty"`
	Session   string  `json:"session,omitempty"`
	CreatedAt string  `json:"created_at,omitempty"`
	notes     []sidetrack.Note
}

// Request makes a batch. Events that GoatCounter would refuse are left out.
func (g *generator) Request(u sidetrack.Unit) (*sidetrack.Request, error) {
	if len(u.Events) == 0 {
		return nil, errors.New("goatcounter: no events")
	}
	failed := map[int]error{}
	hits := make([]*hit, 0, len(u.Events))
	var notes []sidetrack.Note
	for i, e := range u.Events {
		h, err := makeHit(e, u.At)
		if err != nil {
			failed[i] = fmt.Errorf("goatcounter: %w", err)
			continue
		}
		for _, n := range h.notes {
			n.Event = i
			notes = append(notes, n)
		}
		hits = append(hits, h)
	}
	var err error
	if len(failed) > 0 {
		err = &sidetrack.PartialError{Failed: failed}
	}
	if len(hits) == 0 {
		return nil, err
	}
	body, encodeErr := json.Marshal(struct {
		Filter []string `json:"filter"` // none: the addresses are anonymized, and what is not to be counted has been left out before
		Hits   []*hit   `json:"hits"`
	}{[]string{}, hits})
	if encodeErr != nil {
		return nil, fmt.Errorf("goatcounter: encode: %w", encodeErr)
	}
	return &sidetrack.Request{URL: g.url, Header: g.header.Clone(), Body: body, Notes: notes}, err
}

// classify reads the answer 400 that names what GoatCounter refused: the others are counted, and must not be sent again.
func classify(u sidetrack.Unit, r *sidetrack.Response) error {
	var answer struct {
		Errors map[string]string `json:"errors"`
	}
	if r.Status != http.StatusBadRequest || json.Unmarshal(r.Body, &answer) != nil {
		return sidetrack.DefaultClassify(u, r)
	}
	failed := map[int]error{}
	for k, message := range answer.Errors {
		record, err := strconv.Atoi(k)
		if i, ok := r.Event(record); err == nil && ok {
			failed[i] = sidetrack.Permanent(fmt.Errorf("goatcounter: %s", flat.Clean(message)))
		}
	}
	if len(failed) == 0 {
		return sidetrack.DefaultClassify(u, r)
	}
	return &sidetrack.PartialError{Failed: failed}
}

func makeHit(e *sidetrack.Event, at time.Time) (*hit, error) {
	h := &hit{Language: text.Clean(e.Device.Language, 35), Session: flat.Clean(e.Visitor.UserID)}
	if h.Session == "" {
		h.Session = flat.Clean(e.Visitor.ClientID)
	}
	h.UserAgent = h.cut("user_agent", e.Device.UserAgent, maxUserAgent)
	ip, ipErr := netip.ParseAddr(e.Network.IP)
	switch y := e.Time.Year(); {
	case h.Session == "" && (ipErr != nil || h.UserAgent == ""):
		return nil, errors.New("neither a user id nor a client id, nor an address with a user agent: send one, or put the visitor processor into intake")
	case e.Time.IsZero() || e.Time.After(at): // GoatCounter dates it at arrival
	case y < 1970:
		return nil, fmt.Errorf("the year %d is none", y)
	default:
		h.CreatedAt = e.Time.UTC().Format(time.RFC3339Nano)
	}
	if c := flat.Clean(e.Network.Country); len(c) == 2 {
		h.Location = c
	}
	if ipErr == nil {
		h.IP = ip.WithZone("").String()
	}
	if w, height, ok := flat.Size(e.Device.Screen); ok {
		h.Size = []int64{w, height, 1}
	}
	if h.Ref = flat.Clean(e.Page.Referrer); len(h.Ref) > maxRef {
		h.Ref, _, _ = strings.Cut(h.Ref, "?")
		h.Ref = h.cut("ref", h.Ref, maxRef)
	}
	return h, h.where(e)
}

// where says what is counted: a page by its path, a screen likewise, anything else by its name.
func (h *hit) where(e *sidetrack.Event) error {
	u, err := url.Parse(flat.Clean(e.Page.URL))
	page := err == nil && u.Host != ""
	if page {
		h.Query = u.RawQuery
	}
	switch {
	case e.Name != sidetrack.PageView && e.Name != sidetrack.ScreenView:
		h.Event, h.Path = true, strings.TrimLeft(flat.Clean(e.Name), "/")
	case page:
		if h.Path = u.RequestURI(); len(h.Path) > maxPath {
			h.Path = u.EscapedPath()
			h.note("path", "is longer than %d bytes: without its query", maxPath)
		}
		h.Title = h.cut("title", e.Page.Title, maxTitle)
	case e.App.Screen != "":
		h.Path, h.Title = "/"+strings.TrimLeft(flat.Clean(e.App.Screen), "/"), h.cut("title", e.App.Screen, maxTitle)
	}
	switch {
	case strings.TrimSpace(h.Path) == "":
		return errors.New("an event without a name, or a page view without an address or a screen")
	case len(h.Path) > maxPath:
		return fmt.Errorf("the name or path is longer than %d bytes", maxPath)
	}
	return nil
}

func (h *hit) note(field, format string, args ...any) {
	h.notes = append(h.notes, sidetrack.Note{Rule: RuleTooLong, Field: field, Text: fmt.Sprintf(format, args...)})
}

func (h *hit) cut(field, value string, limit int) string {
	if len(text.Clean(value, len(value))) > limit {
		h.note(field, "is longer than %d bytes: cut", limit)
	}
	return text.Clean(value, limit)
}
