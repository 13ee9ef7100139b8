// Package ua decodes hits of Universal Analytics: the Measurement Protocol, version 1, as
// analytics.js, server libraries and apps send it to /collect, /r/collect, /j/collect and /batch.
//
// Facts of the protocol are from Google's parameter reference of 2015 and its later copies; Google
// withdrew both the pages and the product. docs/protocols-in-google.md has the mapping, and
// the way from Universal Analytics to GA4.
package ua

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// Paths returns where the clients of this protocol send their hits. /debug/collect answers as
// the validation server did and stores nothing.
func Paths() []string {
	var paths []string
	for _, path := range [...]string{"/collect", "/r/collect", "/j/collect", "/debug/collect"} {
		paths = append(paths, "GET "+path, "POST "+path)
	}
	return append(paths, "POST /batch")
}

// maxHits is how many hits a batch may carry, as the reference says.
const maxHits = 20

// maxIndex is the highest number of a product, list, promotion, dimension or metric.
const maxIndex = 200

// Config configures the decoder. The zero value makes one event of each hit, of which the ua
// sink makes the same hit again.
type Config struct {
	// TrackingIDs are the properties whose hits are taken, such as UA-12345-6. Empty: all.
	TrackingIDs []string `yaml:"tracking_ids"`
	// TrustIPOverride believes the address in uip, which servers send for the visitor they
	// speak for. Intake then treats it like the address of any client. Otherwise it is
	// discarded; it is never stored as it came.
	TrustIPOverride bool `yaml:"trust_ip_override"`
	// Grant are purposes that the visitors have agreed to whose hits come here: the
	// protocol cannot state consent.
	Grant []sidetrack.Purpose `yaml:"grant"`
	// GA4Events turns hits into the events GA4 expects: a page view with a purchase becomes both,
	// each list of impressions an event, and the items of a transaction in the same request
	// become its items. Otherwise one hit is one event, named after its e-commerce action.
	GA4Events bool `yaml:"ga4_events"`
	// NetRevenue subtracts tax and shipping from the revenue of a transaction, because GA4's
	// value is without them. Otherwise the value is what tr says.
	NetRevenue bool `yaml:"net_revenue"`
	// Dimensions names custom dimensions by their index, for parameters of the event and of its
	// items: {plan: 3}. Others are called dimension<n>.
	Dimensions map[string]int `yaml:"dimensions"`
	// UserProperties names the custom dimensions that describe the user, by their index.
	UserProperties map[string]int `yaml:"user_properties"`
	// Metrics names custom metrics by their index. Others are called metric<n>.
	Metrics map[string]int `yaml:"metrics"`
	// CheckoutSteps names the events of checkout steps by their number: {add_shipping_info: 2}.
	// Step 1 is begin_checkout, others are checkout_progress.
	CheckoutSteps map[string]int `yaml:"checkout_steps"`
}

// Defaults is what a configuration file starts from: events for GA4.
func Defaults() Config { return Config{GA4Events: true} }

// New returns the decoder.
func New(cfg Config) (sidetrack.Decoder, error) {
	d := &decoder{cfg: cfg, now: time.Now, scratch: sync.Pool{New: func() any { return new(gawire.Request) }}}
	var errs [4]error
	d.dimensions, errs[0] = byIndex("dimensions", cfg.Dimensions)
	d.properties, errs[1] = byIndex("user_properties", cfg.UserProperties)
	d.metrics, errs[2] = byIndex("metrics", cfg.Metrics)
	d.steps, errs[3] = byIndex("checkout_steps", cfg.CheckoutSteps)
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	for i := range d.properties {
		if name, twice := d.dimensions[i]; twice {
			return nil, &sidetrack.FieldError{Field: "user_properties", Problem: fmt.Sprintf("names dimension %d, which is called %s already", i, name)}
		}
	}
	return d, nil
}

