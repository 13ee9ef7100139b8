package sources

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/sidetrack-go/sidetrack"
)

// What a body may cost beyond its own limit.
const (
	// maxRatio is how many times larger than what was sent a body may become, looked at from
	// ratioFrom on. JSON that repeats itself reaches 100; only what is made to do harm reaches 1000.
	maxRatio  = 200
	ratioFrom = 256 << 10

	// freeBytes of every body are not counted against the sum of all bodies, so that requests of
	// usual size are taken whatever the large ones do.
	freeBytes = 64 << 10
)

// bodies makes request bodies ready for decoders and bounds what they cost together.
type bodies struct {
	limit   int64 // of one body, as sent and decompressed
	all     int64 // of what is over freeBytes, together
	large   atomic.Int64
	inflate inflaters
}

// body is a request body made ready for a decoder: decompressed and bounded. What goes
// wrong below the decoder is an *sidetrack.HTTPError, so that every decoder gives the right answer.
//
// It must be closed after use: it borrows its buffers.
type body struct {
	src     io.Reader
	in      *bufio.Reader // borrowed from from.inflate
	from    *bodies
	raw     io.Reader
	rawErr  error  // of reading raw, when it is not its end
	sent    int64  // bytes read from raw
	out     int64  // bytes given to the decoder
	charged int64  // of from.large
	release func() // gives the decompressor back; nil: there is none
}

// open bounds and decompresses the body of r. Besides Content-Encoding it recognizes gzip by its
// first bytes: several trackers compress without saying so.
//
// An error comes with a body too, to be closed.
func (bs *bodies) open(w http.ResponseWriter, r *http.Request) (io.ReadCloser, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return http.NoBody, nil
	}
	if r.ContentLength > bs.limit {
		return http.NoBody, tooLarge(bs.limit)
	}
	b := &body{from: bs, raw: r.Body}
	if r.ContentLength < 0 { // else the server itself reads no more than was announced
		b.raw = http.MaxBytesReader(w, r.Body, bs.limit)
	}
	b.in = bs.inflate.buffer((*sentBytes)(b))
	b.src = b.in
	encoding := first(r.Header, "Content-Encoding")
	if encoding != "" {
		encoding = strings.ToLower(strings.TrimSpace(encoding))
	}
	if err := b.decompress(r, encoding); err != nil {
		if e, ok := errors.AsType[*sidetrack.HTTPError](err); ok && e.Status == http.StatusUnsupportedMediaType {
			w.Header().Set("Accept-Encoding", "gzip, deflate, br, zstd")
		}
		return b, err
	}
	return b, nil
}

// sentBytes is the body as it arrives: it counts.
type sentBytes body

// Read implements io.Reader.
func (s *sentBytes) Read(p []byte) (int, error) {
	n, err := s.raw.Read(p)
	s.sent += int64(n)
	if err != nil && err != io.EOF {
		s.rawErr = err
	}
	return n, err
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	left := b.from.limit - b.out
	if int64(len(p)) > left+1 {
		p = p[:left+1]
	}
	n, err := b.src.Read(p)
	if int64(n) > left {
		return int(left), tooLarge(b.from.limit)
	}
	b.out += int64(n)
	if b.out > freeBytes {
		if err := b.charge(b.out); err != nil {
			return n, err
		}
		if b.release != nil && b.out > ratioFrom && b.out > maxRatio*(b.sent-int64(b.in.Buffered())) {
			return n, badBody(http.StatusRequestEntityTooLarge, fmt.Sprintf("grows more than %d times when it is decompressed", maxRatio))
		}
	}
	if err != nil && err != io.EOF {
		err = b.explain(err)
	}
	return n, err
}

// charge counts size bytes of this body against the sum of all.
func (b *body) charge(size int64) error {
	const step = 64 << 10
	for b.charged < size-freeBytes {
		if b.from.large.Add(step) > b.from.all {
			b.from.large.Add(-step)
			return &sidetrack.HTTPError{Status: http.StatusServiceUnavailable, Err: errors.New("too many large requests at the moment, try again")}
		}
		b.charged += step
	}
	return nil
}

// Close gives back what was borrowed; nothing can be read afterwards. The request's own body is left to the
// server, which knows when the rest of it is worth reading.
func (b *body) Close() error {
	if b.in == nil {
		return nil
	}
	if b.release != nil {
		b.release()
	}
	b.from.inflate.putBuffer(b.in)
	b.from.large.Add(-b.charged)
	b.in, b.src, b.charged = nil, strings.NewReader(""), 0
	return nil
}

// explain gives a failure to read its status.
func (b *body) explain(err error) error {
	if _, ok := errors.AsType[*sidetrack.HTTPError](err); ok {
		return err
	}
	if b.rawErr != nil {
		err = b.rawErr
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return tooLarge(b.from.limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return badBody(http.StatusRequestTimeout, "took too long to arrive")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return badBody(http.StatusBadRequest, "is cut off")
	case b.rawErr != nil:
		return badBody(http.StatusBadRequest, "could not be read")
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return badBody(http.StatusRequestEntityTooLarge, "needs a larger window than RFC 9659 allows")
	}
	return badBody(http.StatusBadRequest, "is damaged: the compression does not check out")
}

func tooLarge(limit int64) error {
	return badBody(http.StatusRequestEntityTooLarge, fmt.Sprintf("is larger than %d bytes", limit))
}

func badBody(status int, problem string) error {
	return &sidetrack.HTTPError{Status: status, Err: &sidetrack.FieldError{Field: "body", Problem: problem}}
}
