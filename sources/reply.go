package sources

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/sidetrack-go/sidetrack"
)

// answer is the body of every answer that has something to say.
type answer struct {
	Accepted int           `json:"accepted"`
	Errors   []answerError `json:"errors,omitempty"`
}

// answerError says what is wrong with one element, or with the request as a whole
// when it has no index.
type answerError struct {
	Index   *int   `json:"index,omitempty"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}

// writeError answers for a request of which nothing was stored.
func (c *Collector) writeError(w http.ResponseWriter, err error) {
	status := statusOf(err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", c.retryAfter)
	}
	writeJSON(w, status, answer{Errors: []answerError{describe(err)}})
}

func writeJSON(w http.ResponseWriter, status int, a answer) {
	body, err := json.Marshal(a)
	if err != nil { // strings and numbers only: cannot happen
		body = []byte(`{"accepted":0}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// statusOf finds the status for an error that concerns the whole request.
func statusOf(err error) int {
	if h, ok := errors.AsType[*sidetrack.HTTPError](err); ok && h.Status >= 400 && h.Status < 600 {
		return h.Status
	}
	if _, ok := errors.AsType[*sidetrack.FieldError](err); ok {
		return http.StatusBadRequest
	}
	if noCapacity(err) {
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// noCapacity reports whether the same request may well succeed a little later.
func noCapacity(err error) bool {
	return errors.Is(err, sidetrack.ErrOverloaded) || errors.Is(err, sidetrack.ErrUnavailable) || errors.Is(err, sidetrack.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// describe tells the client what it can put right and nothing about the inside.
func describe(err error) answerError {
	if f, ok := errors.AsType[*sidetrack.FieldError](err); ok {
		return answerError{Field: cutName(f.Field), Message: cutName(f.Problem)}
	}
	if h, ok := errors.AsType[*sidetrack.HTTPError](err); ok {
		return answerError{Message: cutName(h.Error())}
	}
	if noCapacity(err) {
		return answerError{Message: "no capacity at the moment, try again"}
	}
	return answerError{Message: "internal error"}
}

// respond answers a decoded request after emitErr came back from Emit.
func (c *Collector) respond(w http.ResponseWriter, d sidetrack.Decoded, emitErr error) {
	element := func(i int) int {
		if d.Indexes != nil {
			return d.Indexes[i]
		}
		return i
	}
	single := d.Indexes == nil && len(d.Events) == 1 && len(d.Errors) == 0
	var errs []answerError
	accepted := len(d.Events)
	worst := http.StatusBadRequest
	for _, e := range d.Errors {
		a := describe(e.Err)
		a.Index = &e.Index
		errs = append(errs, a)
		if status := statusOf(e.Err); status < 500 {
			worst = max(worst, status)
		}
	}
	if emitErr != nil {
		refused, ok := errors.AsType[*sidetrack.RefusedError](emitErr)
		if !ok {
			c.writeError(w, emitErr)
			return
		}
		accepted -= len(refused.Refused)
		for _, r := range refused.Refused {
			// Without capacity the client has to send all again: there is no way to
			// tell it to repeat some elements that every client understands.
			if noCapacity(r.Err) {
				c.writeError(w, r.Err)
				return
			}
			a := describe(r.Err)
			if i := element(r.Index); !single {
				a.Index = &i
			}
			errs = append(errs, a)
			if r.Reason == sidetrack.ReasonTooLarge && accepted == 0 {
				worst = max(worst, http.StatusRequestEntityTooLarge)
			} else if r.Reason == sidetrack.ReasonProcessor {
				worst = max(worst, http.StatusInternalServerError)
			}
		}
	}
	switch {
	case accepted == 0 && len(errs) > 0:
		slices.SortStableFunc(errs, byIndex)
		writeJSON(w, worst, answer{Errors: errs})
	case d.Reply.Status != 0 && len(errs) == 0:
		c.reply(w, d.Reply)
	case d.Reply.Body != nil:
		c.reply(w, d.Reply) // a vendor's clients know no list of errors
	default:
		slices.SortStableFunc(errs, byIndex)
		writeJSON(w, http.StatusOK, answer{Accepted: accepted, Errors: errs})
	}
}

func byIndex(a, b answerError) int {
	i, j := -1, -1
	if a.Index != nil {
		i = *a.Index
	}
	if b.Index != nil {
		j = *b.Index
	}
	return cmp.Compare(i, j)
}

func (c *Collector) reply(w http.ResponseWriter, r sidetrack.Reply) {
	if r.ContentType != "" {
		w.Header().Set("Content-Type", r.ContentType)
	}
	if r.Status == 0 {
		r.Status = http.StatusOK
	}
	w.WriteHeader(r.Status)
	if len(r.Body) > 0 {
		_, _ = w.Write(r.Body)
	}
}
