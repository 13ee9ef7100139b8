// Package compress makes compressed request bodies.
package compress

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compressor reuses the memory of its encoders, which is what costs. The zero value is ready; it is safe for
// concurrent use.
type Compressor struct {
	gzips sync.Pool
	zstds sync.Pool
}

// Encode returns body in the content encoding gzip or zstd. The result is the caller's.
func (c *Compressor) Encode(body []byte, encoding string) ([]byte, error) {
	switch encoding {
	case "gzip":
		return c.gzip(body)
	case "zstd":
		return c.zstd(body)
	}
	return nil, fmt.Errorf("compress: unknown encoding %q", encoding)
}

func (c *Compressor) gzip(body []byte) ([]byte, error) {
	w, ok := c.gzips.Get().(*gzip.Writer)
	if !ok {
		w = gzip.NewWriter(nil)
	}
	defer c.gzips.Put(w)
	var out bytes.Buffer
	w.Reset(&out)
	if _, err := w.Write(body); err != nil {
		return nil, fmt.Errorf("compress: gzip: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: gzip: %w", err)
	}
	return out.Bytes(), nil
}

func (c *Compressor) zstd(body []byte) ([]byte, error) {
	w, ok := c.zstds.Get().(*zstd.Encoder)
	if !ok {
		var err error
		if w, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window)); err != nil {
			return nil, fmt.Errorf("compress: zstd: %w", err)
		}
	}
	defer c.zstds.Put(w)
	return w.EncodeAll(body, nil), nil
}

// window bounds what decoders need: RFC 8878 recommends that every one takes 8 MB, and 1 MB loses little.
const window = 1 << 20
