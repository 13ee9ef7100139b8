package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
)

// DeadFilter chooses events in dead letters. A condition that is empty holds for all; within one
// condition any value does.
type DeadFilter struct {
	IDs     []uint64           `json:"ids,omitempty"` // of StoredLetter
	Sinks   []string           `json:"sinks,omitempty"`
	Sites   []string           `json:"sites,omitempty"`
	Reasons []sidetrack.Reason `json:"reasons,omitempty"`
	Names   []string           `json:"names,omitempty"` // of events
	Since   time.Time          `json:"since,omitzero"`  // died at or after
	Until   time.Time          `json:"until,omitzero"`  // died before
	Limit   int                `json:"limit,omitempty"` // letters at most, the oldest first; 0: all
}

// StoredLetter is a dead letter in its place.
type StoredLetter struct {
	ID uint64 `json:"id"` // does not change while the letter is stored
	DeadLetter
}

// DeadProgress is how far work on dead letters has come.
type DeadProgress struct {
	Seen  int64 `json:"seen"`  // letters looked at
	Total int64 `json:"total"` // letters stored when it began
	Done  int64 `json:"done"`  // events dealt with
}

// DeadResult is what became of the events that a filter chose.
type DeadResult struct {
	Letters int64                      `json:"letters"`           // that had any
	Events  int64                      `json:"events"`            // replayed or dropped; with DryRun: would be
	Sinks   map[string]int64           `json:"sinks,omitempty"`   // those events by sink
	Refused map[sidetrack.Reason]int64 `json:"refused,omitempty"` // not replayed: they stay dead letters
}

// DeadOptions changes how Replay and DropDead work.
type DeadOptions struct {
	DryRun   bool
	Progress func(DeadProgress) // called now and then, in the same goroutine
}

var errBusy = errors.New("pipeline: other work on dead letters is under way: wait for its end")

// DeadLetters returns the letters with events that f chooses, oldest first; only these events are in
// them. A payload that is no letter is returned as one with the reason undecodable.
func (p *Pipeline) DeadLetters(ctx context.Context, f DeadFilter) iter.Seq2[StoredLetter, error] {
	return func(yield func(StoredLetter, error) bool) {
		for l, err := range p.letters(ctx, f, nil) {
			if err != nil {
				yield(StoredLetter{}, err)
				return
			}
			chosen := l.StoredLetter
			chosen.Events = l.chosen
			if !yield(chosen, nil) {
				return
			}
		}
	}
}

// openLetter is a letter sorted into what a filter chose and what not.
type openLetter struct {
	StoredLetter
	chosen, rest []json.RawMessage
}

// letters reads the letters of which f chooses something.
func (p *Pipeline) letters(ctx context.Context, f DeadFilter, seen func()) iter.Seq2[openLetter, error] {
	return func(yield func(openLetter, error) bool) {
		n := 0
		for r, err := range p.cfg.Bus.Read(ctx, TopicDead, 0) {
			if err != nil {
				yield(openLetter{}, fmt.Errorf("pipeline: dead letters: %w", err))
				return
			}
			if seen != nil {
				seen()
			}
			d, err := ParseDeadLetter(r.Message.Payload)
			if err != nil {
				d = DeadLetter{Sink: "?", Reason: sidetrack.ReasonUndecodable, Error: err.Error(), Last: r.At, Raw: string(r.Message.Payload)}
			}
			l := openLetter{StoredLetter: StoredLetter{ID: r.Seq, DeadLetter: d}}
			if !f.sort(&l) {
				continue
			}
			if !yield(l, nil) {
				return
			}
			if n++; n == f.Limit {
				return
			}
		}
	}
}

