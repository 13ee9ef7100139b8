// Package chaos is the conservation run: events are sent to a real process that delivers
// them to four backends with random faults, and that is killed and restarted again and again. In
// the end every accepted event must have met its one fate at every sink.
//
// Program and process under test are the same executable: see Main.
package chaos

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/jetstream"
	"github.com/sidetrack-go/sidetrack/internal/faults"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// Options say how large the run is.
type Options struct {
	Events   int        // to be accepted
	Rate     int        // events a second that are sent, at most; 0: 5,000
	Restarts int        // in the middle of it
	Window   bus.Window // of each sink, which bounds repeats after a kill; zero: 64 messages, 256 KiB
	Clean    bool       // SIGTERM only: then nothing but what backends never confirmed may come twice
	Seed     uint64     // of everything random
	Dir      string     // data directory, empty
	Log      func(format string, args ...any)
}

// Run does it. An error means that the run itself failed; what it found is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	o.Rate = cmp.Or(o.Rate, 5000)
	o.Window = cmp.Or(o.Window, bus.Window{Messages: 64, Bytes: 256 << 10})
	r := &run{
		o:        o,
		rng:      rand.New(rand.NewPCG(o.Seed, 0)),
		accepted: make([]bool, 2*o.Events+100_000),
		report:   &Report{Seed: o.Seed, began: time.Now()},
	}
	r.sinks = r.newSinks()
	defer func() {
		for _, s := range r.sinks {
			s.backend.Close()
		}
	}()
	err := r.all(ctx)
	if r.process != nil {
		r.process.Kill()
	}
	if err != nil {
		return nil, fmt.Errorf("chaos: seed %d: %w", o.Seed, err)
	}
	return r.report, nil
}

type run struct {
	o      Options
	rng    *rand.Rand // the run's goroutine only
	addr   string
	sinks  []*sink
	report *Report

	process *faults.Process
	fates   sync.WaitGroup // readers of the processes' reports

	next     atomic.Int64 // id of the next event
	count    atomic.Int64 // accepted
	mu       sync.Mutex
	accepted []bool // by id
	paced    time.Time
	problems []string
}

