package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack/pipeline"
)

// ErrNotRunning says that no process serves a directory.
var ErrNotRunning = errors.New("admin: no running process")

// Client works on the pipeline of another process.
type Client struct{ http *http.Client }

// Dial finds the process that serves dir. It fails with ErrNotRunning when there is none.
func Dial(dir string) (*Client, error) {
	path, err := socketPath(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	_ = conn.Close()
	return &Client{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}}, nil
}

// Ledger returns the other process's ledger.
func (c *Client) Ledger(ctx context.Context) (l pipeline.Ledger, err error) {
	resp, err := c.do(ctx, http.MethodGet, "/ledger", nil)
	if err != nil {
		return l, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&l); err != nil {
		return l, fmt.Errorf("admin: ledger: %w", err)
	}
	return l, nil
}

// DeadLetters is the method of pipeline.Pipeline there.
func (c *Client) DeadLetters(ctx context.Context, f pipeline.DeadFilter) iter.Seq2[pipeline.StoredLetter, error] {
	return func(yield func(pipeline.StoredLetter, error) bool) {
		stopped := false
		err := c.stream(ctx, "/dead/list", order{Filter: f}, func(fr frame) bool {
			if fr.Letter != nil {
				stopped = !yield(*fr.Letter, nil)
			}
			return !stopped
		})
		if err != nil && !stopped {
			yield(pipeline.StoredLetter{}, err)
		}
	}
}

// Replay is the method of pipeline.Pipeline there. When ctx ends, so does the work.
func (c *Client) Replay(ctx context.Context, f pipeline.DeadFilter, o pipeline.DeadOptions) (pipeline.DeadResult, error) {
	return c.work(ctx, "/dead/replay", f, o)
}

// DropDead is the method of pipeline.Pipeline there. When ctx ends, so does the work.
func (c *Client) DropDead(ctx context.Context, f pipeline.DeadFilter, o pipeline.DeadOptions) (pipeline.DeadResult, error) {
	return c.work(ctx, "/dead/drop", f, o)
}

// Forget is the method of pipeline.Pipeline there.
func (c *Client) Forget(ctx context.Context, p pipeline.Person) (out pipeline.Forgotten, err error) {
	err = c.stream(ctx, "/forget", p, func(fr frame) bool {
		if fr.Forgot != nil {
			out = *fr.Forgot
		}
		return true
	})
	return out, err
}

func (c *Client) work(ctx context.Context, path string, f pipeline.DeadFilter, o pipeline.DeadOptions) (res pipeline.DeadResult, err error) {
	err = c.stream(ctx, path, order{f, o.DryRun}, func(fr frame) bool {
		switch {
		case fr.Progress != nil && o.Progress != nil:
			o.Progress(*fr.Progress)
		case fr.Result != nil:
			res = *fr.Result
		}
		return true
	})
	return res, err
}

// stream reads frames until the last one, or until use wants no more.
func (c *Client) stream(ctx context.Context, path string, o any, use func(frame) bool) error {
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := c.do(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	d := json.NewDecoder(resp.Body)
	for {
		var f frame
		if err := d.Decode(&f); err != nil {
			return fmt.Errorf("admin: the process went away in the middle: %w", err)
		}
		switch {
		case f.Error != "":
			return errors.New(f.Error)
		case f.End || !use(f):
			return nil
		}
	}
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://sidetrack"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		_ = resp.Body.Close()
		return nil, fmt.Errorf("admin: the process answered %d: %s", resp.StatusCode, strings.TrimSpace(string(text)))
	}
	return resp, nil
}
