package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Report is what a run found.
type Report struct {
	Seed         uint64
	Sent         int64
	Accepted     int64
	Kills, Terms int
	PeakRSS      int64 // bytes, of any of the processes
	Sinks        []SinkReport
	Problems     []string // what must not be; empty when all is well

	began        time.Time
	loaded, took time.Duration
	slowestStart time.Duration
}

// SinkReport is the account of one sink over the accepted events.
type SinkReport struct {
	Sink        string
	Delivered   int64 // at least once
	Dead        int64
	Expired     int64
	Parked      int64
	Missing     int64 // none of these
	Requests    int
	Repeats     int64 // deliveries of an event that had been delivered
	Unconfirmed int64 // deliveries whose confirmation the backend withheld: they explain as many repeats
	Allowed     int64 // repeats that the kills explain beside those
}

// Err says what is wrong, nil when nothing is.
func (r *Report) Err() error {
	errs := make([]error, len(r.Problems))
	for i, p := range r.Problems {
		errs[i] = errors.New(p)
	}
	return errors.Join(errs...)
}

// String is a table of the account.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d sent, %d accepted, %d times kill -9, %d times SIGTERM; accepting took %s, all %s; slowest start %s; peak RSS %d MB\n",
		r.Seed, r.Sent, r.Accepted, r.Kills, r.Terms, r.loaded.Round(100*time.Millisecond), r.took.Round(100*time.Millisecond),
		r.slowestStart.Round(time.Millisecond), r.PeakRSS>>20)
	fmt.Fprintf(&b, "%-8s %9s %6s %7s %6s %7s %8s %8s  of which allowed: never confirmed + kills\n",
		"sink", "delivered", "dead", "expired", "parked", "missing", "requests", "repeats")
	for _, s := range r.Sinks {
		fmt.Fprintf(&b, "%-8s %9d %6d %7d %6d %7d %8d %8d  %d + %d\n",
			s.Sink, s.Delivered, s.Dead, s.Expired, s.Parked, s.Missing, s.Requests, s.Repeats, s.Unconfirmed, s.Allowed)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "PROBLEM: %s\n", p)
	}
	return b.String()
}

// settle waits until every accepted event has met its fate, or nothing moves any more. Unless
// parked ones may stay, they have to come too.
func (r *run) settle(ctx context.Context, parked bool) error {
	missing := func() (n int64, text string) {
		for _, s := range r.sinks {
			row := r.account(s)
			left := row.Missing
			if !parked {
				left += row.Parked
			}
			n += left
			text += fmt.Sprintf(" %s: %d", s.name, left)
		}
		return n, text
	}
	best, since, said := int64(-1), time.Now(), time.Now()
	for {
		n, text := missing()
		switch {
		case n == 0 || ctx.Err() != nil:
			return ctx.Err()
		case best < 0 || n < best:
			best, since = n, time.Now()
		case time.Since(since) > awaitLimit:
			return nil // judge says what is missing
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			r.o.Log("still missing:%s", text)
		}
		select {
		case <-r.process.Exited():
			return fmt.Errorf("the process ended by itself with code %d:\n%s", r.process.ExitCode(), tail(r.process.Stderr.String()))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// account counts the fates of the accepted events at one sink. Parked ones are those that are
// expected to be and have met no other fate.
func (r *run) account(s *sink) SinkReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := SinkReport{Sink: s.name, Allowed: s.allowed}
	for id, n := range s.taken {
		if n > 1 {
			out.Repeats += int64(n) - 1
		}
		if !r.accepted[id] {
			continue
		}
		switch {
		case n > 0:
			out.Delivered++
		case s.dead[id]:
			out.Dead++
		case s.expired[id]:
			out.Expired++
		case s.expected(id) == parked:
			out.Parked++
		default:
			out.Missing++
		}
	}
	return out
}

// judge compares what happened with what had to.
func (r *run) judge() {
	rep := r.report
	rep.took = time.Since(rep.began)
	rep.Sent, rep.Accepted = r.next.Load(), r.count.Load()
	for _, s := range r.sinks {
		row := s.before
		if row.Missing > 0 {
			r.problem("%s: %d accepted events met no fate", s.name, row.Missing)
		}
		// What was parked is delivered by now, and everything else is as it was.
		after := r.account(s)
		after.Repeats, after.Allowed = row.Repeats, row.Allowed
		if moved := row; true {
			moved.Delivered, moved.Parked = row.Delivered+row.Parked, 0
			if after != moved {
				r.problem("%s: the parked events did not arrive when the backend was well: %+v", s.name, after)
			}
		}
		row.Requests, row.Unconfirmed = s.counts()
		rep.Sinks = append(rep.Sinks, row)
		if row.Repeats > row.Unconfirmed+row.Allowed {
			r.problem("%s: %d repeats, at most %d are explained", s.name, row.Repeats, row.Unconfirmed+row.Allowed)
		}
		r.wrongFates(s)
	}
	rep.Problems = r.problems
}

// wrongFates reports events that met another fate than theirs.
func (r *run) wrongFates(s *sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wrong, example := 0, ""
	for id, n := range s.taken {
		if s.dead[id] != (s.letters[id] > 0) {
			wrong++
			example = fmt.Sprintf("event %d is in %d dead letters", id, s.letters[id])
		}
		met := map[fate]bool{delivered: n > 0, dead: s.dead[id], expired: s.expired[id]}
		for f, yes := range met {
			if want := s.expected(id); yes && f != want && !(want == parked && f == delivered) {
				wrong++
				example = fmt.Sprintf("event %d was %s, want %s", id, f, want)
			}
		}
	}
	if wrong > 0 {
		r.problem("%s: %d wrong fates, such as: %s", s.name, wrong, example)
	}
}
