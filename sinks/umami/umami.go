// Package umami delivers events to Umami, one a request.
//
// Facts of the protocol are from Umami's reference (umami.is/docs/api/sending-stats) and the source of its endpoint /api/send. Umami answers 200
// also to what it takes for a bot and drops; the body tells the difference.
package umami

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/flat"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// Config is the configuration of the umami sink.
type Config struct {
	// Website is the website's id at Umami, a UUID.
	Website string `yaml:"website"`
	// Endpoint is where your Umami is, such as https://stats.shop.example; with a path where /api/send has another name.
	Endpoint string `yaml:"endpoint"`
	// Tag is put on all events, to compare variants of a site.
	Tag string `yaml:"tag"`
}

// Limits: the schema of the endpoint, in bytes here, in characters there.
const (
	maxHost     = 100
	maxLanguage = 35
	maxScreen   = 11
	maxName     = 50
	maxTag      = 50
	maxID       = 50
)

// RuleTooLong is the rule of notes on values that are cut to what Umami takes.
const RuleTooLong sidetrack.Reason = "value_too_long"

// New makes the sink. It needs analytics_storage.
func New(cfg Config) (*sidetrack.Sink, error) {
	u, err := url.Parse(cfg.Endpoint)
	id, idErr := uuid.Parse(cfg.Website)
	switch {
	case idErr != nil || len(cfg.Website) != 36:
		return nil, &sidetrack.FieldError{Field: "website", Problem: "must be the website's id at Umami, a UUID"}
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil:
		return nil, &sidetrack.FieldError{Field: "endpoint", Problem: "must be an absolute http or https URL: where your Umami is"}
	case len(cfg.Tag) > maxTag:
		return nil, &sidetrack.FieldError{Field: "tag", Problem: fmt.Sprintf("is longer than %d bytes", maxTag)}
	}
	cfg.Website = id.String()
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/api/send"
	}
	cfg.Endpoint = u.String()
	return sidetrack.HTTPSink(sidetrack.Each(cfg.request), sidetrack.Classify(classify)), nil
}

// classify finds out what became of an event that was answered 200, and whether a refusal is the event's or the website's.
func classify(u sidetrack.Unit, r *sidetrack.Response) error {
	var answer struct {
		Beep  string `json:"beep"`
		Error struct {
			Message string `json:"message"`
			Code    string `json:"code"`
		} `json:"error"`
	}
	_ = json.Unmarshal(r.Body, &answer) // other bodies have no such fields
	switch {
	case r.Status == http.StatusOK && answer.Beep != "":
		return sidetrack.Permanent(errors.New("umami: dropped: taken for a bot by its user agent"))
	case r.Status == http.StatusForbidden && answer.Error.Code == "forbidden":
		return sidetrack.Permanent(errors.New("umami: dropped: Umami blocks the visitor's address"))
	case r.Status == http.StatusBadRequest && strings.HasPrefix(answer.Error.Message, "Website not found"):
		return sidetrack.Misconfiguration(errors.New("umami: Umami knows no website of that id"))
	}
	return sidetrack.DefaultClassify(u, r)
}

// hit is the payload of an event.
type hit struct {
	Website   string          `json:"website"`
	Hostname  string          `json:"hostname,omitempty"`
	URL       string          `json:"url,omitempty"`
	Referrer  string          `json:"referrer,omitempty"`
	Title     string          `json:"title,omitempty"`
	Language  string          `json:"language,omitempty"`
	Screen    string          `json:"screen,omitempty"`
	Name      string          `json:"name,omitempty"`
	Data      flat.Properties `json:"data,omitempty"`
	Tag       string          `json:"tag,omitempty"`
	ID        string          `json:"id,omitempty"`
	IP        string          `json:"ip,omitempty"`
	UserAgent string          `json:"userAgent,omitempty"`
	Timestamp int64           `json:"timestamp,omitempty"` // seconds
}

