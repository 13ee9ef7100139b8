package sources

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/sidetrack-go/sidetrack"
)

// maxZstdWindow is what RFC 9659 allows for the content coding.
const maxZstdWindow = 8 << 20

// inflaters lends the decompressors of request bodies.
//
// The small ones, of deflate's family, come from pools. Brotli and zstd take megabytes for their
// window because twenty bytes of input say so. They are few, and are lent for bodies that
// have arrived already, so that a slow client cannot hold one.
type inflaters struct {
	buffers, gzips, zlibs, flates, memory sync.Pool
	wide                                  chan *wideInflater
}

// wideInflater decompresses what needs a large window.
type wideInflater struct {
	zstd   *zstd.Decoder
	brotli *brotli.Reader
}

// wideInflaters makes the few that there are: for half of the processors, so that the others serve
// everybody else meanwhile.
func wideInflaters() chan *wideInflater {
	wide := make(chan *wideInflater, min(4, max(1, runtime.GOMAXPROCS(0)/2)))
	for range cap(wide) {
		wide <- &wideInflater{}
	}
	return wide
}

func (in *inflaters) buffer(src io.Reader) *bufio.Reader {
	if b, ok := in.buffers.Get().(*bufio.Reader); ok {
		b.Reset(src)
		return b
	}
	return bufio.NewReaderSize(src, 4096)
}

func (in *inflaters) putBuffer(b *bufio.Reader) {
	b.Reset(nil)
	in.buffers.Put(b)
}

// decompress puts the decompressor between what arrives and what is read.
func (b *body) decompress(r *http.Request, encoding string) error {
	switch encoding {
	case "", "identity", "gzip", "x-gzip":
		magic, _ := b.in.Peek(2)
		if len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
			return b.gzip()
		}
		if strings.HasSuffix(encoding, "gzip") && len(magic) > 0 {
			return badBody(http.StatusBadRequest, "is labelled gzip but is not")
		}
		return nil
	case "deflate":
		// RFC 9110 means zlib; some clients send the bare stream.
		head, _ := b.in.Peek(2)
		if len(head) == 2 && head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
			return b.zlib()
		}
		return b.flate()
	case "br", "zstd":
		return b.wide(r, encoding)
	}
	return badBody(http.StatusUnsupportedMediaType, "has an unknown Content-Encoding, want gzip, deflate, br or zstd")
}

func (b *body) gzip() error {
	pool := &b.from.inflate.gzips
	z, ok := pool.Get().(*gzip.Reader)
	if !ok {
		z = new(gzip.Reader)
	}
	b.src, b.release = z, func() { pool.Put(z) }
	if err := z.Reset(b.in); err != nil {
		return b.explain(err)
	}
	return nil
}

func (b *body) zlib() error {
	pool := &b.from.inflate.zlibs
	z, ok := pool.Get().(io.ReadCloser)
	var err error
	if ok {
		err = z.(zlib.Resetter).Reset(b.in, nil)
	} else {
		z, err = zlib.NewReader(b.in)
	}
	if err != nil {
		return b.explain(err)
	}
	b.src, b.release = z, func() { pool.Put(z) }
	return nil
}

func (b *body) flate() error {
	pool := &b.from.inflate.flates
	z, ok := pool.Get().(io.ReadCloser)
	if !ok {
		z = flate.NewReader(b.in)
	} else if err := z.(flate.Resetter).Reset(b.in, nil); err != nil {
		return b.explain(err)
	}
	b.src, b.release = z, func() { pool.Put(z) }
	return nil
}

// wide reads the whole body, then borrows one of the few decompressors with a large window.
func (b *body) wide(r *http.Request, encoding string) error {
	in := &b.from.inflate
	compressed, ok := in.memory.Get().(*bytes.Buffer)
	if !ok {
		compressed = new(bytes.Buffer)
	}
	b.release = func() {
		if compressed.Cap() <= maxPooled {
			compressed.Reset()
			in.memory.Put(compressed)
		}
	}
	for {
		_, err := io.CopyN(compressed, b.in, freeBytes)
		if b.sent > b.from.limit {
			return tooLarge(b.from.limit)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return b.explain(err)
		}
		if err := b.charge(b.sent); err != nil {
			return err
		}
	}
	if encoding == "br" && tooWide(compressed.Bytes()) {
		return badBody(http.StatusRequestEntityTooLarge, "needs a larger brotli window than 4 MiB")
	}
	select {
	case w := <-in.wide:
		back := b.release
		b.release = func() {
			back()
			w.rest()
			in.wide <- w
		}
		return b.start(w, encoding, compressed)
	case <-r.Context().Done():
		return &sidetrack.HTTPError{Status: http.StatusServiceUnavailable, Err: errors.New("too many compressed requests at the moment, try again")}
	}
}

func (b *body) start(w *wideInflater, encoding string, compressed io.Reader) (err error) {
	if encoding == "br" {
		if w.brotli == nil {
			w.brotli = brotli.NewReader(nil)
		}
		b.src, err = w.brotli, w.brotli.Reset(compressed)
	} else {
		if w.zstd == nil {
			// One goroutine less, and none that would have to be ended: this decoder works in Read.
			w.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxWindow(maxZstdWindow))
			if err != nil {
				return badBody(http.StatusInternalServerError, "cannot be decompressed here")
			}
		}
		// Given the buffer itself, Reset would decompress all of it at once, whatever comes out.
		b.src, err = w.zstd, w.zstd.Reset(struct{ io.Reader }{compressed})
	}
	if err != nil {
		return b.explain(err)
	}
	return nil
}

// rest lets go of the last body.
func (w *wideInflater) rest() {
	if w.zstd != nil {
		_ = w.zstd.Reset(nil)
	}
	if w.brotli != nil {
		_ = w.brotli.Reset(nil)
	}
}

// tooWide reports whether a brotli stream asks for a window of more than 4 MiB, the default of
// its encoders. The size is in the first bits (RFC 7932, section 9.1): 1 and then 6 or 7 mean 2^23 and 2^24.
func tooWide(b []byte) bool { return len(b) > 0 && b[0]&1 == 1 && b[0]>>1&7 >= 6 }
