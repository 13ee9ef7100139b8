package jetstream_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/jetstream"
)

// outageEnv makes the test binary the process that gets killed.
const outageEnv = "SIDETRACK_TEST_OUTAGE_DIR"

const (
	outageAckWait = 2 * time.Second
	outageTime    = 18 * time.Second // nine times AckWait
	outageMax     = 2000             // messages
)

// TestOutage holds a window for nine times AckWait while its sink is down, with a healthy sink beside
// it, and kills the process in the middle. Nothing may be lost; repeats are bounded by what was held
// or settled just before the kill.
func TestOutage(t *testing.T) {
	if dir := os.Getenv(outageEnv); dir != "" {
		outageProcess(t, dir)
		return
	}
	if testing.Short() {
		t.Skip("takes 20 s")
	}
	t.Parallel()
	dir := t.TempDir()
	began := time.Now()
	published, got := map[string]bool{}, map[string]map[string]int{"healthy": {}, "sick": {}}
	var mu sync.Mutex
	read := func(line string) {
		kind, id, ok := strings.Cut(line, " ")
		if !ok {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		switch kind {
		case "published":
			published[id] = true
		case "healthy", "sick":
			got[kind][id]++
		}
	}
	counts := func() (p, h, s int) {
		mu.Lock()
		defer mu.Unlock()
		return len(published), len(got["healthy"]), len(got["sick"])
	}
	run := func(until func() bool) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestOutage$", "-test.v")
		cmd.Env = append(os.Environ(), outageEnv+"="+dir, fmt.Sprintf("SIDETRACK_TEST_WELL_AT=%d", began.Add(outageTime).UnixMilli()))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for s := bufio.NewScanner(out); s.Scan(); {
				read(s.Text())
			}
		}()
		for !until() {
			select {
			case <-ended:
				t.Fatal("the process ended by itself")
			case <-time.After(20 * time.Millisecond):
			}
		}
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	}
	run(func() bool { return time.Since(began) > outageTime/2 })
	p, h, s := counts()
	if p == 0 || h == 0 || s != 0 {
		t.Errorf("in the middle of the outage: %d published, %d at the healthy sink, %d at the sick one", p, h, s)
	}
	deadline := began.Add(outageTime + 30*time.Second)
	run(func() bool {
		p, h, s := counts()
		return p >= outageMax && h >= p && s >= p || time.Now().After(deadline)
	})
	mu.Lock()
	defer mu.Unlock()
	for sink, ids := range got {
		repeats := 0
		for id := range published {
			if ids[id] == 0 {
				t.Errorf("%s: %s was lost", sink, id)
			}
			repeats += max(0, ids[id]-1)
		}
		t.Logf("%s: %d published, %d delivered, %d repeats", sink, len(published), len(ids), repeats)
		// The healthy sink may see the acks of the last 100 ms again, of 100 messages a second; the sick one
		// had settled nothing.
		if bound := 30; repeats > bound {
			t.Errorf("%s: %d repeats, at most %d expected", sink, repeats, bound)
		}
	}
}

// outageProcess publishes and delivers, until it is killed. What happens goes to standard output.
func outageProcess(t *testing.T, dir string) {
	var wellAt int64
	if _, err := fmt.Sscan(os.Getenv("SIDETRACK_TEST_WELL_AT"), &wellAt); err != nil {
		t.Fatal(err)
	}
	well := time.UnixMilli(wellAt)
	b, err := jetstream.OpenEmbedded(t.Context(), jetstream.Embedded{DataDir: dir, Sync: jetstream.SyncAlways, MaxBytes: 1 << 30, MinFree: 1, AckWait: outageAckWait})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Declare(t.Context(), bus.Topic{Name: "events", Groups: []string{"healthy", "sick"}}); err != nil {
		t.Fatal(err)
	}
	var out sync.Mutex
	say := func(kind, id string) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf("%s %s\n", kind, id)
	}
	for _, group := range []string{"healthy", "sick"} {
		ch, err := b.Subscriber(group, bus.Window{Messages: 64}).Subscribe(context.Background(), "events")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for m := range ch {
				go func() {
					if group == "sick" {
						time.Sleep(time.Until(well))
					}
					say(group, string(m.Payload))
					m.Ack()
				}()
			}
		}()
	}
	run := watermill.NewShortUUID()
	for i := range outageMax {
		m := message.NewMessage(watermill.NewUUID(), []byte(fmt.Sprintf("%s-%d", run, i)))
		m.Metadata.Set(bus.MetaEvents, "1")
		if err := b.Publisher().Publish("events", m); err != nil {
			t.Fatal(err)
		}
		say("published", string(m.Payload))
		time.Sleep(10 * time.Millisecond)
	}
	select {}
}
