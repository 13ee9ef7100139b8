package sources

import (
	"io"
	"net/http"
	"strings"
)

// recorder notes status and content type of an answer and passes everything on.
type recorder struct {
	w           http.ResponseWriter
	code        int    // 0: no header yet
	contentType string // at the time of the header
	sniffed     bool   // the handler named none: the first bytes decided
}

// wrap returns a ResponseWriter with just the optional interfaces that the
// wrapped one has: handlers ask for them and behave by the answer. io.ReaderFrom and
// io.StringWriter are always there because they can be emulated.
func (r *recorder) wrap() http.ResponseWriter {
	_, flush := r.w.(http.Flusher)
	hijacker, hijack := r.w.(http.Hijacker)
	pusher, push := r.w.(http.Pusher)
	f := flusher{r}
	switch {
	case flush && hijack && push:
		return struct {
			*recorder
			flusher
			http.Hijacker
			http.Pusher
		}{r, f, hijacker, pusher}
	case flush && hijack:
		return struct {
			*recorder
			flusher
			http.Hijacker
		}{r, f, hijacker}
	case flush && push:
		return struct {
			*recorder
			flusher
			http.Pusher
		}{r, f, pusher}
	case hijack && push:
		return struct {
			*recorder
			http.Hijacker
			http.Pusher
		}{r, hijacker, pusher}
	case flush:
		return struct {
			*recorder
			flusher
		}{r, f}
	case hijack:
		return struct {
			*recorder
			http.Hijacker
		}{r, hijacker}
	case push:
		return struct {
			*recorder
			http.Pusher
		}{r, pusher}
	}
	return r
}

// flusher flushes, which sends the header if that has not happened.
type flusher struct{ rec *recorder }

// Flush implements http.Flusher.
func (f flusher) Flush() {
	f.rec.note(http.StatusOK)
	f.rec.w.(http.Flusher).Flush()
}

// FlushError serves http.ResponseController.
func (f flusher) FlushError() error {
	f.rec.note(http.StatusOK)
	return http.NewResponseController(f.rec.w).Flush()
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.w }

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.w.Header() }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols {
		r.note(code)
	}
	r.w.WriteHeader(code)
}

func (r *recorder) note(code int) {
	if r.code == 0 {
		r.code, r.contentType = code, r.w.Header().Get("Content-Type")
	}
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	r.note(http.StatusOK)
	if r.contentType == "" && !r.sniffed && len(p) > 0 { // net/http does the same and tells nobody
		r.sniffed, r.contentType = true, http.DetectContentType(p)
	}
	return r.w.Write(p)
}

// WriteString implements io.StringWriter.
func (r *recorder) WriteString(s string) (int, error) {
	r.note(http.StatusOK)
	if r.contentType == "" && !r.sniffed && s != "" {
		r.sniffed, r.contentType = true, http.DetectContentType([]byte(s[:min(len(s), 512)]))
	}
	return io.WriteString(r.w, s)
}

// writeOnly hides ReadFrom from io.Copy.
type writeOnly struct{ io.Writer }

// ReadFrom implements io.ReaderFrom, so that files still go out by sendfile.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	rf, ok := r.w.(io.ReaderFrom)
	if !ok || r.code == 0 && r.w.Header().Get("Content-Type") == "" || r.code != 0 && r.contentType == "" && !r.sniffed {
		return io.Copy(writeOnly{r}, src) // the type is still to be found
	}
	r.note(http.StatusOK)
	return rf.ReadFrom(src)
}

// status returns the status that went out, 200 when the handler set none.
func (r *recorder) status() int {
	if r.code == 0 {
		return http.StatusOK
	}
	return r.code
}

// isPage reports whether the answer is a page: 2xx with HTML.
func (r *recorder) isPage() bool {
	kind := r.contentType
	if r.code == 0 {
		kind = r.w.Header().Get("Content-Type")
	}
	kind, _, _ = strings.Cut(kind, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	return r.status()/100 == 2 && (kind == "text/html" || kind == "application/xhtml+xml")
}
