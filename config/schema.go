package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/eventkeys"
	"github.com/sidetrack-go/sidetrack/internal/match"
	"github.com/sidetrack-go/sidetrack/internal/size"
)

var matcherType = reflect.TypeFor[match.Matcher]()

// Schema returns a JSON Schema (draft 2020-12) of configuration files, for editors. It is made of the same types
// that files are decoded into. It knows each key and the form of each value, but not what only the loader can check:
// whether names that are referred to exist, what a component says of its values together, the environment.
func Schema(reg *sidetrack.Registry, c Comments) ([]byte, error) {
	s := &schemas{reg: reg, comments: c, defs: object{}, sections: make(map[string]reflect.Type)}
	root := s.file()
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "sidetrack configuration"
	s.recursive()
	root["$defs"] = s.defs
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(root)
	return b.Bytes(), err
}

type object = map[string]any

type schemas struct {
	reg      *sidetrack.Registry
	comments Comments
	defs     object
	sections map[string]reflect.Type // that refer to themselves, by the name of their definition
}

// hasVariable matches values that hold a variable: what they are is known when they are read.
const hasVariable = `\$\{`

// text is a schema of single values: of the types given when written without quotes, and of texts that match.
func text(pattern string, types ...string) object {
	if pattern == "" {
		return object{"type": append([]string{"string"}, types...)}
	}
	return object{"type": append([]string{"string"}, types...), "pattern": "(" + pattern + ")|" + hasVariable}
}

func enum(values []string) object {
	return object{"anyOf": []object{{"enum": values}, {"type": "string", "pattern": hasVariable}}}
}

// ref refers to a definition.
func ref(name string) object { return object{"$ref": "#/$defs/" + name} }

// mapOf is a schema of a mapping with these keys, x- keys, and nothing else.
func mapOf(properties object) object {
	return object{
		"type": []string{"object", "null"}, "properties": properties,
		"patternProperties": object{"^x-": object{}}, "additionalProperties": false,
	}
}

// named is a schema of a mapping from names of the author's choice.
func named(value object) object {
	return object{
		"type": []string{"object", "null"}, "patternProperties": object{"^x-": object{}},
		"propertyNames": object{"pattern": "^(x-.*|[A-Za-z0-9_-]{1,64})$"}, "additionalProperties": value,
	}
}

func (s *schemas) describer(bus bool) *describer { return &describer{comments: s.comments, bus: bus} }

// value is a schema of a value of type t. sub describes the section that t leads to.
func (s *schemas) value(o option, t reflect.Type, bus bool) object {
	if o.enum != nil && t.Kind() == reflect.String {
		return enum(o.enum)
	}
	switch t {
	case durationType:
		return object{"anyOf": []object{text(`^([0-9]{1,6}d)?([0-9]*\.?[0-9]+(ns|us|µs|μs|ms|s|m|h))*$`), {"const": 0}}}
	case moneyType:
		return text(`^[+-]?[0-9]+(\.[0-9]+)?$`, "number")
	case purposeType:
		names := make([]string, 0, len(sidetrack.Purposes()))
		for _, p := range sidetrack.Purposes() {
			names = append(names, string(p))
		}
		return enum(names)
	case stateType:
		return enum([]string{"granted", "denied", "unknown"})
	case reflect.TypeFor[size.Bytes]():
		return object{"anyOf": []object{text(`^[0-9]*\.?[0-9]+ *([kKmMgGtT][iI]?)?[bB]?$`), {"type": "number", "minimum": 0}}}
	case reflect.TypeFor[Share]():
		return object{"anyOf": []object{text(`^[0-9]*\.?[0-9]+ *%?$`), {"type": "number", "exclusiveMinimum": 0, "maximum": 1}}}
	case reflect.TypeFor[Rate]():
		return text(`^[0-9]*\.?[0-9]+ *(events)? */ *[smh]$`)
	case mountsType:
		return s.mounts()
	}
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		if o.enum != nil {
			return enum(o.enum)
		}
		return text("", "number", "boolean")
	}
	switch t.Kind() {
	case reflect.Pointer:
		v := s.value(o, t.Elem(), bus)
		if isScalar(t.Elem()) {
			return object{"anyOf": []object{v, {"type": "null"}}}
		}
		return v
	case reflect.Struct:
		if o.again {
			return ref(s.section(t, bus))
		}
		return s.object(o.sub, bus)
	case reflect.Slice:
		return object{"type": []string{"array", "null"}, "items": s.value(o, t.Elem(), bus)}
	case reflect.Map:
		return object{"type": []string{"object", "null"}, "additionalProperties": s.value(o, t.Elem(), bus)}
	case reflect.Bool:
		return text("^(true|false)$", "boolean")
	case reflect.String:
		return text("", "number", "boolean")
	case reflect.Float32, reflect.Float64:
		return text(`^[+-]?[0-9.]+([eE][+-]?[0-9]+)?$`, "number")
	case reflect.Interface:
		return object{}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"anyOf": []object{text("^[0-9]+$"), {"type": "integer", "minimum": 0}}}
	}
	return text(`^[+-]?[0-9]+$`, "integer")
}

