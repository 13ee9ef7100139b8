package config

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/sources"
)

type wireConfig struct {
	Endpoint string `yaml:"endpoint"`
	Hits     int    `yaml:"hits"`
}

type wire struct{ cfg wireConfig }

func (w wire) Decode(*http.Request) (sidetrack.Decoded, error) { return sidetrack.Decoded{}, nil }

// wired has the real HTTP source and protocols whose paths collide.
func wired() *sidetrack.Registry {
	r := new(sidetrack.Registry)
	sidetrack.AddSource(r, "http", sources.DefaultHTTPConfig, func(c sources.HTTPConfig) (sidetrack.Source, error) {
		if _, err := sources.NewHTTP(c); err != nil {
			return nil, err
		}
		return listening{c}, nil
	})
	newWire := func(c wireConfig) (sidetrack.Decoder, error) {
		if c.Hits < 0 {
			return nil, &sidetrack.FieldError{Field: "hits", Problem: "must not be negative"}
		}
		return wire{c}, nil
	}
	defaults := func() wireConfig { return wireConfig{Hits: 20} }
	sidetrack.AddDecoder(r, "gtag", defaults, newWire, sidetrack.Paths("/g/collect", "POST /j/collect"))
	sidetrack.AddDecoder(r, "ua", defaults, newWire, sidetrack.Paths("/g/collect", "/batch"))
	sidetrack.AddDecoder(r, "wide", defaults, newWire, sidetrack.Paths("POST /{kind}/collect"))
	sidetrack.AddDecoder(r, "json", nil, sources.NewJSON, sidetrack.Paths(sources.JSONPath))
	sidetrack.AddSink(r, "null", nil, func(struct{}) (*sidetrack.Sink, error) { return sidetrack.WriterSink(discard{}), nil })
	return r
}

// listening keeps the configuration it was made from.
type listening struct{ sources.HTTPConfig }

func (listening) Run(_ context.Context, _ sidetrack.Emitter) error { return nil }

func TestDecoders(t *testing.T) {
	c, err := Parse("x", []byte(`
sources:
  web:
    http:
      decoders:
        x-note: free
        gtag: {endpoint: "${WORD}"}
        ua: {at: /ua, hits: 3}
        json:
sinks: {a: {"null": {}}}
`), wired(), env)
	if err != nil {
		t.Fatal(err)
	}
	got := c.Pipeline.Sources[0].Source.(listening).Decoders
	json, err := sources.NewJSON(sources.JSONConfig{})
	if err != nil {
		t.Fatal(err)
	}
	want := sidetrack.Mounts{
		{Name: "gtag", Paths: []string{"/g/collect", "POST /j/collect"}, Decoder: wire{wireConfig{environment["WORD"], 20}}},
		{Name: "ua", Paths: []string{"/g/collect", "/batch"}, At: "/ua", Decoder: wire{wireConfig{"", 3}}},
		{Name: "json", Paths: []string{"POST /collect"}, Decoder: json},
	}
	sameType := cmp.Comparer(func(a, b sidetrack.Decoder) bool {
		x, ok := a.(wire)
		y, ok2 := b.(wire)
		return ok == ok2 && x == y
	})
	if diff := cmp.Diff(want, got, sameType); diff != "" {
		t.Error(diff)
	}
}

func TestDecoderDefaults(t *testing.T) {
	c, err := Parse("x", []byte("sources: {web: {http: {}}}\nsinks: {a: {\"null\": {}}}\n"), wired(), nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := c.Pipeline.Sources[0].Source.(listening).CollectorConfig
	collector, err := sources.NewCollector(nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	collector.ServeHTTP(w, httptest.NewRequest("POST", "/collect", strings.NewReader("")))
	if cfg.Decoders != nil || w.Code != http.StatusBadRequest {
		t.Errorf("%v, %d", cfg.Decoders, w.Code)
	}
}

func TestDecoderProblems(t *testing.T) {
	for name, tt := range map[string]struct{ yaml, want string }{
		"unknown": {"{gtags: {}}", `x:4:8: sources.web.http.decoders: unknown decoder "gtags"
    did you mean gtag? decoders: gtag, json, ua, wide`},
		"other kind": {"{\"null\": {}}", `x:4:8: sources.web.http.decoders: unknown decoder "null"
    null is a sink; decoders: gtag, json, ua, wide`},
		"unknown key": {"{gtag: {att: /x}}", `x:4:15: sources.web.http.decoders.gtag: unknown key "att"
    did you mean at? keys here: at, endpoint, hits`},
		"its own problem": {"{gtag: {hits: -1}}", `x:4:21: sources.web.http.decoders.gtag.hits: must not be negative`},
		"conflict":        {"{gtag: {}, ua: {}}", `x:4:22: sources.web.http.decoders.ua: wants /g/collect, which gtag serves already: move one of them with at: /prefix`},
		"overlap":         {"{gtag: {}, wide: {}}", `x:4:24: sources.web.http.decoders.wide: wants POST /{kind}/collect, which gtag serves already: move one of them with at: /prefix`},
		"no place":        {"{ua: {at: ua/}}", `x:4:17: sources.web.http.decoders.ua.at: "ua/" is no place: write a path such as /ua, a host such as t.example, or both`},
		"moved together":  {"{gtag: {at: /x}, ua: {at: /x}}", `x:4:28: sources.web.http.decoders.ua: wants /x/g/collect, which gtag serves already: move one of them with at: /prefix`},
		"place":           {"{ua: {at: [a]}}", `x:4:17: sources.web.http.decoders.ua.at: is a list` + "\n    want a path such as /ua"},
		"list":            {"[gtag]", `x:4:7: sources.web.http.decoders: is a list, want a mapping` + "\n    write key: value"},
		"none":            {"{}", `x:4:7: sources.web.http.decoders: names no decoder` + "\n    remove the key for the default; decoders: gtag, json, ua, wide"},
		"two at once": {"{gtags: {}, ua: {hits: -1}}", `x:4:8: sources.web.http.decoders: unknown decoder "gtags"
    did you mean gtag? decoders: gtag, json, ua, wide
x:4:30: sources.web.http.decoders.ua.hits: must not be negative`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("x", []byte("sources:\n web:\n  http: {decoders:\n      "+tt.yaml+"}\nsinks: {a: {\"null\": {}}}\n"), wired(), nil)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tt.want, withoutExcerpts(err.Error())); diff != "" {
				t.Error(diff)
			}
		})
	}
}
