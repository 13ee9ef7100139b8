package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// The ledger is read at each scrape, not counted a second time: what Prometheus sees is what `sidetrack
// ledger` prints. On a durable bus the counters go on after a restart.
var (
	received = desc("intake_received_total", "Events that intake was given.")
	intake   = desc("intake_events_total", "Events by the column of intake in which they ended, and why.", "column", "reason")
	evicted  = desc("dead_evicted_total", "Events in dead letters that made room for newer ones.")
	crashes  = desc("crashes_total", "How often the process ended without a word.")

	accepted  = desc("sink_accepted_total", "Events that the sink has to settle.", "sink")
	settled   = desc("sink_events_total", "Events by the column of the sink in which they ended, and why.", "sink", "column", "reason")
	noted     = desc("sink_notes_total", "What the sink changed or left out of delivered events, by rule.", "sink", "rule")
	replayed  = desc("sink_replayed_total", "Events given back from dead letters.", "sink")
	repeated  = desc("sink_repeated_total", "Events that came again after a crash although they had ended.", "sink")
	uncertain = desc("sink_uncertain_total", "Events that ended around a crash, and nobody knows how.", "sink")
	pending   = desc("sink_pending_events", "Events that are queued, in flight or parked.", "sink")
	bytes     = desc("sink_pending_bytes", "What waits for the sink on the bus, about.", "sink")
	rateWait  = desc("sink_rate_wait_seconds_total", "How long the sink has waited for its own rate, since the start.", "sink")
	state     = desc("sink_state", "1 for the state that the sink is in.", "sink", "state")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sidetrack_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.attempts.Describe(ch)
	for _, d := range []*prometheus.Desc{received, intake, evicted, crashes, accepted, settled, noted, replayed, repeated, uncertain, pending, bytes, rateWait, state} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.attempts.Collect(ch)
	source := m.source.Load()
	if source == nil {
		return
	}
	c := collection{ch}
	l := (*source).Ledger()
	c.count(received, l.Received)
	c.count(intake, l.Accepted, string(pipeline.Accepted), "")
	c.reasons(intake, l.Dropped, string(pipeline.Dropped))
	c.reasons(intake, l.Refused, string(pipeline.Refused))
	c.count(evicted, l.Evicted)
	c.count(crashes, int64(l.Crashes))
	for i := range l.Sinks {
		c.sink(&l.Sinks[i])
	}
}

type collection struct{ ch chan<- prometheus.Metric }

func (c collection) sink(s *pipeline.SinkLedger) {
	c.count(accepted, s.Accepted, s.Sink)
	c.count(settled, s.Delivered, s.Sink, string(pipeline.Delivered), "")
	c.reasons(settled, s.Dropped, s.Sink, string(pipeline.Dropped))
	c.reasons(settled, s.Filtered, s.Sink, string(pipeline.Filtered))
	c.reasons(settled, s.Withheld, s.Sink, string(pipeline.Withheld))
	c.reasons(settled, s.Dead, s.Sink, string(pipeline.Dead))
	c.reasons(settled, s.Expired, s.Sink, string(pipeline.Expired))
	c.reasons(noted, s.Noted, s.Sink)
	c.count(replayed, s.Replayed, s.Sink)
	c.count(repeated, s.Repeated, s.Sink)
	c.count(uncertain, s.Uncertain, s.Sink)
	c.gauge(pending, s.Pending, s.Sink)
	c.gauge(bytes, s.PendingBytes, s.Sink)
	c.ch <- prometheus.MustNewConstMetric(rateWait, prometheus.CounterValue, s.RateWait.Seconds(), s.Sink)
	for _, name := range pipeline.States() {
		is := int64(0)
		if name == s.State {
			is = 1
		}
		c.gauge(state, is, s.Sink, name)
	}
}

// reasons counts each reason under the labels in front.
func (c collection) reasons(d *prometheus.Desc, counts map[sidetrack.Reason]int64, labels ...string) {
	for reason, n := range counts {
		c.count(d, n, append(labels[:len(labels):len(labels)], string(reason))...)
	}
}

func (c collection) count(d *prometheus.Desc, n int64, labels ...string) {
	c.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func (c collection) gauge(d *prometheus.Desc, n int64, labels ...string) {
	c.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
}