// object is a schema of a section.
func (s *schemas) object(options []option, bus bool) object {
	properties, required := object{}, []string{}
	for _, o := range options {
		p := s.value(o, o.typ, bus)
		if o.doc != "" {
			p["description"] = o.doc
		}
		if d := o.defaultText(); d != "" && isScalar(o.typ) {
			p["default"] = d
		}
		properties[o.name] = p
		if o.required {
			required = append(required, o.name)
		}
	}
	out := mapOf(properties)
	if len(required) > 0 {
		out["required"], out["type"] = required, "object"
	}
	return out
}

// section makes sure that a section that refers to itself gets a definition, and returns its name.
func (s *schemas) section(t reflect.Type, bus bool) string {
	name := "condition"
	if t != matcherType {
		name = strings.ReplaceAll(TypeKey(t), "/", ".")
	}
	if bus {
		name += ".bus"
	}
	s.sections[name] = t
	return name
}

// recursive adds the definitions that section promised, which may promise more.
func (s *schemas) recursive() {
	for {
		added := false
		for _, name := range slices.Sorted(maps.Keys(s.sections)) {
			if _, ok := s.defs[name]; ok {
				continue
			}
			bus := strings.HasSuffix(name, ".bus")
			s.defs[name] = s.object(s.describer(bus).options(s.sections[name], reflect.Value{}), bus)
			added = true
		}
		if !added {
			return
		}
	}
}

// component is a schema of a component's own configuration, with its defaults.
func (s *schemas) component(config any, bus bool, beside object) object {
	v := reflect.ValueOf(config).Elem()
	if v.Kind() != reflect.Struct {
		return object{}
	}
	out := s.object(s.describer(bus).options(v.Type(), v), bus)
	maps.Copy(out["properties"].(object), beside)
	return out
}

// oneOf is a schema of an entry that names its type by one key, beside the engine's keys. short admits the
// name of the type alone.
func oneOf(types, engine object, short bool) object {
	var alternatives []object
	for _, name := range slices.Sorted(maps.Keys(types)) {
		alternatives = append(alternatives, object{"required": []string{name}})
	}
	properties := object{}
	maps.Copy(properties, engine)
	maps.Copy(properties, types)
	out := mapOf(properties)
	out["type"], out["oneOf"] = "object", alternatives
	if short {
		return object{"anyOf": []object{out, {"enum": slices.Sorted(maps.Keys(types))}}}
	}
	return out
}

func (s *schemas) mounts() object {
	properties := object{}
	for _, f := range s.reg.Decoders() {
		at := text("", "number")
		at["description"] = "at moves the decoder's paths below a prefix (/ua), to a host (t.example), or both (t.example/ua)."
		properties[f.Name] = s.component(f.Config(), false, object{atKey: at})
	}
	out := mapOf(properties)
	out["type"], out["minProperties"] = "object", 1
	return out
}

// processors is a schema of a list of processors.
func (s *schemas) processors(bus bool) object {
	types := object{}
	for _, f := range s.reg.Processors() {
		if bus && f.IntakeOnly {
			continue
		}
		types[f.Name] = s.component(f.Config(), bus, nil)
	}
	return object{"type": []string{"array", "null"}, "items": oneOf(types, object{"when": s.condition(bus)}, true)}
}

