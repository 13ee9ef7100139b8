package config

import (
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/size"
	"github.com/sidetrack-go/sidetrack/sources"
)

func TestMergePrecedence(t *testing.T) {
	var m made
	_, err := Parse("x", []byte(`
x-a: &a {endpoint: a, rotate: {keep: 1}}
x-b: &b {endpoint: b, limit: 2KB}
sinks:
  one: {ga4: {<<: [*a, *b], id: one}}
  two: {ga4: {endpoint: own, <<: *a, id: two}}
  three: {ga4: {<<: *a, id: three, endpoint: own, rotate: {keep: 3}}}
`), registry(&m), nil)
	if err != nil {
		t.Fatal(err)
	}
	one, two, three := m.backends["one"], m.backends["two"], m.backends["three"]
	if one.Endpoint != "a" || one.Limit != 2*size.KB || one.Rotate.Keep != 1 {
		t.Errorf("the earlier merge wins: %+v", one)
	}
	if two.Endpoint != "own" || two.Rotate.Keep != 1 || three.Endpoint != "own" || three.Rotate.Keep != 3 {
		t.Errorf("what is written out wins: %+v, %+v", two, three)
	}
}

func TestTags(t *testing.T) {
	var m made
	_, err := Parse("x", []byte("sinks: {a: {ga4: {id: a, extra: {s: !!str 5, i: !!int 5, b: !!str true}}}}\n"), registry(&m), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"s": "5", "i": int64(5), "b": "true"}, m.backends["a"].Extra); diff != "" {
		t.Error(diff)
	}
}

func TestWhen(t *testing.T) {
	c, err := Parse("x", []byte(`
processors:
  - bots: {}
    when: {names: [purchase]}
sinks:
  a:
    ga4: {id: a}
    when: {not: {names: [purchase]}}
`), registry(new(made)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, marked := range map[string]bool{"purchase": true, "page_view": false} {
		e := &sidetrack.Event{Name: name}
		if err := c.Pipeline.Processors[0].Process(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if (len(e.Marks) == 1) != marked {
			t.Errorf("%s: marks %v", name, e.Marks)
		}
		if c.Pipeline.Sinks[0].When(e) == marked {
			t.Errorf("%s: the sink's condition is wrong", name)
		}
	}
}

func TestCompleteSources(t *testing.T) {
	b := &builder{config: &Config{}, logger: slog.New(slog.DiscardHandler)}
	b.config.Pipeline.Sites = []sidetrack.Site{{Origins: []string{"https://a.example"}}, {Origins: []string{"https://b.example"}}}
	silent, own, logs := new(sources.HTTPConfig), new(sources.HTTPConfig), new(sources.AccessLogConfig)
	own.Origins = []string{"https://c.example"}
	for _, c := range []any{silent, own, logs, new(int)} {
		if !b.complete(c) {
			t.Errorf("%T rejected", c)
		}
	}
	if !cmp.Equal(silent.Origins, []string{"https://a.example", "https://b.example"}) || !cmp.Equal(own.Origins, []string{"https://c.example"}) {
		t.Errorf("origins %v, %v", silent.Origins, own.Origins)
	}
	if silent.Logger != b.logger || logs.Logger != b.logger {
		t.Error("no logger")
	}
}
