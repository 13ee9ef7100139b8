package pipeline

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/sidetrack-go/sidetrack"
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

// bury stores a dead letter. Only when it returns nil may the events be settled.
func (p *Pipeline) bury(d DeadLetter) error {
	payload, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("pipeline: dead letter: %w", err)
	}
	if err := p.cfg.Bus.Publisher().Publish(TopicDead, newMessage(payload, max(1, len(d.Events)), contentTypeDead)); err != nil {
		return fmt.Errorf("pipeline: dead letter: %w", err)
	}
	return nil
}
