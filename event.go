package sidetrack

import (
	"time"

	"github.com/google/uuid"
)

// EventVersion is the version of the JSON format of an Event. It changes only
// when a reader of the older version would misread the newer one.
const EventVersion = 1

// Names of events that sidetrack itself gives meaning to. They are Google
// Analytics 4's recommended names; any other name is a custom event.
const (
	PageView   = "page_view"
	ScreenView = "screen_view"
	Purchase   = "purchase"
	Refund     = "refund"
	Exception  = "exception"
	Timing     = "timing_complete"
	Share      = "share"
	Login      = "login"
)

// Event is one normalized thing that happened. Its JSON form is the documented
// format on the bus, in files and in explain; absent means empty.
//
// An Event belongs to one goroutine until it is emitted. After that it belongs to the
// pipeline: the caller must neither change nor reuse it. Processors may change the
// event they are given; sinks must treat it as read-only.
type Event struct {
	ID        uuid.UUID // UUIDv7, or UUIDv5 of site and MessageID; set by the pipeline when zero
	MessageID string    // the client's own id for this event, where there is one; makes repeats recognizable
	Name      string
	Time      time.Time // when it happened; the pipeline sets it to Received when zero
	Received  time.Time // when sidetrack got it; set by the pipeline when zero
	Source    string    // name of the source
	Site      string    // name of the site; set by the pipeline from the hosts of the sites when empty

	Visitor   Visitor
	Page      Page
	Device    Device
	Network   Network
	Campaign  Campaign
	Consent   Consent
	App       App
	Ecommerce *Ecommerce // nil: none
	Exception *Failure   // nil: none
	Timing    *Duration  // nil: none
	Social    *Social    // nil: none
	UserData  *UserData  // hashes of what a signed-in visitor entrusted to the site; nil: none

	// Params are custom parameters and UserProperties custom properties of the user.
	// A value is a string, bool, int64, float64, nil, []any or map[string]any of
	// these; other integer types and float32 are accepted from Go code.
	Params         map[string]any
	UserProperties map[string]any

	// Marks are verdicts that did not drop the event: rules in test mode and
	// classifications such as "bot:Googlebot".
	Marks []string

	origin *Origin
}

// Visitor says who, without saying who they are.
type Visitor struct {
	ClientID         string        // one browser or device; in the form of Google's "random.seconds" where sidetrack made it
	UserID           string        // the site's own id of a signed-in user; never an e-mail address or a name
	SessionID        string        // second at which the session began, decimal
	SessionNumber    int64         // ordinal of the session of this client; 0: unknown
	Engagement       time.Duration // attention since the previous event, in whole milliseconds; 0: unknown
	New              bool          // the first event of this client id
	Cookieless       bool          // ClientID is a daily hash, not something stored at the visitor's
	NewSession       bool          // the first event of the session
	AppInstanceID    string        // of a mobile app, where an SDK gave one
	AnonymousProfile bool          // the visitor asked not to be recognized
}

// Page is where it happened, on the web.
type Page struct {
	URL      string // absolute, without user info and fragment
	Path     string // path of URL
	Route    string // the router's pattern, such as /product/{id}: low cardinality
	Title    string
	Referrer string // absolute URL
	Status   int    // HTTP status of the answer; 0: unknown
}

// Device describes the visitor's software and screen as far as they say.
type Device struct {
	UserAgent  string
	Language   string // first language tag, such as de-AT
	Screen     string // width x height in pixels, "1920x1080"
	Viewport   string // likewise
	Colors     int    // bits per pixel; 0: unknown
	Encoding   string // of the document, "UTF-8"
	Category   string // desktop, mobile, tablet, …
	OS         string
	OSVersion  string
	Browser    string
	BrowserVer string
	Brand      string
	Model      string
	Hints      map[string]string // User-Agent Client Hints by lower-case header name, "sec-ch-ua"
}

// Network is what is left of the address once it was made anonymous.
type Network struct {
	IP           string // anonymized address; never the full one unless the config keeps it by name
	Country      string // ISO 3166-1 alpha-2
	Region       string // ISO 3166-2
	City         string
	Continent    string // UN M49, such as 150 for Europe
	Subcontinent string // UN M49, such as 155 for Western Europe
}

