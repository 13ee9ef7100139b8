package sidetrack

import (
	"fmt"
	"slices"
)

// Registry names the components a configuration may use. The zero value is empty
// and ready. Fill it before use; it is not safe for concurrent writing.
type Registry struct {
	sinks      map[string]Factory[*Sink]
	sources    map[string]Factory[Source]
	decoders   map[string]Factory[Decoder]
	processors map[string]Factory[Processor]
}

// Factory makes components of one kind and name.
type Factory[T any] struct {
	Name       string
	IntakeOnly bool     // processors: needs the request, so it cannot run on the bus
	Paths      []string // decoders: where they are served by default, see Mount

	config func() any
	build  func(any) (T, error)
}

// Config returns a pointer to a new configuration that holds the defaults, to be
// decoded into.
func (f Factory[T]) Config() any { return f.config() }

// Build makes the component from what Config returned.
func (f Factory[T]) Build(config any) (T, error) { return f.build(config) }

func factory[C, T any](name string, defaults func() C, build func(C) (T, error)) Factory[T] {
	return Factory[T]{
		Name: name,
		config: func() any {
			c := new(C)
			if defaults != nil {
				*c = defaults()
			}
			return c
		},
		build: func(config any) (T, error) {
			c, ok := config.(*C)
			if !ok {
				var zero T
				return zero, fmt.Errorf("sidetrack: build %s: config is %T, want %T", name, config, c)
			}
			return build(*c)
		},
	}
}

func add[T any](m *map[string]Factory[T], f Factory[T]) {
	if *m == nil {
		*m = make(map[string]Factory[T])
	}
	if _, ok := (*m)[f.Name]; ok {
		panic("sidetrack: registry: " + f.Name + " added twice")
	}
	(*m)[f.Name] = f
}

// AddSink registers a sink. C is its configuration with yaml tags in snake_case; defaults
// may be nil. The same build function serves Go code. Adding a name twice panics.
func AddSink[C any](r *Registry, name string, defaults func() C, build func(C) (*Sink, error)) {
	add(&r.sinks, factory(name, defaults, build))
}

// AddSource registers a source.
func AddSource[C any](r *Registry, name string, defaults func() C, build func(C) (Source, error)) {
	add(&r.sources, factory(name, defaults, build))
}

// DecoderOption declares something about a decoder.
type DecoderOption func(*Factory[Decoder])

// Paths declares where the clients of a protocol send, as patterns of http.ServeMux without a
// host: "POST /v1/batch", "/g/collect".
func Paths(patterns ...string) DecoderOption {
	return func(f *Factory[Decoder]) { f.Paths = append(f.Paths, patterns...) }
}

// AddDecoder registers a wire protocol of the collector. "at" is no key of C: it is the collector's, see Mount.
func AddDecoder[C any](r *Registry, name string, defaults func() C, build func(C) (Decoder, error), opts ...DecoderOption) {
	f := factory(name, defaults, build)
	for _, o := range opts {
		o(&f)
	}
	add(&r.decoders, f)
}

// ProcessorOption declares something about a processor.
type ProcessorOption func(*Factory[Processor])

// IntakeOnly declares that a processor needs the origin of the event.
func IntakeOnly() ProcessorOption { return func(f *Factory[Processor]) { f.IntakeOnly = true } }

// AddProcessor registers a processor.
func AddProcessor[C any](r *Registry, name string, defaults func() C, build func(C) (Processor, error), opts ...ProcessorOption) {
	f := factory(name, defaults, build)
	for _, o := range opts {
		o(&f)
	}
	add(&r.processors, f)
}

// Sinks returns the registered sinks by name.
func (r *Registry) Sinks() []Factory[*Sink] { return sorted(r.sinks) }

// Sources returns the registered sources by name.
func (r *Registry) Sources() []Factory[Source] { return sorted(r.sources) }

// Decoders returns the registered decoders by name.
func (r *Registry) Decoders() []Factory[Decoder] { return sorted(r.decoders) }

// Processors returns the registered processors by name.
func (r *Registry) Processors() []Factory[Processor] { return sorted(r.processors) }

func sorted[T any](m map[string]Factory[T]) []Factory[T] {
	out := make([]Factory[T], 0, len(m))
	for _, f := range m {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Factory[T]) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}
