package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// safeIntake are the intake processors that every composition has unless it leaves
// them out by name: consent first, so that everything after it can rely on the
// state, and anonymize_ip last, so that everything before it has the address.
var safeIntake = []string{"consent", "anonymize_ip"}

// typed finds the one key of n that names a component type. Keys in engine are
// the engine's own.
func (b *builder) typed(n *node, path, what string, types, engine []string) (typ string, config *node, ok bool) {
	if n.kind == scalar && slices.Contains(types, n.text) {
		return n.text, &node{pos: n.pos}, true // "- bots" is bots with its defaults
	}
	if n.kind == broken {
		return "", nil, false
	}
	if n.kind != mapping {
		b.at(n, path, "is "+n.kind.String()+", want a mapping with one key that names the type", suggestion(n.text, what+" types", types))
		return "", nil, false
	}
	var found, unknown []field
	for _, f := range n.fields {
		switch {
		case free(f.key), slices.Contains(engine, f.key):
		case slices.Contains(types, f.key):
			found = append(found, f)
		default:
			unknown = append(unknown, f)
		}
	}
	for _, f := range unknown {
		message, hint := "unknown key "+quote(f.key), suggestion(f.key, "keys beside the type", engine)
		if len(found) == 0 {
			message, hint = "unknown "+what+" type "+quote(f.key), suggestion(f.key, what+" types", types)
			if nearest(f.key, types) == "" && nearest(f.key, engine) != "" {
				message, hint = "unknown key "+quote(f.key), suggestion(f.key, "keys beside the type", engine)
			}
			if other := b.otherKind(f.key, what); other != "" {
				hint = f.key + " is a " + other + "; " + what + " types: " + strings.Join(types, ", ")
			}
		}
		b.add(Problem{Position: f.pos, Path: path, Message: message, Hint: hint})
	}
	switch {
	case len(found) == 1:
		return found[0].key, found[0].value, true
	case len(found) > 1:
		b.add(Problem{Position: found[1].pos, Path: path,
			Message: fmt.Sprintf("two types, %s and %s", quote(found[0].key), quote(found[1].key)), Hint: "one " + what + " has one type: make two of it"})
	case len(unknown) == 0:
		b.at(n, path, "the key that names the type is missing", suggestion("", what+" types", types))
	}
	return "", nil, false
}

// otherKind tells what a name is that was used in the wrong place.
func (b *builder) otherKind(name, not string) string {
	for kind, names := range map[string][]string{
		"sink": typeNames(b.reg.Sinks()), "source": typeNames(b.reg.Sources()), "processor": typeNames(b.reg.Processors()),
		"decoder": typeNames(b.reg.Decoders()),
	} {
		if kind != not && slices.Contains(names, name) {
			return kind
		}
	}
	return ""
}

func typeNames[T any](list []sidetrack.Factory[T]) []string {
	out := make([]string, len(list))
	for i, f := range list {
		out[i] = f.Name
	}
	return out
}

func factoryOf[T any](list []sidetrack.Factory[T], name string) sidetrack.Factory[T] {
	i := slices.IndexFunc(list, func(f sidetrack.Factory[T]) bool { return f.Name == name })
	return list[i]
}

const needsRequest = " needs the request, which is gone here"

// build decodes the configuration of a component and makes the component. Each of checks
// may complete the configuration or, having reported a problem, reject it.
func build[T any](b *builder, f sidetrack.Factory[T], n *node, path string, checks ...func(config any) bool) (made T, ok bool) {
	config := f.Config()
	if !b.decode(n, reflect.ValueOf(config).Elem(), path) {
		return made, false
	}
	for _, check := range checks {
		if !check(config) {
			return made, false
		}
	}
	defer func() {
		if r := recover(); r != nil {
			b.at(n, path, fmt.Sprintf("the component failed on this configuration: %v", r), "that is a mistake in the component: please report it")
			ok = false
		}
	}()
	made, err := f.Build(config)
	if err != nil {
		b.component(n, path, err)
		return made, false
	}
	return made, true
}

func (b *builder) sources(n *node) {
	list := b.reg.Sources()
	b.named(n, "sources", func(name string, n *node, path string) {
		typ, config, ok := b.typed(n, path, "source", typeNames(list), nil)
		if !ok {
			return
		}
		if s, ok := build(b, factoryOf(list, typ), config, join(path, typ), b.complete); ok {
			b.config.Pipeline.Sources = append(b.config.Pipeline.Sources, pipeline.SourceConfig{Name: name, Source: s})
		}
	})
}

// intake adds the safe processors that the list does not have.
func (b *builder) intake(root *node, without []string) {
	n := root.get("intake")
	list := b.processors(n, "intake", true)
	present := make(map[string]bool)
	if n != nil {
		for _, item := range n.items {
			for _, name := range safeIntake {
				present[name] = present[name] || item.get(name) != nil || item.text == name
			}
		}
	}
	for i, name := range without {
		at := root.get("intake_without").find(index("", i))
		switch {
		case !slices.Contains(safeIntake, name):
			b.at(at, "intake_without", quote(name)+" is not added by itself", suggestion(name, "processors that are", safeIntake))
		case present[name]:
			b.at(at, "intake_without", quote(name)+" is in intake as well", "remove it here or there")
		}
		present[name] = true
	}
	all := b.reg.Processors()
	for _, name := range safeIntake {
		if present[name] || !slices.Contains(typeNames(all), name) {
			continue
		}
		p, ok := build(b, factoryOf(all, name), &node{pos: Position{1, 1}}, "intake."+name)
		switch {
		case !ok:
		case name == "consent":
			list = slices.Insert(list, 0, sidetrack.Processor(namedProcessor{name, p}))
		default:
			list = append(list, namedProcessor{name, p})
		}
	}
	b.config.Pipeline.Intake = list
}

