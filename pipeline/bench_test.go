package pipeline_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// BenchmarkEngine measures the engine alone on the memory bus: events of about 800 bytes go in in
// batches of 100 and are counted by a sink. One operation is one event.
func BenchmarkEngine(b *testing.B) {
	for name, emitters := range map[string]int{"one emitter": 1, "four emitters": 4} {
		b.Run(name, func(b *testing.B) { benchmarkEngine(b, emitters) })
	}
}

func benchmarkEngine(b *testing.B, emitters int) {
	var delivered atomic.Int64
	sink := sidetrack.WriterSink(writerFunc(func(_ context.Context, u sidetrack.Unit) error {
		delivered.Add(int64(len(u.Events)))
		return nil
	}), sidetrack.MaxEvents(500))
	p, err := pipeline.New(pipeline.Config{
		Bus:   memory.New(memory.Config{}),
		Sinks: []pipeline.SinkConfig{{Name: "count", Sink: sink}},
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := p.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	template := &sidetrack.Event{
		Name:    "purchase",
		Visitor: sidetrack.Visitor{ClientID: "1234567890.1700000000", SessionID: "1700000123"},
		Page:    sidetrack.Page{URL: "https://shop.example/checkout/thanks?order=10042", Title: "Thank you for your order", Referrer: "https://shop.example/checkout"},
		Device:  sidetrack.Device{UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", Language: "de-AT", Screen: "1920x1080"},
		Consent: sidetrack.Grant("bench", sidetrack.AnalyticsStorage),
		Ecommerce: &sidetrack.Ecommerce{Currency: "EUR", Value: sidetrack.MoneyOf(59.9), HasValue: true, TransactionID: "T-10042",
			Items: []sidetrack.Item{{ID: "SKU-1", Name: "Walking boots", Price: sidetrack.MoneyOf(49.9), Quantity: 1}, {ID: "SKU-2", Name: "Socks", Price: sidetrack.MoneyOf(5), Quantity: 2}}},
		Params: map[string]any{"theme": "dark", "logged_in": true, "step": int64(3)},
	}
	const batch = 100
	b.ReportAllocs()
	b.ResetTimer()
	work := make(chan struct{})
	done := make(chan error, emitters)
	for range emitters {
		go func() {
			for range work {
				list := make([]*sidetrack.Event, batch)
				for i := range list {
					e := *template // what processors would change is not shared
					list[i] = &e
				}
				if err := p.Emit(context.Background(), list...); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	sent := 0
	for ; sent < b.N; sent += batch {
		work <- struct{}{}
	}
	close(work)
	for range emitters {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Drain(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if n := delivered.Load(); n != int64(sent) {
		b.Fatalf("%d of %d delivered", n, sent)
	}
	b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "events/s")
	if err := p.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}
