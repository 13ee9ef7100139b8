package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/faults"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// sick is an HTTP sink with a backend that has a trouble until it is healed.
type sick struct {
	backend *faults.Backend
	taken   atomic.Int64
}

// newSick makes the sink with the named trouble: none, error, hang, reset, late or stalled;
// "+limit" bounds its backlog.
func newSick(trouble string) (*sick, pipeline.SinkConfig, error) {
	name, limited := strings.CutSuffix(trouble, "+limit")
	answer, ok := map[string]faults.Answer{
		"none":    faults.OK,
		"error":   faults.Status(http.StatusInternalServerError),
		"hang":    faults.Hang,
		"reset":   faults.Reset,
		"late":    faults.Late(6*time.Second, faults.Status(http.StatusOK)),
		"stalled": faults.Hang,
	}[name]
	if !ok {
		return nil, pipeline.SinkConfig{}, fmt.Errorf("no trouble %q", trouble)
	}
	s := &sick{}
	s.backend = faults.NewBackend(answer, nil)
	s.backend.OnTake(func(ids []string) { s.taken.Add(int64(len(ids))) })
	g := sidetrack.GeneratorFunc(func(u sidetrack.Unit) (*sidetrack.Request, error) {
		var body strings.Builder
		for _, e := range u.Events {
			_, _ = io.WriteString(&body, e.ID.String()+"\n")
		}
		return &sidetrack.Request{URL: s.backend.URL, Body: []byte(body.String())}, nil
	})
	cfg := pipeline.SinkConfig{
		Name:     "sick",
		Sink:     sidetrack.HTTPSink(g, sidetrack.MaxEvents(25)),
		Delivery: pipeline.Delivery{Timeout: 5 * time.Second, Breaker: pipeline.Breaker{Pause: 5 * time.Second}},
	}
	if limited {
		cfg.Delivery.MaxBacklogEvents = limitedBacklog
	}
	return s, cfg, nil
}

// limitedBacklog is how many events may wait for a sick sink whose backlog is bounded.
const limitedBacklog = 2000

func (s *sick) heal() { s.backend.Set(faults.OK) }
