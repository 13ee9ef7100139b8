package processors

import (
	"errors"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/consent"
	"github.com/sidetrack-go/sidetrack/internal/match"
	"github.com/sidetrack-go/sidetrack/internal/visitor"
	"github.com/sidetrack-go/sidetrack/processors/processortest"
)

// request makes an event whose origin has the address and header lines ("Name: value").
func request(ip string, lines ...string) *sidetrack.Event {
	h := http.Header{}
	for _, l := range lines {
		k, v, _ := strings.Cut(l, ": ")
		h.Add(k, v)
	}
	var addr netip.Addr
	if ip != "" {
		addr = netip.MustParseAddr(ip)
	}
	e := &sidetrack.Event{Name: "page_view", Received: time.Unix(1_700_000_000, 0)}
	e.SetOrigin(sidetrack.NewOrigin(addr, &http.Request{Header: h, Host: "shop.example"}))
	return e
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestContract(t *testing.T) {
	t.Run("consent", func(t *testing.T) {
		processortest.Run(t, func() (sidetrack.Processor, error) {
			return NewConsent(ConsentConfig{Unknown: "granted", GPC: "strict", DNT: "honour", Cookie: "consent", Readers: everyReader()})
		})
	})
	t.Run("exclude", func(t *testing.T) {
		processortest.Run(t, func() (sidetrack.Processor, error) {
			return NewExclude(ExcludeConfig{Matcher: match.Matcher{Paths: []string{"/x*"}, Hosts: []string{"*"}, IPRanges: []string{"203.0.113.0/24"}}})
		})
	})
	t.Run("anonymize_ip", func(t *testing.T) {
		processortest.Run(t, func() (sidetrack.Processor, error) { return NewAnonymizeIP(AnonymizeIPDefaults()) })
	})
	t.Run("prefetch", func(t *testing.T) {
		processortest.Run(t, func() (sidetrack.Processor, error) { return NewPrefetch(PrefetchConfig{}) })
	})
	t.Run("visitor", func(t *testing.T) {
		cfg := VisitorDefaults()
		cfg.Secret = sidetrack.NewSecret("x")
		processortest.Run(t, func() (sidetrack.Processor, error) { return NewVisitor(cfg) }, processortest.Stateful())
	})
}

// everyReader is all readers with their defaults.
func everyReader() consent.Readers {
	var all consent.Readers
	v := reflect.ValueOf(&all).Elem()
	for i := range v.NumField() {
		v.Field(i).Set(reflect.New(v.Field(i).Type().Elem()))
	}
	return all
}

func TestConsent(t *testing.T) {
	const a, ad = sidetrack.AnalyticsStorage, sidetrack.AdStorage
	for name, tt := range map[string]struct {
		cfg       ConsentConfig
		payload   sidetrack.Consent
		lines     []string
		analytics sidetrack.State
		ads       sidetrack.State
		how       string
	}{
		"nothing known":        {cfg: ConsentDefaults()},
		"opt-out region":       {cfg: ConsentConfig{Unknown: "granted", GPC: "honour"}, analytics: sidetrack.Granted, ads: sidetrack.Granted, how: "default"},
		"payload":              {cfg: ConsentDefaults(), payload: sidetrack.Grant("", a), analytics: sidetrack.Granted, how: "payload"},
		"gpc denies ads":       {cfg: ConsentDefaults(), payload: sidetrack.Grant("", a, ad), lines: []string{"Sec-Gpc: 1"}, analytics: sidetrack.Granted, ads: sidetrack.Denied, how: "payload+gpc"},
		"gpc 0 says nothing":   {cfg: ConsentDefaults(), payload: sidetrack.Grant("", ad), lines: []string{"Sec-Gpc: 0"}, ads: sidetrack.Granted, how: "payload"},
		"strict gpc":           {cfg: ConsentConfig{Unknown: "granted", GPC: "strict"}, lines: []string{"Sec-Gpc: 1"}, analytics: sidetrack.Denied, ads: sidetrack.Denied, how: "gpc+default"},
		"ignored gpc":          {cfg: ConsentConfig{Unknown: "denied", GPC: "ignore"}, payload: sidetrack.Grant("", ad), lines: []string{"Sec-Gpc: 1"}, ads: sidetrack.Granted, how: "payload"},
		"cookie for all":       {cfg: ConsentConfig{Unknown: "denied", GPC: "honour", Cookie: "c"}, lines: []string{"Cookie: c=granted"}, analytics: sidetrack.Granted, ads: sidetrack.Granted, how: "cookie"},
		"cookie as a list":     {cfg: ConsentConfig{Unknown: "denied", GPC: "honour", Cookie: "c"}, lines: []string{"Cookie: c=analytics_storage:granted,ad_storage:denied"}, analytics: sidetrack.Granted, ads: sidetrack.Denied, how: "cookie"},
		"cookie as JSON":       {cfg: ConsentConfig{Unknown: "denied", GPC: "honour", Cookie: "c"}, lines: []string{`Cookie: c={"analytics_storage":"granted"}`}, analytics: sidetrack.Granted, how: "cookie"},
		"cookie, encoded JSON": {cfg: ConsentConfig{Unknown: "denied", GPC: "honour", Cookie: "c"}, lines: []string{`Cookie: c=%7B%22ad_storage%22%3A%22denied%22%7D`}, ads: sidetrack.Denied, how: "cookie"},
		"denied wins":          {cfg: ConsentConfig{Unknown: "denied", GPC: "honour", Cookie: "c"}, payload: sidetrack.Grant("", a), lines: []string{"Cookie: c=denied"}, analytics: sidetrack.Denied, ads: sidetrack.Denied, how: "payload+cookie"},
		"broken cookie":        {cfg: ConsentConfig{Unknown: "denied", GPC: "honour", Cookie: "c"}, payload: sidetrack.Grant("", a), lines: []string{"Cookie: c={broken"}, analytics: sidetrack.Granted, how: "payload+cookie:unreadable"},
		"state nobody knows":   {cfg: ConsentConfig{Unknown: "denied", GPC: "honour", Cookie: "c"}, lines: []string{"Cookie: c=analytics_storage:yes"}, how: "cookie:unreadable"},
	} {
		t.Run(name, func(t *testing.T) {
			p := must[sidetrack.Processor](t)(NewConsent(tt.cfg))
			e := request("203.0.113.7", tt.lines...)
			e.Consent = tt.payload
			if err := p.Process(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if got := e.Consent; got.Get(a) != tt.analytics || got.Get(ad) != tt.ads || got.How != tt.how {
				t.Errorf("analytics %s, ads %s, how %q; want %s, %s, %q", got.Get(a), got.Get(ad), got.How, tt.analytics, tt.ads, tt.how)
			}
		})
	}
	for _, cfg := range []ConsentConfig{{}, {Unknown: "yes", GPC: "honour"}, {Unknown: "denied", GPC: "on"}} {
		if _, err := NewConsent(cfg); err == nil {
			t.Errorf("%+v accepted", cfg)
		}
	}
}

func TestOptedOutVisitorsAreNotCounted(t *testing.T) {
	p := must[sidetrack.Processor](t)(NewConsent(ConsentDefaults()))
	for line, want := range map[string]sidetrack.Reason{
		"Cookie: sidetrack_optout=1":                         sidetrack.ReasonOptOut,
		"Cookie: a=b; sidetrack_optout=; sidetrack_optout=1": sidetrack.ReasonOptOut,
		"Cookie: sidetrack_optout=":                          "",
		"Cookie: not_sidetrack_optout=1":                     "",
	} {
		e := request("203.0.113.7", line)
		e.Consent = sidetrack.GrantAll("test")
		if reason, _ := sidetrack.DropReason(p.Process(t.Context(), e)); reason != want {
			t.Errorf("%s: dropped for %q, want %q", line, reason, want)
		}
	}
}

func TestExclude(t *testing.T) {
	drop := must[sidetrack.Processor](t)(NewExclude(ExcludeConfig{Matcher: match.Matcher{IPRanges: []string{"192.0.2.0/24"}}}))
	if reason, _ := sidetrack.DropReason(drop.Process(t.Context(), request("192.0.2.1"))); reason != ReasonExcluded {
		t.Errorf("reason %q", reason)
	}
	if err := drop.Process(t.Context(), request("198.51.100.1")); err != nil {
		t.Error(err)
	}
	if n, ok := drop.(interface{ NeedsOrigin() bool }); !ok || !n.NeedsOrigin() {
		t.Error("a rule on addresses does not say that it needs the request")
	}
	mark := must[sidetrack.Processor](t)(NewExclude(ExcludeConfig{Name: "office", Test: true, Matcher: match.Matcher{IPRanges: []string{"192.0.2.0/24"}}}))
	e := request("192.0.2.1")
	if err := mark.Process(t.Context(), e); err != nil || len(e.Marks) != 1 || e.Marks[0] != "test:office" {
		t.Errorf("%v %v", err, e.Marks)
	}
	_, err := NewExclude(ExcludeConfig{})
	if fe, ok := errors.AsType[*sidetrack.FieldError](err); !ok || !strings.Contains(fe.Problem, "would match everything") {
		t.Errorf("empty rule: %v", err)
	}
}

func TestAnonymizeIP(t *testing.T) {
	for _, tt := range []struct {
		cfg          AnonymizeIPConfig
		ip, was, out string
	}{
		{AnonymizeIPDefaults(), "203.0.113.77", "", "203.0.113.0"},
		{AnonymizeIPDefaults(), "::ffff:203.0.113.77", "", "203.0.113.0"},
		{AnonymizeIPDefaults(), "2001:db8:1:2::3%eth0", "", "2001:db8:1::"},
		{AnonymizeIPDefaults(), "2002:cb00:714d::1", "", "2002:cb00:7100::"},
		{AnonymizeIPDefaults(), "203.0.113.77", "198.51.100.9", "203.0.113.0"},
		{AnonymizeIPDefaults(), "", "198.51.100.9", "198.51.100.0"},
		{AnonymizeIPDefaults(), "", "198.51.100.9, 10.0.0.1", ""},
		{AnonymizeIPDefaults(), "", "", ""},
		{AnonymizeIPConfig{V4: 32, V6: 128}, "203.0.113.77", "", "203.0.113.77"},
		{AnonymizeIPConfig{V4: 32, V6: 128, Remove: true}, "203.0.113.77", "198.51.100.9", ""},
	} {
		p := must[sidetrack.Processor](t)(NewAnonymizeIP(tt.cfg))
		e := request(tt.ip)
		e.Network.IP = tt.was
		if err := p.Process(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if e.Network.IP != tt.out {
			t.Errorf("%+v: %q, want %q", tt, e.Network.IP, tt.out)
		}
	}
	for _, cfg := range []AnonymizeIPConfig{{V4: 33}, {V4: -1}, {V6: 129}} {
		if _, err := NewAnonymizeIP(cfg); err == nil {
			t.Errorf("%+v accepted", cfg)
		}
	}
}

func TestPrefetch(t *testing.T) {
	p := must[sidetrack.Processor](t)(NewPrefetch(PrefetchConfig{}))
	for _, line := range []string{"Sec-Purpose: prefetch;prerender", "Purpose: prefetch", "X-Moz: prefetch", "X-Purpose: preview"} {
		if reason, _ := sidetrack.DropReason(p.Process(t.Context(), request("", line))); reason != ReasonPrefetch {
			t.Errorf("%s: %q", line, reason)
		}
	}
	if err := p.Process(t.Context(), request("", "Sec-Fetch-Mode: navigate")); err != nil {
		t.Error(err)
	}
}

func TestVisitorIdentity(t *testing.T) {
	const secret = "s"
	cfg := VisitorDefaults()
	cfg.Secret = sidetrack.NewSecret(secret)
	signed := visitor.NewSigner(secret).Sign(visitor.Stored{ClientID: "11.22", Issued: time.Unix(1_690_000_000, 0)})
	for name, tt := range map[string]struct {
		granted    bool
		own        string
		lines      []string
		id         string // "" none, "daily" a hash
		cookieless string
		session    string
	}{
		"event's own":            {granted: true, own: "1.2", lines: []string{"Cookie: _ga=GA1.1.3.4"}, id: "1.2", session: "1700000000"},
		"signed cookie":          {granted: true, lines: []string{"Cookie: sidetrack=" + signed + "; _ga=GA1.1.3.4"}, id: "11.22", session: "1700000000"},
		"forged cookie":          {granted: true, lines: []string{"Cookie: sidetrack=v1.11.22.1690000000.AAAA; _ga=GA1.1.3.4"}, id: "3.4", session: "1700000000"},
		"google's cookies":       {granted: true, lines: []string{"Cookie: _ga=GA1.1.3.4; _ga_ABC=GS2.1.s1699999000$o7$g1"}, id: "3.4", session: "1699999000"},
		"google's latest":        {granted: true, lines: []string{"Cookie: _ga=GA1.1.3.4; _ga_A=GS1.1.1699990000.2.0.1699990010.0.0.0; _ga_B=GS2.1.s1699999500$t1699999900$o7"}, id: "3.4", session: "1699999500"},
		"google's is over":       {granted: true, lines: []string{"Cookie: _ga=GA1.1.3.4; _ga_A=GS1.1.1699990000.2.0.1699990010.0.0.0"}, id: "3.4", session: "1700000000"},
		"google's are broken":    {granted: true, lines: []string{"Cookie: _ga=GA1.1; _ga_A=GS1; _ga_B=GS9.1.s1"}, id: "daily", session: "1700000000"},
		"no consent, no cookies": {own: "1.2", lines: []string{"Cookie: sidetrack=" + signed + "; _ga=GA1.1.3.4"}, id: "daily", session: "1700000000"},
		"no cookies":             {granted: true, id: "daily", session: "1700000000"},
		"nobody, cookieless off": {granted: true, cookieless: "off"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := cfg
			if tt.cookieless != "" {
				cfg.Cookieless = tt.cookieless
			}
			p := must[sidetrack.Processor](t)(NewVisitor(cfg))
			e := request("203.0.113.7", tt.lines...)
			e.Visitor.ClientID = tt.own
			if tt.granted {
				e.Consent = sidetrack.GrantAll("test")
			}
			if err := p.Process(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			v := e.Visitor
			switch {
			case tt.id == "daily":
				if !v.Cookieless || !visitor.ValidClientID(v.ClientID) {
					t.Errorf("%+v", v)
				}
			case v.ClientID != tt.id || v.Cookieless:
				t.Errorf("%+v, want client %q", v, tt.id)
			}
			if v.SessionID != tt.session {
				t.Errorf("session %q, want %q", v.SessionID, tt.session)
			}
		})
	}
}

// TestVisitorScreen tells events of the server what a script said about the screen in the same session.
func TestVisitorScreen(t *testing.T) {
	p := must[sidetrack.Processor](t)(NewVisitor(VisitorDefaults()))
	at := time.Unix(1_700_000_000, 0)
	step := func(after time.Duration, client, screen string) sidetrack.Device {
		at = at.Add(after)
		e := request("203.0.113.7")
		e.Received, e.Consent, e.Visitor.ClientID, e.Device.Screen = at, sidetrack.GrantAll("test"), client, screen
		if screen != "" {
			e.Device.Viewport, e.Device.Colors = "800x600", 24
		}
		if err := p.Process(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		return e.Device
	}
	if d := step(0, "1.2", ""); d.Screen != "" {
		t.Errorf("before: %+v", d)
	}
	step(time.Second, "1.2", "1920x1080")
	if d := step(time.Second, "1.2", ""); d.Screen != "1920x1080" || d.Viewport != "800x600" || d.Colors != 24 {
		t.Errorf("after: %+v", d)
	}
	if d := step(time.Second, "3.4", ""); d.Screen != "" {
		t.Errorf("another visitor: %+v", d)
	}
	if d := step(time.Hour, "1.2", ""); d.Screen != "" {
		t.Errorf("another session: %+v", d)
	}
}

func TestVisitorConfig(t *testing.T) {
	secret := sidetrack.NewSecret("s")
	for problem, cfg := range map[string]VisitorConfig{
		"cookieless: is \"weekly\"": {Cookieless: "weekly", SessionTimeout: 1, Sessions: 1},
		"needs a secret":            {Cookieless: "derived", SessionTimeout: 1, Sessions: 1},
		"key_dir: is of use":        {Cookieless: "derived", Secret: secret, KeyDir: "x", SessionTimeout: 1, Sessions: 1},
		"key_dir: visitor: keys":    {Cookieless: "daily", KeyDir: "/dev/null/x", SessionTimeout: 1, Sessions: 1},
	} {
		if _, err := NewVisitor(cfg); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%v, want %q", err, problem)
		}
	}
}

// TestVisitorOldSecret believes what an earlier secret signed, and no cookie of before 13 months.
func TestVisitorOldSecret(t *testing.T) {
	cfg := VisitorDefaults()
	cfg.Secret, cfg.OldSecrets = sidetrack.NewSecret("new"), []sidetrack.Secret{sidetrack.NewSecret("old")}
	p := must[sidetrack.Processor](t)(NewVisitor(cfg))
	for name, tt := range map[string]struct {
		issued time.Time
		known  bool
	}{"recent": {time.Unix(1_690_000_000, 0), true}, "too old": {time.Unix(1_660_000_000, 0), false}} {
		e := request("203.0.113.7", "Cookie: __Host-sidetrack="+visitor.NewSigner("old").Sign(visitor.Stored{ClientID: "11.22", Issued: tt.issued}))
		e.Consent = sidetrack.GrantAll("test")
		if err := p.Process(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if got := e.Visitor.ClientID == "11.22"; got != tt.known {
			t.Errorf("%s: %+v", name, e.Visitor)
		}
	}
}

func TestVisitorSessions(t *testing.T) {
	p := must[sidetrack.Processor](t)(NewVisitor(VisitorDefaults()))
	at := time.Unix(1_700_000_000, 0)
	step := func(after time.Duration, client string) sidetrack.Visitor {
		at = at.Add(after)
		e := request("203.0.113.7")
		e.Received, e.Consent, e.Visitor.ClientID = at, sidetrack.GrantAll("test"), client
		if err := p.Process(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		return e.Visitor
	}
	first := step(0, "1.2")
	if !first.NewSession || first.SessionNumber != 1 || first.SessionID != "1700000000" || first.Engagement != 0 {
		t.Errorf("first %+v", first)
	}
	if v := step(90*time.Second, "1.2"); v.NewSession || v.SessionID != first.SessionID || v.Engagement != 90*time.Second {
		t.Errorf("second %+v", v)
	}
	if v := step(time.Second, "3.4"); !v.NewSession || v.SessionID != "1700000091" {
		t.Errorf("another visitor %+v", v)
	}
	if v := step(30*time.Minute, "1.2"); !v.NewSession || v.SessionNumber != 2 || v.SessionID == first.SessionID || v.Engagement != 0 {
		t.Errorf("after the timeout %+v", v)
	}
}
