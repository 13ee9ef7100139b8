package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// Explanation is what would happen to one event now. Nothing was stored or sent.
type Explanation struct {
	Intake     []Step            `json:"intake,omitempty"`
	Dropped    sidetrack.Reason  `json:"dropped,omitempty"` // in intake, on purpose
	Refused    string            `json:"refused,omitempty"` // in intake, with the reason as an error text
	Event      json.RawMessage   `json:"event"`             // as it would be stored
	Processors []Step            `json:"processors,omitempty"`
	Sinks      []SinkExplanation `json:"sinks,omitempty"` // none when intake ended the event

	// Processed is the event after the shared processors; nil when it did not get there.
	Processed *sidetrack.Event `json:"-"`
}

// Step is one processor's work on the event.
type Step struct {
	Processor string           `json:"processor"`
	Changes   []Change         `json:"changes,omitempty"`
	Drop      sidetrack.Reason `json:"drop,omitempty"`
	Error     string           `json:"error,omitempty"`
}

// Change is one field before and after. An absent value is nil.
type Change struct {
	Field  string `json:"field"` // path in JSON terms
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// SinkExplanation says what a sink would send, or why it would not.
type SinkExplanation struct {
	Sink       string           `json:"sink"`
	Column     Column           `json:"column"` // Delivered: it would be sent
	Reason     sidetrack.Reason `json:"reason,omitempty"`
	Missing    []string         `json:"missing,omitempty"` // purposes that are not granted
	Error      string           `json:"error,omitempty"`
	Processors []Step           `json:"processors,omitempty"`
	Notes      []string         `json:"notes,omitempty"`   // what the sink changes or leaves out
	Request    *Preview         `json:"request,omitempty"` // of an HTTP sink, secrets masked
	Output     string           `json:"output,omitempty"`  // of a writer
	Answer     *Answer          `json:"answer,omitempty"`  // by Deliver alone
}

// Preview is a request with its secrets masked.
type Preview struct {
	Method string      `json:"method"`
	URL    string      `json:"url"`
	Header http.Header `json:"header,omitempty"`
	Body   string      `json:"body,omitempty"`

	// Compressed says that Body, which is readable here, is sent in the encoding that Header names.
	Compressed bool `json:"compressed,omitempty"`
}

// Explain takes e the way of a real event, alone in its unit, without storing or
// sending anything. It owns e from then on. Processors with a memory, such as one that
// counts sessions, notice it.
func (p *Pipeline) Explain(ctx context.Context, e *sidetrack.Event) Explanation {
	return p.explain(ctx, e, nil)
}

// explain is Explain. then, when not nil, is told for each sink that would send what it would send.
func (p *Pipeline) explain(ctx context.Context, e *sidetrack.Event, then func(*sink, sidetrack.Unit, *SinkExplanation)) Explanation {
	var x Explanation
	p.complete("", e, time.Now())
	steps, reason, err := explainProcessors(ctx, p.cfg.Intake, e)
	e.SetOrigin(nil)
	x.Intake = steps
	if reason == "" && err == nil {
		if reason = p.takers(e); reason == "" {
			err = p.seal(e)
		}
	}
	x.Dropped = reason
	if err != nil {
		x.Dropped, x.Refused = "", err.Error()
	}
	x.Event = eventJSON(e)
	if err != nil || (reason != "" && reason != sidetrack.ReasonConsent && reason != sidetrack.ReasonNoSink) {
		return x
	}
	v := verdict{event: e}
	x.Processors, v.reason, v.err = explainProcessors(ctx, p.cfg.Processors, e)
	if v.reason == "" && v.err == nil {
		x.Processed = e
	}
	for _, s := range p.sinks {
		x.Sinks = append(x.Sinks, s.explain(ctx, v, then))
	}
	return x
}

// Preview says what each sink would send of an event that has been stored, or why not. It
// does not change e.
func (p *Pipeline) Preview(ctx context.Context, e *sidetrack.Event) []SinkExplanation {
	var out []SinkExplanation
	for _, s := range p.sinks {
		out = append(out, s.explain(ctx, verdict{event: e}, nil))
	}
	return out
}

func (s *sink) explain(ctx context.Context, v verdict, then func(*sink, sidetrack.Unit, *SinkExplanation)) SinkExplanation {
	x := SinkExplanation{Sink: s.name, Column: Delivered}
	if len(s.cfg.Processors) > 0 && v.err == nil && v.reason == "" {
		x.Processors, _, _ = explainProcessors(ctx, s.cfg.Processors, v.event.Clone())
	}
	e, column, reason, err := s.admits(ctx, v)
	if column != "" {
		x.Column, x.Reason = column, reason
		if column == Withheld {
			for _, p := range s.spec.Needs {
				if e.Consent.Get(p) != sidetrack.Granted {
					x.Missing = append(x.Missing, string(p))
				}
			}
		}
		if err != nil {
			x.Error = s.redact(err).Error()
		}
		return x
	}
	u := &unit{items: []item{{event: e}}}
	u.identify(s.space)
	view := u.view(time.Now())
	err = s.preview(view, &x)
	if partial, ok := errors.AsType[*sidetrack.PartialError](err); ok {
		err = partial.Failed[0]
	}
	if why, ok := sidetrack.DropReason(err); ok {
		x.Column, x.Reason = Dropped, why
	} else if err != nil {
		x.Column, x.Reason, x.Error = Dead, sidetrack.ReasonUnbuildable, s.redact(err).Error()
	}
	if x.Column == Delivered && then != nil {
		then(s, view, &x)
	}
	return x
}

func (s *sink) preview(view sidetrack.Unit, x *SinkExplanation) (err error) {
	defer recoverTo(&err)
	if s.spec.Writer != nil {
		out := []byte(eventJSON(view.Events[0]))
		if s.spec.Preview != nil {
			if out, err = s.spec.Preview(view); err != nil {
				return err
			}
		}
		x.Output = s.mask(string(out))
		return nil
	}
	req, err := s.generate(view)
	if err != nil {
		return err
	}
	pr := &Preview{Method: req.MethodOrPost(), URL: s.mask(req.URL), Header: http.Header{}, Body: s.mask(string(req.Body))}
	for k, values := range req.Header {
		for _, v := range values {
			pr.Header.Add(k, s.mask(v))
		}
	}
	if s.tokens != nil {
		pr.Header.Set("Authorization", bearer+" [secret]") // got when it is sent
	}
	if e := s.encoding(req); e != "" {
		pr.Header.Set("Content-Encoding", string(e))
		pr.Compressed = true
	}
	if pr.Header.Get("User-Agent") == "" {
		pr.Header.Set("User-Agent", userAgent) // as build does
	}
	if u, err := url.Parse(req.URL); err == nil && u.User != nil {
		pr.URL = s.mask(u.Redacted())
	}
	x.Request = pr
	for _, n := range req.Notes {
		x.Notes = append(x.Notes, s.mask(n.String()))
	}
	return nil
}

func eventJSON(e *sidetrack.Event) json.RawMessage {
	b, err := e.AppendJSON(nil)
	if err != nil {
		b, _ = json.Marshal(map[string]string{"error": err.Error()})
	}
	return b
}

// explainProcessors is runProcessors with a record of each step.
func explainProcessors(ctx context.Context, list []sidetrack.Processor, e *sidetrack.Event) (steps []Step, reason sidetrack.Reason, err error) {
	before := flatten(e)
	for _, pr := range list {
		step := Step{Processor: processorName(pr)}
		reason, err = runProcessors(ctx, []sidetrack.Processor{pr}, e)
		after := flatten(e)
		step.Changes = changes(before, after)
		before = after
		step.Drop = reason
		if err != nil {
			step.Drop, step.Error = "", err.Error()
		}
		steps = append(steps, step)
		if reason != "" || err != nil {
			return steps, reason, err
		}
	}
	return steps, "", nil
}

// processorName is what a processor calls itself, or its type.
func processorName(pr sidetrack.Processor) string {
	if n, ok := pr.(fmt.Stringer); ok {
		return n.String()
	}
	return fmt.Sprintf("%T", pr)
}

// flatten returns the event's JSON as scalars by path.
func flatten(e *sidetrack.Event) map[string]any {
	out := map[string]any{}
	var tree any
	d := json.NewDecoder(bytes.NewReader(eventJSON(e)))
	d.UseNumber()
	if d.Decode(&tree) == nil {
		flattenInto(out, "", tree)
	}
	return out
}

func flattenInto(out map[string]any, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			flattenInto(out, joinPath(path, k), child)
		}
	case []any:
		for i, child := range v {
			flattenInto(out, fmt.Sprintf("%s[%d]", path, i), child)
		}
	default:
		out[path] = v
	}
}

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func changes(before, after map[string]any) []Change {
	var out []Change
	for k, b := range before {
		if a, ok := after[k]; !ok || a != b {
			out = append(out, Change{Field: k, Before: b, After: after[k]})
		}
	}
	for k, a := range after {
		if _, ok := before[k]; !ok {
			out = append(out, Change{Field: k, After: a})
		}
	}
	slices.SortFunc(out, func(a, b Change) int {
		switch {
		case a.Field < b.Field:
			return -1
		case a.Field > b.Field:
			return 1
		}
		return 0
	})
	return out
}