// condition is a schema of when.
func (s *schemas) condition(bus bool) object {
	out := ref(s.section(matcherType, bus))
	out["minProperties"] = 1
	return out
}

func (s *schemas) file() object {
	var f file
	out := s.object(s.describer(false).options(reflect.TypeOf(f), reflect.Value{}), false)
	p := out["properties"].(object)
	if buses, ok := p["bus"].(object); ok {
		var alternatives []object
		for _, k := range keysOf(reflect.TypeFor[Bus]()) {
			alternatives = append(alternatives, object{"required": []string{k.name}})
		}
		p["bus"] = object{"description": buses["description"], "anyOf": []object{{"type": "null"}, buses}, "if": object{"type": "object"}, "then": object{"oneOf": alternatives}}
	}
	p["sites"] = named(s.object(s.describer(false).options(reflect.TypeFor[Site](), reflect.Value{}), false))

	types := object{}
	for _, f := range s.reg.Sources() {
		types[f.Name] = s.component(f.Config(), false, nil)
	}
	p["sources"] = named(oneOf(types, nil, true))

	s.defs["intake"], s.defs["processors"] = s.processors(false), s.processors(true)
	p["intake"], p["processors"] = ref("intake"), ref("processors")

	types = object{}
	for _, f := range s.reg.Sinks() {
		types[f.Name] = s.component(f.Config(), true, nil)
	}
	engine := s.object(s.describer(true).options(reflect.TypeFor[Sink](), reflect.Value{}), true)["properties"].(object)
	engine["when"], engine["processors"] = s.condition(true), ref("processors")
	sinks := named(oneOf(types, engine, true))
	sinks["type"], sinks["minProperties"] = "object", 1
	sinks["properties"] = object{intakeKey: false}
	p["sinks"] = sinks
	out["required"], out["type"] = []string{"sinks"}, "object"

	p["tests"] = object{"type": []string{"array", "null"}, "items": s.tests()}
	for _, section := range components {
		if _, ok := p[section].(object)["description"]; !ok {
			p[section].(object)["description"] = sectionDocs[section]
		}
	}
	return out
}

// tests is a schema of one test.
func (s *schemas) tests() object {
	out := s.object(s.describer(false).options(reflect.TypeFor[test](), reflect.Value{}), false)
	p := out["properties"].(object)
	s.defs["event"] = eventSchema(eventkeys.Tree())
	p["event"] = ref("event")
	p["matches"] = s.condition(true)
	column := func(columns []string) object {
		reasons := object{}
		for _, c := range columns {
			reasons[c] = text("")
		}
		if slices.Contains(columns, "delivered") {
			texts := object{"type": []string{"array", "null"}, "items": text("", "number", "boolean")}
			reasons["delivered"] = mapOf(object{"contains": texts, "lacks": texts})
		}
		return object{"anyOf": []object{{"enum": columns}, {"type": "object", "properties": reasons, "additionalProperties": false, "minProperties": 1, "maxProperties": 1}}}
	}
	p["expect"] = object{"type": "object", "properties": object{intakeKey: column(intakeColumns)}, "patternProperties": object{"^x-": object{}}, "additionalProperties": column(sinkColumns)}
	out["required"] = []string{"name", "event", "expect"}
	return out
}

// eventSchema is a schema of events by one with every key in it.
func eventSchema(v any) object {
	switch v := v.(type) {
	case map[string]any:
		if _, free := v[eventkeys.Any]; free {
			return object{"type": []string{"object", "null"}}
		}
		properties := object{}
		for k, child := range v {
			properties[k] = eventSchema(child)
		}
		return mapOf(properties)
	case []any:
		return object{"type": []string{"array", "null"}, "items": eventSchema(v[0])}
	case string:
		return object{"type": []string{"string", "null"}}
	case bool:
		return object{"type": []string{"boolean", "null"}}
	case float64:
		return object{"type": []string{"number", "string", "null"}}
	}
	return object{}
}
