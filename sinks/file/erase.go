package file

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/sidetrack-go/sidetrack"
)

// erase rewrites the current file and the rotated ones without the events of the person. Each file is
// replaced as a whole; one without such events is left alone. Lines that are no events stay.
func (w *writer) erase(ctx context.Context, p sidetrack.Person) (erased int64, err error) {
	w.archive.Lock() // no compression meanwhile
	defer w.archive.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f != nil {
		err := w.f.Close()
		w.f = nil // the next write opens what is there then
		if err != nil {
			return 0, fmt.Errorf("file: erase: %w", err)
		}
	}
	for _, name := range append(w.rotated(), w.cfg.Path) {
		n, err := eraseIn(ctx, name, p)
		erased += n
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return erased, fmt.Errorf("file: erase in %s: %w", name, err)
		}
	}
	return erased, nil
}

// eraseIn rewrites one file, and reports how many events went.
func eraseIn(ctx context.Context, name string, p sidetrack.Person) (erased int64, err error) {
	in, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = in.Close() }()
	r, encoder, err := codec(name, in)
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }()
	temp := name + ".tmp"
	out, err := os.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil || erased == 0 {
			_ = out.Close()
			_ = os.Remove(temp)
		}
	}()
	z, err := encoder(out)
	if err != nil {
		return 0, err
	}
	lines := bufio.NewReaderSize(r, 1<<20)
	buffered := bufio.NewWriterSize(z, 1<<16)
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		line, readErr := lines.ReadString('\n')
		if line != "" {
			if e, perr := sidetrack.ParseEvent(strings.TrimSuffix(line, "\n")); perr == nil && p.Is(e) {
				erased++
			} else if _, err := buffered.WriteString(line); err != nil {
				return 0, err
			}
		}
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			return 0, readErr
		}
	}
	if erased == 0 {
		return 0, z.Close()
	}
	if err := errors.Join(buffered.Flush(), z.Close(), out.Sync(), out.Close()); err != nil {
		return 0, err
	}
	if err := os.Rename(temp, name); err != nil {
		return 0, err
	}
	return erased, nil
}

// codec returns how a file is read, and written again, by its name.
func codec(name string, in io.Reader) (io.ReadCloser, func(io.Writer) (io.WriteCloser, error), error) {
	switch {
	case strings.HasSuffix(name, ".gz"):
		r, err := gzip.NewReader(in)
		return r, encoderOf("gzip"), err
	case strings.HasSuffix(name, ".zst"):
		r, err := zstd.NewReader(in)
		if err != nil {
			return nil, nil, err
		}
		return r.IOReadCloser(), encoderOf("zstd"), nil
	}
	return io.NopCloser(in), func(w io.Writer) (io.WriteCloser, error) { return nopWriteCloser{w}, nil }, nil
}

type nopWriteCloser struct{ io.Writer }

func (nopWriteCloser) Close() error { return nil }
