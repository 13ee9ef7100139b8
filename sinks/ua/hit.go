// Package ua builds hits of Universal Analytics, Measurement Protocol version 1, and delivers events as such hits.
//
// Google stopped to process them in 2023 and 2024; the dialect lives on in other receivers: Yandex Metrica, Snowplow,
// server-side tag managers and self-hosted collectors.
//
// Facts of the protocol are from Google's parameter reference and its reference of the protocol, version 1, both
// withdrawn. A hit can be built by hand from the parameter groups of Hit; the sink builds it from events.
package ua

import (
	"maps"
	"slices"
	"strconv"

	"github.com/sidetrack-go/sidetrack"
)

// Type is the type of a hit: parameter t.
type Type string

// The types.
const (
	PageView    Type = "pageview"
	ScreenView  Type = "screenview"
	Event       Type = "event"
	Transaction Type = "transaction"
	Item        Type = "item"
	Social      Type = "social"
	Exception   Type = "exception"
	Timing      Type = "timing"
)

// Decimal is an amount or another decimal number as it is written on the wire, such as "50.00": at most six
// decimals, no thousands separators, no sign of a currency. Empty is none.
type Decimal string

// Amount is m as a Decimal.
func Amount(m sidetrack.Money) Decimal { return Decimal(m.String()) }

// Hit is one hit, by groups of parameters. Empty fields are not sent. A pointer tells zero from nothing; new(int64(5))
// makes one. A Hit is a plain value.
type Hit struct {
	Type Type // t, required

	General     General
	User        User
	Session     Session
	Traffic     Traffic
	System      System
	Content     Content
	App         App
	Event       EventGroup       // of event hits
	Transaction TransactionGroup // of transaction hits; ID, Affiliation, amounts and Coupon also of purchase and refund actions
	Item        ItemGroup        // of item hits
	Social      SocialGroup      // of social hits
	Timing      TimingGroup      // of timing hits
	Exception   ExceptionGroup   // of exception hits
	Shop        Shop             // enhanced e-commerce, on hits of any type

	Dimensions map[int]string  // cd<1-200>, at most 150 bytes
	Metrics    map[int]Decimal // cm<1-200>

	ExperimentID      string // xid, at most 40 bytes
	ExperimentVariant string // xvar

	// Extra are parameters by their keys on the wire. They take the place of what the groups say, and hold what only some
	// receivers know.
	Extra map[string]string
}

// General is what every hit has.
type General struct {
	TrackingID     string // tid, required: UA-XXXX-Y
	AnonymizeIP    bool   // aip
	NoAds          bool   // npa: no personalized advertising
	DataSource     string // ds: web, app, crm, …
	QueueTime      *int64 // qt: milliseconds between the event and sending; above four hours a hit may be dropped
	NonInteraction bool   // ni
	CacheBuster    string // z, last; for GET
}

// User is who.
type User struct {
	ClientID string // cid, required unless UserID is given
	UserID   string // uid
}

// Session is the visit.
type Session struct {
	Control   string // sc: start or end
	IP        string // uip
	UserAgent string // ua
	GeoID     string // geoid: country of two letters, or a criteria id
}

// Traffic is where the visitor came from. Limits in bytes.
type Traffic struct {
	Referrer string // dr, 2048
	Name     string // cn, 100
	Source   string // cs, 100
	Medium   string // cm, 50
	Keyword  string // ck, 500
	Content  string // cc, 500
	ID       string // ci, 100
	GCLID    string // gclid
	DCLID    string // dclid
}

// System is the visitor's screen and software. Texts have at most 20 bytes.
type System struct {
	Screen   string // sr: 800x600
	Viewport string // vp: 123x456
	Encoding string // de: UTF-8
	Colors   string // sd: 24-bits
	Language string // ul: en-us
	Java     *bool  // je
	Flash    string // fl
}

// Content is the page or screen. A page view needs Location, or Host and Path, or Screen.
type Content struct {
	Location string // dl, 2048 bytes
	Host     string // dh, 100
	Path     string // dp, 2048: begins with /
	Title    string // dt, 1500
	Screen   string // cd, 2048: required of screen views
	LinkID   string // linkid
	Groups   map[int]string
	// AnyHost lets a page view have a Path alone, as in Google's own samples: the receiver knows the host.
	AnyHost bool
}

// App is the app. Name is required once there is anything else.
type App struct {
	Name        string // an, 100 bytes
	ID          string // aid, 150
	Version     string // av, 100
	InstallerID string // aiid, 150
}

