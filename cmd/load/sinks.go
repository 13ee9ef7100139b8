package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// httpSink is a sink of the server process with a backend in the generator's.
type httpSink struct {
	Name       string `json:"name"`
	URL        string `json:"url"`
	MaxBacklog int64  `json:"max_backlog,omitempty"` // events; 0: no limit of its own
}

// config sends 25 events a request, as Google Analytics takes them, and waits for 5 s.
func (h httpSink) config() pipeline.SinkConfig {
	g := sidetrack.GeneratorFunc(func(u sidetrack.Unit) (*sidetrack.Request, error) {
		var body bytes.Buffer
		for _, e := range u.Events {
			body.WriteString(eventToken(e))
			body.WriteByte('\n')
		}
		return &sidetrack.Request{URL: h.URL, Body: body.Bytes()}, nil
	})
	return pipeline.SinkConfig{
		Name: h.Name,
		Sink: sidetrack.HTTPSink(g, sidetrack.MaxEvents(25)),
		Delivery: pipeline.Delivery{
			Timeout:          5 * time.Second,
			Breaker:          pipeline.Breaker{Pause: 5 * time.Second},
			MaxBacklogEvents: h.MaxBacklog,
		},
	}
}

// eventToken is the event's number and when it was received, in µs since 1970.
func eventToken(e *sidetrack.Event) string {
	number, _, _ := strings.Cut(e.Visitor.ClientID, ".")
	return fmt.Sprintf("%s:%d", number, e.Received.UnixMicro())
}