func (cfg *Config) request(e *sidetrack.Event) (*sidetrack.Request, error) {
	h := hit{
		Website: cfg.Website, Tag: cfg.Tag, Title: flat.Clean(e.Page.Title), Language: text.Clean(e.Device.Language, maxLanguage), UserAgent: flat.Clean(e.Device.UserAgent),
		ID: flat.Clean(e.Visitor.UserID),
	}
	if h.ID == "" {
		h.ID = flat.Clean(e.Visitor.ClientID)
	}
	if ip, err := netip.ParseAddr(e.Network.IP); err == nil {
		h.IP = ip.WithZone("").String()
	}
	switch y := e.Time.Year(); {
	case h.ID == "" && h.IP == "":
		return nil, errors.New("umami: neither a user id, nor a client id, nor an address: this server would be the visitor")
	case len(h.ID) > maxID:
		return nil, fmt.Errorf("umami: the visitor's id is longer than %d bytes, which Umami would cut", maxID)
	case e.Time.IsZero():
	case y < 1970 || y > 9998:
		return nil, fmt.Errorf("umami: the year %d is none", y)
	default:
		h.Timestamp = e.Time.Unix()
	}
	if s := e.Device.Screen; len(s) <= maxScreen {
		if _, _, ok := flat.Size(s); ok {
			h.Screen = s
		}
	}
	if u, err := url.Parse(flat.Clean(e.Page.Referrer)); err == nil && isHost(u.Hostname()) {
		h.Referrer = u.String()
	}
	h.place(e)
	var notes []sidetrack.Note
	switch e.Name {
	case sidetrack.PageView, sidetrack.ScreenView:
		if h.URL == "" {
			return nil, errors.New("umami: a page view without an address or a screen")
		}
	default:
		h.Name, h.Data = text.Clean(e.Name, maxName), flat.Properties{}
		if h.Name == "" {
			return nil, errors.New("umami: an event without a name")
		}
		if len(text.Clean(e.Name, len(e.Name))) > maxName {
			notes = append(notes, sidetrack.Note{Rule: RuleTooLong, Field: "name", Text: fmt.Sprintf("is longer than %d bytes: cut", maxName)})
		}
		h.Data.Shop(e.Ecommerce)
		h.Data.Special(e)
		h.Data.Add(e.Params, nil)
	}
	r, err := sidetrack.PostJSON(cfg.Endpoint, struct {
		Type    string `json:"type"`
		Payload *hit   `json:"payload"`
	}{"event", &h})
	if err != nil {
		return nil, fmt.Errorf("umami: %w", err)
	}
	r.Notes = notes
	return r, nil
}

// place says where: host and path of the page, or an app and its screen.
func (h *hit) place(e *sidetrack.Event) {
	u, err := url.Parse(flat.Clean(e.Page.URL))
	switch {
	case err == nil && isHost(u.Hostname()):
		h.Hostname, h.URL = u.Hostname(), "/"+strings.TrimLeft(u.RequestURI(), "/")
	case e.App.Screen != "":
		if name := strings.ToLower(strings.ReplaceAll(flat.Clean(e.App.Name), " ", "-")); isHost(name) {
			h.Hostname = name
		}
		h.URL = (&url.URL{Path: "/" + strings.TrimLeft(flat.Clean(e.App.Screen), "/")}).String()
	}
}

var labels = regexp.MustCompile(`^[\pL\pN_-]+(\.[\pL\pN_-]+)*\.?$`)

// isHost reports whether Umami can read the name of a host. At others it fails like at a broken database, and the event would be repeated.
func isHost(s string) bool {
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Is4()
	}
	last := s[strings.LastIndexByte(strings.TrimSuffix(s, "."), '.')+1:]
	return len(s) <= maxHost && labels.MatchString(s) && !strings.Contains(s, "xn--") && !unicode.IsDigit(rune(last[0]))
}
