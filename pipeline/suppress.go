package pipeline

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// Person is sidetrack.Person.
type Person = sidetrack.Person

// within reports whether a text that is no event holds one of the person's ids.
func within(p Person, text string) bool {
	return p.ClientID != "" && strings.Contains(text, p.ClientID) || p.UserID != "" && strings.Contains(text, p.UserID)
}

// suppressions is who no sink may get events of. It holds keyed hashes, on a topic of the bus whose
// age limit is as long as an event may wait anywhere; then nothing is left that would have to be withheld.
type suppressions struct {
	count   atomic.Int64  // entries; the gate's only cost while there are none
	version atomic.Uint64 // changes with every addition

	mu   sync.RWMutex
	key  []byte
	all  map[[16]byte]suppression
	next uint64 // sequence number behind what was read
}

// suppression is one entry: events received up to before, until the entry ends.
type suppression struct{ before, until time.Time }

// savedSuppression is the payload of a message on the suppression topic.
type savedSuppression struct {
	Hash   string    `json:"hash"`
	Before time.Time `json:"before,omitzero"` // zero: all events
}

const (
	suppressionsMaxBytes = 32 << 20
	suppressionKeyBytes  = 1 << 20
)

// hash is the keyed hash of an id. s.mu is held for reading.
func (s *suppressions) hash(kind byte, id string) (h [16]byte) {
	m := hmac.New(sha256.New, s.key)
	_, _ = m.Write([]byte{kind})
	_, _ = m.Write([]byte(id))
	return [16]byte(m.Sum(nil))
}

