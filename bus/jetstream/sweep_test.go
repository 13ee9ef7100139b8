package jetstream_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/jetstream"
)

// TestSweep settles messages in every order, by groups of different speed with messages that stay
// held in between: after a clean restart each group gets exactly what it has not settled.
func TestSweep(t *testing.T) {
	const messages = 3000
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for _, groups := range [][]string{{"a"}, {"a", "b", "c"}} {
		t.Run(fmt.Sprint(len(groups), " groups"), func(t *testing.T) {
			dir := t.TempDir()
			topic := bus.Topic{Name: "events", Groups: groups}
			b := openAt(t, dir, jetstream.SyncInterval)
			if _, err := b.Declare(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			held := map[string]map[string]bool{}
			var done sync.WaitGroup
			for i, g := range groups {
				held[g] = map[string]bool{}
				rnd := rand.New(rand.NewPCG(seed, uint64(i)))
				ch := subscribe(t, b, g)
				done.Go(func() {
					var late []*message.Message
					seen := map[string]bool{}
					for n := 0; n < messages; {
						var m *message.Message
						select {
						case m = <-ch:
						case <-time.After(20 * time.Second):
							t.Errorf("group %s: nothing comes after %d messages", g, n)
							return
						}
						if !seen[m.UUID] {
							if seen[m.UUID] = true; rnd.IntN(20) == 0 {
								m.Nack()
								continue
							}
						}
						n++
						switch rnd.IntN(100) {
						case 0:
							mu.Lock()
							held[g][m.UUID] = true
							mu.Unlock()
						case 1, 2, 3, 4, 5, 6, 7, 8, 9:
							late = append(late, m)
						default:
							m.Ack()
						}
						if rnd.IntN(500) == 0 {
							time.Sleep(20 * time.Millisecond) // let the sweep find different states
						}
					}
					rnd.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
					for _, m := range late {
						m.Ack()
					}
				})
			}
			pub := b.Publisher()
			for i := range messages {
				m := message.NewMessage(fmt.Sprint(i), []byte("x"))
				m.Metadata.Set(bus.MetaEvents, "1")
				if err := pub.Publish("events", m); err != nil {
					t.Fatal(err)
				}
			}
			done.Wait()
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}

			b = openAt(t, dir, jetstream.SyncInterval)
			defer b.Close()
			if _, err := b.Declare(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
			for _, g := range groups {
				st, err := b.Stats(t.Context(), "events", g)
				if err != nil || st.Pending != int64(len(held[g])) {
					t.Errorf("group %s: %d pending, want %d (%v)", g, st.Pending, len(held[g]), err)
				}
				ch := subscribe(t, b, g)
				for range len(held[g]) {
					select {
					case m := <-ch:
						if !held[g][m.UUID] {
							t.Errorf("group %s: message %s was settled and comes again", g, m.UUID)
						}
						delete(held[g], m.UUID)
						m.Ack()
					case <-time.After(10 * time.Second):
						t.Fatalf("group %s: %d messages are lost", g, len(held[g]))
					}
				}
				select {
				case m := <-ch:
					t.Errorf("group %s: message %s comes again", g, m.UUID)
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
}

// subscribe opens a window that is large enough for settlements to wait.
func subscribe(t *testing.T, b bus.Bus, group string) <-chan *message.Message {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	ch, err := b.Subscriber(group, bus.Window{Messages: 2000, Bytes: 1 << 20}).Subscribe(ctx, "events")
	if err != nil {
		t.Fatal(err)
	}
	return ch
}
