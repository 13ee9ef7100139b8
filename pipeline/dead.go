package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus"
)

// DeadLetter is the documented payload of a message on the dead-letter topic. It
// holds no secret and no raw address: the events are what was stored, and the error is
// redacted.
type DeadLetter struct {
	Sink     string            `json:"sink"`
	Reason   sidetrack.Reason  `json:"reason"`
	Error    string            `json:"error"`
	Status   int               `json:"status,omitempty"` // of the backend's last answer
	Attempts int               `json:"attempts"`
	First    time.Time         `json:"first"` // first attempt that failed
	Last     time.Time         `json:"last"`
	Events   []json.RawMessage `json:"events,omitempty"` // as stored, before the sink's own processors
	Raw      string            `json:"raw,omitempty"`    // instead of Events, for a line that could not be decoded
}

// ParseDeadLetter reads the payload of a message on the dead-letter topic. It shares no memory
// with data.
func ParseDeadLetter(data []byte) (DeadLetter, error) {
	var d DeadLetter
	if err := json.Unmarshal(data, &d); err != nil {
		return DeadLetter{}, fmt.Errorf("pipeline: dead letter: %w", err)
	}
	switch {
	case d.Sink == "":
		return DeadLetter{}, errors.New("pipeline: dead letter: no sink")
	case len(d.Events) == 0 && d.Raw == "":
		return DeadLetter{}, errors.New("pipeline: dead letter: no events")
	}
	return d, nil
}

// bury stores a dead letter. Only when it returns nil may the events be settled. When
// the topic is full the oldest letters make room: a sink whose letters cannot be stored would stand still.
func (p *Pipeline) bury(d DeadLetter) error {
	err := p.publishDead(d)
	if !errors.Is(err, bus.ErrFull) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), evictTimeout)
	defer cancel()
	evicted, evictErr := p.evictDead(ctx, d)
	if evicted == 0 {
		return errors.Join(err, evictErr)
	}
	p.evicted.Add(evicted)
	p.evicting.report(p.log, evicted)
	return p.publishDead(d)
}

func (p *Pipeline) publishDead(d DeadLetter) error {
	payload, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("pipeline: dead letter: %w", err)
	}
	if err := p.cfg.Bus.Publisher().Publish(TopicDead, newMessage(payload, max(1, len(d.Events)), contentTypeDead)); err != nil {
		return fmt.Errorf("pipeline: dead letter: %w", err)
	}
	return nil
}

const evictTimeout = 5 * time.Second

// evictDead removes the oldest letters of a full topic until d and a little more fits. It
// leaves a topic alone that is not full by itself, as when the disk is. It returns the
// number of events in what it removed.
func (p *Pipeline) evictDead(ctx context.Context, d DeadLetter) (events int64, err error) {
	p.evictMu.Lock()
	defer p.evictMu.Unlock()
	u, err := p.cfg.Bus.Usage(ctx, TopicDead)
	if err != nil {
		return 0, err
	}
	size := int64(len(d.Raw)) + 2048
	for _, e := range d.Events {
		size += int64(len(e)) + 1
	}
	need := u.Bytes + size - u.MaxBytes
	if u.MaxBytes == 0 || need <= 0 {
		return 0, nil
	}
	need = max(need, u.MaxBytes/50) // not a few bytes at a time
	var seqs []uint64
	for r, err := range p.cfg.Bus.Read(ctx, TopicDead, 0) {
		if err != nil {
			return 0, err
		}
		seqs = append(seqs, r.Seq)
		events += eventsIn(r.Message)
		if need -= int64(len(r.Message.Payload)); need <= 0 {
			break
		}
	}
	if err := p.cfg.Bus.Remove(ctx, TopicDead, seqs...); err != nil {
		return 0, err
	}
	return events, nil
}

// evictLog says at most once a minute that letters make room for newer ones.
type evictLog struct {
	mu     sync.Mutex
	last   time.Time
	events int64
}

func (l *evictLog) report(log *slog.Logger, events int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events += events
	if now := time.Now(); now.Sub(l.last) > time.Minute {
		log.Error("the dead letters are full: the oldest are deleted for new ones; replay or drop some, or raise their limit", "events", l.events)
		l.last, l.events = now, 0
	}
}
