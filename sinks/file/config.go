// Package file appends events to a file, one line of JSON each, and rotates it by size and time.
//
// The libraries for rotating logs were left aside because none of them guarantees what an
// archive of events needs: whole lines after a crash or a full disk, and fsync before an event counts
// as delivered.
package file

import (
	"fmt"
	"os"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/size"
)

// Config is the configuration of the file sink.
type Config struct {
	// Path of the file that is written. Rotated files stand beside it, with the time of
	// rotation in their name.
	Path string `yaml:"path"`
	// Rotate says when a new file is begun.
	Rotate Rotate `yaml:"rotate"`
	// Compress rotated files: gzip, zstd or none.
	Compress string `yaml:"compress" enum:"gzip,zstd,none"`
	// Fsync says when events are forced to the disk: always, before they count as delivered;
	// interval, at least once a second; never, when the system likes.
	Fsync string `yaml:"fsync" enum:"always,interval,never"`
}

// Rotate says when a new file is begun. Zero values never do.
type Rotate struct {
	// Size of a file, at most; a single larger event gets a file of its own.
	Size size.Bytes `yaml:"size"`
	// Every begins a new file when this much time has passed, counted from midnight UTC.
	Every time.Duration `yaml:"every"`
	// Keep is how many rotated files stay; the oldest go. 0: all.
	Keep int `yaml:"keep"`
}

// Defaults rotates at 100 MB, keeps all, and compresses with gzip.
func Defaults() Config {
	return Config{Rotate: Rotate{Size: 100_000_000}, Compress: "gzip", Fsync: "interval"}
}

// maxUnit is how many events are written, and forced to the disk, at once.
const maxUnit = 500

// New makes the sink and opens its file. It needs analytics_storage; the owner's own copy
// states needs: [].
func New(cfg Config) (*sidetrack.Sink, error) {
	if cfg.Path == "" {
		return nil, &sidetrack.FieldError{Field: "path", Problem: "is missing"}
	}
	if fi, err := os.Stat(cfg.Path); err == nil && fi.IsDir() {
		return nil, &sidetrack.FieldError{Field: "path", Problem: "is a directory"}
	}
	switch cfg.Compress {
	case "gzip", "zstd", "none", "":
	default:
		return nil, &sidetrack.FieldError{Field: "compress", Problem: fmt.Sprintf("is %q: use gzip, zstd or none", cfg.Compress)}
	}
	switch cfg.Fsync {
	case "always", "interval", "never", "":
	default:
		return nil, &sidetrack.FieldError{Field: "fsync", Problem: fmt.Sprintf("is %q: use always, interval or never", cfg.Fsync)}
	}
	if cfg.Rotate.Size < 0 || cfg.Rotate.Every < 0 || cfg.Rotate.Keep < 0 {
		return nil, &sidetrack.FieldError{Field: "rotate", Problem: "must not be negative"}
	}
	w := newWriter(cfg)
	return sidetrack.WriterSink(w, sidetrack.MaxEvents(maxUnit), sidetrack.Close(w.close), sidetrack.Erase(w.erase), sidetrack.Preview(preview)), nil
}

func preview(u sidetrack.Unit) ([]byte, error) {
	b, failed := encode(nil, u.Events)
	for _, err := range failed {
		return nil, err
	}
	return b, nil
}

// encode appends a line for each event that can be encoded.
func encode(b []byte, events []*sidetrack.Event) (_ []byte, failed map[int]error) {
	for i, e := range events {
		next, err := e.AppendJSON(b)
		if err != nil {
			if failed == nil {
				failed = map[int]error{}
			}
			failed[i] = sidetrack.Permanent(fmt.Errorf("file: encode: %w", err))
			continue
		}
		b = append(next, '\n')
	}
	return b, failed
}
