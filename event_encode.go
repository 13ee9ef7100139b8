package sidetrack

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// AppendJSON appends the event's JSON to b, in one line and the same bytes for
// the same event. Empty fields and groups are left out, invalid UTF-8 becomes U+FFFD. The
// error is a *FieldError that names a value in Params JSON cannot hold.
func (e *Event) AppendJSON(b []byte) ([]byte, error) {
	out, _, err := e.AppendExact(b)
	return out, err
}

// AppendExact is AppendJSON that also reports whether ParseEvent would give back an event equal to
// e, apart from its origin, provided that Validate accepts e. It may report false although it
// would. Of times only those in UTC without a monotonic reading come back as they are, of
// numbers in Params int64 and float64 that are not whole.
func (e *Event) AppendExact(b []byte) (out []byte, exact bool, err error) {
	w := jsonWriter{b: append(b, '{')}
	w.int("v", EventVersion)
	if e.ID != uuid.Nil {
		w.key("id")
		w.b = append(w.b, '"')
		n := len(w.b)
		w.b = append(w.b, "00000000-0000-0000-0000-000000000000"...)
		encodeUUID(w.b[n:], e.ID)
		w.b = append(w.b, '"')
	}
	w.text("message_id", e.MessageID)
	w.text("name", e.Name)
	w.time("time", e.Time)
	w.time("received", e.Received)
	w.text("source", e.Source)
	w.text("site", e.Site)
	w.visitor(&e.Visitor)
	w.page(&e.Page)
	w.device(&e.Device)
	w.network(&e.Network)
	w.campaign(&e.Campaign)
	w.consent(&e.Consent)
	w.app(&e.App)
	if e.Ecommerce != nil {
		w.ecommerce(e.Ecommerce)
	}
	if e.Exception != nil {
		w.open("exception")
		w.text("description", e.Exception.Description)
		w.flag("fatal", e.Exception.Fatal)
		w.b = append(w.b, '}')
	}
	if e.Timing != nil {
		w.open("timing")
		w.text("category", e.Timing.Category)
		w.text("variable", e.Timing.Variable)
		w.text("label", e.Timing.Label)
		w.int("value_msec", w.msec(e.Timing.Value))
		w.b = append(w.b, '}')
	}
	if e.Social != nil {
		w.open("social")
		w.text("network", e.Social.Network)
		w.text("action", e.Social.Action)
		w.text("target", e.Social.Target)
		w.b = append(w.b, '}')
	}
	if e.UserData != nil {
		w.userData(e.UserData)
	}
	w.params("params", e.Params)
	w.params("user_properties", e.UserProperties)
	w.texts("marks", e.Marks)
	if w.err != nil {
		return b, false, w.err
	}
	return append(w.b, '}'), !w.inexact, nil
}

// MarshalJSON is AppendJSON.
func (e *Event) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil) }

// jsonWriter appends members to the object that is open at the end of b.
type jsonWriter struct {
	b       []byte
	err     error
	inexact bool // what was written will not be read back as it was
}

// key writes a member's name, with a comma unless it is the first.
func (w *jsonWriter) key(name string) {
	b := w.b
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(b, '"'), name...)
	w.b = append(b, '"', ':')
}

// open begins an object that is written even when empty.
func (w *jsonWriter) open(name string) {
	w.key(name)
	w.b = append(w.b, '{')
}

// begin opens an object that end takes back when it stays empty.
func (w *jsonWriter) begin(name string) (mark int) {
	mark = len(w.b)
	w.open(name)
	return mark
}

// end closes what begin opened, or takes it back when nothing was written since.
func (w *jsonWriter) end(mark int) {
	if w.b[len(w.b)-1] == '{' {
		w.b = w.b[:mark]
		return
	}
	w.b = append(w.b, '}')
}

// lose notes, if something is lost, that what was written will not be read back as it was.
func (w *jsonWriter) lose(something bool) { w.inexact = w.inexact || something }

// quote writes a string.
func (w *jsonWriter) quote(s string) {
	var valid bool
	w.b, valid = appendText(w.b, s)
	w.lose(!valid)
}

// msec returns whole milliseconds.
func (w *jsonWriter) msec(d time.Duration) int64 {
	w.lose(d%time.Millisecond != 0)
	return d.Milliseconds()
}

func (w *jsonWriter) text(name, v string) {
	if v != "" { // most are empty, and this much is inlined
		w.member(name, v)
	}
}

