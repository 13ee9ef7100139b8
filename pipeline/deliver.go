package pipeline

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// Answer is what came of one attempt to deliver, with secrets masked.
type Answer struct {
	Outcome string        `json:"outcome"`          // a class: delivered, retry, throttled, rejected or misconfigured
	Status  int           `json:"status,omitempty"` // of an HTTP answer
	Body    string        `json:"body,omitempty"`   // likewise, its beginning
	Error   string        `json:"error,omitempty"`
	Took    time.Duration `json:"took"` // nanoseconds
}

// maxAnswerText bounds what is kept of an answer for people.
const maxAnswerText = 4 << 10

// Deliver takes e the way of a real event and delivers it at once to the sinks that are named, to all
// when none is. It makes one attempt each, one sink after the other, past the bus, the breaker and the
// ledger: for trying a configuration out. It owns e from then on. A sink that has no Answer in the result was not sent anything.
func (p *Pipeline) Deliver(ctx context.Context, e *sidetrack.Event, sinks ...string) Explanation {
	return p.explain(ctx, e, func(s *sink, u sidetrack.Unit, x *SinkExplanation) {
		if len(sinks) > 0 && !slices.Contains(sinks, s.name) {
			return
		}
		began := time.Now()
		a := s.attempt(ctx, u)
		err := a.err
		if err == nil {
			err = a.out[0]
		}
		class, _ := sidetrack.ClassOf(err)
		x.Answer = &Answer{Outcome: class.String(), Status: a.status, Took: time.Since(began)}
		if body := string(a.body); len(body) > maxAnswerText {
			x.Answer.Body = s.mask(strings.ToValidUTF8(body[:maxAnswerText], "")) + "…"
		} else {
			x.Answer.Body = s.mask(body)
		}
		if err != nil {
			x.Answer.Error = s.redact(err).Error()
		}
	})
}

// SinkNames returns the names of the sinks in the order of the configuration.
func (p *Pipeline) SinkNames() []string {
	out := make([]string, len(p.sinks))
	for i, s := range p.sinks {
		out[i] = s.name
	}
	return out
}
