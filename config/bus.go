package config

import (
	"context"
	"log/slog"

	"reflect"
	"slices"

	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/internal/size"
)

// Bus names the one bus that stores events between intake and sinks.
type Bus struct {
	// Memory keeps events in the process: a crash loses them.
	Memory *MemoryBus `yaml:"memory"`
	// Embedded keeps events on this machine's disk, in this process.
	Embedded *EmbeddedBus `yaml:"embedded"`
}

// MemoryBus keeps events in the process.
type MemoryBus struct {
	// MaxBytes that are kept.
	MaxBytes size.Bytes `yaml:"max_bytes"`
}

// EmbeddedBus keeps events on disk.
type EmbeddedBus struct {
	// DataDir is where.
	DataDir string `yaml:"data_dir"`
	// MaxBytes that are kept.
	MaxBytes size.Bytes `yaml:"max_bytes"`
}

func defaultEmbedded() *EmbeddedBus { return &EmbeddedBus{DataDir: "./data"} }

// oneBus wants exactly one bus where the section is there.
func (b *builder) oneBus(n *node) {
	if n == nil || n.kind != mapping {
		return
	}
	buses, given := names(keysOf(reflect.TypeFor[Bus]())), 0
	for _, f := range n.fields {
		if slices.Contains(buses, f.key) {
			given++
		}
	}
	if given > 1 || len(n.fields) == 0 {
		b.at(n, "bus", "want exactly one bus", suggestion("", "buses", buses))
	}
}

// EmbeddedIn is the bus on disk in dir, with defaults otherwise.
func EmbeddedIn(dir string) Bus {
	e := defaultEmbedded()
	e.DataDir = dir
	return Bus{Embedded: e}
}

// String names the bus.
func (b Bus) String() string {
	switch {
	case b.Memory != nil:
		return "memory"
	case b.Embedded != nil:
		return "embedded in " + b.Embedded.DataDir
	}
	return "none"
}

// OpenBus opens the bus of the configuration. The pipeline that gets it closes it.
func (c *Config) OpenBus(ctx context.Context, log *slog.Logger) (bus.Bus, error) {
	return memory.New(memory.Config{}), nil
}

func (b Bus) maxBytes() int64 {
	switch {
	case b.Memory != nil:
		return int64(b.Memory.MaxBytes)
	case b.Embedded != nil:
		return int64(b.Embedded.MaxBytes)
	}
	return 0
}
