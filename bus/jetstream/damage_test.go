package jetstream_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/jetstream"
	"github.com/sidetrack-go/sidetrack/internal/faults"
)

const damageMessages = 200

var damageTopics = []bus.Topic{{Name: "t", Groups: []string{"fast", "slow"}, MaxBytes: 64 << 20}}

// crashImage returns a directory as a kill would leave it: 200 messages of two events each,
// all of which the slow group holds and the fast one has settled half.
func crashImage(t *testing.T) string {
	t.Helper()
	live, image := t.TempDir(), t.TempDir()
	b := openAt(t, live, jetstream.SyncAlways)
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := b.Declare(t.Context(), damageTopics...); err != nil {
		t.Fatal(err)
	}
	for i := range damageMessages {
		publish(t, b, i)
	}
	slow, err := b.Subscriber("slow", bus.DefaultWindow).Subscribe(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	fast, err := b.Subscriber("fast", bus.DefaultWindow).Subscribe(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	for i := range damageMessages {
		<-slow
		if m := <-fast; i < damageMessages/2 {
			m.Ack()
		}
	}
	time.Sleep(400 * time.Millisecond) // cursors are written ten times a second
	if err := os.CopyFS(image, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	return image
}

func publish(t *testing.T, b bus.Bus, i int) {
	t.Helper()
	m := message.NewMessage(fmt.Sprintf("m%d", i), []byte(strings.Repeat("x", 300)))
	m.Metadata[bus.MetaEvents] = "2"
	if err := b.Publisher().Publish("t", m); err != nil {
		t.Fatal(err)
	}
}

// arrivals takes and settles what a group gets until nothing comes any more.
func arrivals(t *testing.T, b bus.Bus, group string) map[string]int {
	t.Helper()
	sub := b.Subscriber(group, bus.DefaultWindow)
	ch, err := sub.Subscribe(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for {
		select {
		case m := <-ch:
			got[m.UUID]++
			m.Ack()
		case <-time.After(2 * time.Second):
			if err := sub.Close(); err != nil {
				t.Error(err)
			}
			return got
		}
	}
}

type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// find returns the file below dir whose path ends like this.
func find(t *testing.T, dir, end string) string {
	t.Helper()
	found := ""
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, filepath.FromSlash(end)) {
			found = path
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("no %s below %s: %v", end, dir, err)
	}
	return found
}

// TestDamagedFiles damages each kind of file of the store. Whatever it was, the bus says aloud what
// is lost and where, hands out everything that can be read, and loses nothing that comes later.
func TestDamagedFiles(t *testing.T) {
	image := crashImage(t)
	garbage := func(end string) func(*testing.T, string) error {
		return func(t *testing.T, dir string) error { return os.WriteFile(find(t, dir, end), []byte("garbage"), 0o600) }
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string) error
		slow   [2]int // messages that arrive at the slow group: at least, at most
		says   []string
	}{
		"nothing": {func(*testing.T, string) error { return nil }, [2]int{damageMessages, damageMessages}, nil},
		"messages": {func(t *testing.T, dir string) error {
			return faults.Flip(find(t, dir, "sidetrack-t/msgs/1.blk"), 30_000, 40)
		}, [2]int{40, 80}, []string{"lost", "sidetrack-t"}},
		"messages cut": {func(t *testing.T, dir string) error {
			return os.Truncate(find(t, dir, "sidetrack-t/msgs/1.blk"), 30_000)
		}, [2]int{40, 80}, []string{"lost", "sidetrack-t"}},
		"messages gone":   {func(t *testing.T, dir string) error { return os.Remove(find(t, dir, "sidetrack-t/msgs/1.blk")) }, [2]int{0, 0}, []string{"lost", "sidetrack-t"}},
		"stream's config": {garbage("sidetrack-t/meta.inf"), [2]int{damageMessages, damageMessages}, nil},
		"stream's sum":    {garbage("sidetrack-t/meta.sum"), [2]int{damageMessages, damageMessages}, nil},
		"cursor":          {garbage("obs/slow/o.dat"), [2]int{damageMessages, damageMessages}, []string{"obs/slow"}},
		"cursor's sum":    {garbage("obs/slow/meta.sum"), [2]int{damageMessages, damageMessages}, nil},
		"counts":          {garbage("counts/t"), [2]int{damageMessages, damageMessages}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(image)); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(t, dir); err != nil {
				t.Fatal(err)
			}
			log := &lockedLog{}
			b, err := jetstream.OpenEmbedded(t.Context(), jetstream.Embedded{DataDir: dir, MinFree: 1, AckWait: ackWait, Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError}))})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			}()
			if _, err := b.Declare(t.Context(), damageTopics...); err != nil {
				t.Fatal(err)
			}
			for i := range 5 {
				publish(t, b, 1000+i)
			}
			for _, group := range []string{"slow", "fast"} {
				got := arrivals(t, b, group)
				old := 0
				for i := range damageMessages {
					old += min(1, got[fmt.Sprintf("m%d", i)])
				}
				for i := range 5 {
					if got[fmt.Sprintf("m%d", 1000+i)] != 1 {
						t.Errorf("%s: message %d, stored after the damage, arrived %d times", group, i, got[fmt.Sprintf("m%d", 1000+i)])
					}
				}
				if group == "slow" && (old < c.slow[0] || old > c.slow[1]) {
					t.Errorf("%d messages arrived, want %d to %d", old, c.slow[0], c.slow[1])
				}
				st, err := b.Stats(t.Context(), "t", group)
				if err != nil || st.Pending != 0 || st.PendingEvents != 0 {
					t.Errorf("%s: %+v, %v when all is settled", group, st, err)
				}
			}
			said := log.String()
			for _, s := range c.says {
				if !strings.Contains(said, s) {
					t.Errorf("the log does not say %q:\n%s", s, said)
				}
			}
			if len(c.says) == 0 && strings.Contains(said, "lost") {
				t.Errorf("the log speaks of a loss:\n%s", said)
			}
		})
	}
}

// TestDamagedCursorConfig damages what the server needs to know that a cursor exists: starting would lose
// what waits for it, so the bus refuses, names the file and says what can be done.
func TestDamagedCursorConfig(t *testing.T) {
	image := crashImage(t)
	file := find(t, image, "obs/slow/meta.inf")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = jetstream.OpenEmbedded(t.Context(), jetstream.Embedded{DataDir: image, MinFree: 1})
	if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "removing the directory") {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	b := openAt(t, image, jetstream.SyncInterval)
	defer b.Close()
	if _, err := b.Declare(t.Context(), damageTopics...); err != nil {
		t.Fatal(err)
	}
	if got := arrivals(t, b, "slow"); len(got) != damageMessages {
		t.Errorf("%d messages arrived after the file was restored, want %d", len(got), damageMessages)
	}
}

// TestNoDamage removes a topic and brings it back under the same name: that is no loss.
func TestNoDamage(t *testing.T) {
	dir := t.TempDir()
	run := func(n int, topics ...bus.Topic) {
		log := &lockedLog{}
		b, err := jetstream.OpenEmbedded(t.Context(), jetstream.Embedded{DataDir: dir, MinFree: 1, Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError}))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Declare(t.Context(), topics...); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			publish(t, b, i)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if said := log.String(); said != "" {
			t.Errorf("the log says:\n%s", said)
		}
	}
	run(20, damageTopics...)
	run(0, bus.Topic{Name: "other", Groups: []string{"fast"}})
	run(1, damageTopics...)
	run(0, damageTopics...)
}
