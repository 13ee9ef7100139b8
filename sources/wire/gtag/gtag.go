// Package gtag decodes the hits that gtag.js, Google Tag Manager and compatible trackers send to
// /g/collect: the protocol of GA4's web SDK, version 2.
//
// Google does not document it. What is implemented here was read from gtag.js as Google serves
// it and from independent implementations; docs/protocols-in-google.md has the mapping.
package gtag

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// Paths returns where the clients of this protocol send their hits.
func Paths() []string { return []string{"/g/collect"} }

// Limits of one request. gtag.js sends at most 20 events and 16,384 characters of their
// parameters at a time.
const (
	maxLines = 100
	maxItems = sidetrack.MaxItems
)

// Config configures the decoder. The zero value takes the hits of every measurement id.
type Config struct {
	// MeasurementIDs are the streams whose hits are taken, such as G-XXXXXXXXXX. Empty: all.
	MeasurementIDs []string `yaml:"measurement_ids"`
	// TrustIPOverride believes the address in _uip, which servers send for the visitor they
	// speak for. Intake then treats it like the address of any client. Otherwise it is
	// discarded; it is never stored as it came.
	TrustIPOverride bool `yaml:"trust_ip_override"`
	// Grant are purposes that the visitors have agreed to whose hits come here: it
	// holds where a hit itself is silent, because the page has no consent mode.
	Grant []sidetrack.Purpose `yaml:"grant"`
}

// New returns the decoder. One line of a batch, or the query alone, is one event.
func New(cfg Config) (sidetrack.Decoder, error) {
	for _, id := range cfg.MeasurementIDs {
		if !strings.HasPrefix(id, "G-") || len(id) < 4 {
			return nil, &sidetrack.FieldError{Field: "measurement_ids", Problem: "holds something that has not the form G-XXXXXXXXXX"}
		}
	}
	return &decoder{cfg: cfg, scratch: sync.Pool{New: func() any { return new(scratch) }}}, nil
}

type decoder struct {
	cfg     Config
	scratch sync.Pool // of *scratch
}

// scratch is the memory one request needs for itself.
type scratch struct {
	gawire.Request
	params []gawire.Param
	items  []numbered
}

// Decode implements sidetrack.Decoder.
func (d *decoder) Decode(r *http.Request) (sidetrack.Decoded, error) {
	s := d.scratch.Get().(*scratch)
	defer d.release(s)
	body, err := s.Read(r)
	if err != nil {
		return sidetrack.Decoded{}, err
	}
	out := sidetrack.Decoded{Reply: reply(s.Query)}
	index := 0
	for line := range gawire.Lines(body) {
		if index == maxLines {
			out.Errors = append(out.Errors, sidetrack.ElementError{
				Index: index, Err: &sidetrack.FieldError{Field: "body", Problem: "has too many lines, 100 are taken"},
			})
			break
		}
		s.Form(line)
		e, err := d.event(s, r)
		if err != nil {
			out.Errors = append(out.Errors, sidetrack.ElementError{Index: index, Err: err})
		} else {
			out.Events = append(out.Events, e)
			out.Indexes = append(out.Indexes, index)
		}
		index++
	}
	if index > 0 {
		return out, nil
	}
	e, err := d.event(s, r)
	if err != nil {
		return sidetrack.Decoded{}, err
	}
	out.Events = []*sidetrack.Event{e}
	return out, nil
}

// release keeps the memory for the next request, without the strings of this one.
func (d *decoder) release(s *scratch) {
	s.Release()
	clear(s.params[:cap(s.params)])
	clear(s.items[:cap(s.items)])
	d.scratch.Put(s)
}

// reply is 204, or an empty 200 for clients that would read a stream of instructions: others than
// 200 they do not take for an answer, and instructions are for them to fetch addresses of our choice.
func reply(query []gawire.Pair) sidetrack.Reply {
	if n := len(query); n > 0 && query[n-1].Key == "richsstsse" {
		return sidetrack.Reply{Status: http.StatusOK, ContentType: "text/event-stream", Body: []byte{}}
	}
	return sidetrack.Reply{Status: http.StatusNoContent, Body: []byte{}}
}

// event makes one event of the query and, over it, the line.
func (d *decoder) event(s *scratch, r *http.Request) (*sidetrack.Event, error) {
	h := hit{e: new(sidetrack.Event), params: s.params[:0], items: s.items[:0]}
	for i := range s.Query {
		h.set(&s.Query[i])
	}
	for i := range s.Line {
		h.set(&s.Line[i])
	}
	err := h.finish()
	s.params, s.items = h.params, h.items
	switch {
	case err != nil:
		return nil, err
	case len(d.cfg.MeasurementIDs) > 0 && !slices.Contains(d.cfg.MeasurementIDs, h.tid):
		return nil, &sidetrack.FieldError{Field: "tid", Problem: "is not collected here"}
	}
	gawire.Grant(&h.e.Consent, d.cfg.Grant)
	if d.cfg.TrustIPOverride {
		gawire.Relay(h.e, r, h.address)
	}
	return h.e, nil
}
