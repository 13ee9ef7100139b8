package processors

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
	"github.com/sidetrack-go/sidetrack/internal/visitor"
)

// VisitorConfig is the configuration of the visitor processor.
type VisitorConfig struct {
	// Secret signs the visitor cookie. Without it the cookie is not read.
	Secret sidetrack.Secret `yaml:"secret"`
	// OldSecrets are earlier ones, whose cookies are still believed.
	OldSecrets []sidetrack.Secret `yaml:"old_secrets"`
	// Cookie is the name of the signed visitor cookie.
	Cookie string `yaml:"cookie"`
	// Google reads Google's own cookies _ga and _ga_<stream> where there are any.
	Google bool `yaml:"google"`
	// Cookieless says what a visitor gets who has no id: daily, an id that is a hash under a random key, which is
	// deleted when its UTC day ends; derived, the same with keys made from the secret, which many machines
	// can share but which never are gone; or off, none.
	Cookieless string `yaml:"cookieless" enum:"daily,derived,off"`
	// KeyDir keeps the key of the day, so that daily ids outlive a restart and processes on one machine
	// agree. Empty: in memory alone.
	KeyDir string `yaml:"key_dir"`
	// SessionTimeout ends a session after this long without an event.
	SessionTimeout time.Duration `yaml:"session_timeout"`
	// Sessions is how many visitors' sessions are remembered, the longest unseen being forgotten first.
	Sessions int `yaml:"sessions"`
}

// VisitorDefaults is what the configuration holds before it is decoded.
func VisitorDefaults() VisitorConfig {
	return VisitorConfig{Cookie: "sidetrack", Google: true, Cookieless: "daily", SessionTimeout: 30 * time.Minute, Sessions: 100_000}
}

