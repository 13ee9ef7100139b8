package config

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/jetstream"
	"github.com/sidetrack-go/sidetrack/bus/memory"
)

// Bus names the one bus that stores events between intake and sinks.
type Bus struct {
	// Memory keeps events in the process. They are lost when it dies.
	Memory *memory.Config `yaml:"memory"`
	// Embedded keeps events on this machine's disk, by a server inside the process that opens no port.
	Embedded *jetstream.Embedded `yaml:"embedded"`
	// NATS keeps events on NATS servers with JetStream, for many machines.
	NATS *jetstream.Cluster `yaml:"nats"`
}

const defaultDataDir = "./data"

// EmbeddedIn is the bus on disk in dir, with defaults otherwise.
func EmbeddedIn(dir string) Bus { return Bus{Embedded: &jetstream.Embedded{DataDir: dir}} }

// String names the bus. It shows no address: credentials may be in it.
func (b Bus) String() string {
	switch {
	case b.Memory != nil:
		return "memory"
	case b.Embedded != nil:
		return "embedded in " + b.Embedded.DataDir
	case b.NATS != nil:
		return "nats"
	}
	return "none"
}

// OpenBus opens the bus of the configuration. The pipeline that gets it closes it.
// ctx bounds opening alone.
func (c *Config) OpenBus(ctx context.Context, log *slog.Logger) (bus.Bus, error) {
	switch b := c.Bus; {
	case b.Memory != nil:
		return memory.New(*b.Memory), nil
	case b.Embedded != nil:
		cfg := *b.Embedded
		cfg.Logger = log
		return opened(jetstream.OpenEmbedded(ctx, cfg))
	case b.NATS != nil:
		cfg := *b.NATS
		cfg.Logger = log
		return opened(jetstream.OpenCluster(ctx, cfg))
	}
	return nil, fmt.Errorf("config: %s names no bus", c.Name)
}

// opened keeps a nil *jetstream.Bus from becoming a bus that is not nil.
func opened(b *jetstream.Bus, err error) (bus.Bus, error) {
	if err != nil {
		return nil, err
	}
	return b, nil
}

// retention checks that the bus can keep what the sinks want to have kept.
func (b *builder) retention(root *node) {
	p := b.config.Pipeline
	keeps := p.EventBytes(b.config.Bus.maxBytes())
	if b.config.Bus.Memory != nil {
		keeps = b.config.Bus.maxBytes() // each topic has as much
	}
	if keeps <= 0 {
		b.at(root.get("bus"), "bus", "max_bytes leaves nothing for events beside dead letters and retries",
			fmt.Sprintf("use more than %s, or less for dead_letters", megabytes(b.config.Bus.maxBytes()-keeps)))
		return
	}
	for _, s := range p.Sinks {
		if limit := s.Delivery.MaxBacklogBytes; limit > keeps {
			path := join(join("sinks", s.Name), "delivery")
			b.at(root.find(path).get("max_backlog"), join(path, "max_backlog"),
				"is more than the bus keeps of events, which is "+megabytes(keeps), "lower it, or raise max_bytes of the bus")
		}
	}
}

func megabytes(n int64) string { return fmt.Sprintf("%dMB", (n+999_999)/1_000_000) }

// maxBytes is the space for all topics, for each in memory.
func (b Bus) maxBytes() int64 {
	switch {
	case b.Memory != nil:
		return cmp.Or(int64(b.Memory.MaxBytes), memory.DefaultMaxBytes)
	case b.Embedded != nil:
		return cmp.Or(int64(b.Embedded.MaxBytes), jetstream.DefaultMaxBytes)
	case b.NATS != nil:
		return cmp.Or(int64(b.NATS.MaxBytes), jetstream.DefaultMaxBytes)
	}
	return jetstream.DefaultMaxBytes
}

// bus completes the section and checks what its packages would only find when they open it.
func (b *builder) bus(n *node, section Bus) {
	if n == nil || n.kind == null {
		section = EmbeddedIn(defaultDataDir)
	}
	b.config.Bus = section
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
	if e := section.Embedded; e != nil {
		if e.DataDir == "" {
			e.DataDir = defaultDataDir
		}
	}
	if c := section.NATS; c != nil {
		if at := n.find("nats"); at.get("url") == nil {
			b.at(at, "bus.nats", `key "url" is missing`, "url: nats://nats.example:4222")
		} else if strings.TrimSpace(c.URL) == "" {
			b.at(at.get("url"), "bus.nats.url", "is empty", "url: nats://nats.example:4222")
		}
		if c.Replicas < 0 || c.Replicas > 5 {
			b.at(n.find("nats.replicas"), "bus.nats.replicas", "is not a number of replicas", "use 1 to 5")
		}
	}
}
