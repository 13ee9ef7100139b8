// Package admin lets commands work on a running pipeline: its ledger, its dead letters and
// the visitors it must forget. The owner of a data directory serves it on a unix socket there;
// who may open the socket may do everything.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sidetrack-go/sidetrack/pipeline"
)

// Pipeline is what can be done. *pipeline.Pipeline does it in this process, *Client in another.
type Pipeline interface {
	DeadLetters(ctx context.Context, f pipeline.DeadFilter) iter.Seq2[pipeline.StoredLetter, error]
	Replay(ctx context.Context, f pipeline.DeadFilter, o pipeline.DeadOptions) (pipeline.DeadResult, error)
	DropDead(ctx context.Context, f pipeline.DeadFilter, o pipeline.DeadOptions) (pipeline.DeadResult, error)
	Forget(ctx context.Context, p pipeline.Person) (pipeline.Forgotten, error)
}

var (
	_ Pipeline = (*pipeline.Pipeline)(nil)
	_ Pipeline = (*Client)(nil)
)

// frame is one line of an answer that takes its time.
type frame struct {
	Letter   *pipeline.StoredLetter `json:"letter,omitempty"`
	Progress *pipeline.DeadProgress `json:"progress,omitempty"`
	Result   *pipeline.DeadResult   `json:"result,omitempty"`
	Forgot   *pipeline.Forgotten    `json:"forgot,omitempty"`
	Error    string                 `json:"error,omitempty"`
	End      bool                   `json:"end,omitempty"`
}

// order is the body of a request for work on dead letters.
type order struct {
	Filter pipeline.DeadFilter `json:"filter"`
	DryRun bool                `json:"dry_run,omitempty"`
}

// Ledger answers GET with the pipeline's ledger as JSON. It names no visitor and no secret, and may be mounted
// where its owner can see it.
func Ledger(p *pipeline.Pipeline) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "use GET", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(p.Ledger())
	})
}

// Handler serves everything. It asks nobody who he is: only the socket may be in front of it.
func Handler(p *pipeline.Pipeline) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/ledger", Ledger(p))
	mux.HandleFunc("POST /dead/list", func(w http.ResponseWriter, r *http.Request) {
		stream(w, r, func(o order, send func(frame)) error {
			for l, err := range p.DeadLetters(r.Context(), o.Filter) {
				if err != nil {
					return err
				}
				send(frame{Letter: &l})
			}
			return nil
		})
	})
	work := func(f func(context.Context, pipeline.DeadFilter, pipeline.DeadOptions) (pipeline.DeadResult, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			stream(w, r, func(o order, send func(frame)) error {
				res, err := f(r.Context(), o.Filter, pipeline.DeadOptions{DryRun: o.DryRun, Progress: func(p pipeline.DeadProgress) { send(frame{Progress: &p}) }})
				send(frame{Result: &res})
				return err
			})
		}
	}
	mux.HandleFunc("POST /forget", func(w http.ResponseWriter, r *http.Request) {
		stream(w, r, func(person pipeline.Person, send func(frame)) error {
			forgot, err := p.Forget(r.Context(), person)
			send(frame{Forgot: &forgot})
			return err
		})
	})
	mux.HandleFunc("POST /dead/replay", work(p.Replay))
	mux.HandleFunc("POST /dead/drop", work(p.DropDead))
	return mux
}

// maxOrder bounds the body of a request.
const maxOrder = 1 << 20

// stream answers with frames, the last of which says how it ended.
func stream[O any](w http.ResponseWriter, r *http.Request, work func(O, func(frame)) error) {
	var o O
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		http.Error(w, "bad request: "+err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(w)
	flush := http.NewResponseController(w)
	send := func(f frame) {
		_ = enc.Encode(f)
		if f.Letter == nil {
			_ = flush.Flush()
		}
	}
	end := frame{End: true}
	if err := work(o, send); err != nil {
		end.Error = err.Error()
	}
	send(end)
}

// socketName is the socket's name in the data directory.
const socketName = "control.sock"

// maxSocketPath is what the address of a unix socket may take everywhere.
const maxSocketPath = 100

// Serve answers on the socket in dir until the function it returns is called, which waits for
// requests in flight only briefly. The caller owns dir: a socket that a dead process left is
// replaced.
func Serve(dir string, p *pipeline.Pipeline, log *slog.Logger) (stop func(), err error) {
	path, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("admin: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("admin: %w", err), l.Close())
	}
	base, cancel := context.WithCancel(context.Background())
	srv := &http.Server{
		Handler:           Handler(p),
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("commands cannot reach this process any more", "error", err)
		}
	}()
	return func() {
		cancel()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			_ = srv.Close()
		}
		<-done
	}, nil
}

// socketPath is the shorter of the absolute and the relative path of the socket: the address of a unix
// socket is limited.
func socketPath(dir string) (string, error) {
	path := filepath.Join(dir, socketName)
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
		if wd, err := os.Getwd(); err == nil {
			if rel, err := filepath.Rel(wd, abs); err == nil && len(rel) < len(path) {
				path = rel
			}
		}
	}
	if len(path) > maxSocketPath {
		return "", fmt.Errorf("admin: the path of the socket, %s, has more than %d characters: use a shorter data_dir", path, maxSocketPath)
	}
	return path, nil
}
