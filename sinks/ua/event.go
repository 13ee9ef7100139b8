package ua

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// Namespace begins the names of parameters that an event keeps from a hit it came from.
const Namespace = "ua."

// indexes is the parameter that has the numbers of products, impressions or promotions where they are not 1, 2, 3.
const indexes = Namespace + "indexes"

// hits makes the hits of an event: one, but for purchases in classic e-commerce.
func (g *generator) hits(e *sidetrack.Event, at time.Time, w *encoder) ([]Hit, error) {
	h := Hit{Extra: g.kept(e)}
	h.Type = hitType(e)
	h.General = General{
		TrackingID: g.cfg.TrackingID, DataSource: g.cfg.DataSource, NonInteraction: e.Param("non_interaction") == true,
		AnonymizeIP: !g.cfg.OmitAIP, NoAds: g.noAds(e),
	}
	if age := at.Sub(e.Time); !e.Time.IsZero() && age >= time.Millisecond && age < math.MaxInt64 {
		h.General.QueueTime = new(age.Milliseconds())
	}
	h.User = User{e.Visitor.ClientID, e.Visitor.UserID}
	h.Session = Session{IP: e.Network.IP, UserAgent: e.Device.UserAgent, GeoID: e.Network.Country}
	if e.Visitor.NewSession {
		h.Session.Control = "start"
	}
	c := &e.Campaign
	h.Traffic = Traffic{e.Page.Referrer, c.Name, c.Source, c.Medium, c.Term, c.Content, c.ID, c.ClickIDs["gclid"], c.ClickIDs["dclid"]}
	d := &e.Device
	h.System = System{Screen: d.Screen, Viewport: d.Viewport, Encoding: d.Encoding, Language: d.Language}
	if d.Colors > 0 {
		h.System.Colors = strconv.Itoa(d.Colors) + "-bits"
	}
	g.page(&h, e)
	h.App = App{e.App.Name, e.App.ID, e.App.Version, e.App.InstallerID}
	g.kind(&h, e, w)
	g.custom(&h, e, w)
	h.ExperimentID, h.ExperimentVariant = text(e.Param("experiment_id")), text(e.Param("experiment_variant"))
	if s := e.Ecommerce; s != nil {
		return g.shop(h, e, s, w)
	}
	return []Hit{h}, nil
}

// kept are the parameters that the event keeps from a hit it came from, and those of the configuration. What
// the event itself says of the visitor counts more.
func (g *generator) kept(e *sidetrack.Event) map[string]string {
	var out map[string]string
	set := func(k, v string) {
		if out == nil {
			out = map[string]string{}
		}
		out[k] = v
	}
	for name, v := range e.Params {
		key, ok := strings.CutPrefix(name, Namespace)
		if s, isText := v.(string); ok && isText && s != "" && extraKey.MatchString(key) && !own(key) {
			set(key, s)
		}
	}
	if g.cfg.TrackingID != "" {
		delete(out, "tid")
	}
	if g.noAds(e) {
		delete(out, "npa")
	}
	for k, v := range g.cfg.Params {
		set(k, v.Reveal())
	}
	return out
}

// own reports whether a parameter is never taken from what an event keeps.
func own(key string) bool {
	switch key {
	case "v", "t", "cid", "uid", "uip", "_uip", "ua", "qt", "z", "indexes":
		return true
	}
	return false
}

// noAds reports whether personalized advertising is not allowed.
func (g *generator) noAds(e *sidetrack.Event) bool {
	switch e.Consent.Get(sidetrack.AdPersonalization) {
	case sidetrack.Granted:
		return false
	case sidetrack.Denied:
		return true
	}
	return g.cfg.UnknownConsent == "denied"
}

// hitType is the type the event came as, or the one that its name asks for.
func hitType(e *sidetrack.Event) Type {
	switch t := Type(text(e.Param(Namespace + "t"))); t {
	case PageView, ScreenView, Event, Transaction, Item, Social, Exception, Timing, "appview":
		return t
	}
	switch {
	case e.Name == sidetrack.PageView:
		return PageView
	case e.Name == sidetrack.ScreenView:
		return ScreenView
	case e.Name == sidetrack.Exception && e.Exception != nil:
		return Exception
	case e.Name == sidetrack.Timing && e.Timing != nil:
		return Timing
	case e.Social != nil:
		return Social
	}
	return Event
}

