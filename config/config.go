// Package config reads a composition of sidetrack from YAML: the same pipeline.Config
// that Go code writes.
//
// Reading is strict and complete: an unknown key, a bad value, a duplicate or a
// missing key is a problem, and every problem is reported with its place and what to
// do. Keys that begin with x- are free, for anchors. ${NAME} and ${NAME:-default}
// are replaced in values from the environment, never in keys or structure, so a
// variable cannot change what the file means.
package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// Config is a composition that was read and checked. Its components are made but
// nothing runs: no port is open, no store touched. It belongs to one pipeline.
type Config struct {
	Name     string          // of the file
	Pipeline pipeline.Config // without a Bus
	Bus      Bus             // what OpenBus opens
	Admin    Admin           // for whoever runs the pipeline
	Tests    []Test
	Warnings []Problem // valid, but perhaps not meant

	parse func() (*Config, error) // reads the same content again
}

// file is the top level of the file.
type file struct {
	// Bus stores events between intake and sinks. Default: embedded, in ./data.
	Bus Bus `yaml:"bus"`
	// Queue bounds what waits in memory for the bus.
	Queue Queue `yaml:"queue"`
	// Dedup recognizes events that come twice by their client's ids.
	Dedup Dedup `yaml:"dedup"`
	// DeadLetters bounds what is kept of undeliverable events.
	DeadLetters DeadLetters `yaml:"dead_letters"`
	// Admin shows people and Prometheus what goes on.
	Admin Admin `yaml:"admin"`
	// DrainTimeout bounds how long stopping waits for what is in flight. Default: 10s.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
	// IntakeWithout names the safe intake processors to leave out: consent,
	// anonymize_ip. Without them the file has to answer for what they do.
	IntakeWithout []string `yaml:"intake_without"`
}

// components are the keys of the top level whose values name component types.
var components = []string{"sites", "sources", "intake", "processors", "sinks", "tests"}

// sectionDocs say what those keys are for.
var sectionDocs = map[string]string{
	"sites":      "sites are the properties that events belong to, by a name of your choice.",
	"sources":    "sources turn requests and log lines into events, by a name of your choice. One key names the type.",
	"intake":     "intake is the processors that run in the request, before anything is stored, in this order. consent is put first and anonymize_ip last where the list has none of its own.",
	"processors": "processors run on the bus, once for all sinks, in this order.",
	"sinks":      "sinks deliver events to backends, by a name of your choice. The one key that is none of the engine's names the type.",
	"tests":      "tests say what happens to an event. `sidetrack test` runs them.",
}

// Load reads a file with the variables of the environment. "-" reads standard input.
// The error is an *Error when the content is at fault.
func Load(path string, reg *sidetrack.Registry, opts ...Option) (*Config, error) {
	f, name := os.Stdin, "stdin"
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		defer f.Close()
		name = path
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("config: read %s: %w", name, err)
	}
	return Parse(name, data, reg, os.LookupEnv, opts...)
}

// Parse reads a composition. name is for messages, reg has the components it may
// use, env looks up variables (nil: there are none). The error is an *Error with
// every problem. It never panics, whatever data is.
func Parse(name string, data []byte, reg *sidetrack.Registry, env func(string) (string, bool), opts ...Option) (*Config, error) {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	d := &decoder{env: env}
	root := read(data, &d.problems)
	if root == nil {
		return nil, d.err(name, data, secretKeys(reg))
	}
	d.parsed = true
	b := &builder{decoder: d, reg: reg, config: &Config{Name: name}}
	d.mounts = b.decoders
	for _, o := range opts {
		o(b)
	}
	b.build(root)
	if err := d.err(name, data, secretKeys(reg)); err != nil {
		return nil, errors.Join(err, b.config.Close())
	}
	b.config.parse = func() (*Config, error) { return Parse(name, data, reg, env, opts...) }
	return b.config, nil
}

// Option changes how a composition is made.
type Option func(*builder)

