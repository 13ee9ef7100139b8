package sources

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

//go:generate go run wrap_generate.go

// abilities are the optional methods of a ResponseWriter.
type abilities uint8

const (
	canFlush abilities = 1 << iota
	canFlushError
	canHijack
	canPush
	canReadFrom
	canWriteString
	canCloseNotify
)

// wrap returns a ResponseWriter with just the optional methods that the wrapped one has: handlers
// ask for them and behave by the answer. What http.ResponseController offers
// beyond, deadlines and full duplex, it finds through Unwrap.
func (r *recorder) wrap() http.ResponseWriter { return r.with(abilitiesOf(r.w)) }

func abilitiesOf(w http.ResponseWriter) (set abilities) {
	if _, ok := w.(http.Flusher); ok {
		set |= canFlush
	}
	if _, ok := w.(flushErrorer); ok {
		set |= canFlushError
	}
	if _, ok := w.(http.Hijacker); ok {
		set |= canHijack
	}
	if _, ok := w.(http.Pusher); ok {
		set |= canPush
	}
	if _, ok := w.(io.ReaderFrom); ok {
		set |= canReadFrom
	}
	if _, ok := w.(io.StringWriter); ok {
		set |= canWriteString
	}
	if _, ok := w.(closeNotify); ok {
		set |= canCloseNotify
	}
	return set
}

// flushErrorer is what http.ResponseController asks for.
type flushErrorer interface{ FlushError() error }

// closeNotify is http.CloseNotifier, which is deprecated but asked for by routers that
// wrap writers themselves.
type closeNotify interface{ CloseNotify() <-chan bool }

// Each of these is the recorder with one more method.
type (
	flusher       recorder
	errorFlusher  recorder
	hijacker      recorder
	pusher        recorder
	readerFrom    recorder
	stringWriter  recorder
	closeNotifier recorder
)

// Flush implements http.Flusher. It sends the header if that has not happened.
func (f *flusher) Flush() {
	(*recorder)(f).note(http.StatusOK, nil)
	f.w.(http.Flusher).Flush()
}

// FlushError serves http.ResponseController.
func (f *errorFlusher) FlushError() error {
	(*recorder)(f).note(http.StatusOK, nil)
	return f.w.(flushErrorer).FlushError()
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := h.w.(http.Hijacker).Hijack()
	h.hijacked = h.hijacked || err == nil
	return c, rw, err
}

// Push implements http.Pusher.
func (p *pusher) Push(target string, opts *http.PushOptions) error {
	return p.w.(http.Pusher).Push(target, opts)
}

// CloseNotify implements http.CloseNotifier.
func (c *closeNotifier) CloseNotify() <-chan bool { return c.w.(closeNotify).CloseNotify() }

// WriteString implements io.StringWriter.
func (s *stringWriter) WriteString(text string) (int, error) {
	r := (*recorder)(s)
	r.noteBody([]byte(text[:min(len(text), r.reads())]))
	return s.w.(io.StringWriter).WriteString(text)
}

// ReadFrom implements io.ReaderFrom, so that files still go out by sendfile. As in
// net/http the beginning is copied where it has to be looked at.
func (f *readerFrom) ReadFrom(src io.Reader) (n int64, err error) {
	r := (*recorder)(f)
	if limit := int64(r.reads()); limit > 0 {
		n, err = io.Copy(writeOnly{r}, io.LimitReader(src, limit))
		if err != nil || n < limit {
			return n, err
		}
	}
	r.note(http.StatusOK, nil)
	rest, err := r.w.(io.ReaderFrom).ReadFrom(src)
	return n + rest, err
}

// writeOnly hides ReadFrom from io.Copy.
type writeOnly struct{ io.Writer }
