package sources

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

func newAccessLog(t testing.TB, cfg AccessLogConfig) sidetrack.Source {
	t.Helper()
	s, err := NewAccessLog(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// readLog runs a source over text.
func readLog(t testing.TB, text string, cfg AccessLogConfig) *fake {
	t.Helper()
	f := &fake{}
	cfg.Paths, cfg.Reader = []string{"-"}, strings.NewReader(text)
	if err := newAccessLog(t, cfg).Run(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestAccessLogLedger: every line of the file ends in exactly one place.
func TestAccessLogLedger(t *testing.T) {
	var last Progress
	f := &fake{}
	s := newAccessLog(t, AccessLogConfig{
		Paths: []string{"testdata/access*.log"}, Host: "shop.example",
		OnProgress: func(p Progress) { last = p },
	})
	if err := s.Run(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	want := map[sidetrack.Reason]int{ReasonAsset: 92, ReasonMethod: 25, ReasonStatus: 34, ReasonUnparseable: 13}
	if !maps.Equal(f.counts, want) {
		t.Errorf("counts %v, want %v", f.counts, want)
	}
	if len(f.all()) != 141 {
		t.Errorf("%d events, want 141", len(f.all()))
	}
	raw, err := os.ReadFile("testdata/access.log")
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Count(raw, []byte("\n")) + 1 // the last has no end
	total := len(f.all())
	for _, n := range f.counts {
		total += n
	}
	if total != lines || last.Lines != int64(lines) || last.Read != int64(len(raw)) || last.Total != last.Read {
		t.Errorf("%d rows for %d lines, progress %+v", total, lines, last)
	}
	for _, n := range f.batches {
		if n > maxBatch {
			t.Errorf("a batch of %d", n)
		}
	}
	if s := asJSON(t, f.all()...); strings.Contains(s, sentinel) || strings.Contains(s, "192.0.2.") || strings.Contains(s, "2001:db8") {
		t.Error("an address is in an event")
	}
	ids := make(map[string]bool)
	for _, e := range f.all() {
		if ids[e.MessageID] || e.MessageID == "" {
			t.Errorf("message id %q twice", e.MessageID)
		}
		ids[e.MessageID] = true
	}
}

func TestAccessLogFields(t *testing.T) {
	tests := []struct {
		name, line, host string
		url, path        string
		client           string
		referrer, ua     string
		at               string
		status           int
	}{
		{
			"combined", `203.0.113.77 - - [12/Mar/2026:09:00:00 +0100] "GET /a?utm_source=x&b#c HTTP/1.1" 200 5 "https://u:p@x.example/#f" "UA"`, "shop.example",
			"https://shop.example/a?utm_source=x&b", "/a", sentinel, "https://x.example/", "UA", "2026-03-12T08:00:00Z", 200,
		},
		{
			"no host", `203.0.113.77 - - [12/Mar/2026:09:00:00 +0100] "GET /a?b=c HTTP/1.1" 304 - "-" "-"`, "",
			"", "/a", sentinel, "", "", "2026-03-12T08:00:00Z", 304,
		},
		{
			"old", `203.0.113.77 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1`, "http://shop.example:8080/",
			"http://shop.example:8080/", "/", sentinel, "", "", "2015-05-17T10:05:03Z", 200,
		},
		{
			"virtual host", `blog.example:443 203.0.113.77 - - [12/Mar/2026:09:00:00 +0100] "GET / HTTP/1.1" 200 5 "-" "UA"`, "shop.example",
			"https://blog.example/", "/", sentinel, "", "UA", "2026-03-12T08:00:00Z", 200,
		},
		{
			"virtual host on port 80", `blog.example:80 203.0.113.77 - - [12/Mar/2026:09:00:00 +0100] "GET / HTTP/1.1" 200 5 "-" "UA"`, "",
			"http://blog.example/", "/", sentinel, "", "UA", "2026-03-12T08:00:00Z", 200,
		},
		{
			"escapes", `203.0.113.77 - - [12/Mar/2026:09:00:00 +0100] "GET /\x22q\" HTTP/1.1" 200 5 "-" "a\\b\x00\n\"c\xff"`, "",
			"", `/"q"`, sentinel, "", `a\b"c`, "2026-03-12T08:00:00Z", 200,
		},
		{
			"referrer that is none", `client.example - - [12/Mar/2026:09:00:00 +0100] "GET / HTTP/1.1" 200 5 "javascript:alert(1)" "UA"`, "",
			"", "/", "invalid IP", "", "UA", "2026-03-12T08:00:00Z", 200,
		},
		{
			"nginx", `{"msec":"1773302431.250","remote_addr":"203.0.113.77","request_method":"GET","uri":"/j","args":"a=b","status":200,"host":"www.example","scheme":"http","http_user_agent":"UA"}`, "shop.example",
			"http://www.example/j?a=b", "/j", sentinel, "", "UA", "2026-03-12T08:00:31.25Z", 200,
		},
		{
			"absolute target", `203.0.113.77 - - [12/Mar/2026:09:00:00 +0100] "GET http://other.example?x=1 HTTP/1.1" 200 5`, "shop.example",
			"https://shop.example/?x=1", "/", sentinel, "", "", "2026-03-12T08:00:00Z", 200,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := readLog(t, tt.line, AccessLogConfig{Host: tt.host, Site: "s"})
			e := f.one(t)
			if e.Name != sidetrack.PageView || e.Site != "s" || e.Page.URL != tt.url || e.Page.Path != tt.path || e.Origin().IP().String() != tt.client ||
				e.Page.Referrer != tt.referrer || e.Device.UserAgent != tt.ua || e.Time.UTC().Format(time.RFC3339Nano) != tt.at || e.Page.Status != tt.status {
				t.Errorf("%+v %+v %s %v, client %v", e.Page, e.Device, e.Site, e.Time, e.Origin().IP())
			}
			if !e.Received.IsZero() {
				t.Errorf("received %v is the pipeline's to set", e.Received)
			}
		})
	}
}

func TestAccessLogSorts(t *testing.T) {
	line := func(method, target string, status int) string {
		return fmt.Sprintf(`192.0.2.1 - - [12/Mar/2026:09:00:00 +0100] "%s %s HTTP/1.1" %d 5 "-" "UA"`, method, target, status)
	}
	for _, tt := range []struct {
		method, target string
		status         int
		want           sidetrack.Reason
	}{
		{"GET", "/", 200, ""}, {"GET", "/", 206, ""}, {"GET", "/", 304, ""},
		{"GET", "/", 301, ReasonStatus}, {"GET", "/", 404, ReasonStatus}, {"GET", "/", 500, ReasonStatus}, {"GET", "/x.png", 404, ReasonStatus},
		{"POST", "/", 200, ReasonMethod}, {"HEAD", "/", 200, ReasonMethod}, {"POST", "/", 500, ReasonMethod},
		{"GET", "/a.png", 200, ReasonAsset}, {"GET", "/a.PNG?x=/", 200, ReasonAsset}, {"GET", "/robots.txt", 200, ReasonAsset},
		{"GET", "/a.html", 200, ""}, {"GET", "/a.Php?x=a.png", 200, ""}, {"GET", "/v1.2/", 200, ""}, {"GET", "/v1.2", 200, ""},
		{"GET", "/john.appleseed", 200, ""}, {"GET", "/a.", 200, ""}, {"GET", "/.git", 200, ReasonAsset}, {"GET", "/.well-known", 200, ReasonAsset}, {"GET", "/site.webmanifest", 200, ReasonAsset},
		{"GET", "/feed/", 200, ReasonAsset}, {"GET", "/?flav=rss20", 200, ReasonAsset}, {"GET", "/?format=html", 200, ""}, {"GET", "/feedback", 200, ""},
		{"GET", "/dl/a.pdf", 200, ""}, {"GET", "/dl/sub/a.pdf", 200, ReasonAsset},
	} {
		f := readLog(t, line(tt.method, tt.target, tt.status), AccessLogConfig{Include: []string{"/dl/*.pdf"}})
		want := map[sidetrack.Reason]int{tt.want: 1}
		if tt.want == "" {
			f.one(t)
			want = nil
		}
		if !maps.Equal(f.counts, want) {
			t.Errorf("%s %s %d: %v, want %v", tt.method, tt.target, tt.status, f.counts, want)
		}
	}
}

const goodLine = `192.0.2.1 - - [12/Mar/2026:09:00:00 +0100] "GET /good HTTP/1.1" 200 5 "-" "UA"`

func TestAccessLogLongLines(t *testing.T) {
	long := strings.Replace(goodLine, "UA", strings.Repeat("x", 1<<20), 1)
	f := readLog(t, goodLine+"\n"+long+"\n"+goodLine+"\r\n\n"+long, AccessLogConfig{})
	if len(f.all()) != 2 || f.counts[ReasonUnparseable] != 3 {
		t.Errorf("%d events, %v", len(f.all()), f.counts)
	}
	long = strings.Replace(goodLine, "UA", strings.Repeat("x", maxLine-len(goodLine)-10), 1)
	if e := readLog(t, long, AccessLogConfig{}).one(t); len(e.Device.UserAgent) != maxUserAgent {
		t.Errorf("user agent of %d bytes", len(e.Device.UserAgent))
	}
}

func TestAccessLogFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	write("a.log", strings.Repeat(goodLine+"\n", 700))
	write("b.log.gz", gzipped(strings.Repeat(goodLine+"\n", 800)))
	cut := gzipped(strings.Repeat(goodLine+"\n", 9) + strings.Repeat("z\n", 9000))
	broken := write("c.gz", cut[:len(cut)-12])

	f := &fake{}
	if err := newAccessLog(t, AccessLogConfig{Paths: []string{filepath.Join(dir, "*.log*")}}).Run(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if len(f.all()) != 1500 || len(f.batches) < 3 {
		t.Errorf("%d events in %d batches", len(f.all()), len(f.batches))
	}
	f = &fake{}
	err := newAccessLog(t, AccessLogConfig{Paths: []string{broken, filepath.Join(dir, "a.log")}}).Run(t.Context(), f)
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(f.all()) != 709 {
		t.Errorf("truncated gzip: %v, %d events", err, len(f.all()))
	}
	if err := newAccessLog(t, AccessLogConfig{Paths: []string{filepath.Join(dir, "none*")}}).Run(t.Context(), f); err == nil {
		t.Error("no error for a glob without files")
	}
}

// TestAccessLogSameIDs: reading again gives the same ids, whoever the client was, and equal
// lines have different ones, also when a line of another second stands between them.
func TestAccessLogSameIDs(t *testing.T) {
	text := goodLine + "\n" + goodLine + "\n" + strings.Replace(goodLine, ":00 +", ":01 +", 1) + "\n" + goodLine
	ids := func(text string) (ids []string) {
		for _, e := range readLog(t, text, AccessLogConfig{}).all() {
			ids = append(ids, e.MessageID)
		}
		return ids
	}
	a, b := ids(text), ids(strings.ReplaceAll(text, "192.0.2.1", sentinel))
	distinct := slices.Compact(slices.Sorted(slices.Values(a)))
	if len(a) != 4 || strings.Join(a, " ") != strings.Join(b, " ") || len(distinct) != 4 {
		t.Errorf("%v, %v", a, b)
	}
}

// TestAccessLogLive: lines of a stream do not wait for the next ones, and the end of the
// context ends the source although its input is open.
func TestAccessLogLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		defer func() { _ = out.Close() }()
		f := &fake{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		s := newAccessLog(t, AccessLogConfig{Reader: in})
		go func() { done <- s.Run(ctx, f) }()
		_, _ = io.WriteString(out, goodLine+"\nx\n")
		synctest.Wait()
		if len(f.all()) != 1 || f.counts[ReasonUnparseable] != 1 {
			t.Errorf("%d events, %v", len(f.all()), f.counts)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestAccessLogWaitsForStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := 1
		f := &fake{}
		f.emit = func(_ context.Context, events []*sidetrack.Event) error {
			for _, e := range events {
				if e.Origin() == nil {
					t.Error("an event came a second time without its origin")
				}
				e.SetOrigin(nil) // as the pipeline does
			}
			if left--; left >= 0 {
				f.mu.Lock()
				f.events = append(f.events, events[:1]...)
				f.mu.Unlock()
				return refusing(sidetrack.ErrOverloaded, sidetrack.ReasonOverloaded, 1)
			}
			return nil
		}
		s := newAccessLog(t, AccessLogConfig{Reader: strings.NewReader(goodLine + "\n" + goodLine + "\n")})
		if err := s.Run(t.Context(), f); err != nil || len(f.all()) != 2 {
			t.Errorf("%v, %d events", err, len(f.all()))
		}
		f = &fake{emit: func(context.Context, []*sidetrack.Event) error {
			return refusing(sidetrack.ErrUnavailable, sidetrack.ReasonUnavailable, 0)
		}}
		s = newAccessLog(t, AccessLogConfig{Reader: strings.NewReader(goodLine)})
		if err := s.Run(t.Context(), f); !errors.Is(err, sidetrack.ErrUnavailable) {
			t.Errorf("Run = %v", err)
		}
		f = &fake{emit: func(context.Context, []*sidetrack.Event) error {
			return refusing(&sidetrack.FieldError{Field: "page.url", Problem: "is bad"}, sidetrack.ReasonInvalid, 0)
		}}
		s = newAccessLog(t, AccessLogConfig{Reader: strings.NewReader(goodLine)})
		if err := s.Run(t.Context(), f); err != nil {
			t.Errorf("an invalid event ends the source: %v", err)
		}
	})
}

func TestAccessLogConfigErrors(t *testing.T) {
	for name, cfg := range map[string]AccessLogConfig{
		"no paths": {},
		"format":   {Paths: []string{"-"}, Format: "iis"},
		"host":     {Paths: []string{"-"}, Host: "https://shop.example/path"},
		"scheme":   {Paths: []string{"-"}, Host: "ftp://shop.example"},
		"glob":     {Paths: []string{"["}},
		"include":  {Paths: []string{"-"}, Include: []string{"[a"}},
	} {
		if _, err := NewAccessLog(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzAccessLog(f *testing.F) {
	raw, err := os.ReadFile("testdata/access.log")
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(raw) {
		f.Add(string(line))
	}
	f.Fuzz(func(t *testing.T, text string) {
		out := readLog(t, text, AccessLogConfig{Host: "shop.example"})
		rows := len(out.all())
		for _, n := range out.counts {
			rows += n
		}
		lines := strings.Count(text, "\n")
		if !strings.HasSuffix(text, "\n") && text != "" {
			lines++
		}
		if z, err := gzip.NewReader(strings.NewReader(text)); err == nil {
			_ = z.Close() // a gzip file that the fuzzer made
			return
		}
		if rows != lines {
			t.Errorf("%d rows for %d lines", rows, lines)
		}
		for _, e := range out.all() {
			if e.Time.IsZero() || e.Page.Status < 200 || !strings.HasPrefix(e.Page.URL, "https://") && !strings.HasPrefix(e.Page.URL, "http://") {
				t.Errorf("%+v", e)
			}
		}
	})
}

func BenchmarkAccessLog(b *testing.B) {
	raw, err := os.ReadFile("testdata/access.log")
	if err != nil {
		b.Fatal(err)
	}
	lines := bytes.Count(raw, []byte("\n")) + 1
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		s := newAccessLog(b, AccessLogConfig{Reader: bytes.NewReader(raw), Host: "shop.example"})
		if err := s.Run(b.Context(), discard{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(lines)/b.Elapsed().Seconds(), "lines/s")
}
