package pipeline

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// Column is one column of the ledger. Every event that intake received ends in
// exactly one column of intake, and every accepted one in exactly one of each sink.
type Column string

// The columns.
const (
	Accepted  Column = "accepted"  // intake: stored
	Dropped   Column = "dropped"   // intake and sinks: ended on purpose by a processor
	Refused   Column = "refused"   // intake: not stored, and the caller knows
	Delivered Column = "delivered" // sink: the backend took it
	Filtered  Column = "filtered"  // sink: not this sink's site, condition or sample
	Withheld  Column = "withheld"  // sink: a needed purpose is not granted
	Dead      Column = "dead"      // sink: can never be delivered; kept as a dead letter
	Expired   Column = "expired"   // sink: too old to deliver
)

// noted counts notes beside the columns: they are about events that were delivered.
const noted Column = "noted"

// Ledger is a consistent-enough snapshot: columns are read one after another, so
// sums are exact only while nothing moves.
type Ledger struct {
	Since time.Time `json:"since"` // when counting began: on a durable bus of one process with its first start
	// Crashes is how often the process ended without a word, Unsure the last moment before the last time at
	// which all was known. What intake dropped and refused between the two is not counted.
	Crashes  int                        `json:"crashes,omitempty"`
	Unsure   time.Time                  `json:"unsure,omitzero"`
	Received int64                      `json:"received"`
	Accepted int64                      `json:"accepted"`
	Dropped  map[sidetrack.Reason]int64 `json:"dropped,omitempty"`
	Refused  map[sidetrack.Reason]int64 `json:"refused,omitempty"`
	Evicted  int64                      `json:"dead_evicted,omitempty"` // events in dead letters that made room for newer ones
	Sinks    []SinkLedger               `json:"sinks"`
}

// SinkLedger is one sink's row. It balances:
//
//	Accepted + Replayed + Repeated = all columns + Uncertain + Pending
//
// Accepted is what intake accepted since the sink began, and Carried, what the bus held for it before anybody counted.
type SinkLedger struct {
	Sink      string                     `json:"sink"`
	Accepted  int64                      `json:"accepted"`
	Carried   int64                      `json:"carried,omitempty"`
	Replayed  int64                      `json:"replayed,omitempty"` // events given back from dead letters; they are in Dead as well
	Delivered int64                      `json:"delivered"`
	Dropped   map[sidetrack.Reason]int64 `json:"dropped,omitempty"`
	Filtered  map[sidetrack.Reason]int64 `json:"filtered,omitempty"`
	Withheld  map[sidetrack.Reason]int64 `json:"withheld,omitempty"`
	Dead      map[sidetrack.Reason]int64 `json:"dead,omitempty"`
	Expired   map[sidetrack.Reason]int64 `json:"expired,omitempty"`
	Noted     map[sidetrack.Reason]int64 `json:"noted,omitempty"` // what the sink changed or left out of delivered events, by rule
	Pending   int64                      `json:"pending"`         // queued, in flight or parked

	// Repeated and Uncertain are what a crash leaves: events that came again although they had ended, and events whose
	// end was not written down. They are net figures: what hides in one cannot be seen in the other.
	Repeated  int64 `json:"repeated,omitempty"`
	Uncertain int64 `json:"uncertain,omitempty"`

	PendingBytes int64  `json:"pending_bytes"` // about, on the bus
	State        string `json:"state"`         // "ok", "rate limited", "breaker open", "throttled" or "misconfigured"

	// RateWait is how long the sink has waited, since the start, because of its own rate alone.
	RateWait time.Duration `json:"rate_wait,omitempty"`
}

// maxCells bounds the pairs of column and reason, should a component make up reasons from its input.
const maxCells = 256

type cell struct {
	column Column
	reason sidetrack.Reason
}

// tally counts by column and reason. The zero value is ready; reading and writing
// are safe for concurrent use and take no lock once a cell exists.
type tally struct {
	cells atomic.Pointer[map[cell]*atomic.Int64]
	grow  sync.Mutex
}

func (t *tally) add(c Column, r sidetrack.Reason, n int64) {
	k := cell{c, r}
	if m := t.cells.Load(); m != nil {
		if v := (*m)[k]; v != nil {
			v.Add(n)
			return
		}
	}
	t.grow.Lock()
	defer t.grow.Unlock()
	old := t.cells.Load()
	m := map[cell]*atomic.Int64{}
	if old != nil {
		maps.Copy(m, *old)
	}
	if m[k] == nil && len(m) >= maxCells {
		k.reason = sidetrack.ReasonOther
	}
	if m[k] == nil {
		m[k] = new(atomic.Int64)
	}
	m[k].Add(n)
	t.cells.Store(&m)
}

func (t *tally) sum(columns ...Column) (n int64) {
	m := t.cells.Load()
	if m == nil {
		return 0
	}
	for k, v := range *m {
		if slices.Contains(columns, k.column) {
			n += v.Load()
		}
	}
	return n
}

func (t *tally) reasons(c Column) map[sidetrack.Reason]int64 {
	m := t.cells.Load()
	if m == nil {
		return nil
	}
	out := map[sidetrack.Reason]int64{}
	for k, v := range *m {
		if k.column == c {
			out[k.reason] = v.Load()
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// settledColumns is every column that ends an event at a sink.
var settledColumns = []Column{Delivered, Dropped, Filtered, Withheld, Dead, Expired}

// Ledger returns the pipeline's ledger.
func (p *Pipeline) Ledger() Ledger {
	l := Ledger{
		Since:    p.since,
		Accepted: p.tally.sum(Accepted),
		Dropped:  p.tally.reasons(Dropped),
		Refused:  p.tally.reasons(Refused),
	}
	l.Received = p.received.Load()
	l.Evicted = p.evicted.Load()
	l.Crashes, l.Unsure = p.state.crashes, p.state.unsure
	for _, s := range p.sinks {
		row := SinkLedger{
			Sink:      s.name,
			Carried:   s.carried.Load(),
			Replayed:  s.replayed.Load(),
			Repeated:  s.repeated.Load(),
			Uncertain: s.uncertain.Load(),

			PendingBytes: s.backlogBytes.Load(),
			Delivered:    s.tally.sum(Delivered),
			Dropped:      s.tally.reasons(Dropped),
			Filtered:     s.tally.reasons(Filtered),
			Withheld:     s.tally.reasons(Withheld),
			Dead:         s.tally.reasons(Dead),
			Expired:      s.tally.reasons(Expired),
			Noted:        s.tally.reasons(noted),
		}
		if lost := s.lost.Load(); lost > 0 {
			if row.Expired == nil {
				row.Expired = map[sidetrack.Reason]int64{}
			}
			row.Expired[sidetrack.ReasonMaxAge] += lost
		}
		row.State = s.condition.Load().(string)
		if row.State == conditionOK && s.slowSince.Load() != 0 {
			row.State = conditionRateLimited
		}
		row.RateWait = s.rateWait(time.Now())
		row.Accepted = p.tally.sum(Accepted) - s.base + row.Carried
		row.Pending = s.pending()
		l.Sinks = append(l.Sinks, row)
	}
	return l
}
