package gawire

import (
	"bytes"
	"io"
	"net/http"
	"strconv"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/clientip"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// MaxBody bounds the body of a request of hits, in bytes. Google's clients stay below 16 KiB.
const MaxBody = 64 << 10

// Request reads requests whose query and body are forms, the body one a line. Its memory is for
// reuse: the zero value is ready, and it belongs to one goroutine.
type Request struct {
	Query []Pair // of the last Read
	Line  []Pair // of the last Form

	body bytes.Buffer
}

// Read takes in the query and returns the body as text. The error is an
// *sidetrack.HTTPError when the body is too large, else what reading it said.
func (q *Request) Read(r *http.Request) (body string, err error) {
	q.Query, q.Line = AppendPairs(q.Query[:0], r.URL.RawQuery), q.Line[:0]
	if r.Body == nil || r.Body == http.NoBody {
		return "", nil
	}
	q.body.Reset()
	n, err := q.body.ReadFrom(io.LimitReader(r.Body, MaxBody+1))
	if err != nil {
		return "", err
	}
	if n > MaxBody {
		return "", &sidetrack.HTTPError{
			Status: http.StatusRequestEntityTooLarge, Err: &sidetrack.FieldError{Field: "body", Problem: "is larger than 65536 bytes"},
		}
	}
	return q.body.String(), nil
}

// Form takes in one line of the body; "" is none.
func (q *Request) Form(line string) { q.Line = AppendPairs(q.Line[:0], line) }

// Release lets go of the strings of the last request.
func (q *Request) Release() {
	clear(q.Query[:cap(q.Query)])
	clear(q.Line[:cap(q.Line)])
}

// Relay gives e the origin of the visitor for whom a server sent r. address is what it said of
// the visitor's; nothing happens when that is none.
func Relay(e *sidetrack.Event, r *http.Request, address string) {
	ip, ok := clientip.Parse(address)
	if !ok {
		return
	}
	e.SetOrigin(sidetrack.NewOrigin(ip, r))
	if e.Device.UserAgent == "" {
		e.Device.UserAgent = text.Clean(r.UserAgent(), 1024)
	}
}

// Whole reads a whole number that is not negative; ok is false for anything else.
func Whole(s string) (n int64, ok bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, false
	}
	return n, true
}

// ParamName makes s fit for the name of a parameter of an event.
func ParamName(s string) string { return text.Clean(s, sidetrack.MaxNameBytes) }