// NewVisitor makes the processor that says which visitor and session an event belongs to. The
// client id is the event's own, else that of the signed cookie, else Google's; these need
// analytics_storage to be granted. Else it is a daily hash, or none. Sessions are counted in this process; what a script told about the screen
// is known to the other events of its session. Intake only.
func NewVisitor(cfg VisitorConfig) (sidetrack.Processor, error) {
	daily, err := newDaily(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.SessionTimeout <= 0 {
		return nil, &sidetrack.FieldError{Field: "session_timeout", Problem: "must be longer than nothing, such as 30m"}
	}
	sessions, err := lru.New[string, *session](cfg.Sessions)
	if err != nil {
		return nil, &sidetrack.FieldError{Field: "sessions", Problem: "must be at least 1"}
	}
	return &visitors{
		cfg:      cfg,
		jar:      visitor.NewJar(newSigner(cfg), cfg.Cookie, visitor.MaxAge),
		daily:    daily,
		sessions: sessions,
	}, nil
}

// newDaily returns nil where visitors without an id get none.
func newDaily(cfg VisitorConfig) (*visitor.Daily, error) {
	switch {
	case cfg.KeyDir != "" && cfg.Cookieless != "daily":
		return nil, &sidetrack.FieldError{Field: "key_dir", Problem: "is of use with cookieless: daily only"}
	case cfg.Cookieless == "off":
		return nil, nil
	case cfg.Cookieless == "daily" && cfg.KeyDir != "":
		daily, err := visitor.NewStoredDaily(cfg.KeyDir)
		if err != nil {
			return nil, &sidetrack.FieldError{Field: "key_dir", Problem: err.Error()}
		}
		return daily, nil
	case cfg.Cookieless == "daily":
		return visitor.NewDaily(), nil
	case cfg.Cookieless == "derived" && cfg.Secret.IsZero():
		return nil, &sidetrack.FieldError{Field: "cookieless", Problem: "is derived and needs a secret"}
	case cfg.Cookieless == "derived":
		return visitor.NewDerivedDaily(cfg.Secret.Reveal()), nil
	}
	return nil, &sidetrack.FieldError{Field: "cookieless", Problem: fmt.Sprintf("is %q: use daily, derived or off", cfg.Cookieless)}
}

func newSigner(cfg VisitorConfig) visitor.Signer {
	if cfg.Secret.IsZero() {
		return visitor.Signer{}
	}
	secrets := []string{cfg.Secret.Reveal()}
	for _, s := range cfg.OldSecrets {
		secrets = append(secrets, s.Reveal())
	}
	return visitor.NewSigner(secrets...)
}

type visitors struct {
	cfg   VisitorConfig
	jar   visitor.Jar
	daily *visitor.Daily

	mu       sync.Mutex
	sessions *lru.Cache[string, *session]
}

type session struct {
	began, last      time.Time
	number           int64
	screen, viewport string // what a script told once, for events of the server
	colors           int
}

func (p *visitors) Process(_ context.Context, e *sidetrack.Event) error {
	now := e.Received
	if now.IsZero() {
		now = time.Now()
	}
	v := &e.Visitor
	if e.Consent.Allows(sidetrack.AnalyticsStorage) {
		p.fromCookies(e, now)
	} else {
		// What is stored at the visitor's was not allowed to be read.
		v.ClientID, v.SessionID, v.SessionNumber, v.New, v.NewSession, v.Engagement = "", "", 0, false, false, 0
	}
	if v.ClientID == "" && p.daily != nil && e.Origin().IP().IsValid() {
		v.ClientID = p.daily.ClientID(e.Site, e.Origin().IP(), e.Device.UserAgent, now)
		v.Cookieless = true
	}
	if v.ClientID != "" {
		p.session(e, now)
	}
	return nil
}

func (p *visitors) fromCookies(e *sidetrack.Event, now time.Time) {
	v, o := &e.Visitor, e.Origin()
	if v.ClientID == "" && p.cfg.Cookie != "" {
		stored, _, ok := p.jar.Read(o.CookieValues, now)
		v.ClientID, v.New = stored.ClientID, v.New || ok && stored.Pending
	}
	if !p.cfg.Google {
		return
	}
	if v.ClientID == "" {
		v.ClientID, _ = gawire.ClientID(o.Cookie("_ga"))
	}
	if v.SessionID != "" {
		return
	}
	// A session that is over must not be taken up again: the event would open it anew.
	if s, ok := gawire.LatestSession(o.CookieNames(), o.Cookie); ok && s.Live(now) {
		v.SessionID, v.SessionNumber = s.ID, s.Number
	}
}

// session continues the visitor's session or begins one. What the event says itself stays.
func (p *visitors) session(e *sidetrack.Event, now time.Time) {
	v := &e.Visitor
	key := e.Site + "\x00" + v.ClientID
	p.mu.Lock()
	defer p.mu.Unlock()
	s, known := p.sessions.Get(key)
	fresh := !known || now.Sub(s.last) > p.cfg.SessionTimeout
	if fresh {
		n := int64(1)
		if known {
			n = s.number + 1
		}
		s = &session{began: now, last: now, number: n}
		p.sessions.Add(key, s)
	}
	if v.Engagement == 0 {
		v.Engagement = max(0, now.Sub(s.last)).Truncate(time.Millisecond)
	}
	if now.After(s.last) {
		s.last = now
	}
	s.device(&e.Device)
	if v.SessionID == "" {
		v.SessionID = strconv.FormatInt(s.began.Unix(), 10)
		v.NewSession = v.NewSession || fresh
		if v.SessionNumber == 0 {
			v.SessionNumber = s.number
		}
	}
}

// device remembers what only scripts know of the visitor's screen, and tells it to events that do not say it.
func (s *session) device(d *sidetrack.Device) {
	remember(&s.screen, &d.Screen)
	remember(&s.viewport, &d.Viewport)
	remember(&s.colors, &d.Colors)
}

func remember[T comparable](kept, said *T) {
	var nothing T
	if *said != nothing {
		*kept = *said
	} else {
		*said = *kept
	}
}
