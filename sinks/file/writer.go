package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// writer appends to one file. The engine calls Write one at a time; the mutex is for the
// timer of fsync and for close.
type writer struct {
	cfg Config

	mu     sync.Mutex
	f      *os.File
	size   int64
	period time.Time // of Rotate.Every that the file belongs to
	dirty  bool
	timer  *time.Timer // of fsync interval
	syncEr error       // of the last fsync in the background
	buf    []byte
	closed bool

	archiving sync.WaitGroup
	archive   sync.Mutex // one compression at a time
}

func newWriter(cfg Config) *writer { return &writer{cfg: cfg} }

// Write appends the unit's lines in one write. After an error the file is as before.
func (w *writer) Write(_ context.Context, u sidetrack.Unit) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errors.New("file: closed")
	}
	var failed map[int]error
	w.buf, failed = encode(w.buf[:0], u.Events)
	if err := w.append(w.buf, u.At); err != nil {
		return fmt.Errorf("file: %w", err)
	}
	if cap(w.buf) > 1<<20 {
		w.buf = nil
	}
	if failed != nil {
		return &sidetrack.PartialError{Failed: failed}
	}
	return nil
}

func (w *writer) append(lines []byte, at time.Time) error {
	if len(lines) == 0 {
		return nil
	}
	if err := w.prepare(int64(len(lines)), at); err != nil {
		return err
	}
	n, err := w.f.Write(lines)
	if err == nil && w.cfg.Fsync == "always" {
		err = w.f.Sync()
	}
	if err != nil {
		if n > 0 { // no half lines: the same events come again
			if terr := w.f.Truncate(w.size); terr != nil {
				_ = w.f.Close()
				w.f = nil // reopening cuts the torn line
			}
		}
		return err
	}
	w.size += int64(n)
	if w.cfg.Fsync == "interval" || w.cfg.Fsync == "" {
		w.syncSoon()
	}
	return w.syncEr
}

// syncSoon forces what was written to the disk within a second.
func (w *writer) syncSoon() {
	w.dirty = true
	if w.timer == nil {
		w.timer = time.AfterFunc(time.Second, w.syncNow)
	}
}

func (w *writer) syncNow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = nil
	if w.dirty && w.f != nil {
		w.syncEr = w.f.Sync()
		w.dirty = false
	}
}

// prepare opens or rotates the file so that n bytes may follow.
func (w *writer) prepare(n int64, at time.Time) error {
	if w.f != nil {
		// Someone may have moved or removed the file, as logrotate does.
		now, err := os.Stat(w.cfg.Path)
		own, ownErr := w.f.Stat()
		if err != nil || ownErr != nil || !os.SameFile(now, own) {
			_ = w.f.Close()
			w.f = nil
		}
	}
	if w.f == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	r := w.cfg.Rotate
	full := r.Size > 0 && w.size > 0 && w.size+n > int64(r.Size)
	over := r.Every > 0 && w.size > 0 && w.period.Before(at.UTC().Truncate(r.Every))
	if full || over {
		if err := w.rotate(); err != nil {
			return err
		}
		if err := w.open(); err != nil {
			return err
		}
	}
	if r.Every > 0 && w.size == 0 {
		w.period = at.UTC().Truncate(r.Every)
	}
	return nil
}

// open opens the file for appending. A last line without its end is the rest of a write that was cut
// off, whose events were not delivered: it goes.
func (w *writer) open() error {
	if err := os.MkdirAll(filepath.Dir(w.cfg.Path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(w.cfg.Path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	size, err := wholeLines(f)
	if err == nil {
		var fi os.FileInfo
		if fi, err = f.Stat(); err == nil {
			if fi.Size() > size {
				err = f.Truncate(size)
			}
			w.period = fi.ModTime().UTC()
			if w.cfg.Rotate.Every > 0 {
				w.period = w.period.Truncate(w.cfg.Rotate.Every)
			}
		}
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	w.f, w.size = f, size
	return nil
}

// wholeLines returns the length of f up to its last line end.
func wholeLines(f *os.File) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	block := make([]byte, 64<<10)
	for end > 0 {
		from := max(0, end-int64(len(block)))
		part := block[:end-from]
		if _, err := f.ReadAt(part, from); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		end = from
	}
	return 0, nil
}

func (w *writer) close() error {
	w.mu.Lock()
	w.closed = true
	if w.timer != nil {
		w.timer.Stop()
	}
	var err error
	if w.f != nil {
		if w.cfg.Fsync != "never" {
			err = w.f.Sync()
		}
		err = errors.Join(err, w.f.Close())
		w.f = nil
	}
	w.mu.Unlock()
	w.archiving.Wait()
	if err != nil {
		return fmt.Errorf("file: close: %w", err)
	}
	return nil
}
