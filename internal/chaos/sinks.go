package chaos

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/sidetrack-go/sidetrack/internal/faults"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// kind is what is special about an event. It decides its fate at some of the sinks.
type kind int

const (
	plain       kind = iota
	rejected         // picky answers 400 to every request that holds it: dead there
	failing          // picky answers 500 likewise: parked there
	refusedPart      // partial names it with 400: dead there
	failingPart      // partial names it with 503: parked there
	old              // past the window of steady: expired there
)

// every is how many events there are for one of each special kind. It is prime, so that
// they fall on every place of a unit.
const every = 997

func special(id int) kind {
	switch k := kind(id % every); k {
	case rejected, failing, refusedPart, failingPart, old:
		return k
	}
	return plain
}

const steadyMaxAge = time.Hour

// sink is one backend and what became of the events there.
type sink struct {
	name    string
	backend *faults.Backend
	maxAge  time.Duration

	healed faults.Answer // for the end of the run: refuses what is to be refused, and nothing else

	mu      sync.Mutex
	taken   []uint8 // times, by event id
	dead    []bool
	expired []bool
	total   int64 // events taken, repeats included
	fates   int64
	marks   [markCount]mark // of the last moments, in turn
	last    int
	allowed int64 // repeats that the kills so far explain

	letters []uint8 // stored in the end, by event id

	before SinkReport // before the backends were healed
}

// mark says how much had been taken at a moment.
type mark struct {
	at    time.Time
	total int64
}

const (
	markCount = 64
	markEvery = 10 * time.Millisecond
	// ackLag is how old an acknowledgement may be and still get lost: the store writes cursors ten
	// times a second, the newest message waits 50 ms, and a busy machine needs its time.
	ackLag = 300 * time.Millisecond
)

// newSinks makes the four backends. Each has its own troubles beside those that all have.
func (r *run) newSinks() []*sink {
	oneOf := func(k kind) func(string) bool {
		return func(text string) bool {
			id, err := strconv.Atoi(text)
			return err == nil && special(id) == k
		}
	}
	good := faults.Answer(faults.OK)
	drip := func(x *faults.Exchange) {
		x.Take(true, x.IDs...)
		faults.Drip(200, "thank you", 5*time.Millisecond)(x)
	}
	short := func(x *faults.Exchange) {
		x.Take(false, x.IDs...) // the answer is cut: whether it counts is the sink's business
		faults.ShortBody(200, "taken")(x)
	}
	common := func(rest ...faults.Weighted) []faults.Weighted {
		return append(rest,
			faults.Weighted{Weight: 300, Answer: faults.Status(http.StatusInternalServerError)},
			faults.Weighted{Weight: 100, Answer: faults.Status(http.StatusRequestTimeout)},
			faults.Weighted{Weight: 200, Answer: faults.Reset},
			faults.Weighted{Weight: 20, Answer: faults.Hang},
			faults.Weighted{Weight: 50, Answer: faults.Garbage},
			faults.Weighted{Weight: 50, Answer: faults.CutStatus},
			faults.Weighted{Weight: 50, Answer: faults.ErrorBody("error: quota of the database")},
			faults.Weighted{Weight: 10, Answer: faults.Throttle(time.Second)},
			faults.Weighted{Weight: 10, Answer: faults.Status(http.StatusServiceUnavailable, "Retry-After", "1")},
			faults.Weighted{Weight: 20, Answer: faults.EndlessHeader},
		)
	}
	mix := func(good faults.Answer, weight int, rest ...faults.Weighted) faults.Answer {
		rng := rand.New(rand.NewPCG(r.rng.Uint64(), r.rng.Uint64()))
		return faults.Mix(rng, append(common(rest...), faults.Weighted{Weight: weight, Answer: good})...)
	}
	dripping := faults.Weighted{Weight: 100, Answer: drip}
	picky := faults.Poison(oneOf(rejected), faults.Status(http.StatusBadRequest),
		faults.Poison(oneOf(failing), faults.Status(http.StatusInternalServerError), good))
	partial := faults.Partial(func(text string) int {
		switch {
		case oneOf(refusedPart)(text):
			return http.StatusBadRequest
		case oneOf(failingPart)(text):
			return http.StatusServiceUnavailable
		}
		return 0
	})
	flapping := faults.Flap(1500*time.Millisecond, good, 500*time.Millisecond, faults.Status(http.StatusBadGateway))
	sinks := []*sink{
		r.newSink("steady", mix(flapping, 9000, dripping), steadyMaxAge),
		r.newSink("picky", mix(picky, 9000), 0),
		r.newSink("partial", mix(partial, 9000), 0),
		r.newSink("liar", mix(good, 8000, dripping,
			faults.Weighted{Weight: 300, Answer: faults.Lost(faults.Status(http.StatusInternalServerError))},
			faults.Weighted{Weight: 300, Answer: faults.Lost(faults.Reset)},
			faults.Weighted{Weight: 20, Answer: faults.Lost(faults.Late(timeout+time.Second, faults.Status(http.StatusOK)))},
			faults.Weighted{Weight: 200, Answer: short},
		), 0),
	}
	sinks[1].healed = faults.Poison(oneOf(rejected), faults.Status(http.StatusBadRequest), good)
	sinks[2].healed = faults.Partial(func(text string) int {
		if oneOf(refusedPart)(text) {
			return http.StatusBadRequest
		}
		return 0
	})
	return sinks
}

