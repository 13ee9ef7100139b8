package sources

import (
	"io"
	"net/http/httptest"
	"testing"

	"github.com/sidetrack-go/sidetrack/internal/size"
)

// TestCollectDoesNotReadWhatIsTooLarge sends a gigabyte, announced and unannounced.
func TestCollectDoesNotReadWhatIsTooLarge(t *testing.T) {
	c := newCollector(t, &fake{}, CollectorConfig{MaxBody: size.MiB})
	for _, announced := range []int64{1 << 30, -1} {
		src := &endless{}
		r := httptest.NewRequest("POST", "/collect", src)
		r.ContentLength = announced
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		if w.Code != 413 || src.read > 2<<20 || announced > 0 && src.read > 0 {
			t.Errorf("announced %d: status %d after %d bytes", announced, w.Code, src.read)
		}
	}
}

// TestCollectBoundsWhatIsSent sends compressed data without end that decompresses to nothing.
func TestCollectBoundsWhatIsSent(t *testing.T) {
	c := newCollector(t, &fake{}, CollectorConfig{MaxBody: size.MiB})
	src := &repeating{text: gzipped("")}
	r := httptest.NewRequest("POST", "/collect", src)
	r.ContentLength = -1
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	if w.Code != 413 || src.read > 2<<20 {
		t.Errorf("status %d after %d bytes", w.Code, src.read)
	}
}

// repeating is a text over and over, 16 MiB at most.
type repeating struct {
	text string
	read int
}

func (e *repeating) Read(p []byte) (int, error) {
	if e.read > 16<<20 {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = e.text[e.read%len(e.text)]
		e.read++
	}
	return len(p), nil
}

type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}
