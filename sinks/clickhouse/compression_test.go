package clickhouse

import (
	"testing"

	"github.com/sidetrack-go/sidetrack/internal/sinkrun"
)

// TestCompression shows that a server gets the rows compressed, and can read them.
func TestCompression(t *testing.T) {
	s, cfg := server(t, config())
	r := sinkrun.Deliver(t, build(t, cfg), some(200)...)
	if len(r.Delivered) != 200 || len(s.Final(events)) != 200 {
		t.Fatalf("%d delivered, %d rows: %v", len(r.Delivered), len(s.Final(events)), r.Errors)
	}
	compressed := 0
	for _, in := range s.Inserts() {
		if in.Encoding != "zstd" {
			continue
		}
		compressed++
		t.Logf("%d rows in %d bytes", in.Rows, in.Bytes)
		if in.Rows > 10 && in.Bytes > in.Rows*100 {
			t.Errorf("%d bytes for %d rows", in.Bytes, in.Rows)
		}
	}
	if compressed == 0 {
		t.Error("no insert is compressed")
	}
}
