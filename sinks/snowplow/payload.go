package snowplow

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/flat"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// Longest values in bytes: Iglu Central's atomic schema, which counts characters. A longer one makes Enrich fail the whole event.
const (
	maxAppID     = 255
	maxNamespace = 128
	maxUserID    = 255
	maxDomainID  = 128
	maxURL       = 4096
	maxPath      = 3000
	maxHost      = 255
	maxTitle     = 2000
	maxUserAgent = 1000
	maxLanguage  = 255
	maxCharset   = 128
	maxCategory  = 1000
	maxAction    = 1000
	maxProperty  = 1000
	maxLabel     = 4096
	maxOrder     = 255
)

// Rules of the notes: what Snowplow gets in another form, or not.
const (
	RuleTooLong           sidetrack.Reason = "value_too_long"     // cut to what Snowplow keeps
	RuleNoURL             sidetrack.Reason = "url_invalid"        // an address that is no absolute URL, or too long, is left out
	RuleIncompleteProduct sidetrack.Reason = "product_incomplete" // a product without what Snowplow's schema requires is left out
	RuleOutOfRange        sidetrack.Reason = "value_out_of_range" // a number that Snowplow's schema does not allow is left out
)

// payload is one event of the protocol: every value is a string.
type payload map[string]string

// described is self-describing JSON.
type described struct {
	Schema string `json:"schema"`
	Data   any    `json:"data"`
}

// draft is what becomes of one event.
type draft struct {
	p        payload // of the event itself; out[0] in the end
	entities []described
	out      []payload
	notes    []sidetrack.Note
}

func (d *draft) note(rule sidetrack.Reason, field, format string, args ...any) {
	d.notes = append(d.notes, sidetrack.Note{Rule: rule, Field: field, Text: fmt.Sprintf(format, args...)})
}

// set sets a parameter unless it is empty, cut to limit bytes.
func (d *draft) set(name, value string, limit int) {
	if v := d.cut(name, value, limit); v != "" {
		d.p[name] = v
	}
}

