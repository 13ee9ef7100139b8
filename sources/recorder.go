package sources

import (
	"net/http"
	"strings"
)

// recorder notes status and content type of an answer and passes everything on. It is
// used by the goroutine of the handler alone, as any ResponseWriter.
type recorder struct {
	w           http.ResponseWriter
	visit       *visit        // told before the header goes out; nil: nobody asks
	title       *titleScanner // reads along in HTML; nil: nobody asks
	code        int           // 0: no header yet
	contentType string        // at the time of the header, or found by content
	unknown     bool          // the header names no type: net/http will look at the first bytes
	hijacked    bool
}

// note keeps what the header says before it goes out; body is its beginning where
// there is one yet, from which net/http finds a type that the handler did not name.
func (r *recorder) note(code int, body []byte) {
	if r.code != 0 {
		return
	}
	r.code = code
	h := r.w.Header()
	types, named := h["Content-Type"]
	switch {
	case len(types) > 0:
		r.contentType = types[0]
	case named || first(h, "Content-Encoding") != "" || first(h, "Transfer-Encoding") != "":
		// The handler wants no type, and net/http respects that.
	case len(body) > 0:
		r.contentType = http.DetectContentType(body)
	default:
		r.unknown = true
	}
	if r.title != nil && first(h, "Content-Encoding") != "" {
		r.title = nil // compressed: there is nothing to read
	}
	if r.visit != nil {
		r.visit.beforeHeader()
	}
}

// sniffLen is how much http.DetectContentType looks at.
const sniffLen = 512

// reads returns how much of the next bytes of the body has to be looked at; usually nothing.
func (r *recorder) reads() int {
	kind, unknown := r.contentType, r.unknown
	if types := r.w.Header()["Content-Type"]; r.code == 0 {
		kind, unknown = strings.Join(types, ""), len(types) == 0
	}
	switch {
	case r.title != nil && (unknown || isHTML(kind)):
		return r.title.wants()
	case unknown:
		return sniffLen
	}
	return 0
}

// noteBody notes the beginning of a body, or its next part.
func (r *recorder) noteBody(p []byte) {
	r.note(http.StatusOK, p)
	if r.unknown && len(p) > 0 {
		r.contentType, r.unknown = http.DetectContentType(p), false
	}
	if r.title != nil && r.isHTML() {
		r.title.scan(p)
	}
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.w }

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.w.Header() }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols {
		r.note(code, nil)
	}
	r.w.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	r.noteBody(p)
	return r.w.Write(p)
}

// status returns the status that went out, 200 when the handler set none.
func (r *recorder) status() int {
	if r.code == 0 {
		return http.StatusOK
	}
	return r.code
}

// isHTML reports whether the answer is HTML.
func (r *recorder) isHTML() bool { return isHTML(r.contentType) }

func isHTML(kind string) bool {
	kind, _, _ = strings.Cut(kind, ";")
	kind = strings.TrimSpace(kind)
	return strings.EqualFold(kind, "text/html") || strings.EqualFold(kind, "application/xhtml+xml")
}

// isOK reports whether the answer is 2xx.
func (r *recorder) isOK() bool { return r.status()/100 == 2 }
