package generic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// eventsName is the placeholder for the list of a batch.
const eventsName = "events"

const maxHeader = 2000 // bytes of a header's value that comes from an event

type generator struct {
	names                  map[string]string
	method                 string
	url, json, batch       template
	queries, headers, form map[string]template
	query                  url.Values // credentials
	header                 http.Header
}

// Request makes the request of one event, or of a batch.
func (g *generator) Request(u sidetrack.Unit) (*sidetrack.Request, error) {
	switch {
	case len(u.Events) == 0:
		return nil, errors.New("generic: no events")
	case g.batch == nil && len(u.Events) > 1:
		return nil, fmt.Errorf("generic: one event a request, got %d", len(u.Events))
	}
	s := scope{"unit": map[string]any{"id": u.ID.String(), "time": u.At.UTC().Format(time.RFC3339Nano)}}
	if g.batch == nil {
		if err := g.add(s, u.Events[0]); err != nil {
			return nil, err
		}
		return g.request(s, g.json)
	}
	failed := map[int]error{}
	list := make([]any, 0, len(u.Events))
	for i, e := range u.Events {
		v, err := g.event(s, e)
		if err != nil {
			failed[i] = err
			continue
		}
		list = append(list, v)
	}
	var partial error
	if len(failed) > 0 {
		partial = &sidetrack.PartialError{Failed: failed}
	}
	if len(list) == 0 {
		return nil, partial
	}
	s[eventsName] = list
	r, err := g.request(s, g.batch)
	if err != nil {
		return nil, err
	}
	return r, partial
}

// add puts an event's JSON form into s. Numbers stay as they are written.
func (g *generator) add(s scope, e *sidetrack.Event) error {
	b, err := e.AppendJSON(nil)
	if err != nil {
		return fmt.Errorf("generic: encode: %w", err)
	}
	var tree map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return fmt.Errorf("generic: read the event's JSON: %w", err)
	}
	if name, ok := g.names[e.Name]; ok {
		tree["name"] = name
	}
	maps.Copy(s, tree)
	return nil
}

// event is one element of a batch.
func (g *generator) event(unit scope, e *sidetrack.Event) (any, error) {
	s := maps.Clone(unit)
	if err := g.add(s, e); err != nil {
		return nil, err
	}
	return g.fillBody(g.json, s)
}

// fillBody is a body with at least an empty object for it.
func (g *generator) fillBody(t template, s scope) (any, error) {
	v, present, err := t.fill(s)
	if err == nil && !present {
		v = map[string]any{}
	}
	return v, err
}

func (g *generator) request(s scope, body template) (*sidetrack.Request, error) {
	r := &sidetrack.Request{Method: g.method, Header: g.header.Clone()}
	address, err := g.address(s)
	if err != nil {
		return nil, err
	}
	query, err := fillValues(g.queries, s)
	if err != nil {
		return nil, err
	}
	maps.Copy(query, g.query)
	if r.URL = address; len(query) > 0 {
		r.URL += "?" + query.Encode()
	}
	kind := ""
	switch {
	case body != nil:
		v, err := g.fillBody(body, s)
		if err != nil {
			return nil, err
		}
		if r.Body, err = json.Marshal(v); err != nil {
			return nil, fmt.Errorf("generic: encode: %w", err)
		}
		kind = "application/json"
	case g.form != nil:
		form, err := fillValues(g.form, s)
		if err != nil {
			return nil, err
		}
		r.Body, kind = []byte(form.Encode()), "application/x-www-form-urlencoded"
	}
	headers, err := fillValues(g.headers, s)
	if err != nil {
		return nil, err
	}
	for name := range headers {
		if r.Header.Get(name) == "" { // credentials win
			r.Header.Set(name, text.Clean(headers.Get(name), maxHeader))
		}
	}
	if kind != "" && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", kind)
	}
	return r, nil
}

// address fills the path of the URL. What comes from the event stays one segment.
func (g *generator) address(s scope) (string, error) {
	parts, ok := g.url.(mixed)
	if !ok {
		parts = mixed{g.url}
	}
	var b strings.Builder
	for _, t := range parts {
		v, present, err := t.fill(s)
		if err != nil {
			return "", err
		}
		p, variable := t.(placeholder)
		if !variable {
			b.WriteString(asText(v))
			continue
		}
		segment := asText(v)
		if !present || segment == "" || segment == "." || segment == ".." {
			return "", fmt.Errorf("generic: nothing for %s in the path of the URL", p.path)
		}
		b.WriteString(url.PathEscape(segment))
	}
	return b.String(), nil
}

func fillValues(templates map[string]template, s scope) (url.Values, error) {
	out := url.Values{}
	for name, t := range templates {
		v, present, err := t.fill(s)
		if err != nil {
			return nil, err
		}
		if present {
			out.Set(name, asText(v))
		}
	}
	return out, nil
}
