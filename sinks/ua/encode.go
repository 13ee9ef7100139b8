package ua

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sidetrack-go/sidetrack"
)

// MaxPayload is how many bytes a hit may have: the reference, "POST requests". MaxURL is how many the address
// of a GET request may have; longer hits are sent by POST.
const (
	MaxPayload = 8192
	MaxURL     = 2000
)

// Encode returns the payload: a query string, and a line of a batch. Blanks are %20. The error is the one of Validate.
func (h *Hit) Encode() (string, error) {
	w := encoder{overrides: h.Extra}
	h.append(&w)
	if err := h.check(&w); err != nil {
		return "", err
	}
	return string(w.b), nil
}

// Validate checks the hit against the reference and returns an *InvalidError that names everything that is missing
// or wrong, by the keys on the wire.
func (h *Hit) Validate() error {
	_, err := h.Encode()
	return err
}

// InvalidError is what is wrong with a hit. Fields are the keys on the wire.
type InvalidError struct {
	Missing  []string // required parameters
	Problems []sidetrack.FieldError
}

// Error names all of it.
func (e *InvalidError) Error() string {
	var parts []string
	if len(e.Missing) > 0 {
		parts = append(parts, "missing "+strings.Join(e.Missing, ", "))
	}
	for _, p := range e.Problems {
		parts = append(parts, p.Field+" "+p.Problem)
	}
	return "ua: " + strings.Join(parts, "; ")
}

// encoder appends parameters. It remembers which were written, to find out what is missing.
type encoder struct {
	b         []byte
	overrides map[string]string
	clip      bool // cut what is too long, and note it
	event     int
	notes     []sidetrack.Note
	problems  []sidetrack.FieldError
}

func (w *encoder) wrong(key, format string, args ...any) {
	w.problems = append(w.problems, sidetrack.FieldError{Field: key, Problem: fmt.Sprintf(format, args...)})
}

// free reports whether a parameter may be written: not when it is to be another.
func (w *encoder) free(key string) bool {
	if len(w.overrides) == 0 {
		return true
	}
	_, taken := w.overrides[key]
	return !taken
}

func (w *encoder) raw(key, value string) {
	if len(w.b) > 0 {
		w.b = append(w.b, '&')
	}
	w.b = append(append(w.b, key...), '=')
	w.b = escape(w.b, value)
}

func (w *encoder) text(key, value string, limit int) {
	if value == "" || !w.free(key) {
		return
	}
	if limit > 0 && len(value) > limit {
		if !w.clip {
			w.wrong(key, "has %d bytes, at most %d", len(value), limit)
			return
		}
		w.notes = append(w.notes, sidetrack.Note{Event: w.event, Rule: RuleTooLong, Field: key, Text: fmt.Sprintf("has %d bytes, at most %d: made to fit", len(value), limit)})
		value = cut(value, limit)
	}
	w.raw(key, value)
}

