package sources

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/sidetrack-go/sidetrack"
)

// body is a request body made ready for a decoder: decompressed and bounded. What goes
// wrong below the decoder is an *sidetrack.HTTPError, so that every decoder gives the right answer.
//
// It must be closed after use: it borrows its buffer.
type body struct {
	src   io.Reader
	in    *bufio.Reader // borrowed from buffers
	pool  *sync.Pool
	left  int64 // decompressed bytes that may still come
	limit int64
}

// openBody bounds and decompresses the body of r. limit holds for what is sent as well
// as for what comes out of it. Besides Content-Encoding it recognizes gzip by its first
// bytes: several trackers compress without saying so.
//
// An error comes with a body too, to be closed.
func openBody(w http.ResponseWriter, r *http.Request, limit int64, buffers *sync.Pool) (io.ReadCloser, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return http.NoBody, nil
	}
	if r.ContentLength > limit {
		return http.NoBody, tooLarge(limit)
	}
	raw := r.Body
	if r.ContentLength < 0 { // else the server itself reads no more than was announced
		raw = http.MaxBytesReader(w, raw, limit)
	}
	in, ok := buffers.Get().(*bufio.Reader)
	if ok {
		in.Reset(raw)
	} else {
		in = bufio.NewReaderSize(raw, 4096)
	}
	b := &body{src: raw, in: in, pool: buffers, left: limit, limit: limit}
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	switch encoding {
	case "", "identity", "gzip", "x-gzip":
		b.src = in
		magic, _ := in.Peek(2)
		if len(magic) < 2 || magic[0] != 0x1f || magic[1] != 0x8b {
			if strings.HasSuffix(encoding, "gzip") && len(magic) > 0 {
				return b, badBody(http.StatusBadRequest, "is labelled gzip but is not")
			}
			return b, nil
		}
		z, err := gzip.NewReader(in)
		if err != nil {
			return b, b.explain(err)
		}
		b.src = z
	case "deflate":
		head, _ := in.Peek(2)
		// RFC 9110 means zlib; some clients send the bare stream.
		if len(head) == 2 && head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
			z, err := zlib.NewReader(in)
			if err != nil {
				return b, b.explain(err)
			}
			b.src = z
		} else {
			b.src = flate.NewReader(in)
		}
	default:
		w.Header().Set("Accept-Encoding", "gzip, deflate")
		return b, badBody(http.StatusUnsupportedMediaType, "has an unknown Content-Encoding, want gzip or deflate")
	}
	return b, nil
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.src.Read(p)
	if int64(n) > b.left {
		return int(b.left), tooLarge(b.limit)
	}
	b.left -= int64(n)
	if err != nil && err != io.EOF {
		err = b.explain(err)
	}
	return n, err
}

// Close gives the buffer back; nothing can be read afterwards. The request's own body is left to the
// server, which knows when the rest of it is worth reading.
func (b *body) Close() error {
	if b.in != nil {
		b.in.Reset(nil)
		b.pool.Put(b.in)
		b.in, b.src = nil, http.NoBody
	}
	return nil
}

// explain gives a failure to read its status.
func (b *body) explain(err error) error {
	var max *http.MaxBytesError
	var corrupt flate.CorruptInputError
	switch {
	case errors.As(err, &max):
		return tooLarge(b.limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return badBody(http.StatusRequestTimeout, "took too long to arrive")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return badBody(http.StatusBadRequest, "is cut off")
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.Is(err, zlib.ErrHeader),
		errors.Is(err, zlib.ErrChecksum), errors.Is(err, zlib.ErrDictionary), errors.As(err, &corrupt):
		return badBody(http.StatusBadRequest, "is damaged: the compression does not check out")
	}
	return badBody(http.StatusBadRequest, "could not be read")
}

func tooLarge(limit int64) error {
	return badBody(http.StatusRequestEntityTooLarge, fmt.Sprintf("is larger than %d bytes", limit))
}

func badBody(status int, problem string) error {
	return &sidetrack.HTTPError{Status: status, Err: &sidetrack.FieldError{Field: "body", Problem: problem}}
}
