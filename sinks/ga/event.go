package ga

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

const inParams = "params."

// writeEvent writes one event, or leaves w.err set. What Google needs for its reports comes first:
// where there are more than 25 parameters, the last ones give way.
func (g *generator) writeEvent(w *writer, e *sidetrack.Event, at time.Time, base int64) {
	name, ok := g.eventName(w, e)
	if !ok {
		return
	}
	w.raw(`{"name":"`)
	w.raw(name)
	w.raw(`"`)
	if t := timestamp(w, e, at); t != 0 && t != base {
		w.key("timestamp_micros")
		w.b = strconv.AppendInt(w.b, t, 10)
	}
	mark := len(w.b)
	w.raw(`,"params":{`)
	w.begin(gawire.MaxParams)
	g.session(w, e)
	own := shopOf(w, name, e)
	if own != nil {
		g.shop(w, name, own)
	}
	w.kind(e)
	for _, p := range recommended[name].params {
		w.value(inParams, p, e.Params[p], gawire.MaxValue)
	}
	w.page(e)
	w.custom(e, own, recommended[name].params)
	w.origins(e)
	w.required(name, own)
	n := len(w.names) + w.surplus
	if w.surplus > 0 {
		w.brokeEvent(RuleTooManyParams, "params", "has "+strconv.Itoa(n)+" entries, at most "+strconv.Itoa(gawire.MaxParams))
	}
	w.raw("}")
	if n == 0 {
		w.b = w.b[:mark]
	}
	w.raw("}")
}

// eventName makes the name. Web streams know no screens: what an app calls a screen view is a
// page view there.
func (g *generator) eventName(w *writer, e *sidetrack.Event) (string, bool) {
	name := e.Name
	if name == sidetrack.ScreenView && !g.app {
		name = sidetrack.PageView
	}
	notes := len(w.notes)
	made, ok := w.name("name", name, gawire.MaxName, func(s string) bool { return gawire.ReservedEvent(s, g.app) })
	// What a note calls by prefix and name is here the name itself.
	for i := notes; i < len(w.notes); i++ {
		w.notes[i].Field = "name"
	}
	if p, is := w.err.(*Problem); is {
		p.Field = "name"
	}
	for i := range w.problems {
		if p := &w.problems[i]; len(p.Field) > 4 && p.Field[:4] == "name" {
			p.Field = "name"
		}
	}
	if ok || w.err != nil {
		return made, ok && w.err == nil
	}
	if w.checking {
		return "event", true // go on looking
	}
	// The rule that left it out is the reason. A name of which nothing can be made is kept as a dead letter.
	last := w.notes[len(w.notes)-1]
	if w.policy[last.Rule] == Clip {
		w.err = &Problem{Rule: last.Rule, Field: "name", Text: strings.TrimSuffix(last.Text, done[Clip]) + ": nothing of " + strconv.Quote(gawire.Clip(e.Name, 20)) + " is left", Action: Reject}
	} else {
		w.err = sidetrack.Drop(last.Rule)
	}
	return "", false
}

// timestamp is when the event happened, in microseconds; 0 lets the time of receipt count.
func timestamp(w *writer, e *sidetrack.Event, at time.Time) int64 {
	t := stamp(e, at)
	switch {
	case t == 0 && e.Time.After(at):
		w.brokeEvent(RuleFuture, "timestamp_micros", "lies "+e.Time.Sub(at).Round(time.Millisecond).String()+" in the future")
		return 0
	case t == 0:
		return 0
	case at.Sub(e.Time) > MaxAge:
		text := "lies " + at.Sub(e.Time).Round(time.Second).String() + " in the past, at most 72h"
		if w.policy[RuleTooOld] == Drop && !w.checking {
			// The pipeline lets it expire before it comes here, but for a preview.
			w.notes = append(w.notes, sidetrack.Note{Event: w.event, Rule: RuleTooOld, Field: "timestamp_micros", Text: "lies more than 72h in the past: the pipeline lets it expire"})
			return t
		}
		if w.broke(RuleTooOld, "timestamp_micros", text) == Clip {
			return at.Add(-MaxAge).UnixMicro()
		}
	}
	return t
}