func (b *builder) processors(n *node, path string, intake bool) []sidetrack.Processor {
	if n == nil || n.kind == null {
		return nil
	}
	if n.kind == broken {
		return nil
	}
	if n.kind != list {
		b.at(n, path, "is "+n.kind.String()+", want a list", `begin each processor with "- "`)
		return nil
	}
	all := b.reg.Processors()
	var out []sidetrack.Processor
	for i, item := range n.items {
		path := index(path, i)
		typ, config, ok := b.typed(item, path, "processor", typeNames(all), []string{"when"})
		if !ok {
			continue
		}
		f := factoryOf(all, typ)
		if f.IntakeOnly && !intake {
			b.at(item, path, typ+needsRequest, "move it to intake")
			continue
		}
		when := b.when(item.get("when"), join(path, "when"), intake)
		if p, ok := build(b, f, config, join(path, typ), func(c any) bool {
			m, asks := c.(interface{ NeedsOrigin() bool })
			if asks && m.NeedsOrigin() && !intake {
				b.at(config, join(path, typ), "this condition"+needsRequest, "move it to intake")
				return false
			}
			return true
		}); ok {
			if when != nil {
				p = conditional{p, when}
			}
			out = append(out, namedProcessor{typ, p})
		}
	}
	return out
}

func (b *builder) sinks(root, n *node) {
	if n != nil && !b.isMapping(n, "sinks") {
		return
	}
	if n == nil || len(n.fields) == 0 {
		if n == nil {
			n = root
		}
		b.at(n, "sinks", "at least one sink is required", suggestion("", "sink types", typeNames(b.reg.Sinks())))
		return
	}
	all := b.reg.Sinks()
	engine := append(names(keysOf(reflect.TypeFor[Sink]())), "when", "processors")
	b.named(n, "sinks", func(name string, n *node, path string) {
		if name == intakeKey {
			b.at(n, path, "a sink cannot be called "+intakeKey, "tests mean the intake by it")
			return
		}
		b.sinkNames = append(b.sinkNames, name)
		var s Sink
		if n.kind == mapping {
			var own []field
			for _, f := range n.fields {
				if slices.Contains(engine, f.key) && f.key != "when" && f.key != "processors" {
					own = append(own, f)
				}
			}
			b.fields(n, own, reflect.ValueOf(&s).Elem(), path, nil)
		}
		b.knownSites(s.Sites, n.get("sites"), join(path, "sites"))
		sc := pipeline.SinkConfig{
			Name: name, Sites: s.Sites, Sample: float64(s.Sample), Delivery: s.Delivery.pipeline(),
			Needs: s.Needs, NeedsSet: s.Needs != nil,
			When:       b.when(n.get("when"), join(path, "when"), false),
			Processors: b.processors(n.get("processors"), join(path, "processors"), false),
		}
		if rules := n.get("responses"); rules != nil {
			for i, rule := range rules.items {
				if rule.kind == mapping && rule.get("status") == nil && rule.get("body") == nil {
					b.at(rule, join(path, index("responses", i)), "has neither status nor body: it would fit every answer", "say which answers: status: [400], or a text of the body")
				}
			}
		}
		for _, r := range s.Responses {
			sc.Responses = append(sc.Responses, r.rule())
		}
		typ, config, ok := b.typed(n, path, "sink", typeNames(all), engine)
		if !ok {
			return
		}
		if sc.Sink, ok = build(b, factoryOf(all, typ), config, join(path, typ)); ok {
			if len(sc.Responses) > 0 && sc.Sink.Spec().Generator == nil {
				b.at(n.get("responses"), join(path, "responses"), typ+" writes and gets no answers", "remove it")
			}
			b.compression(n.find("delivery.compression"), join(path, "delivery.compression"), typ, sc)
			b.config.Pipeline.Sinks = append(b.config.Pipeline.Sinks, sc)
		}
	})
}

// compression rejects an encoding that is not known to be understood.
func (b *builder) compression(n *node, path, typ string, sc pipeline.SinkConfig) {
	accepts := sc.Sink.Spec().Accepts
	if e := sc.Delivery.Compression; e != sidetrack.Gzip && e != sidetrack.Zstd || slices.Contains(accepts, e) {
		return
	}
	if len(accepts) == 0 {
		b.at(n, path, typ+" is not known to take compressed requests", "remove it")
		return
	}
	b.at(n, path, typ+" is not known to take "+string(sc.Delivery.Compression), fmt.Sprintf("use %v", accepts))
}

func (b *builder) knownSites(sites []string, n *node, path string) {
	known := make(map[string]bool)
	for _, s := range b.config.Pipeline.Sites {
		known[s.Name] = true
	}
	for i, s := range sites {
		if !known[s] {
			b.at(n.find(index("", i)), path, "unknown site "+quote(s), suggestion(s, "sites", slices.Collect(maps.Keys(known))))
		}
	}
}