// covers reports whether no sink may get e.
func (s *suppressions) covers(e *sidetrack.Event) bool {
	if s.count.Load() == 0 {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return e.Visitor.ClientID != "" && s.hits('c', e.Visitor.ClientID, e.Received) || e.Visitor.UserID != "" && s.hits('u', e.Visitor.UserID, e.Received)
}

func (s *suppressions) hits(kind byte, id string, received time.Time) bool {
	x, ok := s.all[s.hash(kind, id)]
	return ok && (x.before.IsZero() || !received.After(x.before))
}

// suppressionLife is how long an entry lasts: as long as any event may wait for any sink.
func (p *Pipeline) suppressionLife() time.Duration {
	life := p.cfg.DeadMaxAge
	for _, s := range p.sinks {
		life = max(life, s.cfg.Delivery.MaxAge)
	}
	return life + time.Hour
}

// readSuppressionKey reads the key if there is one. The first counts, should two processes have made one each.
// The list's mu is held.
func (p *Pipeline) readSuppressionKey(ctx context.Context) error {
	if p.suppressed.key != nil {
		return nil
	}
	for r, err := range p.cfg.Bus.Read(ctx, TopicSuppressionKey, 0) {
		if err != nil {
			return fmt.Errorf("pipeline: suppression key: %w", err)
		}
		p.suppressed.key = append([]byte{}, r.Message.Payload...)
		break
	}
	return nil
}

// needSuppressionKey makes the key when it is needed for the first time.
func (p *Pipeline) needSuppressionKey(ctx context.Context) error {
	p.suppressed.mu.Lock()
	defer p.suppressed.mu.Unlock()
	if err := p.readSuppressionKey(ctx); err != nil || p.suppressed.key != nil {
		return err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	if err := p.cfg.Bus.Publisher().Publish(TopicSuppressionKey, newMessage(key, 0, contentTypeKey)); err != nil {
		return fmt.Errorf("pipeline: suppression key: %w", err)
	}
	return p.readSuppressionKey(ctx)
}

// loadSuppressions reads what was added since the last call.
func (p *Pipeline) loadSuppressions(ctx context.Context) error {
	s := &p.suppressed
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := p.readSuppressionKey(ctx); err != nil {
		return err
	}
	now := time.Now()
	for h, x := range s.all {
		if now.After(x.until) {
			delete(s.all, h)
		}
	}
	added := false
	for r, err := range p.cfg.Bus.Read(ctx, TopicSuppressed, s.next) {
		if err != nil {
			return fmt.Errorf("pipeline: suppressions: %w", err)
		}
		s.next = r.Seq + 1
		var x savedSuppression
		var h [16]byte
		if err := json.Unmarshal(r.Message.Payload, &x); err != nil || len(x.Hash) != 2*len(h) {
			p.log.Error("an entry of the suppression list cannot be read", "seq", r.Seq)
			continue
		}
		if _, err := hex.Decode(h[:], []byte(x.Hash)); err != nil {
			p.log.Error("an entry of the suppression list cannot be read", "seq", r.Seq)
			continue
		}
		if s.all == nil {
			s.all = map[[16]byte]suppression{}
		}
		entry := suppression{x.Before, r.At.Add(p.suppressionLife())}
		if old, ok := s.all[h]; ok && (old.before.IsZero() || !entry.before.IsZero() && old.before.After(entry.before)) {
			entry.before = old.before
		}
		s.all[h], added = entry, true
	}
	s.count.Store(int64(len(s.all)))
	if added {
		s.version.Add(1)
	}
	return nil
}

// Suppress keeps stored events of these visitors from every sink, from now on and across restarts:
// they end as withheld, with the reason suppressed. It is for a withdrawal of consent: events received
// after before are not touched, as a visitor may agree anew. A zero before means all events
// for as long as the entry lasts. Ids are kept as keyed hashes. It returns when the entries are stored.
func (p *Pipeline) Suppress(ctx context.Context, before time.Time, people ...Person) error {
	s := &p.suppressed
	if err := p.needSuppressionKey(ctx); err != nil {
		return err
	}
	for _, person := range people {
		for kind, id := range map[byte]string{'c': person.ClientID, 'u': person.UserID} {
			if id == "" {
				continue
			}
			s.mu.RLock()
			h := s.hash(kind, id)
			s.mu.RUnlock()
			payload, err := json.Marshal(savedSuppression{hex.EncodeToString(h[:]), before.UTC()})
			if err != nil {
				return fmt.Errorf("pipeline: suppress: %w", err)
			}
			if err := p.cfg.Bus.Publisher().Publish(TopicSuppressed, newMessage(payload, 0, contentTypeSuppressed)); err != nil {
				return fmt.Errorf("pipeline: suppress: %w", err)
			}
		}
	}
	return p.loadSuppressions(ctx)
}

// Forgotten is what Forget reached, and what it cannot.
type Forgotten struct {
	Until       time.Time       `json:"until"`        // events of the person are withheld from every sink
	DeadLetters int64           `json:"dead_letters"` // events erased in dead letters
	Sinks       []ForgottenSink `json:"sinks"`
}

// ForgottenSink is one sink's part of Forgotten.
type ForgottenSink struct {
	Sink    string `json:"sink"`
	Reached bool   `json:"reached"` // what it delivered before was erased, Erased events of it
	Erased  int64  `json:"erased,omitempty"`
	Error   string `json:"error,omitempty"`
}

// Forget erases a person: events that wait are withheld from every sink, dead letters are rewritten without
// them, and sinks that can erase do so. The result says what is out of reach: what a backend
// has been given is there. Stored events that wait stay on the bus, withheld, until their sinks have
// come to them. An error says that not everything was done; repeating it is safe.
func (p *Pipeline) Forget(ctx context.Context, person Person) (Forgotten, error) {
	if person == (Person{}) {
		return Forgotten{}, errors.New("pipeline: forget: nobody is named")
	}
	out := Forgotten{Until: time.Now().Add(p.suppressionLife()).UTC()}
	if err := p.Suppress(ctx, time.Time{}, person); err != nil {
		return out, err
	}
	p.deadMu.Lock()
	defer p.deadMu.Unlock()
	var errs []error
	if err := p.eraseDead(ctx, person, &out); err != nil {
		errs = append(errs, err)
	}
	for _, s := range p.sinks {
		row := ForgottenSink{Sink: s.name}
		// Files of a sink that another process runs are that process's.
		if s.spec.Erase != nil && (p.running.Load() || p.cfg.Bus.Exclusive()) {
			n, err := s.spec.Erase(ctx, person)
			row.Erased, row.Reached = n, err == nil
			if err != nil {
				row.Error = s.redact(err).Error()
				errs = append(errs, fmt.Errorf("pipeline: forget: sink %s: %w", s.name, s.redact(err)))
			}
		}
		out.Sinks = append(out.Sinks, row)
	}
	return out, errors.Join(errs...)
}

func (p *Pipeline) eraseDead(ctx context.Context, person Person, out *Forgotten) error {
	for l, err := range p.letters(ctx, DeadFilter{}, nil) {
		if err != nil {
			return err
		}
		if l.Raw != "" {
			if !within(person, l.Raw) {
				continue
			}
			out.DeadLetters++
			if err := p.rewrite(ctx, l.StoredLetter, nil); err != nil {
				return fmt.Errorf("pipeline: forget: dead letter %d: %w", l.ID, err)
			}
			continue
		}
		var rest []json.RawMessage
		for _, line := range l.Events {
			if e, err := sidetrack.ParseEvent(string(line)); err != nil && !within(person, string(line)) || err == nil && !person.Is(e) {
				rest = append(rest, line)
			}
		}
		if erased := len(l.Events) - len(rest); erased > 0 {
			out.DeadLetters += int64(erased)
			if err := p.rewrite(ctx, l.StoredLetter, rest); err != nil {
				return fmt.Errorf("pipeline: forget: dead letter %d: %w", l.ID, err)
			}
		}
	}
	return nil
}