// sort reports whether f chooses anything of l, and what.
func (f *DeadFilter) sort(l *openLetter) bool {
	switch {
	case len(f.IDs) > 0 && !slices.Contains(f.IDs, l.ID),
		len(f.Sinks) > 0 && !slices.Contains(f.Sinks, l.Sink),
		len(f.Reasons) > 0 && !slices.Contains(f.Reasons, l.Reason),
		!f.Since.IsZero() && l.Last.Before(f.Since),
		!f.Until.IsZero() && !l.Last.Before(f.Until):
		return false
	}
	if len(f.Sites)+len(f.Names) == 0 {
		l.chosen = l.Events
		return true
	}
	for _, line := range l.Events {
		e, err := sidetrack.ParseEvent(string(line))
		if err == nil && (len(f.Sites) == 0 || slices.Contains(f.Sites, e.Site)) && (len(f.Names) == 0 || slices.Contains(f.Names, e.Name)) {
			l.chosen = append(l.chosen, line)
		} else {
			l.rest = append(l.rest, line)
		}
	}
	return len(l.chosen) > 0
}

// DropDead deletes the events that f chooses. Letters with other events keep those.
func (p *Pipeline) DropDead(ctx context.Context, f DeadFilter, o DeadOptions) (DeadResult, error) {
	return p.workOnDead(ctx, f, o, func(l openLetter, res *DeadResult) error {
		res.count(l.Sink, max(1, len(l.chosen)))
		if o.DryRun {
			return nil
		}
		return p.rewrite(ctx, l.StoredLetter, l.rest)
	})
}

// rewrite replaces a letter by one with other events, or deletes it when there are none. A
// crash in between leaves both letters, never none.
func (p *Pipeline) rewrite(ctx context.Context, l StoredLetter, rest []json.RawMessage) error {
	if len(rest) > 0 {
		d := l.DeadLetter
		d.Events = rest
		if err := p.bury(d); err != nil {
			return err
		}
	}
	return p.cfg.Bus.Remove(ctx, TopicDead, l.ID)
}

func (r *DeadResult) count(sink string, events int) {
	r.Letters++
	r.Events += int64(events)
	if r.Sinks == nil {
		r.Sinks = map[string]int64{}
	}
	r.Sinks[sink] += int64(events)
}

func (r *DeadResult) refuse(reason sidetrack.Reason, n int) {
	if r.Refused == nil {
		r.Refused = map[sidetrack.Reason]int64{}
	}
	r.Refused[reason] += int64(n)
}

// workOnDead calls f for each letter, one worker at a time, and tells of progress.
func (p *Pipeline) workOnDead(ctx context.Context, f DeadFilter, o DeadOptions, work func(openLetter, *DeadResult) error) (res DeadResult, err error) {
	if !p.deadMu.TryLock() {
		return res, errBusy
	}
	defer p.deadMu.Unlock()
	u, err := p.cfg.Bus.Usage(ctx, TopicDead)
	if err != nil {
		return res, fmt.Errorf("pipeline: dead letters: %w", err)
	}
	progress := DeadProgress{Total: u.Messages}
	told := time.Now()
	seen := func() {
		progress.Seen++
		progress.Done = res.Events
		if o.Progress != nil && (time.Since(told) > progressEvery || progress.Seen == progress.Total) {
			told = time.Now()
			o.Progress(progress)
		}
	}
	for l, err := range p.letters(ctx, f, seen) {
		if err == nil {
			err = work(l, &res)
		}
		if err != nil {
			return res, err
		}
	}
	return res, nil
}

const progressEvery = 100 * time.Millisecond

// Replay gives the events that f chooses back to the sinks at which they died, and to no other.
// They take the way of new events from the sink's gate on, with the ids they have; their age at
// the sink counts from the replay. What a backend no longer takes because of its own window
// is refused and stays a dead letter.
//
// Letters are deleted once their events are stored for the sink. A crash in between repeats
// the events of one message, at most 500; running it again does the rest. It waits where a sink has no
// room for more, unless the pipeline was opened without being started.
func (p *Pipeline) Replay(ctx context.Context, f DeadFilter, o DeadOptions) (DeadResult, error) {
	batches := map[string]*replay{}
	res, err := p.workOnDead(ctx, f, o, func(l openLetter, res *DeadResult) error {
		s := p.sink(l.Sink)
		switch {
		case l.Raw != "":
			res.refuse(sidetrack.ReasonUndecodable, 1)
			return nil
		case s == nil:
			res.refuse(sidetrack.ReasonNoSink, len(l.chosen))
			return nil
		}
		var lines []json.RawMessage
		rest := l.rest
		for _, line := range l.chosen {
			if reason := s.replayable(line, p.cfg.Now()); reason != "" {
				res.refuse(reason, 1)
				rest = append(rest, line)
				continue
			}
			lines = append(lines, line)
		}
		if len(lines) == 0 {
			return nil
		}
		res.count(l.Sink, len(lines))
		if o.DryRun {
			return nil
		}
		b := batches[l.Sink]
		if b == nil {
			b = &replay{p: p, s: s}
			batches[l.Sink] = b
		}
		return b.add(ctx, l.StoredLetter, lines, rest)
	})
	for _, b := range batches {
		if err == nil {
			err = b.flush(ctx)
		}
		if b.events > 0 { // read, and not stored for the sink
			res.Events -= int64(b.events)
			res.Sinks[b.s.name] -= int64(b.events)
		}
	}
	return res, err
}

