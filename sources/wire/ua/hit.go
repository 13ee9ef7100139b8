package ua

import (
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// Namespace begins the names of parameters that an event has no place for: "ua.linkid". The
// ua sink sends them again without it.
const Namespace = "ua."

const missing = "is missing"

// hit gathers one hit. A key that comes again replaces what was there.
type hit struct {
	d *decoder
	e *sidetrack.Event

	v, t, tid      string
	dl, dh, dp     string
	ec, ea, el, ev string
	exd, exf       string
	utc, utv, utl  string
	utt            string
	sn, sa, st     string
	address        string
	npa, aip       bool
	dims, metrics  []indexed
	shop           shop
}

// indexed is a numbered custom dimension, metric or content group.
type indexed struct {
	n     int
	value string
}

// set takes one pair.
func (h *hit) set(p *gawire.Pair) {
	key, value := p.Key, p.Value
	if k, ok := splitKey(key); ok {
		h.setNumbered(k, key, value)
		return
	}
	e := h.e
	switch key {
	case "v":
		h.v = value
	case "t":
		h.t = value
	case "tid":
		h.tid = gawire.Word(value)
	case "cid":
		e.Visitor.ClientID = gawire.Word(value)
	case "uid":
		e.Visitor.UserID = gawire.Word(value)
	case "sc":
		e.Visitor.NewSession = value == "start"
		h.keep(key, value)
	case "uip":
		h.address = value
	case "ua":
		e.Device.UserAgent = gawire.Word(value)
	case "qt":
		h.queued(value)
	case "aip": // its presence is what counts
		h.aip = true
	case "npa":
		h.npa = value == "1"
		if !h.npa {
			h.keep(key, value)
		}
	case "dr":
		e.Page.Referrer = ""
		if gawire.IsURL(value) {
			e.Page.Referrer = gawire.Word(value)
		} else {
			h.keep(key, value)
		}
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
	case "gclid", "dclid":
		if e.Campaign.ClickIDs == nil {
			e.Campaign.ClickIDs = make(map[string]string, 1)
		}
		e.Campaign.ClickIDs[key] = gawire.Text(value)
	case "sr":
		e.Device.Screen = gawire.Word(value)
	case "vp":
		e.Device.Viewport = gawire.Word(value)
	case "de":
		e.Device.Encoding = gawire.Text(value)
	case "sd":
		h.colours(value)
	case "ul":
		e.Device.Language = gawire.Word(value)
	case "geoid":
		h.keep(key, value)
		e.Network.Country = ""
		if len(value) == 2 && letters(value) {
			e.Network.Country = strings.ToUpper(value)
		}
	case "dl":
		h.dl = gawire.Word(value)
	case "dh":
		h.dh = gawire.Word(value)
	case "dp":
		h.dp = gawire.Word(value)
	case "dt":
		e.Page.Title = gawire.Text(value)
	case "cd":
		e.App.Screen = gawire.Text(value)
	case "an":
		e.App.Name = gawire.Text(value)
	case "aid":
		e.App.ID = gawire.Text(value)
	case "av":
		e.App.Version = gawire.Text(value)
	case "aiid":
		e.App.InstallerID = gawire.Text(value)
	case "ec":
		h.ec = value
	case "ea":
		h.ea = value
	case "el":
		h.el = value
	case "ev":
		h.ev = value
	case "exd":
		h.exd = value
	case "exf":
		h.exf = value
	case "utc":
		h.utc = value
	case "utv":
		h.utv = value
	case "utl":
		h.utl = value
	case "utt":
		h.utt = value
	case "sn":
		h.sn = value
	case "sa":
		h.sa = value
	case "st":
		h.st = value
	default:
		if !h.shop.set(key, value) && !telemetry(key) {
			h.keep(key, value)
		}
	}
}

// telemetry reports whether a key is about the working of analytics.js itself. Such keys are not kept.
func telemetry(key string) bool {
	switch key {
	case "z", "_v", "_u", "_gid", "_s", "_r", "a", "jid", "gjid", "gtm", "_t", "_ho":
		return true
	}
	return false
}

// setNumbered takes a pair whose key has numbers.
func (h *hit) setNumbered(k numbered, key, value string) {
	switch {
	case k.badIndex: // costs itself
	case k.prefix == "cd" && k.sub == "":
		h.dims = setIndexed(h.dims, k.n, value)
	case k.prefix == "cm" && k.sub == "":
		h.metrics = setIndexed(h.metrics, k.n, value)
	case k.prefix == "cg" && k.sub == "":
		if k.n <= 10 {
			h.param(contentGroup(k.n), value)
		}
	case h.shop.setNumbered(k, key, value):
	default:
		h.keep(key, value)
	}
}

func setIndexed(list []indexed, n int, value string) []indexed {
	for i := range list {
		if list[i].n == n {
			list[i].value = value
			return list
		}
	}
	return append(list, indexed{n, value})
}

// contentGroup returns GA4's name of a content group, which it has one of, and names in its manner
// for the others.
func contentGroup(n int) string {
	if n == 1 {
		return "content_group"
	}
	return "content_group" + strconv.Itoa(n)
}

// maxQueued bounds the queue time that is believed. Google dropped hits of more than four hours.
const maxQueued = 30 * 24 * time.Hour

func (h *hit) queued(value string) {
	h.e.Time = time.Time{}
	ms, ok := gawire.Whole(value)
	if d := time.Duration(ms) * time.Millisecond; ok && ms <= int64(maxQueued/time.Millisecond) {
		h.e.Time = h.d.now().Add(-d)
	} else {
		h.keep("qt", value)
	}
}

// colours reads "24-bits", of which some clients write "24-bit".
func (h *hit) colours(value string) {
	bits, unit, _ := strings.Cut(value, "-")
	n, ok := gawire.Whole(bits)
	h.e.Device.Colors = 0
	if ok && n > 0 && n <= 128 {
		h.e.Device.Colors = int(n)
	}
	if unit != "bits" || h.e.Device.Colors == 0 {
		h.keep("sd", value)
	}
}

func letters(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}

// keep keeps what an event has no place for under the namespace of this protocol.
func (h *hit) keep(key, value string) {
	name := gawire.ParamName(Namespace + key)
	if value == "" || !gawire.Keepable(key, value) {
		delete(h.e.Params, name)
		return
	}
	h.param(name, value)
}

// param sets a parameter of text, within the limits of an event.
func (h *hit) param(name, value string) { h.setParam(name, gawire.Text(value)) }

func (h *hit) setParam(name string, value any) {
	e := h.e
	if _, there := e.Params[name]; !there && len(e.Params) == sidetrack.MaxParams {
		return
	}
	if e.Params == nil {
		e.Params = make(map[string]any, 8)
	}
	e.Params[name] = value
}

// check looks for what every hit must have.
func (h *hit) check() error {
	switch {
	case h.t == "":
		return &sidetrack.FieldError{Field: "t", Problem: missing}
	case !hitType(h.t):
		return &sidetrack.FieldError{Field: "t", Problem: "is none of pageview, screenview, event, transaction, item, social, exception, timing"}
	case h.v == "":
		return &sidetrack.FieldError{Field: "v", Problem: missing}
	case h.v != "1":
		return &sidetrack.FieldError{Field: "v", Problem: "must be 1: other versions are other protocols"}
	case h.tid == "":
		return &sidetrack.FieldError{Field: "tid", Problem: missing}
	case h.e.Visitor.ClientID == "" && h.e.Visitor.UserID == "":
		return &sidetrack.FieldError{Field: "cid", Problem: missing}
	case h.t == "event" && h.ec == "" && h.ea == "":
		return &sidetrack.FieldError{Field: "ea", Problem: missing}
	case (h.t == "transaction" || h.t == "item") && h.shop.ti == "":
		return &sidetrack.FieldError{Field: "ti", Problem: missing}
	}
	return nil
}

func hitType(t string) bool {
	switch t {
	case "pageview", "screenview", "appview", "event", "transaction", "item", "social", "exception", "timing":
		return true
	}
	return false
}

// common sets what is the same for every event of the hit.
func (h *hit) common() {
	e := h.e
	h.keep("tid", h.tid)
	h.keep("t", h.t)
	if h.aip {
		h.keep("aip", "1")
	}
	if h.npa {
		e.Consent.Set(sidetrack.AdPersonalization, sidetrack.Denied)
		e.Consent.How = "payload"
	}
	gawire.Grant(&e.Consent, h.d.cfg.Grant)
	h.location()
	h.keepOthers()
	for _, x := range h.dims {
		if name, ok := h.d.properties[x.n]; ok {
			if e.UserProperties == nil {
				e.UserProperties = make(map[string]any, 2)
			}
			e.UserProperties[name] = gawire.Text(x.value)
			continue
		}
		h.param(h.d.dimension(x.n), x.value)
	}
	for _, x := range h.metrics {
		p := gawire.NumberParam("", x.value)
		h.setParam(h.d.metric(x.n), p.Value())
	}
}

func (d *decoder) dimension(n int) string { return named(d.dimensions, n, "dimension") }
func (d *decoder) metric(n int) string    { return named(d.metrics, n, "metric") }

func named(names map[int]string, n int, otherwise string) string {
	if name, ok := names[n]; ok {
		return name
	}
	return otherwise + strconv.Itoa(n)
}

// location puts the page together: dh and dp stand above what dl says. They are kept too, so that
// the same hit can be made again.
func (h *hit) location() {
	p := &h.e.Page
	if h.dh == "" && h.dp == "" {
		if gawire.IsURL(h.dl) {
			p.URL = h.dl
		} else {
			h.keep("dl", h.dl)
		}
		return
	}
	h.keep("dh", h.dh)
	h.keep("dp", h.dp)
	h.keep("dl", h.dl)
	scheme, rest, ok := strings.Cut(h.dl, "://")
	if !ok {
		scheme, rest = "https", ""
	}
	host, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	if h.dh != "" {
		host = h.dh
	}
	if h.dp != "" {
		path = h.dp
		if path[0] != '/' {
			path = "/" + path
		}
		p.Path = path
		if i := strings.IndexAny(path, "?#"); i >= 0 {
			p.Path = path[:i]
		}
	}
	if url := scheme + "://" + host + path; host != "" && gawire.IsURL(url) {
		p.URL = gawire.Word(url)
	}
}

// keepOthers keeps what belongs to hits of another type.
func (h *hit) keepOthers() {
	for _, f := range [...]struct{ t, key, value string }{
		{"event", "ec", h.ec}, {"event", "ea", h.ea}, {"event", "el", h.el}, {"event", "ev", h.ev},
		{"exception", "exd", h.exd}, {"exception", "exf", h.exf},
		{"timing", "utc", h.utc}, {"timing", "utv", h.utv}, {"timing", "utl", h.utl}, {"timing", "utt", h.utt},
		{"social", "sn", h.sn}, {"social", "sa", h.sa}, {"social", "st", h.st},
	} {
		if h.t != f.t {
			h.keep(f.key, f.value)
		}
	}
}

// own names the event by the type of its hit and sets what only this type has.
func (h *hit) own(e *sidetrack.Event) {
	switch h.t {
	case "pageview":
		e.Name = sidetrack.PageView
	case "screenview", "appview":
		e.Name = sidetrack.ScreenView
	case "event":
		e.Name = eventName(h.ea)
	case "transaction":
		e.Name = sidetrack.Purchase
	case "item":
		e.Name = TransactionItem
	case "social":
		e.Name = sidetrack.Share
		e.Social = &sidetrack.Social{Network: gawire.Word(h.sn), Action: gawire.Word(h.sa), Target: gawire.Word(h.st)}
	case "exception":
		e.Name = sidetrack.Exception
		e.Exception = &sidetrack.Failure{Description: gawire.Text(h.exd), Fatal: h.exf != "0"} // fatal unless it says otherwise
	case "timing":
		e.Name = sidetrack.Timing
		e.Timing = &sidetrack.Duration{Category: gawire.Word(h.utc), Variable: gawire.Word(h.utv), Label: gawire.Word(h.utl)}
		if ms, ok := gawire.Whole(h.utt); ok && ms < int64(gawire.MaxTiming/time.Millisecond) {
			e.Timing.Value = time.Duration(ms) * time.Millisecond
		}
	}
}

// details sets the parameters of an event hit. In a shop event the value is money, so that of the
// hit keeps its own name.
func (h *hit) details(shop bool) {
	if h.e.Name != h.ea {
		h.keep("ea", h.ea)
	}
	if h.ec != "" {
		h.param("event_category", h.ec)
	}
	if h.el != "" {
		h.param("event_label", h.el)
	}
	if n, err := strconv.ParseInt(h.ev, 10, 64); err == nil && !shop {
		h.setParam("value", n)
	} else {
		h.keep("ev", h.ev)
	}
}

// TransactionItem names the event of an item hit that stands alone. GA4 knows no such event: it
// wants the items inside the purchase.
const TransactionItem = "transaction_item"

// unnamed is the name of an event hit whose action makes no name.
const unnamed = "ua_event"

// eventName makes the name of an event from the action: in lower case, words joined by '_'.
// Names that Google reserves or that would count as money make none.
func eventName(action string) string {
	var b strings.Builder
	lower := false
	for _, r := range action {
		switch {
		case r >= 'A' && r <= 'Z':
			if lower {
				b.WriteByte('_')
			}
			b.WriteRune(r + 'a' - 'A')
			lower = false
			continue
		case r == '-' || r == '.' || r == '/' || r == ':' || r == ' ':
			r = '_'
		}
		lower = r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		if s := b.String(); r == '_' && strings.HasSuffix(s, "_") {
			continue
		}
		b.WriteRune(r)
	}
	name := strings.Trim(b.String(), "_")
	if name != gawire.Name(name, gawire.MaxName) || gawire.ReservedEvent(name, false) || name == "" ||
		gawire.ReservedParam(name) || name == sidetrack.Purchase || name == sidetrack.Refund {
		return unnamed
	}
	return name
}

// numbered is a key with numbers, such as il1pi2cd3.
type numbered struct {
	prefix   string // pr, promo, il, cd, cm or cg
	n        int
	sub      string // nm, pi, cd, …
	m        int    // number after sub; 0: none
	sub2     string // what belongs to product m of a list
	k        int    // number after sub2; 0: none
	badIndex bool
}

// splitKey takes a key apart: letters and digits in turn. ok is false for keys of another form.
func splitKey(key string) (k numbered, ok bool) {
	i := 0
	for i < len(key) && key[i] >= 'a' && key[i] <= 'z' {
		i++
	}
	if i == 0 || i == len(key) {
		return k, false
	}
	switch k.prefix = key[:i]; k.prefix {
	case "pr", "promo", "il", "cd", "cm", "cg":
	default:
		return k, false
	}
	if k.n, i = k.number(key, i); k.n < 0 {
		return k, false
	}
	k.sub, i = word(key, i)
	if i < len(key) {
		if k.m, i = k.number(key, i); k.m < 0 {
			return k, false
		}
		k.sub2, i = word(key, i)
		if i < len(key) {
			if k.k, i = k.number(key, i); k.k < 0 {
				return k, false
			}
		}
	}
	return k, i == len(key)
}

// number reads digits at i. It returns -1 when there are none and notes a number that is out of range.
func (k *numbered) number(key string, i int) (n, end int) {
	start := i
	for i < len(key) && key[i] >= '0' && key[i] <= '9' {
		if n <= maxIndex {
			n = n*10 + int(key[i]-'0')
		}
		i++
	}
	switch {
	case i == start:
		return -1, i
	case key[start] == '0' || n > maxIndex:
		k.badIndex = true
	}
	return n, i
}

func word(key string, i int) (string, int) {
	start := i
	for i < len(key) && key[i] >= 'a' && key[i] <= 'z' {
		i++
	}
	return key[start:i], i
}
