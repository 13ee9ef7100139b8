package file

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// stamp is the time in the name of a rotated file: sorted by name is sorted by time.
const stamp = "20060102T150405.000000000Z"

// rotate gives the file its final name and leaves compression and the removal of
// old files to the background. The file is closed afterwards, whatever happens.
func (w *writer) rotate() error {
	f := w.f
	w.f = nil
	if w.cfg.Fsync != "never" {
		if err := f.Sync(); err != nil {
			_ = f.Close()
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	ext := filepath.Ext(w.cfg.Path)
	base := strings.TrimSuffix(w.cfg.Path, ext)
	name := ""
	for at := time.Now().UTC(); ; at = at.Add(1) {
		name = base + "-" + at.Format(stamp) + ext
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if err := os.Rename(w.cfg.Path, name); err != nil {
		return err
	}
	w.archiving.Go(func() {
		w.archive.Lock()
		defer w.archive.Unlock()
		// A failure leaves the uncompressed file, which the next rotation takes up again.
		for _, name := range w.rotated() {
			if !strings.HasSuffix(name, ".gz") && !strings.HasSuffix(name, ".zst") {
				_ = compress(name, w.cfg.Compress)
			}
		}
		w.removeOld()
	})
	return nil
}

// rotated lists the rotated files, oldest first.
func (w *writer) rotated() []string {
	ext := filepath.Ext(w.cfg.Path)
	base := strings.TrimSuffix(filepath.Base(w.cfg.Path), ext) + "-"
	entries, err := os.ReadDir(filepath.Dir(w.cfg.Path))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), base)
		if !ok {
			continue
		}
		at, tail, ok := strings.Cut(rest, "Z")
		if _, err := time.Parse(stamp, at+"Z"); !ok || err != nil {
			continue
		}
		switch tail {
		case ext, ext + ".gz", ext + ".zst":
			names = append(names, filepath.Join(filepath.Dir(w.cfg.Path), e.Name()))
		}
	}
	slices.Sort(names)
	return names
}

func (w *writer) removeOld() {
	if w.cfg.Rotate.Keep == 0 {
		return
	}
	names := w.rotated()
	for _, name := range names[:max(0, len(names)-w.cfg.Rotate.Keep)] {
		_ = os.Remove(name)
	}
}

// encoderOf returns what compresses as gzip or zstd.
func encoderOf(format string) func(io.Writer) (io.WriteCloser, error) {
	if format == "zstd" {
		return func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) }
	}
	return func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }
}

// compress replaces name by its compressed form, which appears whole or not at all.
func compress(name, format string) (err error) {
	var suffix string
	switch format {
	case "gzip", "":
		format, suffix = "gzip", ".gz"
	case "zstd":
		suffix = ".zst"
	default:
		return nil
	}
	encoder := encoderOf(format)
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	temp := name + suffix + ".tmp"
	out, err := os.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = out.Close()
			_ = os.Remove(temp)
		}
	}()
	z, err := encoder(out)
	if err != nil {
		return err
	}
	if _, err = io.Copy(z, in); err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	if err = errors.Join(z.Close(), out.Sync(), out.Close()); err != nil {
		return err
	}
	if err = os.Rename(temp, name+suffix); err != nil {
		return err
	}
	return os.Remove(name)
}
