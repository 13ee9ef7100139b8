// Package metrics shows a pipeline to Prometheus: where every event ended, what waits at each
// sink and how its backend answers.
//
//	m := metrics.New()
//	p, err := standard.Start(ctx, pipeline.Config{ObserveAttempt: m.Attempt, …})
//	m.Watch(p)
//	mux.Handle("/metrics", m.Handler())
//
// The names of sinks, columns and reasons are bounded labels; no label comes from an event.
package metrics

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sidetrack-go/sidetrack/pipeline"
)

// Metrics is a prometheus.Collector for one pipeline. It is safe for concurrent use.
type Metrics struct {
	source   atomic.Pointer[Source]
	attempts *prometheus.HistogramVec
}

// Source has a ledger: *pipeline.Pipeline.
type Source interface{ Ledger() pipeline.Ledger }

// New makes a collector that knows of no pipeline yet.
func New() *Metrics {
	return &Metrics{attempts: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "sidetrack_sink_attempt_seconds",
		Help:    "How long attempts to deliver took, by sink and outcome.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"sink", "outcome"})}
}

// Attempt counts one attempt: it is made for pipeline.Config.ObserveAttempt.
func (m *Metrics) Attempt(a pipeline.Attempt) {
	m.attempts.WithLabelValues(a.Sink, a.Outcome).Observe(a.Took.Seconds())
}

// Watch sets whose ledger is shown from now on.
func (m *Metrics) Watch(s Source) { m.source.Store(&s) }

// Handler answers scrapes with these metrics and those of the process and the Go runtime.
func (m *Metrics) Handler() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