func (w *jsonWriter) member(name, v string) {
	w.key(name)
	w.quote(v)
}

func (w *jsonWriter) int(name string, v int64) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, v, 10)
}

func (w *jsonWriter) count(name string, v int64) {
	if v != 0 {
		w.int(name, v)
	}
}

func (w *jsonWriter) flag(name string, v bool) {
	if v {
		w.key(name)
		w.b = append(w.b, "true"...)
	}
}

func (w *jsonWriter) money(name string, v Money, has bool) {
	if v != 0 || has {
		w.key(name)
		w.b = v.append(w.b)
	}
}

// time writes RFC 3339 in UTC with as many decimals as needed.
func (w *jsonWriter) time(name string, t time.Time) {
	if t.IsZero() {
		w.lose(t != time.Time{})
		return
	}
	u := t.UTC()
	w.lose(u.Round(0) != t)
	w.key(name)
	w.b = append(w.b, '"')
	w.b = appendTime(w.b, u)
	w.b = append(w.b, '"')
}

func (w *jsonWriter) texts(name string, list []string) {
	if len(list) == 0 {
		w.lose(list != nil)
		return
	}
	w.key(name)
	w.b = append(w.b, '[')
	for i, v := range list {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.quote(v)
	}
	w.b = append(w.b, ']')
}

func (w *jsonWriter) textMap(name string, m map[string]string) {
	if len(m) == 0 {
		w.lose(m != nil)
		return
	}
	w.open(name)
	var space [16]string
	for _, k := range sortedKeys(m, space[:0]) {
		w.mapKey(k)
		w.quote(m[k])
	}
	w.b = append(w.b, '}')
}

// mapKey is key for names that may need escaping.
func (w *jsonWriter) mapKey(k string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.quote(k)
	w.b = append(w.b, ':')
}

func (w *jsonWriter) params(name string, m map[string]any) {
	if len(m) == 0 {
		w.lose(m != nil)
		return
	}
	w.key(name)
	if err := w.object(m, 1); err != nil && w.err == nil {
		w.err = inside(err, name)
	}
}

func (w *jsonWriter) object(m map[string]any, depth int) error {
	w.lose(m == nil)
	w.b = append(w.b, '{')
	var space [16]string
	for _, k := range sortedKeys(m, space[:0]) {
		w.mapKey(k)
		if err := w.value(m[k], depth+1); err != nil {
			return inside(err, clip(k))
		}
	}
	w.b = append(w.b, '}')
	return nil
}

func (w *jsonWriter) value(v any, depth int) error {
	if depth > MaxDepth {
		return &FieldError{Problem: fmt.Sprintf("is nested deeper than %d", MaxDepth)}
	}
	switch v := v.(type) {
	case nil:
		w.b = append(w.b, "null"...)
	case string:
		w.quote(v)
	case bool:
		w.b = strconv.AppendBool(w.b, v)
	case int64:
		w.b = strconv.AppendInt(w.b, v, 10)
	case float64:
		w.lose(v == math.Trunc(v))
		return w.float(v)
	case map[string]any:
		return w.object(v, depth)
	case []any:
		w.lose(v == nil)
		w.b = append(w.b, '[')
		for i := range v {
			if i > 0 {
				w.b = append(w.b, ',')
			}
			if err := w.value(v[i], depth+1); err != nil {
				return inside(err, "["+strconv.Itoa(i)+"]")
			}
		}
		w.b = append(w.b, ']')
	default:
		return w.otherValue(v)
	}
	return nil
}

// otherValue writes what Go code may put into Params beyond what JSON yields.
func (w *jsonWriter) otherValue(v any) error {
	w.inexact = true
	switch v := v.(type) {
	case int:
		w.b = strconv.AppendInt(w.b, int64(v), 10)
	case int32:
		w.b = strconv.AppendInt(w.b, int64(v), 10)
	case int16:
		w.b = strconv.AppendInt(w.b, int64(v), 10)
	case int8:
		w.b = strconv.AppendInt(w.b, int64(v), 10)
	case uint:
		w.b = strconv.AppendUint(w.b, uint64(v), 10)
	case uint64:
		w.b = strconv.AppendUint(w.b, v, 10)
	case uint32:
		w.b = strconv.AppendUint(w.b, uint64(v), 10)
	case uint16:
		w.b = strconv.AppendUint(w.b, uint64(v), 10)
	case uint8:
		w.b = strconv.AppendUint(w.b, uint64(v), 10)
	case float32:
		return w.float(float64(v))
	case Money:
		w.b = v.append(w.b)
	default:
		return &FieldError{Problem: fmt.Sprintf("is a %T: use a string, bool, number, []any or map[string]any", v)}
	}
	return nil
}