// session is what makes the visitor count as active: without session and engagement the
// event does not show in realtime reports.
func (g *generator) session(w *writer, e *sidetrack.Event) {
	v := &e.Visitor
	if v.SessionID != "" {
		if id, err := strconv.ParseInt(v.SessionID, 10, 64); err == nil && id > 0 {
			w.text(inParams, "session_id", v.SessionID, gawire.MaxValue)
		} else {
			w.broke(RuleValueInvalid, inParams+"session_id", "must be a positive whole number")
		}
	}
	if v.SessionNumber > 0 {
		w.int("session_number", v.SessionNumber)
	}
	switch ms := v.Engagement.Milliseconds(); {
	case ms > 0:
		w.int("engagement_time_msec", ms)
	case !g.omitEngagement && e.Params["engagement_time_msec"] == nil:
		w.int("engagement_time_msec", 1)
	}
	if g.debug {
		w.bool("debug_mode", true)
	}
}

// kind writes the groups that only some events have.
func (w *writer) kind(e *sidetrack.Event) {
	if f := e.Exception; f != nil {
		w.text(inParams, "description", f.Description, gawire.MaxValue)
		w.bool("fatal", f.Fatal)
	}
	if t := e.Timing; t != nil {
		w.text(inParams, "name", t.Variable, gawire.MaxValue)
		w.int("value", t.Value.Milliseconds())
		w.text(inParams, "event_category", t.Category, gawire.MaxValue)
		w.text(inParams, "event_label", t.Label, gawire.MaxValue)
	}
	if s := e.Social; s != nil {
		w.text(inParams, "method", s.Network, gawire.MaxValue)
		w.text(inParams, "content_type", s.Action, gawire.MaxValue)
		w.text(inParams, "item_id", s.Target, gawire.MaxValue)
	}
}

func (w *writer) page(e *sidetrack.Event) {
	w.text(inParams, "page_location", e.Page.URL, gawire.MaxPageLocation)
	title := e.Page.Title
	if title == "" {
		title = e.App.Screen
	}
	w.text(inParams, "page_title", title, gawire.MaxPageTitle)
	w.text(inParams, "page_referrer", e.Page.Referrer, gawire.MaxPageReferrer)
}

// custom writes the parameters that are the event's own, but for those that are written.
func (w *writer) custom(e *sidetrack.Event, own *shop, written []string) {
	for _, k := range w.sorted(e.Params) {
		v := e.Params[k]
		switch {
		case v == nil || v == "" || gawire.Namespaced(k) || own.took(k) || slices.Contains(written, k):
			continue
		case k == "debug_mode" && (w.has(k) || falsy(v)):
			continue // its presence alone switches DebugView on
		}
		name, ok := w.name(inParams, k, gawire.MaxName, gawire.ReservedParam)
		switch {
		case !ok:
		case w.has(name):
			w.broke(RuleNameDuplicated, inParams+k, "is "+name+" like another")
		default:
			w.value(inParams, name, v, paramLimit(name))
		}
	}
}

func falsy(v any) bool {
	return v == false || v == "false" || v == "0" || v == int64(0) || v == 0 || v == 0.0
}

// paramLimit is how many characters the value of a parameter may have.
func paramLimit(name string) int {
	switch name {
	case "page_location":
		return gawire.MaxPageLocation
	case "page_title":
		return gawire.MaxPageTitle
	case "page_referrer":
		return gawire.MaxPageReferrer
	}
	return gawire.MaxValue
}

// origins comes last: how the visitor came, and what the device says of itself beside its user agent.
func (w *writer) origins(e *sidetrack.Event) {
	c := &e.Campaign
	w.text(inParams, "campaign_id", c.ID, gawire.MaxValue)
	w.text(inParams, "campaign", c.Name, gawire.MaxValue)
	w.text(inParams, "source", c.Source, gawire.MaxValue)
	w.text(inParams, "medium", c.Medium, gawire.MaxValue)
	w.text(inParams, "term", c.Term, gawire.MaxValue)
	w.text(inParams, "content", c.Content, gawire.MaxValue)
	if !described(&e.Device) { // else in device
		w.text(inParams, "language", e.Device.Language, gawire.MaxValue)
		w.text(inParams, "screen_resolution", e.Device.Screen, gawire.MaxValue)
	}
	w.text(inParams, "page_route", e.Page.Route, gawire.MaxValue)
}

// required looks for what a recommended event must have.
func (w *writer) required(name string, own *shop) {
	r, ok := recommended[name]
	if !ok {
		return
	}
	missing := func(param string) {
		w.brokeEvent(RuleParamRequired, inParams+param, "is required of "+name)
	}
	if r.items && !w.has("items") {
		missing("items")
	}
	for _, p := range r.params {
		if !w.has(p) {
			missing(p)
		}
	}
}
