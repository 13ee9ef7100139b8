// Package plausible delivers events to Plausible Analytics, one a request.
//
// Facts of the protocol are from Plausible's Events API reference (plausible.io/docs/events-api). Plausible answers 202
// to everything it could read, also to what it drops; a header tells the difference.
package plausible

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// Config is the configuration of the plausible sink.
type Config struct {
	// Domain is the site's name at Plausible, such as shop.example.
	Domain string `yaml:"domain"`
	// Endpoint is the address of the Events API; empty: https://plausible.io/api/event.
	Endpoint string `yaml:"endpoint"`
	// MaxDelay is how old an event may be. Plausible knows no time but the arrival: what comes late counts as now.
	MaxDelay time.Duration `yaml:"max_delay"`
	// Props are the params that are sent as custom properties; none: all that are single values.
	Props []string `yaml:"props"`
}

// Defaults is what the configuration holds before it is decoded.
func Defaults() Config {
	return Config{Endpoint: "https://plausible.io/api/event", MaxDelay: time.Hour}
}

// Limits: Events API reference, and the server's own.
const (
	maxName  = 120
	maxURL   = 2000
	maxProps = 30
	maxKey   = 300
	maxValue = 2000
)

// New makes the sink. It needs analytics_storage.
func New(cfg Config) (*sidetrack.Sink, error) {
	if cfg.Endpoint == "" {
		cfg.Endpoint = Defaults().Endpoint
	}
	if cfg.MaxDelay == 0 {
		cfg.MaxDelay = Defaults().MaxDelay
	}
	u, err := url.Parse(cfg.Endpoint)
	switch {
	case cfg.Domain == "":
		return nil, &sidetrack.FieldError{Field: "domain", Problem: "is missing: the site's name at Plausible"}
	case strings.ContainsAny(cfg.Domain, "/: "):
		return nil, &sidetrack.FieldError{Field: "domain", Problem: "must be a name such as shop.example, without scheme and path"}
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, &sidetrack.FieldError{Field: "endpoint", Problem: "must be an absolute http or https URL"}
	case cfg.MaxDelay < 0:
		return nil, &sidetrack.FieldError{Field: "max_delay", Problem: "must not be negative"}
	case len(cfg.Props) > maxProps:
		return nil, &sidetrack.FieldError{Field: "props", Problem: fmt.Sprintf("are %d: Plausible keeps %d", len(cfg.Props), maxProps)}
	}
	return sidetrack.HTTPSink(sidetrack.Each(cfg.request), sidetrack.Classify(classify), sidetrack.MaxAge(cfg.MaxDelay)), nil
}

// classify finds out what became of an event that was answered 202.
func classify(u sidetrack.Unit, r *sidetrack.Response) error {
	if dropped := r.Header.Get("X-Plausible-Dropped"); r.Status == http.StatusAccepted && dropped != "" && dropped != "0" {
		return sidetrack.Permanent(errors.New("plausible: dropped: a bot, a data centre's address, a shield rule, a domain Plausible does not know, or too many events"))
	}
	return sidetrack.DefaultClassify(u, r)
}

// hit is the body of a request.
type hit struct {
	Name        string            `json:"name"`
	URL         string            `json:"url"`
	Domain      string            `json:"domain"`
	Referrer    string            `json:"referrer,omitempty"`
	Props       map[string]string `json:"props,omitempty"`
	Revenue     *revenue          `json:"revenue,omitempty"`
	Interactive *bool             `json:"interactive,omitempty"`
	Scroll      *int64            `json:"sd,omitempty"`
	Engaged     *int64            `json:"e,omitempty"`
}

type revenue struct {
	Currency string          `json:"currency"`
	Amount   sidetrack.Money `json:"amount"`
}

func (cfg *Config) request(e *sidetrack.Event) (*sidetrack.Request, error) {
	// Plausible tells visitors apart by address and browser. Without, it would take this server for the visitor.
	ip, err := netip.ParseAddr(e.Network.IP)
	if err != nil {
		return nil, errors.New("plausible: no address of the visitor: keep an anonymized one (anonymize_ip)")
	}
	h := hit{Domain: cfg.Domain, Referrer: text.Clean(e.Page.Referrer, maxURL)}
	if h.URL, err = address(e); err != nil {
		return nil, err
	}
	if h.Name, err = name(e); err != nil {
		return nil, err
	}
	h.Props = cfg.props(e)
	switch c := e.Ecommerce; {
	case c == nil:
	case c.HasValue && len(c.Currency) == 3:
		h.Revenue = &revenue{c.Currency, c.Value}
		fallthrough
	default:
		shop(&h, c)
	}
	if quiet, _ := e.Params["non_interaction"].(bool); quiet {
		no := false
		h.Interactive = &no
	}
	if h.Name == "engagement" {
		if err := engagement(&h, e); err != nil {
			return nil, err
		}
	}
	body, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("plausible: encode: %w", err)
	}
	return &sidetrack.Request{URL: cfg.Endpoint, Body: body, Header: http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {text.Clean(e.Device.UserAgent, 1000)}, "X-Forwarded-For": {ip.WithZone("").String()},
	}}, nil
}

