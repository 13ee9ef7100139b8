package sources

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// defaultDecoders are the protocols of a collector that is told of none.
func defaultDecoders() (sidetrack.Mounts, error) {
	json, err := NewJSON(JSONConfig{})
	if err != nil {
		return nil, err
	}
	pixel, err := NewPixel(PixelConfig{})
	if err != nil {
		return nil, err
	}
	return sidetrack.Mounts{
		{Name: "json", Paths: []string{JSONPath}, Decoder: json},
		{Name: "pixel", Paths: []string{PixelPath}, Decoder: pixel},
	}, nil
}

// Mount serves another wire protocol at a pattern of http.ServeMux, such as "POST /v1/batch"
// or "/g/collect". It must not be called while requests are served.
func (c *Collector) Mount(pattern string, d sidetrack.Decoder) error {
	if err := c.handle(pattern, c.decoding(fmt.Sprintf("%T", d), d)); err != nil {
		return fmt.Errorf("sources: mount %q: %w", pattern, err)
	}
	return nil
}

// handle is ServeMux.Handle with an error where that panics: for bad patterns and conflicts.
func (c *Collector) handle(pattern string, h http.Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	c.mux.Handle(pattern, h)
	return nil
}

// mountAll serves the decoders of a configuration. Every problem is a *sidetrack.FieldError at
// its decoder.
func (c *Collector) mountAll(mounts sidetrack.Mounts) (errs []error) {
	if mounts == nil {
		var err error
		if mounts, err = defaultDecoders(); err != nil {
			return []error{err}
		}
	}
	served := map[string]string{"GET " + healthPath: "the health check"} // by pattern: who
	for _, m := range mounts {
		if err := c.mountOne(m, served); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func (c *Collector) mountOne(m sidetrack.Mount, served map[string]string) error {
	problem := func(field, format string, args ...any) error {
		return &sidetrack.FieldError{Field: "decoders." + m.Name + field, Problem: fmt.Sprintf(format, args...)}
	}
	host, prefix, ok := splitAt(m.At)
	switch {
	case !ok:
		return problem(".at", "%q is no place: write a path such as /ua, a host such as t.example, or both", m.At)
	case m.Decoder == nil || len(m.Paths) == 0:
		return problem("", "has no decoder or no path")
	}
	h := c.decoding(m.Name, m.Decoder)
	if prefix != "" {
		h = http.StripPrefix(prefix, h)
	}
	for _, p := range m.Paths {
		method, path, ok := strings.Cut(p, " ")
		if !ok {
			method, path = "", p
		} else {
			method += " "
		}
		pattern := method + host + prefix + path
		if err := c.handle(pattern, h); err != nil {
			if other, already := conflict(pattern, served); already {
				return problem("", "wants %s, which %s serves already: move one of them with at: /prefix", pattern, other)
			}
			return problem("", "has the path %q, which cannot be served: %v", pattern, err)
		}
		served[pattern] = m.Name
	}
	return nil
}

// conflict returns who serves a pattern that cannot stand beside the new one.
func conflict(pattern string, served map[string]string) (name string, found bool) {
	for p, name := range served {
		probe := Collector{mux: http.NewServeMux()}
		if probe.handle(p, http.NotFoundHandler()) == nil && probe.handle(pattern, http.NotFoundHandler()) != nil {
			if (&Collector{mux: http.NewServeMux()}).handle(pattern, http.NotFoundHandler()) == nil {
				return name, true
			}
		}
	}
	return "", false
}

var place = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?((?:/[A-Za-z0-9._~-]+)*)$`)

// splitAt takes the place of a Mount apart.
func splitAt(at string) (host, prefix string, ok bool) {
	m := place.FindStringSubmatch(at)
	if m == nil || strings.Contains(at, "/./") || strings.Contains(at, "/../") || strings.HasSuffix(at, "/.") || strings.HasSuffix(at, "/..") {
		return "", "", false
	}
	return m[1], m[3], true
}