// Campaign is how the visitor came: utm_* parameters and click ids of the page.
type Campaign struct {
	ID       string
	Source   string
	Medium   string
	Name     string
	Term     string
	Content  string
	Platform string            // utm_source_platform
	Format   string            // utm_creative_format
	Tactic   string            // utm_marketing_tactic
	ClickIDs map[string]string // by parameter name: gclid, dclid, fbclid, …
}

// App describes an app for events that happen in one.
type App struct {
	Name        string
	ID          string
	Version     string
	InstallerID string
	Screen      string // name of the screen of a screen_view
}

// Ecommerce holds what a shop event is about.
type Ecommerce struct {
	Currency      string // ISO 4217, upper case
	Value         Money  // sum of price × quantity without tax and shipping, unless the source says otherwise
	HasValue      bool   // distinguishes a value of zero from none
	TransactionID string
	Affiliation   string
	Tax           Money
	Shipping      Money
	Coupon        string
	PaymentType   string
	ShippingTier  string
	ListID        string // item_list_id
	ListName      string // item_list_name
	Items         []Item
	Promotion     Promotion
}

// Item is one product line.
type Item struct {
	ID         string
	Name       string
	Brand      string
	Variant    string
	Categories []string // most general first, at most five are meaningful to GA4
	Price      Money    // unit price after discount
	HasPrice   bool     // distinguishes free from unknown
	Discount   Money    // per unit
	Quantity   float64  // 0: unknown, taken as 1
	Coupon     string
	Index      int64 // position in its list; HasIndex
	HasIndex   bool
	ListID     string
	ListName   string
	LocationID string
	Affil      string
	Promotion  Promotion
	Params     map[string]any // custom, scalars only
}

// Promotion is an internal promotion.
type Promotion struct {
	ID       string
	Name     string
	Creative string // creative_name
	Slot     string // creative_slot
}

// Failure is an exception that was seen.
type Failure struct {
	Description string // without personal data: it leaves with the event
	Fatal       bool
}

// Duration is a measured time.
type Duration struct {
	Category string
	Variable string
	Label    string
	Value    time.Duration // in whole milliseconds
}

// Social is an interaction with a social network.
type Social struct {
	Network string
	Action  string
	Target  string
}

// Param returns a custom parameter, nil when absent.
func (e *Event) Param(name string) any { return e.Params[name] }

// SetParam sets a custom parameter. The map is made when needed.
func (e *Event) SetParam(name string, value any) {
	if e.Params == nil {
		e.Params = make(map[string]any)
	}
	e.Params[name] = value
}

// Mark records a verdict once.
func (e *Event) Mark(mark string) {
	for _, m := range e.Marks {
		if m == mark {
			return
		}
	}
	e.Marks = append(e.Marks, mark)
}

// Clone returns a deep copy. The origin is shared: it is read-only.
func (e *Event) Clone() *Event {
	c := *e
	c.Marks = append([]string(nil), e.Marks...)
	c.Params = cloneMap(e.Params)
	c.UserProperties = cloneMap(e.UserProperties)
	c.Device.Hints = cloneStrings(e.Device.Hints)
	c.Campaign.ClickIDs = cloneStrings(e.Campaign.ClickIDs)
	if e.Ecommerce != nil {
		ec := *e.Ecommerce
		ec.Items = append([]Item(nil), ec.Items...)
		for i := range ec.Items {
			ec.Items[i].Categories = append([]string(nil), ec.Items[i].Categories...)
			ec.Items[i].Params = cloneMap(ec.Items[i].Params)
		}
		c.Ecommerce = &ec
	}
	c.Exception = clonePtr(e.Exception)
	c.Timing = clonePtr(e.Timing)
	c.Social = clonePtr(e.Social)
	c.UserData = e.UserData.clone()
	return &c
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

func cloneStrings(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	c := make(map[string]string, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

func cloneMap(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	c := make(map[string]any, len(m))
	for k, v := range m {
		c[k] = cloneValue(v)
	}
	return c
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return cloneMap(v)
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = cloneValue(v[i])
		}
		return c
	default:
		return v
	}
}