func (r *run) newSink(name string, answer faults.Answer, maxAge time.Duration) *sink {
	n := len(r.accepted)
	s := &sink{name: name, maxAge: maxAge, healed: faults.OK, taken: make([]uint8, n), dead: make([]bool, n), expired: make([]bool, n)}
	s.backend = faults.NewBackend(answer, nil)
	s.backend.OnTake(s.take)
	return s
}

func (s *sink) setting() sinkSetting {
	return sinkSetting{Name: s.name, URL: s.backend.URL, MaxAge: s.maxAge}
}

func (s *sink) take(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range ids {
		if id, err := strconv.Atoi(text); err == nil && id < len(s.taken) && s.taken[id] < 255 {
			s.taken[id]++
		}
	}
	s.total += int64(len(ids))
	if now := time.Now(); now.Sub(s.marks[s.last].at) > markEvery {
		s.last = (s.last + 1) % markCount
		s.marks[s.last] = mark{now, s.total}
	}
}

func (s *sink) fate(id int, c pipeline.Column) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fates++
	if c == pipeline.Dead {
		s.dead[id] = true
	} else {
		s.expired[id] = true
	}
}

func (s *sink) counts() (requests int, unconfirmed int64) {
	requests, n := s.backend.Counts()
	return requests, int64(n)
}

func (s *sink) activity() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total + s.fates
}

// allowRepeats adds what a kill now explains: the events of one window, of which any number
// may have been taken without their messages being settled as a whole, and what was
// acknowledged just before.
func (r *run) allowRepeats() {
	held := r.o.Window.Bytes/int64(len(event(0))) + maxMessageEvents
	for _, s := range r.sinks {
		s.mu.Lock()
		before := s.total
		for _, m := range s.marks {
			if time.Since(m.at) < ackLag {
				before = min(before, m.total)
			}
		}
		s.allowed += held + s.total - before
		s.mu.Unlock()
	}
}

// maxMessageEvents is the most the engine puts into one message.
const maxMessageEvents = 500

// expected is the one fate of an event at a sink. Parked is what the bus still holds for it.
func (s *sink) expected(id int) fate {
	switch k := special(id); {
	case s.name == "steady" && k == old:
		return expired
	case s.name == "picky" && k == rejected, s.name == "partial" && k == refusedPart:
		return dead
	case s.name == "picky" && k == failing, s.name == "partial" && k == failingPart:
		return parked
	}
	return delivered
}

type fate int

const (
	delivered fate = iota
	dead
	expired
	parked
)

func (f fate) String() string { return [...]string{"delivered", "dead", "expired", "parked"}[f] }
