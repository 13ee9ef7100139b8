package memory_test

import (
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/memory"
)

// newBus returns a bus with one topic and its groups, closed with the test.
func newBus(tb testing.TB, topic bus.Topic) *memory.Bus {
	tb.Helper()
	b := memory.New(memory.Config{})
	tb.Cleanup(func() { b.Close() })
	if _, err := b.Declare(tb.Context(), topic); err != nil {
		tb.Fatal(err)
	}
	return b
}

func newMessage(id string, events int, payload []byte) *message.Message {
	m := message.NewMessage(id, payload)
	m.Metadata.Set(bus.MetaEvents, fmt.Sprint(events))
	return m
}

func BenchmarkPublishConsume(b *testing.B) {
	for _, events := range []int{1, 100, 500} {
		for _, groups := range []int{1, 4} {
			b.Run(fmt.Sprintf("events=%d/groups=%d", events, groups), func(b *testing.B) {
				var names []string
				for i := range groups {
					names = append(names, fmt.Sprint("g", i))
				}
				mb := newBus(b, bus.Topic{Name: "t", Groups: names, MaxBytes: 1 << 40})
				done := make(chan struct{})
				for _, g := range names {
					ch, err := mb.Subscriber(g, bus.Window{}).Subscribe(b.Context(), "t")
					if err != nil {
						b.Fatal(err)
					}
					go func() {
						for i := 0; i < b.N; i++ {
							m := <-ch
							m.Ack()
						}
						done <- struct{}{}
					}()
				}
				payload := make([]byte, events*700)
				b.SetBytes(int64(len(payload)))
				b.ReportAllocs()
				b.ResetTimer()
				pub := mb.Publisher()
				for range b.N {
					if err := pub.Publish("t", newMessage("", events, payload)); err != nil {
						b.Fatal(err)
					}
				}
				for range names {
					<-done
				}
				b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}
