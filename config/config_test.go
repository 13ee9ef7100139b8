package config

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/size"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

var update = flag.Bool("update", false, "write the golden files")

// Components of every shape that the decoder has to fill.

type httpConfig struct {
	Listen  string            `yaml:"listen,required"`
	Timeout time.Duration     `yaml:"timeout"`
	Headers map[string]string `yaml:"headers"`
	TLS     *tlsConfig        `yaml:"tls"`
}

type tlsConfig struct {
	Cert string `yaml:"cert"`
}

type common struct {
	Endpoint string `yaml:"endpoint"`
}

type backendConfig struct {
	common `yaml:",inline"`
	ID     string           `yaml:"id"`
	Secret sidetrack.Secret `yaml:"api_secret"`

	// Sealed are headers whose values are secrets.
	Sealed map[string]sidetrack.Secret `yaml:"sealed"`

	Limit   size.Bytes        `yaml:"limit"`
	Ratio   float64           `yaml:"ratio"`
	Level   int8              `yaml:"level"`
	Ports   []uint16          `yaml:"ports"`
	Dry     bool              `yaml:"dry"`
	Minimum sidetrack.Money   `yaml:"minimum"`
	Extra   map[string]any    `yaml:"extra"`
	Rotate  rotateConfig      `yaml:"rotate"`
	Names   map[string]string `yaml:"names"`
	Hidden  func()            `yaml:"-"`
	Maybe   *int              `yaml:"maybe"`
}

type rotateConfig struct {
	Size size.Bytes `yaml:"size"`
	Keep int        `yaml:"keep"`
}

type exclude struct {
	Paths []string `yaml:"paths"`
}

type sourceFunc func(context.Context, sidetrack.Emitter) error

func (f sourceFunc) Run(ctx context.Context, out sidetrack.Emitter) error { return f(ctx, out) }

type discard struct{ config backendConfig }

func (discard) Write(context.Context, sidetrack.Unit) error { return nil }

// made records what the factories were given.
type made struct {
	order    []string
	backends map[string]backendConfig
	http     []httpConfig
	excludes []exclude
	closed   int
}

func registry(m *made) *sidetrack.Registry {
	r := new(sidetrack.Registry)
	sidetrack.AddSource(r, "http", func() httpConfig { return httpConfig{Timeout: 5 * time.Second} }, func(c httpConfig) (sidetrack.Source, error) {
		m.http = append(m.http, c)
		return sourceFunc(nil), nil
	})
	backend := func(name string) {
		defaults := func() backendConfig {
			return backendConfig{common: common{"https://collect.example"}, Rotate: rotateConfig{Size: 100 * size.MB, Keep: 3}}
		}
		sidetrack.AddSink(r, name, defaults, func(c backendConfig) (*sidetrack.Sink, error) {
			if c.ID == "boom" {
				panic("boom")
			}
			var errs []error
			if c.ID == "" {
				errs = append(errs, &sidetrack.FieldError{Field: "id", Problem: "is required: the id of your property"})
			}
			if strings.HasPrefix(c.ID, "bad") {
				errs = append(errs, &sidetrack.FieldError{Field: "id", Problem: `"` + c.ID + `" must begin with G-`})
			}
			if c.Rotate.Keep < 0 {
				errs = append(errs, &sidetrack.FieldError{Field: "rotate.keep", Problem: "must not be negative"})
			}
			if c.Level == 7 {
				errs = append(errs, errors.New("must not be level 7 with secret "+c.Secret.Reveal()))
			}
			if err := errors.Join(errs...); err != nil {
				return nil, err
			}
			if m.backends == nil {
				m.backends = make(map[string]backendConfig)
			}
			m.backends[c.ID] = c
			closer := sidetrack.Close(func() error { m.closed++; return nil })
			if name == "ga4" {
				return sidetrack.HTTPSink(sidetrack.Each(func(*sidetrack.Event) (*sidetrack.Request, error) { return sidetrack.PostJSON(c.Endpoint, nil) }), closer), nil
			}
			return sidetrack.WriterSink(discard{c}, closer), nil
		})
	}
	backend("ga4")
	backend("file")
	processor := func(name string, opts ...sidetrack.ProcessorOption) {
		sidetrack.AddProcessor(r, name, nil, func(c exclude) (sidetrack.Processor, error) {
			m.order = append(m.order, name)
			m.excludes = append(m.excludes, c)
			return sidetrack.ProcessorFunc(func(_ context.Context, e *sidetrack.Event) error {
				e.Mark(name)
				return nil
			}), nil
		}, opts...)
	}
	processor("consent", sidetrack.IntakeOnly())
	processor("anonymize_ip", sidetrack.IntakeOnly())
	processor("exclude")
	processor("bots")
	return r
}

