package ga

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

// full is a request of 25 events of one client: page views, custom events and purchases in turn.
func full() sidetrack.Unit {
	samples := sinktest.Samples()
	view, custom, purchase := samples[0], samples[1], samples[2]
	purchase.Consent, custom.Visitor.UserID, custom.UserProperties = view.Consent, "", nil
	u := sidetrack.Unit{At: now}
	for i := range 25 {
		e := []*sidetrack.Event{view, custom, purchase}[i%3].Clone()
		e.Time = e.Time.Add(time.Duration(i) * time.Millisecond)
		u.Events = append(u.Events, e)
	}
	return u
}

func BenchmarkRequest25(b *testing.B) {
	g, err := newGenerator(config())
	if err != nil {
		b.Fatal(err)
	}
	u := full()
	var n int
	b.ReportAllocs()
	for b.Loop() {
		r, err := g.Request(u)
		if err != nil {
			b.Fatal(err)
		}
		n = len(r.Body)
	}
	b.ReportMetric(float64(n), "bytes/request")
}

// BenchmarkEncodingJSON25 encodes the same payload with encoding/json: as a tree of maps, as one
// would write a client, and without checking anything.
func BenchmarkEncodingJSON25(b *testing.B) {
	g, err := newGenerator(config())
	if err != nil {
		b.Fatal(err)
	}
	r, err := g.Request(full())
	if err != nil {
		b.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(r.Body, &tree); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(tree); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGroupKey is what grouping costs for each event.
func BenchmarkGroupKey(b *testing.B) {
	g, err := newGenerator(config())
	if err != nil {
		b.Fatal(err)
	}
	e := sinktest.Samples()[0]
	b.ReportAllocs()
	for b.Loop() {
		_ = g.groupKey(e)
	}
}