func (w *jsonWriter) float(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return &FieldError{Problem: "must be a finite number"}
	}
	if n := int64(f); float64(n) == f && n > 0 && n < 1<<53 { // a quantity, mostly; the same text for less work
		w.b = strconv.AppendInt(w.b, n, 10)
		return nil
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	w.b = strconv.AppendFloat(w.b, f, format, -1, 64)
	return nil
}

func (w *jsonWriter) visitor(v *Visitor) {
	mark := w.begin("visitor")
	w.text("client_id", v.ClientID)
	w.text("user_id", v.UserID)
	w.text("session_id", v.SessionID)
	w.count("session_number", v.SessionNumber)
	w.count("engagement_msec", w.msec(v.Engagement))
	w.flag("new", v.New)
	w.flag("cookieless", v.Cookieless)
	w.flag("new_session", v.NewSession)
	w.text("app_instance_id", v.AppInstanceID)
	w.flag("anonymous_profile", v.AnonymousProfile)
	w.end(mark)
}

func (w *jsonWriter) page(p *Page) {
	mark := w.begin("page")
	w.text("url", p.URL)
	w.text("path", p.Path)
	w.text("route", p.Route)
	w.text("title", p.Title)
	w.text("referrer", p.Referrer)
	w.count("status", int64(p.Status))
	w.end(mark)
}

func (w *jsonWriter) device(d *Device) {
	mark := w.begin("device")
	w.text("user_agent", d.UserAgent)
	w.text("language", d.Language)
	w.text("screen", d.Screen)
	w.text("viewport", d.Viewport)
	w.count("colors", int64(d.Colors))
	w.text("encoding", d.Encoding)
	w.text("category", d.Category)
	w.text("os", d.OS)
	w.text("os_version", d.OSVersion)
	w.text("browser", d.Browser)
	w.text("browser_version", d.BrowserVer)
	w.text("brand", d.Brand)
	w.text("model", d.Model)
	w.textMap("hints", d.Hints)
	w.end(mark)
}

func (w *jsonWriter) network(n *Network) {
	mark := w.begin("network")
	w.text("ip", n.IP)
	w.text("country", n.Country)
	w.text("region", n.Region)
	w.text("city", n.City)
	w.text("continent", n.Continent)
	w.text("subcontinent", n.Subcontinent)
	w.end(mark)
}

func (w *jsonWriter) campaign(c *Campaign) {
	mark := w.begin("campaign")
	w.text("id", c.ID)
	w.text("source", c.Source)
	w.text("medium", c.Medium)
	w.text("name", c.Name)
	w.text("term", c.Term)
	w.text("content", c.Content)
	w.text("platform", c.Platform)
	w.text("format", c.Format)
	w.text("tactic", c.Tactic)
	w.textMap("click_ids", c.ClickIDs)
	w.end(mark)
}

func (w *jsonWriter) consent(c *Consent) {
	mark := w.begin("consent")
	for i, p := range purposeNames {
		if s := c.states[i]; s != Unknown {
			w.text(string(p), s.String())
		}
	}
	w.text("how", c.How)
	w.end(mark)
}

func (w *jsonWriter) app(a *App) {
	mark := w.begin("app")
	w.text("name", a.Name)
	w.text("id", a.ID)
	w.text("version", a.Version)
	w.text("installer_id", a.InstallerID)
	w.text("screen", a.Screen)
	w.end(mark)
}

func (w *jsonWriter) ecommerce(c *Ecommerce) {
	w.open("ecommerce")
	w.text("currency", c.Currency)
	w.money("value", c.Value, c.HasValue)
	w.lose(c.Value != 0 && !c.HasValue)
	w.text("transaction_id", c.TransactionID)
	w.text("affiliation", c.Affiliation)
	w.money("tax", c.Tax, false)
	w.money("shipping", c.Shipping, false)
	w.text("coupon", c.Coupon)
	w.text("payment_type", c.PaymentType)
	w.text("shipping_tier", c.ShippingTier)
	w.text("item_list_id", c.ListID)
	w.text("item_list_name", c.ListName)
	w.lose(c.Items != nil && len(c.Items) == 0)
	if len(c.Items) > 0 {
		w.key("items")
		w.b = append(w.b, '[')
		for i := range c.Items {
			if i > 0 {
				w.b = append(w.b, ',')
			}
			w.b = append(w.b, '{')
			if err := w.item(&c.Items[i]); err != nil && w.err == nil {
				w.err = inside(inside(err, "["+strconv.Itoa(i)+"]"), "ecommerce.items")
			}
			w.b = append(w.b, '}')
		}
		w.b = append(w.b, ']')
	}
	w.promotion(&c.Promotion)
	w.b = append(w.b, '}')
}

