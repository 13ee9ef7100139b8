package sidetrack

import (
	"context"
	"sync"
	"time"
)

// Tracker sends events that share a visitor, page, consent and origin. The
// middleware puts one into the context of each request; NewTracker makes one for jobs and tests.
//
// A nil Tracker is valid and does nothing, so code below the middleware works
// without it. A Tracker is safe for concurrent use and usable after its request
// ended. Its methods never wait; an error means that intake refused the event.
type Tracker struct {
	queue Queue
	base  func() *Event

	mu   sync.Mutex
	said said
}

// NewTracker returns a tracker that sends copies of base, completed, to queue. base is
// copied now. A server job states in it whose consent it acts on, for example Consent: Grant("server", AnalyticsStorage).
func NewTracker(queue Queue, base Event) *Tracker {
	b := base.Clone()
	return &Tracker{queue: queue, base: b.Clone}
}

// NewTrackerFunc is NewTracker with a base that is asked for at every event, for
// sources whose request is still being served. base must return a fresh copy.
func NewTrackerFunc(queue Queue, base func() *Event) *Tracker {
	return &Tracker{queue: queue, base: base}
}

type trackerKey struct{}

// NewContext returns a context that carries t.
func NewContext(ctx context.Context, t *Tracker) context.Context {
	return context.WithValue(ctx, trackerKey{}, t)
}

// TrackerProvider has a tracker for those who ask. A source puts one into the context of each request, most of which
// never ask.
type TrackerProvider interface{ Tracker() *Tracker }

// NewProviderContext returns a context that carries the tracker of p. Tracker is called each time one is asked for and must
// return the same.
func NewProviderContext(ctx context.Context, p TrackerProvider) context.Context {
	return context.WithValue(ctx, trackerKey{}, p)
}

// ProviderFromContext returns what NewProviderContext put into ctx, unless NewContext came later; nil when there is none.
func ProviderFromContext(ctx context.Context) TrackerProvider {
	p, _ := ctx.Value(trackerKey{}).(TrackerProvider)
	return p
}

// FromContext returns the tracker of ctx; nil, which is valid, when there is none.
func FromContext(ctx context.Context) *Tracker {
	switch v := ctx.Value(trackerKey{}).(type) {
	case *Tracker:
		return v
	case TrackerProvider:
		return v.Tracker()
	}
	return nil
}

// Send completes a copy of the base by edit and sends it: what every other method is made of.
func (t *Tracker) Send(name string, edit func(*Event)) error {
	if t == nil {
		return nil
	}
	e := t.base()
	e.Name = name
	t.tell(e)
	if edit != nil {
		edit(e)
	}
	return t.queue.Enqueue(e)
}

// Event sends a custom or recommended event. params is copied.
func (t *Tracker) Event(name string, params map[string]any) error {
	return t.Send(name, func(e *Event) {
		for k, v := range params {
			e.SetParam(k, cloneValue(v))
		}
	})
}

// PageView sends a page view. Empty arguments keep what the base says.
func (t *Tracker) PageView(url, title string) error {
	return t.Send(PageView, func(e *Event) {
		if url != "" {
			e.Page.URL, e.Page.Path, e.Page.Route = url, "", ""
		}
		if title != "" {
			e.Page.Title = title
		}
	})
}

// ScreenView sends a view of a screen of an app.
func (t *Tracker) ScreenView(screen string) error {
	return t.Send(ScreenView, func(e *Event) { e.App.Screen = screen })
}

// Exception sends a failure. description leaves with the event: no personal data.
func (t *Tracker) Exception(description string, fatal bool) error {
	return t.Send(Exception, func(e *Event) { e.Exception = &Failure{description, fatal} })
}

// Timing sends a measured time, kept in whole milliseconds.
func (t *Tracker) Timing(category, variable, label string, d time.Duration) error {
	return t.Send(Timing, func(e *Event) { e.Timing = &Duration{category, variable, label, d} })
}

// Social sends an interaction with a social network.
func (t *Tracker) Social(network, action, target string) error {
	return t.Send(Share, func(e *Event) { e.Social = &Social{network, action, target} })
}

// Identify says that the visitor is this signed-in user, with properties to
// remember. It sends a login event; properties is copied.
func (t *Tracker) Identify(userID string, properties map[string]any) error {
	return t.Send(Login, func(e *Event) {
		e.Visitor.UserID = userID
		e.UserProperties = cloneMap(properties)
	})
}