func (p *Pipeline) sink(name string) *sink {
	for _, s := range p.sinks {
		if s.name == name {
			return s
		}
	}
	return nil
}

// replayable returns why the sink cannot get the event any more, "" when it can.
func (s *sink) replayable(line json.RawMessage, now time.Time) sidetrack.Reason {
	e, err := sidetrack.ParseEvent(string(line))
	switch {
	case err != nil:
		return sidetrack.ReasonUndecodable
	case s.spec.MaxAge > 0 && now.Sub(e.Time) > s.spec.MaxAge:
		return sidetrack.ReasonMaxAge
	case s.p.suppressed.covers(e):
		return sidetrack.ReasonSuppressed
	}
	return ""
}

// replay gathers events for one sink into messages.
type replay struct {
	p       *Pipeline
	s       *sink
	payload []byte
	events  int
	letters []replayed
}

// replayed is a letter whose events are in the message, and what must be left of it.
type replayed struct {
	letter StoredLetter
	rest   []json.RawMessage
}

func (b *replay) add(ctx context.Context, l StoredLetter, lines, rest []json.RawMessage) error {
	size := 0
	for _, line := range lines {
		size += len(line) + 1
	}
	if b.events > 0 && (b.events+len(lines) > maxBatchEvents || len(b.payload)+size > maxBatchBytes) {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	for _, line := range lines {
		b.payload = append(append(b.payload, line...), '\n')
	}
	b.events += len(lines)
	b.letters = append(b.letters, replayed{l, rest})
	return nil
}

// flush stores the message for the sink, then deletes the letters.
func (b *replay) flush(ctx context.Context) error {
	if b.events == 0 {
		return nil
	}
	m := newMessage(b.payload, b.events, contentTypeEvents)
	m.Metadata[metaReplayed] = millis(b.p.cfg.Now())
	// Before it is stored: the sink may be faster than this goroutine.
	b.s.replayed.Add(int64(b.events))
	for {
		err := b.p.cfg.Bus.Publisher().Publish(TopicRetry(b.s.name), m)
		if err == nil {
			break
		}
		if errors.Is(err, bus.ErrFull) && b.p.running.Load() {
			select {
			case <-time.After(replayWait):
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		} else if errors.Is(err, bus.ErrFull) {
			err = fmt.Errorf("the sink's retry topic is full: let it deliver, then repeat this: %w", err)
		}
		b.s.replayed.Add(-int64(b.events))
		return fmt.Errorf("pipeline: replay to %s: %w", b.s.name, err)
	}
	// What is stored for the sink is done whatever happens to the letters.
	letters := b.letters
	b.payload, b.events, b.letters = nil, 0, nil
	var whole []uint64
	for _, r := range letters {
		if len(r.rest) == 0 {
			whole = append(whole, r.letter.ID)
			continue
		}
		if err := b.p.rewrite(ctx, r.letter, r.rest); err != nil {
			return fmt.Errorf("pipeline: replay to %s: shorten a letter: %w", b.s.name, err)
		}
	}
	if err := b.p.cfg.Bus.Remove(context.WithoutCancel(ctx), TopicDead, whole...); err != nil {
		return fmt.Errorf("pipeline: replay to %s: delete replayed letters: %w", b.s.name, err)
	}
	return nil
}

// replayWait is how long a replay waits for room at a sink before it tries again.
const replayWait = 50 * time.Millisecond

func parseCount(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
