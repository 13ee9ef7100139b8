package sources

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// file reads one log line by line.
func (r *logRun) file(ctx context.Context, path string) (err error) {
	var src io.Reader
	if path == "-" {
		if src = r.cfg.Reader; src == nil {
			src = os.Stdin
		}
		p := newPump(ctx, src)
		defer p.stop()
		src = p
	} else {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		src = f
	}
	in := bufio.NewReaderSize(&counting{src, r}, maxLine)
	lines := in
	if magic, _ := in.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		lines = bufio.NewReaderSize(z, maxLine)
	}
	for {
		if path == "-" && lines.Buffered() == 0 && r.waiting > 0 {
			// The next line may be hours away.
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
		line, complete, err := readLine(lines)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := r.line(ctx, line, complete); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// readLine returns the next line without its end. A line that does not fit into the
// buffer of in is read over; complete is false then. The error is io.EOF only when there is no line left.
func readLine(in *bufio.Reader) (line string, complete bool, err error) {
	b, err := in.ReadSlice('\n')
	if err == nil || errors.Is(err, io.EOF) && len(b) > 0 {
		return string(trimEnd(b)), true, nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return "", false, err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = in.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", false, err
	}
	return "", false, nil
}

func trimEnd(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// counting reports progress by the bytes that were really read.
type counting struct {
	src io.Reader
	run *logRun
}

// Read implements io.Reader.
func (c *counting) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	c.run.progress.Read += int64(n)
	if c.run.progress.Read-c.run.told >= 64<<10 {
		c.run.told = c.run.progress.Read
		c.run.report()
	}
	return n, err
}

// pump reads a stream that cannot be interrupted, such as standard input, in a goroutine of
// its own, so that Read returns when ctx ends. The goroutine ends with the read it is in.
type pump struct {
	ctx    context.Context
	cancel context.CancelFunc
	chunks chan chunk
	rest   []byte
	err    error
}

type chunk struct {
	data []byte
	err  error
}

func newPump(ctx context.Context, src io.Reader) *pump {
	ctx, cancel := context.WithCancel(ctx)
	p := &pump{ctx: ctx, cancel: cancel, chunks: make(chan chunk)}
	go func() {
		for {
			buf := make([]byte, maxLine)
			n, err := src.Read(buf)
			select {
			case p.chunks <- chunk{buf[:n], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return p
}

func (p *pump) stop() { p.cancel() }

// Read implements io.Reader.
func (p *pump) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		select {
		case c := <-p.chunks:
			p.rest, p.err = c.data, c.err
		case <-p.ctx.Done():
			return 0, p.ctx.Err()
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	if n == 0 {
		return 0, p.err
	}
	return n, nil
}
