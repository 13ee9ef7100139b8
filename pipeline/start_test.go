package pipeline_test

import (
	"testing"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// A pipeline whose bus does not start can still be closed, and closes its sinks.
func TestCloseAfterFailedStart(t *testing.T) {
	b := memory.New(memory.Config{})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	closed := 0
	sink := sidetrack.WriterSink(newBackend(nil), sidetrack.Close(func() error { closed++; return nil }))
	p, err := pipeline.New(pipeline.Config{Bus: b, Sinks: []pipeline.SinkConfig{{Name: "a", Sink: sink}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err == nil {
		t.Fatal("started on a closed bus")
	}
	_ = p.Close(t.Context())
	if closed != 1 {
		t.Errorf("the sink was closed %d times", closed)
	}
}