func (w *jsonWriter) item(it *Item) error {
	w.text("item_id", it.ID)
	w.text("item_name", it.Name)
	w.text("item_brand", it.Brand)
	w.text("item_variant", it.Variant)
	w.texts("item_categories", it.Categories)
	w.money("price", it.Price, it.HasPrice)
	w.lose(it.Price != 0 && !it.HasPrice || it.Index != 0 && !it.HasIndex)
	w.money("discount", it.Discount, false)
	if it.Quantity != 0 {
		w.key("quantity")
		if err := w.float(it.Quantity); err != nil {
			return inside(err, "quantity")
		}
	}
	w.text("coupon", it.Coupon)
	if it.HasIndex || it.Index != 0 {
		w.int("index", it.Index)
	}
	w.text("item_list_id", it.ListID)
	w.text("item_list_name", it.ListName)
	w.text("location_id", it.LocationID)
	w.text("affiliation", it.Affil)
	w.promotion(&it.Promotion)
	w.lose(it.Params != nil && len(it.Params) == 0)
	if len(it.Params) > 0 {
		w.key("params")
		if err := w.object(it.Params, 1); err != nil {
			return inside(err, "params")
		}
	}
	return nil
}

func (w *jsonWriter) promotion(p *Promotion) {
	mark := w.begin("promotion")
	w.text("promotion_id", p.ID)
	w.text("promotion_name", p.Name)
	w.text("creative_name", p.Creative)
	w.text("creative_slot", p.Slot)
	w.end(mark)
}

const hexDigits = "0123456789abcdef"

// appendText appends a JSON string. It reports whether s was valid UTF-8.
func appendText(b []byte, s string) (_ []byte, valid bool) {
	b = append(b, '"')
	if end, ascii := special(s, 0); end == len(s) && (ascii || utf8.ValidString(s)) {
		return append(append(b, s...), '"'), true
	}
	b, valid = appendEscaped(b, s)
	return append(b, '"'), valid
}

// appendEscaped appends what is between the quotes, as appendText does.
func appendEscaped(b []byte, s string) (_ []byte, valid bool) {
	valid = true
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				valid = false
				b = append(append(b, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(b, s[start:]...), valid
}

// appendTime appends RFC 3339 with as many decimals as needed, as time.RFC3339Nano does in several times the work. t is in UTC.
func appendTime(b []byte, t time.Time) []byte {
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, time.RFC3339Nano)
	}
	hour, minute, second := t.Clock()
	two := func(n int) (byte, byte) { return byte('0' + n/10), byte('0' + n%10) }
	text := []byte("0000-00-00T00:00:00.000000000")
	text[0], text[1] = two(year / 100)
	text[2], text[3] = two(year % 100)
	text[5], text[6] = two(int(month))
	text[8], text[9] = two(day)
	text[11], text[12] = two(hour)
	text[14], text[15] = two(minute)
	text[17], text[18] = two(second)
	end := len("0000-00-00T00:00:00")
	for i, n := len(text)-1, t.Nanosecond(); n > 0; i, n = i-1, n/10 {
		text[i] = byte('0' + n%10)
		if end < i && text[i] != '0' {
			end = i + 1
		}
	}
	return append(append(b, text[:end]...), 'Z')
}

// encodeUUID overwrites a dashed form of zeros.
func encodeUUID(dst []byte, id uuid.UUID) {
	at := 0
	for i, c := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			at++
		}
		dst[at], dst[at+1] = hexDigits[c>>4], hexDigits[c&15]
		at += 2
	}
}

// sortedKeys returns the keys of m in order, in space where they fit.
func sortedKeys[V any](m map[string]V, space []string) []string {
	for k := range m {
		space = append(space, k)
	}
	slices.Sort(space)
	return space
}