func (r *run) all(ctx context.Context) error {
	var err error
	if r.addr, err = faults.FreeAddr(); err != nil {
		return err
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	loadCtx, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	var clients sync.WaitGroup
	for i := range clientCount {
		clients.Go(func() { r.client(loadCtx, rand.New(rand.NewPCG(r.o.Seed, uint64(i+1)))) })
	}
	err = r.restarts(ctx)
	if err == nil {
		err = r.await(ctx, func() bool { return r.count.Load() >= int64(r.o.Events) })
	}
	stopLoad()
	clients.Wait()
	if err != nil {
		return err
	}
	r.report.loaded = time.Since(r.report.began)
	r.o.Log("%d events accepted in %s; waiting for their fates", r.count.Load(), r.report.loaded.Round(time.Millisecond))
	if err := r.settle(ctx, true); err != nil {
		return err
	}
	for _, s := range r.sinks {
		s.before = r.account(s)
	}
	// A clean end, and one more start with backends that are well: what was parked arrives.
	if err := r.stop(); err != nil {
		return err
	}
	for _, s := range r.sinks {
		s.backend.Set(s.healed)
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	if err := r.settle(ctx, false); err != nil {
		return err
	}
	if err := r.stop(); err != nil {
		return err
	}
	r.fates.Wait()
	if err := r.readLetters(ctx); err != nil {
		return err
	}
	r.judge()
	return nil
}

// readLetters opens the store that the processes left behind and counts as dead what is in a dead
// letter, not what they said of it.
func (r *run) readLetters(ctx context.Context) (err error) {
	b, err := jetstream.OpenEmbedded(ctx, jetstream.Embedded{DataDir: r.o.Dir, MinFree: 1})
	if err != nil {
		return err
	}
	cfg := pipeline.Config{Bus: b}
	for _, s := range r.sinks {
		s.letters = make([]uint8, len(s.taken))
		cfg.Sinks = append(cfg.Sinks, s.setting().config(r.o.Window))
	}
	p, err := pipeline.New(cfg)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	defer func() { err = errors.Join(err, p.Close(ctx)) }()
	if err := p.Open(ctx); err != nil {
		return err
	}
	for l, err := range p.DeadLetters(ctx, pipeline.DeadFilter{}) {
		if err != nil {
			return err
		}
		i := slices.IndexFunc(r.sinks, func(s *sink) bool { return s.name == l.Sink })
		for _, line := range l.Events {
			e, err := sidetrack.ParseEvent(string(line))
			if err != nil || i < 0 {
				r.problem("letter %d of sink %s: %v", l.ID, l.Sink, err)
				continue
			}
			if id, err := strconv.Atoi(e.MessageID); err == nil && r.sinks[i].letters[id] < 255 {
				r.sinks[i].letters[id]++
			}
		}
	}
	return nil
}

// ending is a way to end the process.
type ending int

const (
	endKill    ending = iota // kill -9 under load
	endTerm                  // SIGTERM under load
	endBoth                  // SIGTERM, and kill -9 while it drains
	endAtStart               // kill -9 within the first fifth of a second of its life
)

func (e ending) String() string {
	return [...]string{"kill -9", "SIGTERM", "SIGTERM and kill -9", "kill -9 at start"}[e]
}

// restarts ends and starts the process at random moments of the load.
func (r *run) restarts(ctx context.Context) error {
	var endings []ending
	for i := range r.o.Restarts {
		switch {
		case r.o.Clean:
			endings = append(endings, endTerm)
		default:
			endings = append(endings, [...]ending{endKill, endTerm, endKill, endTerm, endBoth, endAtStart}[i%6])
		}
	}
	r.rng.Shuffle(len(endings), func(i, j int) { endings[i], endings[j] = endings[j], endings[i] })
	at := make([]int64, len(endings))
	for i := range at {
		at[i] = int64(float64(r.o.Events) * (float64(i) + r.rng.Float64()) / float64(len(at)))
	}
	for i, how := range endings {
		if how == endAtStart && i > 0 {
			time.Sleep(time.Duration(r.rng.IntN(200)) * time.Millisecond)
		} else if err := r.await(ctx, func() bool { return r.count.Load() >= at[i] }); err != nil {
			return err
		}
		r.noteMemory()
		switch how {
		case endTerm:
			if err := r.stop(); err != nil {
				return err
			}
			r.report.Terms++
		case endBoth:
			r.allowRepeats()
			if err := r.process.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
				return err
			}
			time.Sleep(time.Duration(r.rng.IntN(60)) * time.Millisecond)
			r.kill()
		default:
			r.allowRepeats()
			r.kill()
		}
		r.o.Log("restart %d by %s after %d accepted events", i+1, how, r.count.Load())
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) kill() {
	r.process.Kill()
	r.report.Kills++
}

// stopLimit is more than the engine's own bound of a drain.
const stopLimit = 30 * time.Second

func (r *run) stop() error {
	r.noteMemory()
	if err := r.process.Stop(stopLimit); err != nil {
		return err
	}
	if code := r.process.ExitCode(); code != 0 {
		return fmt.Errorf("exit code %d after SIGTERM:\n%s", code, tail(r.process.Stderr.String()))
	}
	return nil
}

func (r *run) start(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cfg := settings{Dir: r.o.Dir, Addr: r.addr, Window: r.o.Window}
	for _, s := range r.sinks {
		cfg.Sinks = append(cfg.Sinks, s.setting())
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		return err
	}
	from, to, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), env+"="+string(text))
	cmd.ExtraFiles = []*os.File{to}
	p, err := faults.Start(cmd)
	_ = to.Close()
	if err != nil {
		return errors.Join(err, from.Close())
	}
	r.process = p
	r.fates.Go(func() { r.readFates(from) })
	began := time.Now()
	client := &http.Client{Timeout: 5 * time.Second}
	err = r.await(ctx, func() bool {
		resp, err := client.Get("http://" + r.addr + "/healthz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return true
	})
	r.report.slowestStart = max(r.report.slowestStart, time.Since(began))
	return err
}

// readFates notes what one process reports until it is gone. An event may meet its fate
// twice, when the process was killed between the fate and the settlement of its message.
func (r *run) readFates(from *os.File) {
	defer func() { _ = from.Close() }()
	for lines := bufio.NewScanner(from); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		column, text, _ := strings.Cut(rest, " ")
		id, err := strconv.Atoi(text)
		i := slices.IndexFunc(r.sinks, func(s *sink) bool { return s.name == name })
		if err != nil || i < 0 {
			r.problem("unreadable fate %q", lines.Text())
			continue
		}
		r.sinks[i].fate(id, pipeline.Column(column))
	}
}

func (r *run) problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// awaitLimit is how long nothing may happen before the run gives up.
const awaitLimit = 2 * time.Minute

// await polls until done, while the process lives.
func (r *run) await(ctx context.Context, done func() bool) error {
	progress, since := int64(-1), time.Now()
	for !done() {
		if n := r.activity(); n != progress {
			progress, since = n, time.Now()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Since(since) > awaitLimit:
			return fmt.Errorf("nothing moves for %s; %d accepted:\n%s", awaitLimit, r.count.Load(), tail(r.process.Stderr.String()))
		}
		select {
		case <-r.process.Exited():
			return fmt.Errorf("the process ended by itself with code %d:\n%s", r.process.ExitCode(), tail(r.process.Stderr.String()))
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// activity changes while anything goes on.
func (r *run) activity() int64 {
	n := r.count.Load()
	for _, s := range r.sinks {
		n += s.activity()
	}
	return n
}

func tail(s string) string { return s[max(0, len(s)-4000):] }