// byIndex turns names around.
func byIndex(field string, names map[string]int) (map[int]string, error) {
	out := make(map[int]string, len(names))
	for name, i := range names {
		switch _, twice := out[i]; {
		case twice:
			return nil, &sidetrack.FieldError{Field: field, Problem: fmt.Sprintf("names number %d twice", i)}
		case i < 1 || i > maxIndex:
			return nil, &sidetrack.FieldError{Field: field + "." + name, Problem: fmt.Sprintf("must be a number from 1 to %d", maxIndex)}
		case name == "" || gawire.ParamName(name) != name:
			return nil, &sidetrack.FieldError{Field: field, Problem: "has a name that is empty, too long or not plain text"}
		}
		out[i] = name
	}
	return out, nil
}

type decoder struct {
	cfg                                    Config
	dimensions, properties, metrics, steps map[int]string
	now                                    func() time.Time
	scratch                                sync.Pool // of *gawire.Request
}

// Decode implements sidetrack.Decoder.
func (d *decoder) Decode(r *http.Request) (sidetrack.Decoded, error) {
	req := d.scratch.Get().(*gawire.Request)
	defer func() {
		req.Release()
		d.scratch.Put(req)
	}()
	body, err := req.Read(r)
	if err != nil {
		return sidetrack.Decoded{}, err
	}
	var hits []result
	for line := range gawire.Lines(body) {
		if len(hits) == maxHits {
			hits = append(hits, result{err: &sidetrack.FieldError{Field: "body", Problem: "has too many hits, a batch may carry 20"}})
			break
		}
		req.Form(line)
		hits = append(hits, d.hit(req, r))
	}
	single := len(hits) == 0
	if single {
		hits = append(hits, d.hit(req, r))
	}
	if strings.HasSuffix(r.URL.Path, "/debug/collect") {
		return validation(r, body, hits)
	}
	if single && hits[0].err != nil {
		return sidetrack.Decoded{}, hits[0].err
	}
	if d.cfg.GA4Events {
		joinItems(hits)
	}
	out := sidetrack.Decoded{Reply: reply(r.URL.Path)}
	for i, h := range hits {
		if h.err != nil {
			out.Errors = append(out.Errors, sidetrack.ElementError{Index: i, Err: h.err})
			continue
		}
		for _, e := range h.events {
			out.Events = append(out.Events, e)
			out.Indexes = append(out.Indexes, i)
		}
	}
	if single && len(out.Events) == 1 {
		out.Indexes = nil
	}
	return out, nil
}

// result is what became of one hit.
type result struct {
	events []*sidetrack.Event
	err    error
}

// hit decodes the query and, over it, the line.
func (d *decoder) hit(req *gawire.Request, r *http.Request) result {
	h := hit{d: d, e: new(sidetrack.Event)}
	for i := range req.Query {
		h.set(&req.Query[i])
	}
	for i := range req.Line {
		h.set(&req.Line[i])
	}
	if err := h.check(); err != nil {
		return result{err: err}
	}
	if len(d.cfg.TrackingIDs) > 0 && !slices.Contains(d.cfg.TrackingIDs, h.tid) {
		return result{err: &sidetrack.FieldError{Field: "tid", Problem: "is not collected here"}}
	}
	if d.cfg.TrustIPOverride {
		gawire.Relay(h.e, r, h.address)
	}
	h.common()
	if d.cfg.GA4Events {
		return result{events: h.events()}
	}
	return result{events: []*sidetrack.Event{h.whole()}}
}

// gif is a transparent image of one pixel, the answer to every hit.
const gif = "GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

// reply is what the path's clients expect. That /j/collect answers 1 for "nothing more to do" is
// not documented.
func reply(path string) sidetrack.Reply {
	if strings.HasSuffix(path, "/j/collect") {
		return sidetrack.Reply{Status: http.StatusOK, ContentType: "text/plain", Body: []byte("1")}
	}
	return sidetrack.Reply{Status: http.StatusOK, ContentType: "image/gif", Body: []byte(gif)}
}

// fieldOf returns the parameter an error is about and what is wrong with it.
func fieldOf(err error) (field, problem string) {
	if f, ok := errors.AsType[*sidetrack.FieldError](err); ok {
		return f.Field, f.Problem
	}
	return "", "cannot be read"
}
