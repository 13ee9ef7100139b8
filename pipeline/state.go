package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// The ledger is exact across clean restarts: the last thing a pipeline stores is where everything
// stands. After a crash the bus still knows how many events were ever stored and how many each
// sink has before it; what is not known is in which column the events of the last seconds ended, and
// that is a row of its own, "uncertain". It works where one process has the store to itself.

// savedLedger is the payload of a message on the state topic.
type savedLedger struct {
	Version int                  `json:"v"`
	Clean   bool                 `json:"clean"` // nothing moved afterwards
	At      time.Time            `json:"at"`
	Since   time.Time            `json:"since"`
	Offset  int64                `json:"offset"` // events on the event topic that the ledger does not count: stored before it began
	Intake  []savedCell          `json:"intake"`
	Evicted int64                `json:"evicted,omitempty"`
	Crashes int                  `json:"crashes,omitempty"`
	Unsure  time.Time            `json:"unsure,omitzero"`
	Sinks   map[string]savedSink `json:"sinks"`
}

type savedCell struct {
	Column Column           `json:"c"`
	Reason sidetrack.Reason `json:"r,omitempty"`
	N      int64            `json:"n"`
}

type savedSink struct {
	Base      int64       `json:"base"` // events accepted before the sink began
	Carried   int64       `json:"carried,omitempty"`
	Replayed  int64       `json:"replayed,omitempty"`
	Repeated  int64       `json:"repeated,omitempty"`
	Uncertain int64       `json:"uncertain,omitempty"`
	Cells     []savedCell `json:"cells"`
}

const savedVersion = 1

// saveEvery is how often a running pipeline stores its ledger.
const saveEvery = 2 * time.Second

// stateMaxBytes bounds the state topic, which holds one or two messages.
const stateMaxBytes = 4 << 20

// state is the ledger's bookkeeping beside the counters.
type state struct {
	restored bool
	keeps    bool // the bus is durable and this process's alone
	offset   int64
	crashes  int
	unsure   time.Time // when the counts were known last before the last crash

	mu     sync.Mutex // one save at a time
	stored uint64     // sequence number of what is stored; 0: nothing
	failed logState
	stop   chan struct{}
	done   chan struct{}
}

// restore takes up the ledger where the last process left it, and reads each sink's backlog.
func (p *Pipeline) restore(ctx context.Context) error {
	st := &p.state
	st.keeps = p.cfg.Bus.Durable() && p.cfg.Bus.Exclusive()
	var saved *savedLedger
	if st.keeps {
		var err error
		if saved, err = p.readState(ctx); err != nil {
			return fmt.Errorf("pipeline: ledger of the last run: %w", err)
		}
		u, err := p.cfg.Bus.Usage(ctx, TopicEvents)
		if err != nil {
			return fmt.Errorf("pipeline: ledger: %w", err)
		}
		if saved != nil && saved.Offset+sumCells(saved.Intake, Accepted) > u.Events {
			p.log.Warn("the store has fewer events than the ledger counted: it is another store; counting begins anew", "ledger", saved.Offset+sumCells(saved.Intake, Accepted), "store", u.Events)
			saved = nil
		}
		if saved == nil {
			st.offset = u.Events
		} else {
			st.offset, st.crashes, st.unsure = saved.Offset, saved.Crashes, saved.Unsure
			p.since = saved.Since
			p.evicted.Store(saved.Evicted)
			p.tally.restore(saved.Intake)
			if !saved.Clean {
				st.crashes++
				st.unsure = saved.At
			}
			// What was stored is known exactly, whatever the last process had time to write down.
			p.tally.add(Accepted, "", u.Events-st.offset-p.tally.sum(Accepted))
			p.received.Store(p.tally.sum(Accepted, Dropped, Refused))
		}
	}
	if err := p.loadSuppressions(ctx); err != nil {
		return err
	}
	for _, s := range p.sinks {
		if err := s.restore(ctx, saved); err != nil {
			return fmt.Errorf("pipeline: backlog of sink %s: %w", s.name, err)
		}
	}
	st.restored = true
	return nil
}

func (s *sink) restore(ctx context.Context, saved *savedLedger) error {
	var waiting int64
	for _, topic := range []string{TopicEvents, TopicRetry(s.name)} {
		st, err := s.p.cfg.Bus.Stats(ctx, topic, s.name)
		if err != nil {
			return err
		}
		waiting += st.PendingEvents
	}
	accepted := s.p.tally.sum(Accepted)
	var row savedSink
	known := false
	if saved != nil {
		row, known = saved.Sinks[s.name]
	}
	if !known {
		s.base = accepted
		s.carried.Store(waiting)
		return nil
	}
	s.base = row.Base
	s.carried.Store(row.Carried)
	s.replayed.Store(row.Replayed)
	s.repeated.Store(row.Repeated)
	s.uncertain.Store(row.Uncertain)
	s.tally.restore(row.Cells)
	s.adjust(s.outstanding() - waiting)
	s.unsure.Store(!saved.Clean)
	return nil
}

