package sources

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
)

// MaxElements is how many events one request may carry.
const MaxElements = 5000

// native decodes sidetrack's own format: one event, an array of events,
// {"batch": [...]} or one event a line. It looks at the content and never at the
// content type, because beacons send text/plain and others lie.
type native struct {
	buffers sync.Pool
	reply   sidetrack.Reply // for one event
}

// JSONConfig configures the decoder of sidetrack's own JSON.
type JSONConfig struct {
	// Status of the answer for one event: 204, or 200 with a body as several events get it. Default: 204.
	Status int `yaml:"status"`
}

// Where the collector's own decoders are served by default.
const (
	JSONPath  = "POST /collect"
	PixelPath = "GET /pixel.gif"
)

// NewJSON returns the decoder of sidetrack's own JSON.
func NewJSON(cfg JSONConfig) (sidetrack.Decoder, error) {
	n := &native{buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
	switch cfg.Status {
	case 0, http.StatusNoContent:
		n.reply = sidetrack.Reply{Status: http.StatusNoContent}
	case http.StatusOK: // the collector writes it
	default:
		return nil, wrongStatus(cfg.Status)
	}
	return n, nil
}

func wrongStatus(status int) error {
	return &sidetrack.FieldError{Field: "status", Problem: fmt.Sprintf("%d is neither 200 nor 204", status)}
}

// maxPooled is the largest buffer kept for the next request.
const maxPooled = 1 << 20

// Decode implements sidetrack.Decoder.
func (n *native) Decode(r *http.Request) (sidetrack.Decoded, error) {
	if r.Body == nil {
		return sidetrack.Decoded{}, &sidetrack.FieldError{Field: "body", Problem: "is empty, want JSON"}
	}
	buf := n.buffers.Get().(*bytes.Buffer)
	buf.Reset()
	defer func() {
		if buf.Cap() <= maxPooled {
			n.buffers.Put(buf)
		}
	}()
	if _, err := io.Copy(buf, r.Body); err != nil {
		return sidetrack.Decoded{}, fmt.Errorf("sources: read request: %w", err)
	}
	d, err := decodeNative(strings.TrimPrefix(buf.String(), "\ufeff"), isLines(first(r.Header, "Content-Type")))
	if len(d.Events) == 1 && d.Indexes == nil {
		d.Reply = n.reply
	}
	d.Keys = keysOf(r)
	return d, err
}

// isLines reports whether a content type announces one JSON value a line.
func isLines(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-lines", "application/x-jsonlines":
		return true
	}
	return false
}

func decodeNative(s string, lines bool) (sidetrack.Decoded, error) {
	s = trimSpace(s)
	if s == "" {
		return sidetrack.Decoded{}, &sidetrack.FieldError{Field: "body", Problem: "is empty, want JSON"}
	}
	var elements []string
	var err error
	switch {
	case lines:
		elements, err = splitLines(s)
	case s[0] == '[':
		elements, err = wholeArray(s)
	case s[0] == '{':
		if !strings.Contains(s, `batch"`) { // most requests: do not look for the end first
			if d, err := single(s); err == nil {
				return d, nil
			}
		}
		end, scanErr := skipValue(s, 0)
		switch {
		case scanErr == nil && end == len(s):
			if strings.Contains(s, `"batch"`) {
				if array, ok, batchErr := batchOf(s); ok || batchErr != nil {
					if batchErr != nil {
						return sidetrack.Decoded{}, batchErr
					}
					elements, err = wholeArray(array)
					break
				}
			}
			return single(s)
		case manyLines(s):
			elements, err = splitLines(s)
		case scanErr != nil:
			err = scanErr
		default:
			err = fmt.Errorf("has something after the event, at byte %d", end)
		}
	default:
		err = errors.New("is no JSON object or array")
	}
	if err != nil {
		if _, ok := errors.AsType[*sidetrack.HTTPError](err); !ok {
			err = &sidetrack.FieldError{Field: "body", Problem: err.Error()}
		}
		return sidetrack.Decoded{}, err
	}
	return batch(elements)
}

func single(s string) (sidetrack.Decoded, error) {
	e, err := parse(s)
	if err != nil {
		return sidetrack.Decoded{}, err
	}
	return sidetrack.Decoded{Events: []*sidetrack.Event{e}}, nil
}

// batch decodes each element by itself, so that a bad one costs only itself. An id that
// was there before in the same request is an error: one of the two would vanish silently.
func batch(elements []string) (sidetrack.Decoded, error) {
	if len(elements) == 0 {
		return sidetrack.Decoded{}, &sidetrack.FieldError{Field: "batch", Problem: "is empty"}
	}
	d := sidetrack.Decoded{
		Events:  make([]*sidetrack.Event, 0, len(elements)),
		Indexes: make([]int, 0, len(elements)),
	}
	var ids map[uuid.UUID]int
	var messages map[[2]string]int
	for i, s := range elements {
		e, err := parse(s)
		if err == nil && e.ID != uuid.Nil {
			err = repeated(&ids, e.ID, i, "id")
		}
		if err == nil && e.MessageID != "" {
			err = repeated(&messages, [2]string{e.Site, e.MessageID}, i, "message_id")
		}
		if err != nil {
			d.Errors = append(d.Errors, sidetrack.ElementError{Index: i, Err: err})
			continue
		}
		d.Events = append(d.Events, e)
		d.Indexes = append(d.Indexes, i)
	}
	return d, nil
}

// parse decodes one element.
func parse(s string) (*sidetrack.Event, error) {
	if s[0] != '{' {
		return nil, &sidetrack.FieldError{Problem: "is no JSON object"}
	}
	return sidetrack.ParseEvent(s)
}

func repeated[K comparable](seen *map[K]int, key K, i int, field string) error {
	if first, ok := (*seen)[key]; ok {
		return &sidetrack.FieldError{Field: field, Problem: fmt.Sprintf("is the same as that of element %d", first)}
	}
	if *seen == nil {
		*seen = make(map[K]int)
	}
	(*seen)[key] = i
	return nil
}