// EventGroup is an event hit.
type EventGroup struct {
	Category string // ec, required, 150 bytes
	Action   string // ea, required, 500
	Label    string // el, 500
	Value    *int64 // ev, not negative
}

// TransactionGroup is a transaction hit, and the transaction of an action. See TransactionHits.
type TransactionGroup struct {
	ID          string  // ti, required, 500 bytes
	Affiliation string  // ta, 500
	Revenue     Decimal // tr: with tax and shipping
	Shipping    Decimal // ts
	Tax         Decimal // tt
	Coupon      string  // tcc, of actions
	Currency    string  // cu
}

// ItemGroup is an item hit.
type ItemGroup struct {
	TransactionID string  // ti, required
	Name          string  // in, required, 500 bytes
	Price         Decimal // ip
	Quantity      *int64  // iq
	Code          string  // ic, 500
	Category      string  // iv, 500
	Currency      string  // cu
}

// SocialGroup is a social hit. All of it is required.
type SocialGroup struct {
	Network string // sn, 50 bytes
	Action  string // sa, 50
	Target  string // st, 2048
}

// TimingGroup is a timing hit, in milliseconds. Category, Variable and Time are required unless it is about the
// browser's own timings.
type TimingGroup struct {
	Category string // utc, 150 bytes
	Variable string // utv, 500
	Time     *int64 // utt
	Label    string // utl, 500

	PageLoad       *int64 // plt
	DNS            *int64 // dns
	PageDownload   *int64 // pdt
	Redirect       *int64 // rrt
	TCP            *int64 // tcp
	Server         *int64 // srt
	DOMInteractive *int64 // dit
	ContentLoad    *int64 // clt
}

// ExceptionGroup is an exception hit.
type ExceptionGroup struct {
	Description string // exd, 150 bytes
	Fatal       *bool  // exf: without it an exception counts as fatal
}

// TransactionHits makes the hits of classic e-commerce: one for the transaction and one for each item, linked by the
// transaction's id and in its currency. Where t says no revenue it is the sum of price × quantity, shipping and tax.
func TransactionHits(base Hit, t TransactionGroup, items []ItemGroup) ([]Hit, error) {
	if t.Revenue == "" {
		sum, err := revenue(t, items)
		if err != nil {
			return nil, err
		}
		t.Revenue = sum
	}
	base.Type, base.Transaction = Transaction, t
	hits := []Hit{base}
	for _, it := range items {
		h := base
		h.Type, h.Transaction = Item, TransactionGroup{}
		if it.TransactionID == "" {
			it.TransactionID = t.ID
		}
		if it.Currency == "" {
			it.Currency = t.Currency
		}
		h.Item = it
		hits = append(hits, h)
	}
	return hits, nil
}

func revenue(t TransactionGroup, items []ItemGroup) (Decimal, error) {
	var sum sidetrack.Money
	add := func(field string, d Decimal, quantity float64) error {
		if d == "" {
			return nil
		}
		m, err := sidetrack.ParseMoney(string(d))
		if err != nil {
			return &InvalidError{Problems: []sidetrack.FieldError{{Field: field, Problem: err.Error()}}}
		}
		total, ok := sum.Plus(m.Times(quantity))
		if !ok {
			return &InvalidError{Problems: []sidetrack.FieldError{{Field: field, Problem: "makes a sum that is out of range"}}}
		}
		sum = total
		return nil
	}
	for _, it := range items {
		quantity := 1.0
		if it.Quantity != nil {
			quantity = float64(*it.Quantity)
		}
		if err := add("ip", it.Price, quantity); err != nil {
			return "", err
		}
	}
	if err := add("ts", t.Shipping, 1); err != nil {
		return "", err
	}
	if err := add("tt", t.Tax, 1); err != nil {
		return "", err
	}
	return Amount(sum), nil
}