// WithLogger gives l to the components that log.
func WithLogger(l *slog.Logger) Option {
	return func(b *builder) {
		b.logger = l
		b.config.Pipeline.Logger = l
	}
}

// Close releases the components of a configuration that no pipeline took over.
func (c *Config) Close() error {
	var errs []error
	for _, s := range c.Pipeline.Sinks {
		if close := s.Sink.Spec().Close; close != nil {
			errs = append(errs, close())
		}
	}
	return errors.Join(errs...)
}

// builder makes the components that a file names.
type builder struct {
	*decoder
	reg       *sidetrack.Registry
	config    *Config
	logger    *slog.Logger
	sinkNames []string // of all sinks in the file, good or not
}

var componentName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (b *builder) build(root *node) {
	if !b.isMapping(root, "") {
		return
	}
	var f file
	own := make([]field, 0, len(root.fields))
	for _, fl := range root.fields {
		if isComponents(fl.key) {
			continue
		}
		own = append(own, fl)
	}
	b.fields(root, own, reflect.ValueOf(&f).Elem(), "", components)
	b.bus(root.get("bus"), f.Bus)
	p := &b.config.Pipeline
	p.QueueEvents, p.QueueBytes = f.Queue.Events, int64(f.Queue.Bytes)
	p.DeadMaxAge, p.DeadMaxBytes = f.DeadLetters.MaxAge, int64(f.DeadLetters.MaxBytes)
	p.DrainTimeout = f.DrainTimeout
	b.config.Admin = f.Admin
	p.Dedup = pipeline.Dedup(f.Dedup)

	b.sites(root.get("sites"))
	b.sources(root.get("sources"))
	b.intake(root, f.IntakeWithout)
	p.Processors = b.processors(root.get("processors"), "processors", false)
	b.sinks(root, root.get("sinks"))
	b.retention(root)
	b.tests(root.get("tests"))
	if len(p.Sources) == 0 && len(b.list) == 0 {
		b.config.Warnings = append(b.config.Warnings, Problem{Message: "no sources: no event will arrive", Hint: "sources: {web: {http: {listen: \":8080\"}}}"})
	}
}

func isComponents(key string) bool {
	for _, c := range components {
		if c == key {
			return true
		}
	}
	return false
}

// named calls f for every entry of a mapping from names, in the order of the file.
func (b *builder) named(n *node, path string, f func(name string, n *node, path string)) {
	if n == nil || !b.isMapping(n, path) {
		return
	}
	for _, fl := range n.fields {
		switch {
		case free(fl.key):
		case !componentName.MatchString(fl.key):
			b.add(Problem{Position: fl.pos, Path: path, Message: quote(fl.key) + " is not a name",
				Hint: "use 1 to 64 letters, digits, - and _"})
		default:
			f(fl.key, fl.value, join(path, fl.key))
		}
	}
}

func (b *builder) sites(n *node) {
	taken := make(map[string]string) // by field and value: the site
	b.named(n, "sites", func(name string, n *node, path string) {
		var s Site
		if !b.decode(n, reflect.ValueOf(&s).Elem(), path) {
			// The name is known all the same, so that sinks that refer to it are not wrong too.
			s = Site{}
		}
		for _, f := range []struct {
			key, hint string
			values    []string
		}{{"hosts", "a host has one site", s.Hosts}, {"origins", "an origin has one site", s.Origins}, {"keys", "a key has one site", s.Keys}} {
			for i, v := range f.values {
				if other, ok := taken[f.key+v]; ok && other != name {
					b.at(n.find(index(f.key, i)), path, quote(v)+" belongs to site "+quote(other)+" already", f.hint)
				}
				taken[f.key+v] = name
			}
		}
		b.config.Pipeline.Sites = append(b.config.Pipeline.Sites, sidetrack.Site{Name: name, Hosts: s.Hosts, Origins: s.Origins, Keys: s.Keys})
	})
}
