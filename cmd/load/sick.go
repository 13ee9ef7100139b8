package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// sickFor is how long a sick backend stays sick.
const sickFor = time.Minute

// sickSink is an HTTP sink whose backend has the named trouble: none, error, hang,
// reset, late or stalled.
func sickSink(trouble string) (pipeline.SinkConfig, error) {
	well := time.Now().Add(sickFor)
	var n atomic.Int64
	answer, ok := map[string]http.HandlerFunc{
		"none":  func(http.ResponseWriter, *http.Request) {},
		"error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"hang":  func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"reset": func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close()
			}
		},
		"late":    func(_ http.ResponseWriter, r *http.Request) { sleep(r.Context(), 6*time.Second) },
		"stalled": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	}[trouble]
	if !ok {
		return pipeline.SinkConfig{}, fmt.Errorf("no trouble %q", trouble)
	}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if trouble == "stalled" || time.Now().Before(well) {
			answer(w, r)
			return
		}
		n.Add(1)
	}))
	g := sidetrack.GeneratorFunc(func(u sidetrack.Unit) (*sidetrack.Request, error) {
		return sidetrack.PostJSON(backend.URL, u.Events)
	})
	return pipeline.SinkConfig{
		Name:     "sick",
		Sink:     sidetrack.HTTPSink(g, sidetrack.MaxEvents(25)),
		Delivery: pipeline.Delivery{Timeout: 5 * time.Second, Breaker: pipeline.Breaker{Pause: 5 * time.Second}},
	}, nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
