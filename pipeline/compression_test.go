package pipeline_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// largeSink posts text that compresses well.
func largeSink(size int, opts ...sidetrack.SinkOption) *sidetrack.Sink {
	return sidetrack.HTTPSink(sidetrack.GeneratorFunc(func(sidetrack.Unit) (*sidetrack.Request, error) {
		return &sidetrack.Request{URL: "https://backend.example/x", Header: http.Header{"Content-Type": {"text/plain"}}, Body: []byte(strings.Repeat("x", size))}, nil
	}), opts...)
}

func plainText(t *testing.T, encoding, body string) string {
	t.Helper()
	var r io.Reader = strings.NewReader(body)
	switch encoding {
	case "gzip":
		g, err := gzip.NewReader(r)
		if err != nil {
			t.Error(err)
			return ""
		}
		r = g
	case "zstd":
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Error(err)
			return ""
		}
		defer z.Close()
		r = z
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func TestCompression(t *testing.T) {
	both := sidetrack.Accepts(sidetrack.Gzip, sidetrack.Zstd)
	for name, tt := range map[string]struct {
		size     int
		opts     []sidetrack.SinkOption
		delivery sidetrack.Encoding
		want     string
	}{
		"not asked for":           {5000, nil, "", ""},
		"accepted, not asked for": {5000, []sidetrack.SinkOption{both}, "", ""},
		"asked for":               {5000, []sidetrack.SinkOption{both}, sidetrack.Gzip, "gzip"},
		"zstd":                    {5000, []sidetrack.SinkOption{both}, sidetrack.Zstd, "zstd"},
		"the sink's own":          {5000, []sidetrack.SinkOption{sidetrack.Compress(sidetrack.Gzip)}, "", "gzip"},
		"switched off":            {5000, []sidetrack.SinkOption{sidetrack.Compress(sidetrack.Gzip)}, sidetrack.Uncompressed, ""},
		"another than its own":    {5000, []sidetrack.SinkOption{both, sidetrack.Compress(sidetrack.Gzip)}, sidetrack.Zstd, "zstd"},
		"small":                   {1023, []sidetrack.SinkOption{both}, sidetrack.Gzip, ""},
		"large enough":            {1024, []sidetrack.SinkOption{both}, sidetrack.Gzip, "gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(func(*http.Request, string) (int, string) { return 200, "" })
			r := start(t, pipeline.Config{Client: s.client(), Sinks: []pipeline.SinkConfig{{Name: "a", Sink: largeSink(tt.size, tt.opts...), Delivery: pipeline.Delivery{Compression: tt.delivery}}}})
			x := r.Explain(t.Context(), event("e")).Sinks[0].Request
			if x.Header.Get("Content-Encoding") != tt.want || x.Compressed != (tt.want != "") || x.Body != strings.Repeat("x", tt.size) {
				t.Errorf("explain: %s %v %d bytes", x.Header, x.Compressed, len(x.Body))
			}
			r.emit(event("e"))
			r.drain(10 * time.Second)
			if got := s.header("Content-Encoding")[0]; got != tt.want {
				t.Fatalf("Content-Encoding %q, want %q", got, tt.want)
			}
			if plainText(t, tt.want, s.seen().bodies[0]) != strings.Repeat("x", tt.size) || tt.want != "" && len(s.seen().bodies[0]) > 100 || s.seen().requests[0].ContentLength != int64(len(s.seen().bodies[0])) {
				t.Errorf("%d bytes of %d, length %d", len(s.seen().bodies[0]), tt.size, s.seen().requests[0].ContentLength)
			}
		})
	}
}

// TestLimitsCountThePlainBody has a body that would fit once compressed.
func TestLimitsCountThePlainBody(t *testing.T) {
	s := serve(func(*http.Request, string) (int, string) { return 200, "" })
	r := start(t, pipeline.Config{Client: s.client(), Sinks: []pipeline.SinkConfig{{Name: "a", Sink: largeSink(5000, sidetrack.Compress(sidetrack.Gzip), sidetrack.MaxBytes(4999))}}})
	r.emit(event("e"))
	r.drain(10 * time.Second)
	if row := r.row("a"); row.Dead[sidetrack.ReasonUnbuildable] != 1 || len(s.seen().bodies) != 0 {
		t.Errorf("%+v", row)
	}
}

func TestABackendThatRefusesCompression(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(func(r *http.Request, _ string) (int, string) {
			if r.Header.Get("Content-Encoding") != "" {
				return 415, ""
			}
			return 200, ""
		})
		r := start(t, pipeline.Config{Client: s.client(), Sinks: []pipeline.SinkConfig{{Name: "a", Sink: largeSink(5000, sidetrack.Compress(sidetrack.Gzip)), Delivery: pipeline.Delivery{Concurrency: 1}}}})
		r.emit(events("e", 3)...)
		r.drain(time.Second)
		got := strings.Join(s.header("Content-Encoding"), ",")
		if row := r.row("a"); row.Delivered != 3 || got != "gzip,,," || strings.Count(r.log.String(), "refuses compressed requests") != 1 {
			t.Errorf("%+v; %s; %s", row, got, r.log)
		}
		if x := r.Explain(t.Context(), event("e")).Sinks[0].Request; x.Compressed {
			t.Error("explain shows what is not sent any more")
		}
	})
}

func TestABackendThatRefusesThePlainBodyToo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(func(*http.Request, string) (int, string) { return 415, "" })
		r := start(t, pipeline.Config{DrainTimeout: time.Second, Client: s.client(), Sinks: []pipeline.SinkConfig{{Name: "a", Sink: largeSink(5000, sidetrack.Compress(sidetrack.Gzip))}}})
		r.emit(event("e"))
		time.Sleep(time.Second)
		if row := r.row("a"); row.State != "misconfigured" || row.Pending != 1 || len(s.seen().bodies) != 2 || strings.Contains(r.log.String(), "refuses compressed") {
			t.Errorf("%+v, %d requests; %s", row, len(s.seen().bodies), r.log)
		}
	})
}

func TestCompressionConfig(t *testing.T) {
	for name, sc := range map[string]pipeline.SinkConfig{
		"not accepted": {Name: "a", Sink: plainSink(), Delivery: pipeline.Delivery{Compression: sidetrack.Gzip}},
		"another":      {Name: "a", Sink: plainSink(sidetrack.Accepts(sidetrack.Gzip)), Delivery: pipeline.Delivery{Compression: sidetrack.Zstd}},
		"a writer":     {Name: "a", Sink: sidetrack.WriterSink(newBackend(nil), sidetrack.Compress(sidetrack.Gzip))},
	} {
		if _, err := pipeline.New(pipeline.Config{Sinks: []pipeline.SinkConfig{sc}}); err == nil || !strings.Contains(err.Error(), "compression") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
