package sources

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// Bounds of an event of the script.
const (
	maxScriptEvent  = 16 << 10
	maxScriptParams = 25
	maxEngagement   = 12 * time.Hour
)

// scriptEvent is what the script sends.
type scriptEvent struct {
	Name       string         `json:"name"`
	URL        string         `json:"url"`
	Title      string         `json:"title"`
	Referrer   string         `json:"referrer"`
	Engagement float64        `json:"engagement"` // milliseconds
	Params     map[string]any `json:"params"`
	screen
}

// screen is what only the browser knows of the visitor's device.
type screen struct {
	Screen   string  `json:"screen"`
	Viewport string  `json:"viewport"`
	Colors   float64 `json:"colors"`
	Language string  `json:"language"`
}

// describe takes over what has the right form.
func (s screen) describe(d *sidetrack.Device) {
	if isSize(s.Screen) {
		d.Screen = s.Screen
	}
	if isSize(s.Viewport) {
		d.Viewport = s.Viewport
	}
	if s.Colors >= 1 && s.Colors <= 64 {
		d.Colors = int(s.Colors)
	}
	if tag := firstLanguage(s.Language); tag != "" {
		d.Language = tag
	}
}

// isSize reports whether s is width x height in pixels.
func isSize(s string) bool {
	w, h, ok := strings.Cut(s, "x")
	return ok && isPixels(w) && isPixels(h)
}

func isPixels(s string) bool {
	n, err := strconv.ParseUint(s, 10, 32)
	return err == nil && n > 0 && n <= 65535 && s[0] != '0'
}

func number(s string) float64 {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) {
		return 0
	}
	return n
}

// event takes an event of the script.
func (e *endpoints) event(w http.ResponseWriter, r *http.Request) {
	s, err := e.readEvent(w, r)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	case e.fromSite(r) && e.sameSite(r, s.URL):
		e.track(w, r, s.Name, s.URL, s.complete)
	}
	w.WriteHeader(http.StatusNoContent)
}

var errScriptEvent = errors.New("want an event of the script as JSON")

func (e *endpoints) readEvent(w http.ResponseWriter, r *http.Request) (s scriptEvent, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxScriptEvent))
	if err != nil {
		return s, errors.New("cannot read the body, or it is too long")
	}
	if !utf8.Valid(body) || json.Unmarshal(body, &s) != nil {
		return s, errScriptEvent
	}
	if !e.names[s.Name] {
		return s, errors.New("pages may not send an event of that name: it is not among EndpointsConfig.Events")
	}
	return s, nil
}

func (s scriptEvent) complete(e *sidetrack.Event) {
	e.Page.Title = text.Clean(s.Title, maxTitle)
	e.Page.Referrer = cleanURL(s.Referrer)
	if ms := s.Engagement; ms > 0 && ms <= float64(maxEngagement/time.Millisecond) {
		e.Visitor.Engagement = time.Duration(ms) * time.Millisecond
	}
	s.describe(&e.Device)
	for k, v := range s.Params {
		if len(e.Params) == maxScriptParams {
			return
		}
		k = text.Clean(k, sidetrack.MaxNameBytes)
		switch v := v.(type) {
		case string:
			e.SetParam(k, text.Clean(v, maxURL))
		case bool, float64:
			e.SetParam(k, v)
		}
	}
}
