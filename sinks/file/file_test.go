package file

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

func TestContract(t *testing.T) {
	for _, fsync := range []string{"always", "interval", "never"} {
		t.Run(fsync, func(t *testing.T) {
			cfg := Defaults()
			cfg.Fsync = fsync
			sinktest.Run(t, func() (*sidetrack.Sink, error) {
				cfg.Path = filepath.Join(t.TempDir(), "new", "events.ndjson")
				return New(cfg)
			})
		})
	}
}

func open(t *testing.T, cfg Config) (write func(names ...string) error, done func()) {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	spec := s.Spec()
	closed := false
	done = func() {
		if !closed {
			closed = true
			if err := spec.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(done)
	return func(names ...string) error {
		u := sidetrack.Unit{At: time.Now()}
		for _, n := range names {
			u.Events = append(u.Events, &sidetrack.Event{Name: n})
		}
		return spec.Writer.Write(t.Context(), u)
	}, done
}

// names reads the events of a file, which must consist of whole lines.
func names(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var r io.Reader = f
	switch {
	case strings.HasSuffix(path, ".gz"):
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	case strings.HasSuffix(path, ".zst"):
		z, err := zstd.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		t.Errorf("%s ends within a line", path)
	}
	var out []string
	for s := bufio.NewScanner(strings.NewReader(string(b))); s.Scan(); {
		e, err := sidetrack.ParseEvent(s.Text())
		if err != nil {
			t.Fatalf("%v in %q", err, s.Text())
		}
		out = append(out, e.Name)
	}
	return out
}

func TestTornLineIsCutAtOpening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e.ndjson")
	if err := os.WriteFile(path, []byte(`{"v":1,"name":"whole"}`+"\n"+`{"v":1,"na`), 0o600); err != nil {
		t.Fatal(err)
	}
	write, _ := open(t, Config{Path: path})
	if err := write("next"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(names(t, path)); got != "[whole next]" {
		t.Error(got)
	}
}

func TestRotatesBySizeCompressesAndKeeps(t *testing.T) {
	for _, format := range []string{"gzip", "zstd", "none"} {
		t.Run(format, func(t *testing.T) {
			dir := t.TempDir()
			write, done := open(t, Config{Path: filepath.Join(dir, "e.ndjson"), Rotate: Rotate{Size: 100, Keep: 3}, Compress: format, Fsync: "always"})
			for i := range 20 {
				if err := write(fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i)); err != nil {
					t.Fatal(err)
				}
			}
			done()
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			if len(files) != 4 {
				t.Errorf("files %v, want the current one and three", files)
			}
			total := 0
			for _, f := range files {
				total += len(names(t, f))
				if suffix := map[string]string{"gzip": ".gz", "zstd": ".zst"}[format]; f != filepath.Join(dir, "e.ndjson") && !strings.HasSuffix(f, ".ndjson"+suffix) {
					t.Errorf("%s is not compressed as %s", f, format)
				}
				if fi, err := os.Stat(f); err != nil || fi.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v %v", f, fi.Mode(), err)
				}
			}
			if total != 16 {
				t.Errorf("%d events in four files of four", total)
			}
		})
	}
}

