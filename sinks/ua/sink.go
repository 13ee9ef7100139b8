package ua

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/sidetrack-go/sidetrack"
)

// Request makes the request of a unit: of one event, or of a batch. Events whose hits are not valid are left out.
func (g *generator) Request(u sidetrack.Unit) (*sidetrack.Request, error) {
	if len(u.Events) == 0 {
		return nil, errors.New("ua: no events")
	}
	var body []byte
	var notes []sidetrack.Note
	failed := map[int]error{}
	hits := 0
	for i, e := range u.Events {
		w := encoder{clip: g.cfg.TooLong == "clip", event: i}
		lines, err := g.lines(e, u, &w)
		if err != nil {
			failed[i] = err
			continue
		}
		for _, line := range lines {
			if len(body) > 0 {
				body = append(body, '\n')
			}
			body = append(body, line...)
			hits++
		}
		notes = append(notes, w.notes...)
	}
	var err error
	if len(failed) > 0 {
		err = &sidetrack.PartialError{Failed: failed}
	}
	switch {
	case hits == 0:
		return nil, err
	case hits > maxBatch && len(u.Events) > 1: // the items of classic purchases
		return nil, fmt.Errorf("ua: %d hits, at most %d in a batch", hits, maxBatch) // the engine halves it
	case g.cfg.Batch:
		return &sidetrack.Request{URL: g.url, Header: http.Header{"Content-Type": {"text/plain; charset=UTF-8"}}, Body: body, Notes: notes}, err
	case g.cfg.Method == "get":
		z := "&z=" + strconv.FormatUint(uint64(binary.BigEndian.Uint32(u.ID[12:]))^uint64(u.At.UnixMilli()), 10)
		if address := g.url + "?" + string(body) + z; len(address) <= MaxURL {
			return &sidetrack.Request{Method: http.MethodGet, URL: address, Notes: notes}, err
		}
	}
	return &sidetrack.Request{URL: g.url, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: body, Notes: notes}, err
}

// lines encodes the hits of one event.
func (g *generator) lines(e *sidetrack.Event, u sidetrack.Unit, w *encoder) ([]string, error) {
	hits, err := g.hits(e, u.At, w)
	if err != nil {
		return nil, err
	}
	if len(hits) > maxBatch {
		return nil, fmt.Errorf("ua: %s: %d hits of one event, at most %d in a batch: enhanced e-commerce makes one of it", RuleTooMany, len(hits), maxBatch)
	}
	var out []string
	for i := range hits {
		h := &hits[i]
		w.b, w.problems, w.overrides = nil, nil, h.Extra
		h.append(w)
		if err := h.check(w); err != nil {
			return nil, err
		}
		out = append(out, string(w.b))
	}
	return out, nil
}
