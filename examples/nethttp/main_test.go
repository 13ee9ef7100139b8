package main

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/standard"
	"github.com/sidetrack-go/sidetrack/processors"
	"github.com/sidetrack-go/sidetrack/sinks/stdout"
	"github.com/sidetrack-go/sidetrack/sources"
)

func TestPagesAndEventsArrive(t *testing.T) {
	var out bytes.Buffer
	console, err := stdout.New(stdout.Config{Format: "ndjson", Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	consent, err := processors.NewConsent(processors.ConsentConfig{Unknown: "denied", GPC: "honour", Cookie: "consent"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := standard.Start(t.Context(), pipeline.Config{
		Intake: []sidetrack.Processor{consent},
		Sinks:  []pipeline.SinkConfig{{Name: "console", Sink: console}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/hello/you", nil)
	r.Header.Set("Cookie", "consent=granted")
	r.Header.Set("User-Agent", "Mozilla/5.0")
	w := httptest.NewRecorder()
	sources.Middleware(p)(site()).ServeHTTP(w, r)
	if w.Code != 200 || !strings.Contains(w.Body.String(), "Hello, you") {
		t.Errorf("page: %d %s", w.Code, w.Body)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"name":"greeting"`, `"params":{"length":3}`, `"name":"page_view"`, `"route":"/hello/{name}"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}
