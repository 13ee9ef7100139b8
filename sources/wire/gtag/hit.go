package gtag

import (
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// Namespace begins the names of parameters that an event has no place for: "gtag.seg".
// Google takes no parameter of that prefix, so they do not reach GA4 by accident.
const Namespace = "gtag."

// hit gathers one event. A key that comes again replaces what was there.
type hit struct {
	e       *sidetrack.Event
	v, tid  string
	gcs     string
	gcd     string
	npa     bool
	host    string
	address string
	params  []gawire.Param
	items   []numbered
}

// set takes one pair.
func (h *hit) set(p *gawire.Pair) {
	key, value := p.Key, p.Value
	if len(key) > 3 && (key[0] == 'e' || key[0] == 'u') && key[1] == 'p' {
		switch {
		case strings.HasPrefix(key, "ep."):
			h.param(gawire.TextParam(gawire.ParamName(key[3:]), value))
			return
		case strings.HasPrefix(key, "epn."):
			h.param(gawire.NumberParam(gawire.ParamName(key[4:]), value))
			return
		case strings.HasPrefix(key, "up."):
			h.userProperty(gawire.TextParam(gawire.ParamName(key[3:]), value))
			return
		case strings.HasPrefix(key, "upn."):
			h.userProperty(gawire.NumberParam(gawire.ParamName(key[4:]), value))
			return
		}
	}
	if n, ok := itemNumber(key); ok {
		h.item(n, value)
		return
	}
	e := h.e
	switch key {
	case "v":
		h.v = value
	case "tid":
		h.tid = gawire.Word(value)
	case "cid":
		e.Visitor.ClientID = gawire.Word(value)
	case "uid":
		e.Visitor.UserID = gawire.Word(value)
	case "en":
		e.Name = text.Clean(value, sidetrack.MaxNameBytes)
	case "sid":
		e.Visitor.SessionID = gawire.Word(value)
	case "sct":
		e.Visitor.SessionNumber, _ = gawire.Whole(value)
	case "_et":
		ms, _ := gawire.Whole(value)
		e.Visitor.Engagement = time.Duration(min(ms, maxEngagement)) * time.Millisecond
	case "_fv":
		e.Visitor.New = marked(value)
		h.keepUnless(key, value, "1")
	case "_ss":
		e.Visitor.NewSession = marked(value)
		h.keepUnless(key, value, "1")
	case "dl":
		e.Page.URL = ""
		if gawire.IsURL(value) {
			e.Page.URL = gawire.Word(value)
		} else if strings.HasPrefix(value, "/") {
			e.Page.Path = pathOf(value)
		}
	case "dr":
		e.Page.Referrer = ""
		if gawire.IsURL(value) {
			e.Page.Referrer = gawire.Word(value)
		}
	case "dt":
		e.Page.Title = gawire.Text(value)
	case "dp":
		if strings.HasPrefix(value, "/") {
			e.Page.Path = pathOf(value)
		}
	case "dh":
		h.host = value
		h.keep(key, value)
	case "ul":
		e.Device.Language = gawire.Word(value)
	case "sr":
		e.Device.Screen = gawire.Word(value)
	case "cu":
		h.param(gawire.TextParam("currency", value))
	case "cn":
		e.Campaign.Name = gawire.Text(value)
	case "cs":
		e.Campaign.Source = gawire.Text(value)
	case "cm":
		e.Campaign.Medium = gawire.Text(value)
	case "ck":
		e.Campaign.Term = gawire.Text(value)
	case "cc":
		e.Campaign.Content = gawire.Text(value)
	case "ci":
		e.Campaign.ID = gawire.Text(value)
	case "ccf":
		e.Campaign.Format = gawire.Text(value)
	case "cmt":
		e.Campaign.Tactic = gawire.Text(value)
	case "pi":
		h.param(gawire.TextParam("promotion_id", value))
	case "pn":
		h.param(gawire.TextParam("promotion_name", value))
	case "gcs":
		h.gcs = value
	case "gcd":
		h.gcd = value
	case "npa":
		h.npa = value == "1"
	case "uaa", "uab", "uafvl", "uamb", "uam", "uap", "uapv", "uaw":
		h.hint(key, value)
	case "_uip":
		h.address = value
	default:
		if !telemetry(key) {
			h.keep(key, value)
		}
	}
}

// maxEngagement bounds the engagement of one event, in milliseconds: more than a day is a
// clock that jumped.
const maxEngagement = 24 * 60 * 60 * 1000

// telemetry reports whether a key is about the client's own working: counters, fingerprints of
// the container, experiments and hints for Google's tagging server. Such keys are not kept.
func telemetry(key string) bool {
	switch key {
	case "richsstsse", "_s", "_p", "_z", "gtm", "tag_exp", "_gaz", "_eu", "_tu", "rcb", "gaf", "are", "pae", "lps", "_rnd":
		return true
	}
	return strings.HasPrefix(key, "sst.")
}

// marked reads a marker, which is 1, or 2 where the thing is a key event as well.
func marked(value string) bool { return value != "" && value != "0" }

func pathOf(s string) string {
	s, _, _ = strings.Cut(gawire.Word(s), "?")
	s, _, _ = strings.Cut(s, "#")
	return s
}

func (h *hit) param(p gawire.Param) {
	if p.Name == "" {
		return
	}
	for i := range h.params {
		if h.params[i].Name == p.Name {
			h.params[i] = p
			return
		}
	}
	if len(h.params) < sidetrack.MaxParams {
		h.params = append(h.params, p)
	}
}

// keep keeps what an event has no place for under the namespace of this protocol.
func (h *hit) keep(key, value string) {
	if value != "" && gawire.Keepable(key, value) {
		h.param(gawire.TextParam(gawire.ParamName(namespaced(key)), value))
	}
}

func (h *hit) keepUnless(key, value, usual string) {
	if value != usual {
		h.keep(key, value)
	}
}

// namespaced saves making the names that come with almost every hit.
func namespaced(key string) string {
	switch key {
	case "tid":
		return "gtag.tid"
	case "seg":
		return "gtag.seg"
	case "frm":
		return "gtag.frm"
	case "tfd":
		return "gtag.tfd"
	case "dma":
		return "gtag.dma"
	case "_ee":
		return "gtag._ee"
	case "pscdl":
		return "gtag.pscdl"
	}
	return Namespace + key
}

func (h *hit) userProperty(p gawire.Param) {
	switch p.Name {
	case "":
		return
	case "_npa":
		h.npa = p.Text == "1"
		return
	}
	e := h.e
	if _, there := e.UserProperties[p.Name]; !there && len(e.UserProperties) == sidetrack.MaxParams {
		return
	}
	if e.UserProperties == nil {
		e.UserProperties = make(map[string]any, 4)
	}
	e.UserProperties[p.Name] = p.Value()
}

// finish checks what an event must have and gives everything its place.
func (h *hit) finish() error {
	e := h.e
	switch {
	case h.v != "2":
		return &sidetrack.FieldError{Field: "v", Problem: "must be 2: other versions are other protocols"}
	case h.tid == "":
		return &sidetrack.FieldError{Field: "tid", Problem: "is missing"}
	case e.Visitor.ClientID == "":
		return &sidetrack.FieldError{Field: "cid", Problem: "is missing"}
	case e.Name == "":
		return &sidetrack.FieldError{Field: "en", Problem: "is missing"}
	}
	h.keep("tid", h.tid)
	if e.Page.URL == "" && h.host != "" && e.Page.Path != "" {
		e.Page.URL = gawire.Word("https://" + h.host + e.Page.Path)
	}
	h.consent()
	if len(h.items) > 0 {
		e.Ecommerce = &sidetrack.Ecommerce{Items: parseItems(h.items)}
	}
	gawire.Place(e, h.params)
	return nil
}

// consent reads gcd, which has all four purposes, and gcs, which has two. Of statements that
// disagree the stricter counts.
func (h *hit) consent() {
	var c sidetrack.Consent
	if gcd, ok := gawire.ParseGCD(h.gcd); ok {
		c = gcd.Consent()
	}
	if ad, analytics, ok := gawire.ParseGCS(h.gcs); ok {
		var stated sidetrack.Consent
		stated.Set(sidetrack.AdStorage, ad)
		stated.Set(sidetrack.AnalyticsStorage, analytics)
		c = c.Restrict(stated)
	}
	if h.npa {
		c.Set(sidetrack.AdPersonalization, sidetrack.Denied)
	}
	if !c.IsZero() {
		c.How = "payload"
	}
	h.e.Consent = c
}