func TestRotatesByTime(t *testing.T) {
	dir := t.TempDir()
	w := newWriter(Config{Path: filepath.Join(dir, "e.ndjson"), Rotate: Rotate{Every: 24 * time.Hour}, Compress: "none"})
	day := time.Date(2026, 1, 31, 23, 59, 0, 0, time.UTC)
	for _, at := range []time.Time{day, day.Add(30 * time.Second), day.Add(2 * time.Minute), day.Add(3 * time.Minute)} {
		if err := w.Write(t.Context(), sidetrack.Unit{At: at, Events: []*sidetrack.Event{{Name: at.Format("150405")}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	if old := w.rotated(); len(old) != 1 || fmt.Sprint(names(t, old[0])) != "[235900 235930]" {
		t.Errorf("rotated %v", old)
	}
	if got := fmt.Sprint(names(t, filepath.Join(dir, "e.ndjson"))); got != "[000100 000200]" {
		t.Error(got)
	}
}

func TestMovedFileIsOpenedAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "e.ndjson")
	write, _ := open(t, Config{Path: path})
	if err := write("before"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := write("after"); err != nil {
		t.Fatal(err)
	}
	if a, b := fmt.Sprint(names(t, path+".1")), fmt.Sprint(names(t, path)); a != "[before]" || b != "[after]" {
		t.Errorf("%s %s", a, b)
	}
}

// A disk that fills up in the middle of a write must leave whole lines and an error.
func TestFullDiskLeavesWholeLines(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mounting a file system to fill needs root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	path := filepath.Join(dir, "e.ndjson")
	write, _ := open(t, Config{Path: path, Fsync: "always"})
	var ok int
	var err error
	long := strings.Repeat("x", 3000)
	for ok = 0; ok < 100; ok++ {
		if err = write(long + fmt.Sprint(ok)); err != nil {
			break
		}
	}
	if err == nil || ok == 0 {
		t.Fatalf("%d written, %v", ok, err)
	}
	if class, _ := sidetrack.ClassOf(err); class != sidetrack.Retry {
		t.Errorf("a full disk is %s", class)
	}
	if got := names(t, path); len(got) != ok {
		t.Errorf("%d events in the file, %d were delivered", len(got), ok)
	}
}

func TestErasesFromTheCurrentFileAndTheRotatedOnes(t *testing.T) {
	for _, format := range []string{"gzip", "zstd", "none"} {
		t.Run(format, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "e.ndjson")
			s, err := New(Config{Path: path, Rotate: Rotate{Size: 200}, Compress: format, Fsync: "always"})
			if err != nil {
				t.Fatal(err)
			}
			spec := s.Spec()
			write := func(name, client string) {
				e := &sidetrack.Event{Name: name, Visitor: sidetrack.Visitor{ClientID: client}}
				if err := spec.Writer.Write(t.Context(), sidetrack.Unit{At: time.Now(), Events: []*sidetrack.Event{e}}); err != nil {
					t.Fatal(err)
				}
			}
			all := func() (out []string) {
				files, err := filepath.Glob(filepath.Join(dir, "*"))
				if err != nil {
					t.Fatal(err)
				}
				if len(files) < 3 {
					t.Fatalf("files %v: nothing was rotated", files)
				}
				for _, f := range files {
					out = append(out, names(t, f)...)
				}
				return out
			}
			for i := range 10 {
				write(fmt.Sprintf("mine%d", i), "me")
				write(fmt.Sprintf("other%d", i), "them")
			}
			if err := os.WriteFile(path+".unrelated", []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			erase := func() int64 {
				n, err := spec.Erase(t.Context(), sidetrack.Person{ClientID: "me"})
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			if n := erase(); n != 10 {
				t.Errorf("erased %d", n)
			}
			if n := erase(); n != 0 {
				t.Errorf("erased %d once more", n)
			}
			write("last", "them")
			if err := spec.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(path + ".unrelated"); err != nil {
				t.Error(err)
			}
			got := strings.Join(all(), " ")
			if strings.Contains(got, "mine") || strings.Count(got, "other") != 10 || !strings.Contains(got, "last") {
				t.Errorf("left: %s", got)
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	for want, cfg := range map[string]Config{
		"path: is missing":     {},
		"path: is a directory": {Path: t.TempDir()},
		"compress:":            {Path: "x", Compress: "lz4"},
		"fsync:":               {Path: "x", Fsync: "maybe"},
		"rotate:":              {Path: "x", Rotate: Rotate{Keep: -1}},
	} {
		if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	w := newWriter(Config{Path: filepath.Join(b.TempDir(), "e.ndjson"), Fsync: "never"})
	u := sidetrack.Unit{At: time.Now()}
	for range 100 {
		u.Events = append(u.Events, sinktest.Samples()[2])
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(b.Context(), u); err != nil {
			b.Fatal(err)
		}
	}
}
