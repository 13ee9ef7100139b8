package compress

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func decode(t *testing.T, encoding string, b []byte) []byte {
	t.Helper()
	var r io.Reader
	switch encoding {
	case "gzip":
		g, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		r = g
	default:
		z, err := zstd.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEncode(t *testing.T) {
	var c Compressor
	for _, encoding := range []string{"gzip", "zstd"} {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				body := []byte(strings.Repeat("an event ", 1000*i))
				first, err := c.Encode(body, encoding)
				if err != nil {
					t.Error(err)
					return
				}
				kept := bytes.Clone(first)
				again, err := c.Encode(body, encoding)
				if err != nil || !bytes.Equal(again, kept) || !bytes.Equal(first, kept) {
					t.Errorf("%s: not the same twice, or the first result changed: %v", encoding, err)
				}
				if !bytes.Equal(decode(t, encoding, first), body) {
					t.Errorf("%s: %d bytes come back as others", encoding, len(body))
				}
				if i > 0 && len(first)*10 > len(body) {
					t.Errorf("%s: %d bytes of %d", encoding, len(first), len(body))
				}
			})
		}
		wg.Wait()
	}
	if _, err := c.Encode(nil, "br"); err == nil {
		t.Error("an unknown encoding is accepted")
	}
}
