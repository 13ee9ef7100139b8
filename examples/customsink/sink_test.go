package customsink

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/standard"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

func TestContract(t *testing.T) {
	sinktest.Run(t, func() (*sidetrack.Sink, error) {
		return New(Config{Endpoint: "https://counter.example/hit", Key: sidetrack.NewSecret("k3y")})
	})
}

func TestAtMostThirtyLines(t *testing.T) {
	b, err := os.ReadFile("sink.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(b, []byte("\n")); n > 30 {
		t.Errorf("%d lines", n)
	}
}

// The sink is registered in Go and used from the YAML file beside this test.
func TestFromYAML(t *testing.T) {
	got := make(chan string, 1)
	tracker := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- r.URL.String() + " " + string(b)
	}))
	defer tracker.Close()

	registry := standard.Registry()
	sidetrack.AddSink(registry, "counter", nil, New)
	data, err := os.ReadFile("sidetrack.yaml")
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"COUNTER_URL": tracker.URL + "/hit", "COUNTER_KEY": "k3y"}
	cfg, err := config.Parse("sidetrack.yaml", data, registry, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Pipeline.Bus, err = cfg.OpenBus(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.New(cfg.Pipeline)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := &sidetrack.Event{Name: "page_view", Page: sidetrack.Page{URL: "https://shop.example/"}, Consent: sidetrack.GrantAll("test")}
	if err := p.Emit(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if request := <-got; !strings.HasPrefix(request, "/hit?key=k3y ") || !strings.Contains(request, `"event":"page_view"`) {
		t.Error(request)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