// name is Plausible's name of the event: two are special there.
func name(e *sidetrack.Event) (string, error) {
	switch e.Name {
	case sidetrack.PageView, sidetrack.ScreenView:
		return "pageview", nil
	case "user_engagement":
		return "engagement", nil
	case "pageview":
		return "", errors.New("plausible: an event named pageview would count as a page view")
	}
	n := text.Clean(e.Name, maxName+1)
	switch {
	case n == "":
		return "", errors.New("plausible: an event without a name")
	case len(n) > maxName:
		return "", fmt.Errorf("plausible: the name is longer than %d bytes", maxName)
	}
	return n, nil
}

// address is where it happened. A URL that is too long loses its query; a screen gets an address.
func address(e *sidetrack.Event) (string, error) {
	a := e.Page.URL
	if a == "" && e.App.Screen != "" {
		host := strings.ToLower(strings.ReplaceAll(e.App.Name, " ", "-"))
		if host == "" {
			host = "app"
		}
		a = (&url.URL{Scheme: "app", Host: text.Clean(host, 100), Path: "/" + e.App.Screen}).String()
	}
	if len(a) > maxURL {
		a, _, _ = strings.Cut(a, "?")
	}
	u, err := url.Parse(a)
	switch {
	case a == "":
		return "", errors.New("plausible: no address of a page, and no screen")
	case err != nil || u.Host == "":
		return "", errors.New("plausible: the page's address is no absolute URL")
	case len(a) > maxURL:
		return "", fmt.Errorf("plausible: the page's address is longer than %d bytes", maxURL)
	}
	return a, nil
}

// props are single values as text, in the order of their names as far as there is room.
func (cfg *Config) props(e *sidetrack.Event) map[string]string {
	names := cfg.Props
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(e.Params))
	}
	out := map[string]string{}
	for _, k := range names {
		if k == "non_interaction" || len(k) > maxKey || len(out) == maxProps {
			continue
		}
		if v := scalar(e.Params[k]); v != "" {
			out[text.Clean(k, maxKey)] = v
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return text.Clean(v, maxValue)
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		if v-v == 0 { // neither infinite nor NaN
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	return ""
}

// shop adds what fits of an order: Plausible has no products.
func shop(h *hit, c *sidetrack.Ecommerce) {
	set := func(k, v string) {
		if v == "" || len(h.Props) >= maxProps {
			return
		}
		if h.Props == nil {
			h.Props = map[string]string{}
		}
		if _, taken := h.Props[k]; !taken {
			h.Props[k] = text.Clean(v, maxValue)
		}
	}
	set("transaction_id", c.TransactionID)
	set("coupon", c.Coupon)
	set("item_list_name", c.ListName)
	set("promotion_name", c.Promotion.Name)
	if len(c.Items) > 0 {
		ids := make([]string, len(c.Items))
		for i := range c.Items {
			if ids[i] = c.Items[i].ID; ids[i] == "" {
				ids[i] = c.Items[i].Name
			}
		}
		set("items", strings.Join(ids, ","))
		set("item_count", strconv.Itoa(len(c.Items)))
	}
}

// engagement needs how long or how far; without either Plausible refuses it.
func engagement(h *hit, e *sidetrack.Event) error {
	h.Props = nil
	if ms := e.Visitor.Engagement.Milliseconds(); ms > 0 {
		ms = min(ms, 30*24*time.Hour.Milliseconds()-1)
		h.Engaged = &ms
	}
	if d, ok := e.Params["scroll_depth"].(int64); ok && d >= 0 {
		d = min(d, 100)
		h.Scroll = &d
	}
	if h.Engaged == nil && h.Scroll == nil {
		return errors.New("plausible: engagement without a time and without a scroll depth")
	}
	return nil
}