// cut shortens s to at most limit bytes between two characters.
func cut(s string, limit int) string {
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

func (w *encoder) flag(key string, v bool) {
	if v && w.free(key) {
		w.raw(key, "1")
	}
}

func (w *encoder) bool(key string, v *bool) {
	switch {
	case v == nil || !w.free(key):
	case *v:
		w.raw(key, "1")
	default:
		w.raw(key, "0")
	}
}

// count writes a whole number, which must not be negative.
func (w *encoder) count(key string, v *int64) {
	if v == nil || !w.free(key) {
		return
	}
	if *v < 0 {
		w.wrong(key, "must not be negative")
		return
	}
	w.raw(key, strconv.FormatInt(*v, 10))
}

var decimal = regexp.MustCompile(`^-?\d{1,15}(\.\d{1,6})?$`)

func (w *encoder) decimal(key string, v Decimal) {
	if v == "" || !w.free(key) {
		return
	}
	if !decimal.MatchString(string(v)) {
		w.wrong(key, "must be a decimal number with at most six decimals")
		return
	}
	w.raw(key, string(v))
}

// index checks the number of a custom dimension, metric or content group.
func (w *encoder) index(prefix string, n, limit int) bool { return w.inRange(prefix, n, "", limit) }

// indexOf checks the number of a product, list or promotion; sub is its first field.
func (w *encoder) indexOf(prefix string, n int, sub string) bool {
	return w.inRange(prefix, n, sub, 200)
}

func (w *encoder) inRange(prefix string, n int, sub string, limit int) bool {
	if n >= 1 && n <= limit {
		return true
	}
	w.wrong(prefix+strconv.Itoa(n)+sub, "has a number out of range: 1 to %d", limit)
	return false
}

var extraKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]{0,39}$`)

func (w *encoder) extra(key, value string) {
	if !extraKey.MatchString(key) {
		w.wrong(key, "is no name of a parameter")
		return
	}
	w.raw(key, value)
}

// escape appends s as encodeURIComponent writes it. Invalid UTF-8 becomes U+FFFD.
func escape(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.!~*'()", c) >= 0:
			b = append(b, c)
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// check looks for what is missing, and adds what the encoder found wrong.
func (h *Hit) check(w *encoder) error {
	e := &InvalidError{Problems: w.problems}
	has := func(key, value string) bool { return value != "" || w.overrides[key] != "" }
	need := func(key, value string) {
		if !has(key, value) {
			e.Missing = append(e.Missing, key)
		}
	}
	t := h.Type
	if o := w.overrides["t"]; o != "" {
		t = Type(o)
	}
	need("tid", h.General.TrackingID)
	if !has("uid", h.User.UserID) {
		need("cid", h.User.ClientID)
	}
	c := &h.Content
	switch t {
	case "":
		e.Missing = append(e.Missing, "t")
	case PageView:
		switch {
		case has("dl", c.Location), has("cd", c.Screen), has("dp", c.Path) && (c.AnyHost || has("dh", c.Host)):
		case has("dp", c.Path):
			e.Missing = append(e.Missing, "dh")
		case has("dh", c.Host):
			e.Missing = append(e.Missing, "dp")
		default:
			e.Missing = append(e.Missing, "dl")
		}
	case ScreenView, "appview":
		need("cd", c.Screen)
	case Event:
		need("ec", h.Event.Category)
		need("ea", h.Event.Action)
	case Transaction:
		need("ti", h.Transaction.ID)
	case Item:
		need("ti", h.Item.TransactionID)
		need("in", h.Item.Name)
	case Social:
		need("sn", h.Social.Network)
		need("sa", h.Social.Action)
		need("st", h.Social.Target)
	case Timing:
		h.needTiming(has, e)
	case Exception:
	default:
		w.wrong("t", "is none of pageview, screenview, event, transaction, item, social, exception, timing")
		e.Problems = w.problems
	}
	if a := &h.App; has("aid", a.ID) || has("av", a.Version) || has("aiid", a.InstallerID) {
		need("an", a.Name)
	}
	h.checkShop(w, e, need, has)
	if sc := h.Session.Control; sc != "" && sc != "start" && sc != "end" {
		e.Problems = append(e.Problems, sidetrack.FieldError{Field: "sc", Problem: "must be start or end"})
	}
	if len(w.b) > MaxPayload {
		e.Problems = append(e.Problems, sidetrack.FieldError{Field: "payload", Problem: fmt.Sprintf("has %d bytes, at most %d", len(w.b), MaxPayload)})
	}
	if len(e.Missing)+len(e.Problems) == 0 {
		return nil
	}
	return e
}

func (h *Hit) needTiming(has func(key, value string) bool, e *InvalidError) {
	t := &h.Timing
	browser := false
	for key, v := range map[string]*int64{"plt": t.PageLoad, "dns": t.DNS, "pdt": t.PageDownload, "rrt": t.Redirect, "tcp": t.TCP, "srt": t.Server, "dit": t.DOMInteractive, "clt": t.ContentLoad} {
		browser = browser || v != nil || has(key, "")
	}
	if browser && !has("utc", t.Category) && !has("utv", t.Variable) && !has("utl", t.Label) && t.Time == nil && !has("utt", "") {
		return
	}
	for _, f := range [...]struct{ key, value string }{{"utc", t.Category}, {"utv", t.Variable}} {
		if !has(f.key, f.value) {
			e.Missing = append(e.Missing, f.key)
		}
	}
	if t.Time == nil && !has("utt", "") {
		e.Missing = append(e.Missing, "utt")
	}
}

func (h *Hit) checkShop(w *encoder, e *InvalidError, need func(key, value string), has func(key, value string) bool) {
	s := &h.Shop
	action := s.Action
	if o := w.overrides["pa"]; o != "" {
		action = Action(o)
	}
	switch action {
	case "":
		if len(s.Products) > 0 && len(e.Problems) == 0 {
			e.Missing = append(e.Missing, "pa")
		}
	case Detail, Click, Add, Remove, Checkout, CheckoutOption:
	case Purchase, Refund:
		if h.Type != Transaction && h.Type != Item {
			need("ti", h.Transaction.ID)
		}
	default:
		e.Problems = append(e.Problems, sidetrack.FieldError{Field: "pa", Problem: "is none of detail, click, add, remove, checkout, checkout_option, purchase, refund"})
	}
	if s.Promotion != "" && s.Promotion != "click" && s.Promotion != "promo_click" && s.Promotion != "view" {
		e.Problems = append(e.Problems, sidetrack.FieldError{Field: "promoa", Problem: "must be click or nothing"})
	}
}