// append writes every group. The order of parameters is free, but z comes last.
func (h *Hit) append(w *encoder) {
	g := &h.General
	w.raw("v", "1")
	w.text("tid", g.TrackingID, 0)
	w.text("cid", h.User.ClientID, 0)
	w.text("uid", h.User.UserID, 0)
	w.text("t", string(h.Type), 0)
	w.flag("aip", g.AnonymizeIP)
	w.flag("npa", g.NoAds)
	w.text("ds", g.DataSource, 0)
	w.count("qt", g.QueueTime)
	w.flag("ni", g.NonInteraction)
	s := &h.Session
	w.text("sc", s.Control, 0)
	w.text("uip", s.IP, 0)
	w.text("ua", s.UserAgent, 0)
	w.text("geoid", s.GeoID, 0)
	h.traffic(w)
	h.system(w)
	h.content(w)
	switch h.Type {
	case Event:
		w.text("ec", h.Event.Category, 150)
		w.text("ea", h.Event.Action, 500)
		w.text("el", h.Event.Label, 500)
		w.count("ev", h.Event.Value)
	case Item:
		it := &h.Item
		w.text("ti", it.TransactionID, 500)
		w.text("in", it.Name, 500)
		w.decimal("ip", it.Price)
		w.count("iq", it.Quantity)
		w.text("ic", it.Code, 500)
		w.text("iv", it.Category, 500)
		w.text("cu", it.Currency, 10)
	case Social:
		w.text("sn", h.Social.Network, 50)
		w.text("sa", h.Social.Action, 50)
		w.text("st", h.Social.Target, 2048)
	case Timing:
		h.timing(w)
	case Exception:
		w.text("exd", h.Exception.Description, 150)
		w.bool("exf", h.Exception.Fatal)
	}
	if h.Type != Item {
		t := &h.Transaction
		w.text("ti", t.ID, 500)
		w.text("ta", t.Affiliation, 500)
		w.decimal("tr", t.Revenue)
		w.decimal("tt", t.Tax)
		w.decimal("ts", t.Shipping)
		w.text("tcc", t.Coupon, 500)
		w.text("cu", t.Currency, 10)
	}
	h.Shop.append(w)
	for _, n := range slices.Sorted(maps.Keys(h.Dimensions)) {
		if w.index("cd", n, 200) {
			w.text("cd"+strconv.Itoa(n), h.Dimensions[n], 150)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(h.Metrics)) {
		if w.index("cm", n, 200) {
			w.decimal("cm"+strconv.Itoa(n), h.Metrics[n])
		}
	}
	w.text("xid", h.ExperimentID, 40)
	w.text("xvar", h.ExperimentVariant, 0)
	for _, k := range slices.Sorted(maps.Keys(h.Extra)) {
		if k != "z" {
			w.extra(k, h.Extra[k])
		}
	}
	w.text("z", g.CacheBuster, 0)
}

func (h *Hit) traffic(w *encoder) {
	t := &h.Traffic
	w.text("dr", t.Referrer, 2048)
	w.text("cn", t.Name, 100)
	w.text("cs", t.Source, 100)
	w.text("cm", t.Medium, 50)
	w.text("ck", t.Keyword, 500)
	w.text("cc", t.Content, 500)
	w.text("ci", t.ID, 100)
	w.text("gclid", t.GCLID, 0)
	w.text("dclid", t.DCLID, 0)
}

func (h *Hit) system(w *encoder) {
	s := &h.System
	w.text("sr", s.Screen, 20)
	w.text("vp", s.Viewport, 20)
	w.text("de", s.Encoding, 20)
	w.text("sd", s.Colors, 20)
	w.text("ul", s.Language, 20)
	w.bool("je", s.Java)
	w.text("fl", s.Flash, 20)
}

func (h *Hit) content(w *encoder) {
	c, a := &h.Content, &h.App
	w.text("dl", c.Location, 2048)
	w.text("dh", c.Host, 100)
	w.text("dp", c.Path, 2048)
	w.text("dt", c.Title, 1500)
	w.text("cd", c.Screen, 2048)
	w.text("linkid", c.LinkID, 0)
	for _, n := range slices.Sorted(maps.Keys(c.Groups)) {
		if w.index("cg", n, 10) {
			w.text("cg"+strconv.Itoa(n), c.Groups[n], 100)
		}
	}
	w.text("an", a.Name, 100)
	w.text("aid", a.ID, 150)
	w.text("av", a.Version, 100)
	w.text("aiid", a.InstallerID, 150)
}

func (h *Hit) timing(w *encoder) {
	t := &h.Timing
	w.text("utc", t.Category, 150)
	w.text("utv", t.Variable, 500)
	w.count("utt", t.Time)
	w.text("utl", t.Label, 500)
	w.count("plt", t.PageLoad)
	w.count("dns", t.DNS)
	w.count("pdt", t.PageDownload)
	w.count("rrt", t.Redirect)
	w.count("tcp", t.TCP)
	w.count("srt", t.Server)
	w.count("dit", t.DOMInteractive)
	w.count("clt", t.ContentLoad)
}
