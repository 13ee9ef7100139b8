package jetstream

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sidetrack-go/sidetrack/internal/size"
)

// Values of Embedded.Sync.
const (
	SyncAlways   = "always"
	SyncInterval = "interval"
)

const (
	// DefaultMaxBytes is the disk space for all topics where nothing else is said.
	DefaultMaxBytes = 8 << 30

	defaultAckWait = 30 * time.Second
	defaultMinFree = 256 << 20
	defaultPrefix  = "sidetrack"

	// publishTimeout bounds how long one message may stay without an answer
	// of the store.
	publishTimeout = 2 * time.Second

	// syncEvery is the longest time between two fsyncs with SyncInterval.
	syncEvery = time.Second

	// maxPayload is the largest message the embedded server takes. The
	// pipeline's batches stay under 512 KiB.
	maxPayload = 8 << 20
)

// Embedded configures a JetStream server inside the process. It opens no port.
type Embedded struct {
	// Directory of the store. It is created when missing, and one process owns it.
	DataDir string `yaml:"data_dir"`

	// When a stored event is flushed to the disk: "always" before it is
	// acknowledged, "interval" within one second. Both survive the death of
	// the process; only "always" is meant to survive a power failure.
	Sync string `yaml:"sync" enum:"always,interval"`

	// Disk space for all topics together. A topic without a limit of its own
	// gets an equal share of what the others leave. 8 GB when empty.
	MaxBytes size.Bytes `yaml:"max_bytes"`

	// Free space on the disk below which nothing more is accepted. 256 MiB
	// when empty; "1" switches the guard off in effect.
	MinFree size.Bytes `yaml:"min_free"`

	// Time after which a message that nobody holds any more is handed out
	// again; it matters only when a settlement gets lost. 30 s when empty.
	AckWait time.Duration `yaml:"ack_wait"`

	// Logger receives what the bus and the server in it have to say. Payloads
	// are never logged. Nothing is logged when it is nil.
	Logger *slog.Logger `yaml:"-"`
}

// Cluster configures a connection to NATS servers with JetStream.
type Cluster struct {
	// Addresses of the servers, separated by commas.
	URL string `yaml:"url"`

	// Credentials file (.creds) with the user's token and key. None when empty.
	Credentials string `yaml:"credentials"`

	// Copies of each stream in the cluster, 1 to 5. 1 when empty.
	Replicas int `yaml:"replicas"`

	// First part of the names of all streams and subjects. Installations that
	// share a cluster need different ones, because each deletes the streams
	// with its own prefix that it does not declare. "sidetrack" when empty.
	Prefix string `yaml:"prefix"`

	// Disk space for all topics together, on each replica. A topic without a
	// limit of its own gets an equal share of what the others leave. 8 GB when empty.
	MaxBytes size.Bytes `yaml:"max_bytes"`

	// Time after which a message whose holder is gone is handed out again.
	// 30 s when empty.
	AckWait time.Duration `yaml:"ack_wait"`

	// Logger receives what the bus has to say. Nothing is logged when it is nil.
	Logger *slog.Logger `yaml:"-"`
}

func (c Embedded) withDefaults() (Embedded, error) {
	if c.DataDir == "" {
		return c, errors.New("data_dir is empty")
	}
	switch c.Sync {
	case "":
		c.Sync = SyncAlways
	case SyncAlways, SyncInterval:
	default:
		return c, fmt.Errorf("sync %q: want %q or %q", c.Sync, SyncAlways, SyncInterval)
	}
	if c.MaxBytes < 0 || c.MinFree < 0 {
		return c, errors.New("max_bytes and min_free must not be negative")
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.MinFree == 0 {
		c.MinFree = defaultMinFree
	}
	var err error
	c.AckWait, err = ackWait(c.AckWait)
	c.Logger = loggerOrDiscard(c.Logger)
	return c, err
}

func (c Cluster) withDefaults() (Cluster, error) {
	if c.URL == "" {
		return c, errors.New("url is empty")
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		return c, fmt.Errorf("replicas %d: want 1 to 5", c.Replicas)
	}
	c.Replicas = max(c.Replicas, 1)
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	if !validName(c.Prefix) {
		return c, fmt.Errorf("prefix %q: only letters, digits, '-' and '_'", c.Prefix)
	}
	if c.MaxBytes < 0 {
		return c, errors.New("max_bytes must not be negative")
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	var err error
	c.AckWait, err = ackWait(c.AckWait)
	c.Logger = loggerOrDiscard(c.Logger)
	return c, err
}

func ackWait(d time.Duration) (time.Duration, error) {
	switch {
	case d == 0:
		return defaultAckWait, nil
	case d < 100*time.Millisecond:
		return 0, fmt.Errorf("ack_wait %v: want at least 100ms", d)
	}
	return d, nil
}

func loggerOrDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// validName reports whether s can be part of names of streams, subjects and consumers.
func validName(s string) bool {
	if s == "" || len(s) > 100 {
		return false
	}
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
		default:
			return false
		}
	}
	return true
}