func (g *generator) page(h *Hit, e *sidetrack.Event) {
	p := &e.Page
	h.Content = Content{Title: p.Title, Screen: e.App.Screen, LinkID: text(e.Param("link_id"))}
	_, dh := h.Extra["dh"]
	_, dp := h.Extra["dp"]
	switch {
	case dh || dp: // as the hit had it
		h.Content.AnyHost = true
	case p.URL != "":
		h.Content.Location = p.URL
	case p.Path != "":
		h.Content.Path, h.Content.Host = p.Path, g.cfg.Host
	}
	for n := 1; n <= 10; n++ {
		name := "content_group"
		if n > 1 {
			name += strconv.Itoa(n)
		}
		if v := text(e.Param(name)); v != "" {
			if h.Content.Groups == nil {
				h.Content.Groups = map[int]string{}
			}
			h.Content.Groups[n] = v
		}
	}
}

// kind sets the group of the hit's type.
func (g *generator) kind(h *Hit, e *sidetrack.Event, w *encoder) {
	switch h.Type {
	case Event:
		h.Event = EventGroup{Category: text(e.Param("event_category")), Action: e.Name, Label: text(e.Param("event_label"))}
		if h.Event.Category == "" {
			h.Event.Category = g.cfg.Category
		}
		if v := e.Param("value"); v != nil && e.Ecommerce == nil {
			if n, ok := whole(v); ok && n >= 0 {
				h.Event.Value = &n
			} else {
				w.note(RuleNumber, "ev", "must be a whole number that is not negative: left out")
			}
		}
	case Social:
		if s := e.Social; s != nil {
			h.Social = SocialGroup{s.Network, s.Action, s.Target}
		}
	case Exception:
		if f := e.Exception; f != nil {
			h.Exception = ExceptionGroup{f.Description, &f.Fatal}
		}
	case Timing:
		if t := e.Timing; t != nil {
			h.Timing = TimingGroup{Category: t.Category, Variable: t.Variable, Label: t.Label}
			if t.Category != "" || t.Variable != "" || t.Value != 0 {
				h.Timing.Time = new(t.Value.Milliseconds())
			}
		}
	}
}

func (w *encoder) note(rule sidetrack.Reason, field, text string) {
	w.notes = append(w.notes, sidetrack.Note{Event: w.event, Rule: rule, Field: field, Text: text})
}

// custom sets custom dimensions and metrics.
func (g *generator) custom(h *Hit, e *sidetrack.Event, w *encoder) {
	for _, params := range []map[string]any{e.UserProperties, e.Params} {
		h.Dimensions, h.Metrics = g.indexed(params, h.Dimensions, h.Metrics, w)
	}
}

// indexed collects the custom dimensions and metrics among params.
func (g *generator) indexed(params map[string]any, dimensions map[int]string, metrics map[int]Decimal, w *encoder) (map[int]string, map[int]Decimal) {
	for name, v := range params {
		if n, ok := number(name, "dimension", g.dimensions); ok {
			if s := text(v); s != "" {
				if dimensions == nil {
					dimensions = map[int]string{}
				}
				dimensions[n] = s
			}
		}
		if n, ok := number(name, "metric", g.metrics); ok {
			d := amount(v)
			if d == "" {
				w.note(RuleNumber, "cm"+strconv.Itoa(n), "is no number: left out")
				continue
			}
			if metrics == nil {
				metrics = map[int]Decimal{}
			}
			metrics[n] = d
		}
	}
	return dimensions, metrics
}

// number is the number of a custom dimension or metric by its name.
func number(name, prefix string, configured map[string]int) (int, bool) {
	if n, ok := configured[name]; ok {
		return n, true
	}
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok || digits == "" || digits[0] < '1' || digits[0] > '9' {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n > 200 {
		return 0, false
	}
	for _, taken := range configured {
		if taken == n {
			return 0, false
		}
	}
	return n, true
}

// text is a scalar as text.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case sidetrack.Money:
		return v.String()
	}
	if n, ok := whole(v); ok {
		return strconv.FormatInt(n, 10)
	}
	return ""
}

// amount is a number as a decimal; "" for what is none.
func amount(v any) Decimal {
	if s, ok := v.(string); ok && decimal.MatchString(s) {
		return Decimal(s)
	}
	if s := text(v); decimal.MatchString(s) {
		return Decimal(s)
	}
	if f, ok := v.(float64); ok {
		if m := sidetrack.MoneyOf(f); m != 0 {
			return Amount(m)
		}
	}
	return ""
}

// whole is a whole number.
func whole(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case int32:
		return int64(v), true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), true
		}
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	}
	return 0, false
}