// adjust makes up for events that the ledger has and the bus has not: they have ended, and nobody knows
// how. Fewer than none means that some come again.
func (s *sink) adjust(surplus int64) {
	switch {
	case surplus > 0:
		s.uncertain.Add(surplus)
	case surplus < 0:
		s.repeated.Add(-surplus)
	}
}

// readState returns the last ledger that was stored, nil when there is none that can be read.
func (p *Pipeline) readState(ctx context.Context) (saved *savedLedger, err error) {
	for r, err := range p.cfg.Bus.Read(ctx, TopicState, 0) {
		if err != nil {
			return nil, err
		}
		var s savedLedger
		if err := json.Unmarshal(r.Message.Payload, &s); err != nil || s.Version != savedVersion {
			p.log.Warn("a stored ledger cannot be read and is left out", "version", s.Version, "error", err)
			continue
		}
		saved, p.state.stored = &s, r.Seq
	}
	return saved, nil
}

// save stores the ledger and removes the one before.
func (p *Pipeline) save(ctx context.Context, clean bool) {
	st := &p.state
	if !st.keeps {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	err := p.store(ctx, p.snapshot(clean))
	st.failed.report(p.log, err, "the ledger cannot be stored: after a crash less of it will be certain", "the ledger is stored again")
}

func (p *Pipeline) store(ctx context.Context, s savedLedger) error {
	payload, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := p.cfg.Bus.Publisher().Publish(TopicState, newMessage(payload, 0, contentTypeState)); err != nil {
		return err
	}
	var old []uint64
	last := uint64(0)
	for r, err := range p.cfg.Bus.Read(ctx, TopicState, p.state.stored) {
		if err != nil {
			return err
		}
		if last != 0 {
			old = append(old, last)
		}
		last = r.Seq
	}
	p.state.stored = last
	return p.cfg.Bus.Remove(ctx, TopicState, old...)
}

func (p *Pipeline) snapshot(clean bool) savedLedger {
	s := savedLedger{
		Version: savedVersion, Clean: clean, At: time.Now().UTC(), Since: p.since.UTC(), Offset: p.state.offset,
		Intake: p.tally.cellsOf(), Evicted: p.evicted.Load(), Crashes: p.state.crashes, Unsure: p.state.unsure,
		Sinks: map[string]savedSink{},
	}
	for _, k := range p.sinks {
		row := savedSink{
			Base: k.base, Carried: k.carried.Load(), Replayed: k.replayed.Load(), Repeated: k.repeated.Load(),
			Uncertain: k.uncertain.Load(), Cells: k.tally.cellsOf(),
		}
		if lost := k.lost.Load(); lost > 0 { // the next process's bus counts from zero
			row.Cells = append(row.Cells, savedCell{Expired, sidetrack.ReasonMaxAge, lost})
		}
		s.Sinks[k.name] = row
	}
	return s
}

// keepState stores the ledger now and then until endState.
func (p *Pipeline) keepState() {
	st := &p.state
	st.stop, st.done = make(chan struct{}), make(chan struct{})
	if !st.keeps {
		close(st.done)
		return
	}
	p.save(context.Background(), false) // from here on an end without a word is a crash
	go func() {
		defer close(st.done)
		tick := time.NewTicker(saveEvery)
		defer tick.Stop()
		last := p.moved()
		for {
			select {
			case <-tick.C:
			case <-st.stop:
				return
			}
			if now := p.moved(); now != last {
				last = now
				p.save(context.Background(), false)
			}
		}
	}()
}

// moved is a number that changes whenever the ledger does.
func (p *Pipeline) moved() int64 {
	n := p.received.Load() + p.tally.sum(Accepted, Dropped, Refused) + p.evicted.Load()
	for _, s := range p.sinks {
		n += s.tally.sum(settledColumns...) + s.tally.sum(noted) + s.lost.Load() + s.replayed.Load() + s.uncertain.Load() + s.repeated.Load()
	}
	return n
}

func (p *Pipeline) endState() {
	close(p.state.stop)
	<-p.state.done
}

// reconcile corrects the ledger after a crash: what the store said at the start of messages that the last
// process held was an estimate. A difference that stays the same while the sink is idle is none of the moment.
func (s *sink) reconcile(waiting int64) {
	if !s.unsure.Load() {
		return
	}
	surplus := s.outstanding() - waiting
	if surplus == 0 || waiting != 0 {
		s.same = 0
		return
	}
	if surplus != s.surplus {
		s.surplus, s.same = surplus, 0
	}
	if s.same++; s.same >= 3 {
		s.adjust(surplus)
		s.unsure.Store(false)
	}
}

func sumCells(cells []savedCell, c Column) (n int64) {
	for _, x := range cells {
		if x.Column == c {
			n += x.N
		}
	}
	return n
}

func (t *tally) cellsOf() (out []savedCell) {
	m := t.cells.Load()
	if m == nil {
		return nil
	}
	for k, v := range *m {
		out = append(out, savedCell{k.column, k.reason, v.Load()})
	}
	return out
}

// restore sets the counters of a tally that nobody uses yet.
func (t *tally) restore(cells []savedCell) {
	for _, c := range cells {
		t.add(c.Column, c.Reason, c.N)
	}
}