// cut is value as Snowplow keeps it.
func (d *draft) cut(field, value string, limit int) string {
	v := text.Clean(value, limit)
	if len(value) > limit && len(text.Clean(value, len(value))) > limit {
		d.note(RuleTooLong, field, "is longer than %d bytes: cut", limit)
	}
	return v
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// event makes the payloads of e, without the time of sending.
func (g *generator) event(e *sidetrack.Event) (*draft, error) {
	d := &draft{p: payload{"eid": e.ID.String(), "tv": "sidetrack", "tna": g.cfg.Namespace, "p": g.platform(e)}}
	d.out = []payload{d.p}
	if e.ID == uuid.Nil {
		return nil, errors.New("an event without an id")
	}
	if err := g.when(d, e); err != nil {
		return nil, err
	}
	if err := visitor(d, e); err != nil {
		return nil, err
	}
	if d.set("aid", g.cfg.AppID, maxAppID); g.cfg.AppID == "" {
		d.set("aid", e.Site, maxAppID)
	}
	page(d, &e.Page)
	device(d, &e.Device)
	if err := g.kind(d, e); err != nil {
		return nil, err
	}
	return d, g.contexts(d, e)
}

func (g *generator) platform(e *sidetrack.Event) string {
	switch app := e.App; {
	case g.cfg.Platform != "auto":
		return g.cfg.Platform
	case e.Page.URL != "":
		return "web"
	case app.Name == "" && app.ID == "" && app.Screen == "":
		return "srv"
	}
	if c := e.Device.Category; c == "mobile" || c == "tablet" {
		return "mob"
	}
	return "app"
}

// when says when it happened. By dtm Snowplow's own time is the collector's less what lies between dtm and stm, which here is how long the
// event waited, on one clock.
func (g *generator) when(d *draft, e *sidetrack.Event) error {
	if e.Time.IsZero() {
		return nil
	}
	if y := e.Time.Year(); y < 1970 || y > 9998 {
		return fmt.Errorf("the year %d is none", y)
	}
	d.p[g.cfg.Time] = number(e.Time.UnixMilli())
	return nil
}

// visitor says who. Ids are never cut: two people would become one.
func visitor(d *draft, e *sidetrack.Event) error {
	v := &e.Visitor
	user, client := flat.Clean(v.UserID), flat.Clean(v.ClientID)
	switch {
	case len(user) > maxUserID:
		return fmt.Errorf("the user id is longer than %d bytes", maxUserID)
	case len(client) > maxDomainID:
		return fmt.Errorf("the client id is longer than %d bytes", maxDomainID)
	}
	d.set("uid", user, maxUserID)
	d.set("duid", client, maxDomainID)
	if v.SessionID != "" {
		d.p["sid"] = session(e)
	}
	if n := v.SessionNumber; n > 0 && n < 1<<31 {
		d.p["vid"] = number(n)
	}
	if ip, err := netip.ParseAddr(e.Network.IP); err == nil {
		d.p["ip"] = ip.WithZone("").String()
	}
	return nil
}

// session is Snowplow's id of a session, a UUID: the one that is one, or one made of site, visitor and session.
func session(e *sidetrack.Event) string {
	v := &e.Visitor
	if id, err := uuid.Parse(v.SessionID); err == nil && len(v.SessionID) == 36 {
		return id.String()
	}
	who := v.ClientID
	if who == "" {
		who = v.UserID
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("session\x00"+e.Site+"\x00"+who+"\x00"+v.SessionID)).String()
}

func page(d *draft, p *sidetrack.Page) {
	d.address("url", p.URL)
	d.address("refr", p.Referrer)
	d.set("page", p.Title, maxTitle)
}

// address sets a URL. Enrich fails events whose address it cannot read.
func (d *draft) address(name, s string) {
	if s == "" {
		return
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" || text.Clean(s, len(s)) != s {
		d.note(RuleNoURL, name, "is no absolute URL: left out")
		return
	}
	short := s
	if len(s) > maxURL {
		u.RawQuery, u.Fragment = "", ""
		short = u.String()
	}
	switch {
	case len(short) > maxURL, len(u.EscapedPath()) > maxPath, len(u.Hostname()) > maxHost:
		d.note(RuleNoURL, name, "is longer than Snowplow takes: left out")
		return
	case short != s:
		d.note(RuleTooLong, name, "is longer than %d bytes: without its query", maxURL)
	}
	d.p[name] = short
}

func device(d *draft, v *sidetrack.Device) {
	d.set("ua", v.UserAgent, maxUserAgent)
	d.set("lang", v.Language, maxLanguage)
	d.set("cs", v.Encoding, maxCharset)
	for name, s := range map[string]string{"res": v.Screen, "vp": v.Viewport} {
		if w, h, ok := flat.Size(s); ok && w > 0 && h > 0 {
			d.p[name] = number(w) + "x" + number(h)
		}
	}
	if v.Colors > 0 {
		d.p["cd"] = number(int64(v.Colors))
	}
}

// contexts attaches the entities.
func (g *generator) contexts(d *draft, e *sidetrack.Event) error {
	if v := d.cut("application.version", e.App.Version, 255); v != "" {
		d.entity("application", "1-0-0", flat.Properties{"version": v})
	}
	own := func(schema string, values map[string]any) {
		p := flat.Properties{}
		if p.Add(values, nil); schema != "" && len(p) > 0 {
			d.entities = append(d.entities, described{schema, p})
		}
	}
	if _, ok := g.cfg.Schemas[e.Name]; !ok {
		own(g.cfg.ParamsSchema, e.Params)
	}
	own(g.cfg.UserSchema, e.UserProperties)
	if len(d.entities) == 0 {
		return nil
	}
	return g.embed(d.p, "co", "cx", described{snowplow + "contexts/jsonschema/1-0-0", d.entities})
}

// entity attaches one of Snowplow's own.
func (d *draft) entity(name, version string, data flat.Properties) {
	d.entities = append(d.entities, described{snowplow + name + "/jsonschema/" + version, data})
}

// embed puts JSON into a parameter: as text, or as base64 for URLs without padding.
func (g *generator) embed(p payload, plain, encoded string, v described) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if g.cfg.Base64 {
		p[encoded] = base64.RawURLEncoding.EncodeToString(b)
	} else {
		p[plain] = string(b)
	}
	return nil
}