var environment = map[string]string{
	"SECRET": "hunter2-hunter2", "EMPTY": "", "NUMBER": "8", "WORD": "confidential-word", "YAML": "a: b\nc: [", "BAD": "bad-from-env",
}

func env(name string) (string, bool) {
	v, ok := environment[name]
	return v, ok
}

func names2(list []sidetrack.Processor) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.(interface{ String() string }).String())
	}
	return out
}

func TestParse(t *testing.T) {
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var m made
	c, err := Parse("full.yaml", data, registry(&m), env)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if len(c.Warnings) != 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
	p := c.Pipeline
	if diff := cmp.Diff([]sidetrack.Site{
		{Name: "shop", Hosts: []string{"shop.example", "*.shop.example"}, Origins: []string{"https://shop.example"}, Keys: []string{"k1"}},
		{Name: "blog", Hosts: []string{"blog.example"}},
	}, p.Sites); diff != "" {
		t.Error(diff)
	}
	if len(m.http) != 1 || m.http[0].Listen != ":8080" || m.http[0].Timeout != 1500*time.Millisecond || m.http[0].Headers["X-A"] != "1" || m.http[0].TLS == nil {
		t.Errorf("http: %+v", m.http)
	}
	if got := names2(p.Intake); !cmp.Equal(got, []string{"consent", "exclude", "anonymize_ip"}) {
		t.Errorf("intake: %v", got)
	}
	if got := names2(p.Processors); !cmp.Equal(got, []string{"exclude", "bots"}) {
		t.Errorf("processors: %v", got)
	}
	if len(p.Sinks) != 2 || p.Sinks[0].Name != "ga" || p.Sinks[1].Name != "archive" {
		t.Fatalf("sinks: %+v", p.Sinks)
	}
	ga := p.Sinks[0]
	if !cmp.Equal(ga.Sites, []string{"shop"}) || !cmp.Equal(ga.Needs, []sidetrack.Purpose{"analytics_storage", "ad_storage"}) || !ga.NeedsSet || ga.Sample != 0.1 {
		t.Errorf("ga: %+v", ga)
	}
	if diff := cmp.Diff([]sidetrack.ResponseRule{
		{Status: sidetrack.StatusRange{From: 409, To: 409}, As: sidetrack.Delivered},
		{Status: sidetrack.StatusRange{From: 500, To: 599}, Body: "quota", As: sidetrack.Throttled, After: time.Minute},
	}, ga.Responses); diff != "" {
		t.Error(diff)
	}
	d := ga.Delivery
	if d.Concurrency != 8 || d.Timeout != 5*time.Second || d.MaxAge != 36*time.Hour || d.MaxBacklogBytes != 1e9 || d.MaxBacklogEvents != 2e6 || !d.KeepExpired || d.Rate != (pipeline.Rate{PerSecond: 50, Burst: 10, Events: true}) || d.Compression != sidetrack.Uncompressed || d.Window.Messages != 100 || d.Window.Bytes != 1<<20 ||
		d.Breaker.Failures != 3 || d.Breaker.Pause != time.Minute || d.MinBackoff != 2*time.Second || d.MaxBackoff != 30*time.Second || d.Isolate != 2*time.Minute {
		t.Errorf("delivery: %+v", d)
	}
	if got := names2(ga.Processors); !cmp.Equal(got, []string{"bots"}) {
		t.Errorf("sink processors: %v", got)
	}
	archive := p.Sinks[1]
	if !archive.NeedsSet || len(archive.Needs) != 0 {
		t.Errorf("an empty list of needs must be kept apart from none: %+v", archive)
	}
	b := m.backends["G-1"]
	three := 3
	want := backendConfig{
		common: common{"https://collect.example"}, ID: "G-1", Secret: sidetrack.NewSecret("hunter2-hunter2"), Limit: 512 << 10, Ratio: 0.5,
		Level: -3, Ports: []uint16{80, 443}, Dry: true, Minimum: 19_990_000, Maybe: &three,
		Extra: map[string]any{"s": "x", "i": int64(5), "f": 1.5, "b": true, "n": nil, "l": []any{int64(1), "two"}, "q": "5"},
		Names: map[string]string{"x-a": "y"}, Rotate: rotateConfig{Size: 100 * size.MB, Keep: 14},
	}
	if diff := cmp.Diff(want, b, cmp.AllowUnexported(common{}, backendConfig{}), cmp.Comparer(func(a, b sidetrack.Secret) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if f := m.backends["G-2"]; f.Endpoint != "https://default.example/collect" || f.Rotate.Size != 100*size.MB || f.Rotate.Keep != 14 {
		t.Errorf("file: %+v", f)
	}
	if p.QueueEvents != 500 || p.QueueBytes != 1<<20 || p.DeadMaxAge != 7*24*time.Hour || p.DeadMaxBytes != 10_000_000 || p.DrainTimeout != 3*time.Second {
		t.Errorf("engine: %+v", p)
	}
	if e := c.Bus.Embedded; e == nil || e.DataDir != "./store" || e.Sync != "interval" || e.MaxBytes != 8*size.GB {
		t.Errorf("bus: %+v", c.Bus)
	}
	if len(c.Tests) != 1 || c.Tests[0].Name != "no consent, nothing leaves" || c.Tests[0].Event.Name != "page_view" {
		t.Errorf("tests: %+v", c.Tests)
	}
	if diff := cmp.Diff([]Expectation{
		{Position: Position{69, 22}, Column: "accepted"}, {Position: Position{69, 36}, Sink: "ga", Column: "withheld", Reason: "consent"}, {Position: Position{69, 66}, Sink: "archive", Column: "delivered"},
	}, c.Tests[0].Expect); diff != "" {
		t.Error(diff)
	}
	if err := c.Close(); err != nil || m.closed != 2 {
		t.Errorf("close: %v, %d sinks", err, m.closed)
	}
}

// saysWhatToDo matches messages that need no hint.
var saysWhatToDo = regexp.MustCompile(`\b(write|use|must|give|want|is required)\b`)

func TestBroken(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d broken configurations, %v", len(files), err)
	}
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(name, data, registry(new(made)), env)
			if err == nil {
				t.Fatal("no error")
			}
			invalid, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("%T", err)
			}
			for _, p := range invalid.Problems {
				if p.Hint == "" && !saysWhatToDo.MatchString(p.Message) {
					t.Errorf("line %d: %q does not say what to do", p.Line, p.Message)
				}
				if p.Line == 0 {
					t.Errorf("%q has no place", p.Message)
				}
			}
			got := err.Error() + "\n"
			for _, v := range environment {
				if len(v) > 2 && strings.Contains(got, v) {
					t.Errorf("a variable's value is in the message:\n%s", got)
				}
			}
			if strings.Contains(got, "literal-secret") {
				t.Errorf("a secret is in the message:\n%s", got)
			}
			golden := strings.TrimSuffix(path, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

const minimal = "sources: {web: {http: {listen: ':1'}}}\nsinks: {ga: {ga4: {id: G-1}}}\n"

func TestSafeIntake(t *testing.T) {
	tests := []struct {
		yaml string
		want []string
	}{
		{"", []string{"consent", "anonymize_ip"}},
		{"intake:\n", []string{"consent", "anonymize_ip"}},
		{"intake: [bots]\n", []string{"consent", "bots", "anonymize_ip"}},
		{"intake: [bots: {}, consent: {}]\n", []string{"bots", "consent", "anonymize_ip"}},
		{"intake: [anonymize_ip, consent]\n", []string{"anonymize_ip", "consent"}},
		{"intake_without: [consent]\n", []string{"anonymize_ip"}},
		{"intake_without: [consent, anonymize_ip]\n", nil},
	}
	for _, tt := range tests {
		c, err := Parse("x", []byte(minimal+tt.yaml), registry(new(made)), nil)
		if err != nil {
			t.Errorf("%q: %v", tt.yaml, err)
			continue
		}
		if got := names2(c.Pipeline.Intake); !cmp.Equal(got, tt.want) {
			t.Errorf("%q: %v, want %v", tt.yaml, got, tt.want)
		}
	}
}

func TestBus(t *testing.T) {
	for yaml, want := range map[string]string{
		"":                                       "embedded in ./data",
		"bus:\n":                                 "embedded in ./data",
		"bus: {embedded: }\n":                    "embedded in ./data",
		"bus: {embedded: {data_dir: /srv/x}}\n":  "embedded in /srv/x",
		"bus: {memory: {max_bytes: 1MiB}}\n":     "memory",
		"bus: {nats: {url: 'nats://n.example'}}": "nats",
	} {
		c, err := Parse("x", []byte(minimal+yaml), registry(new(made)), nil)
		if err != nil {
			t.Errorf("%q: %v", yaml, err)
			continue
		}
		if got := c.Bus.String(); got != want {
			t.Errorf("%q: %s, want %s", yaml, got, want)
		}
	}
}

func TestOpenBus(t *testing.T) {
	c := Config{Bus: EmbeddedIn(t.TempDir())}
	b, err := c.OpenBus(t.Context(), nil)
	if err != nil || !b.Durable() {
		t.Fatal(err)
	}
	if second, err := c.OpenBus(t.Context(), nil); err == nil || second != nil {
		t.Errorf("a second owner of the directory: %v, %v", second, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestWarnsWithoutSources(t *testing.T) {
	c, err := Parse("x", []byte("sinks: {ga: {ga4: {id: G-1}}}\n"), registry(new(made)), nil)
	if err != nil || len(c.Warnings) != 1 {
		t.Fatalf("%v, %v", c, err)
	}
}

func TestClosesSinksOfABrokenFile(t *testing.T) {
	var m made
	if _, err := Parse("x", []byte(minimal+"nonsense: 1\n"), registry(&m), nil); err == nil || m.closed != 1 {
		t.Fatalf("%v, closed %d", err, m.closed)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sidetrack.yaml")
	if _, err := Load(path, registry(new(made))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(path, registry(new(made))); err != nil || c.Name != path {
		t.Errorf("%+v, %v", c, err)
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/broken/*.yaml")
	for _, path := range append(files, "testdata/full.yaml") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(strings.Repeat("[", 1000)))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.yaml", data, registry(new(made)), env)
		if err == nil {
			if c == nil || len(c.Pipeline.Sinks) == 0 {
				t.Fatal("no error and no sink")
			}
			return
		}
		ce, ok := errors.AsType[*Error](err)
		if !ok || len(ce.Problems) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		for _, p := range ce.Problems {
			if p.Message == "" {
				t.Fatalf("a problem without words: %+v", p)
			}
			if strings.Contains(p.format(""), environment["SECRET"]) {
				t.Fatalf("secret shown: %+v", p)
			}
		}
	})
}
