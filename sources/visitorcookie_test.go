package sources

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/visitor"
)

// browser is a visitor's browser as far as cookies go.
type browser struct {
	t       *testing.T
	cookie  *VisitorCookie
	consent sidetrack.State
	target  string
	jar     map[string]string
}

func newBrowser(t *testing.T, c *VisitorCookie) *browser {
	return &browser{t: t, cookie: c, target: "https://shop.example/", jar: map[string]string{}}
}

// get asks for a page and returns the visitor of its event and the cookies that were set.
func (b *browser) get(edit func(*http.Request), handler http.HandlerFunc) (sidetrack.Visitor, []*http.Cookie) {
	b.t.Helper()
	f := &fake{}
	consent := func(*http.Request) (c sidetrack.Consent) {
		c.Set(sidetrack.AnalyticsStorage, b.consent)
		return c
	}
	r := request("GET", b.target)
	for _, name := range slices.Sorted(maps.Keys(b.jar)) {
		r.AddCookie(&http.Cookie{Name: name, Value: b.jar[name]})
	}
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	Middleware(f, WithLogger(quiet()), WithRules(Rules{AnyStatus: true, AnyType: true, AnyMethod: true, Scripts: true}), WithConsent(consent), WithVisitorCookie(b.cookie))(handler).ServeHTTP(w, r)
	set := w.Result().Cookies()
	for _, c := range set {
		if c.MaxAge < 0 {
			delete(b.jar, c.Name)
		} else {
			b.jar[c.Name] = c.Value
		}
	}
	return f.one(b.t).Visitor, set
}

func cookieOf(secret string) *VisitorCookie {
	return &VisitorCookie{Secret: sidetrack.NewSecret(secret)}
}

// TestVisitorLife is a visitor's way: no decision, agreed, coming back, withdrawn.
func TestVisitorLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrowser(t, cookieOf("s"))
		v, set := b.get(nil, page)
		if v.ClientID != "" || len(set) != 1 || set[0].MaxAge != 0 || !set[0].Expires.IsZero() {
			t.Fatalf("before the decision: %+v %+v, want a session cookie that no event carries", v, set)
		}
		pending := b.jar["__Host-sidetrack"]
		if _, set = b.get(nil, page); len(set) != 0 {
			t.Errorf("set again before the decision: %+v", set)
		}

		time.Sleep(time.Hour)
		b.consent = sidetrack.Granted
		first, set := b.get(nil, page)
		if len(set) != 1 || !first.New || set[0].Name != "__Host-sidetrack" || !set[0].HttpOnly || !set[0].Secure || set[0].SameSite != http.SameSiteLaxMode || set[0].Path != "/" || set[0].Domain != "" {
			t.Fatalf("agreed: %+v %+v", first, set)
		}
		if !strings.Contains(pending, first.ClientID) || !visitor.ValidClientID(first.ClientID) {
			t.Errorf("agreed: the id %q is not the one of the session cookie %q", first.ClientID, pending)
		}
		if want := 395*86400 - 3600; set[0].MaxAge != want {
			t.Errorf("agreed: lasts %d s, want %d: from the day the id was made", set[0].MaxAge, want)
		}
		for range 3 { // coming back prolongs nothing
			time.Sleep(100 * 24 * time.Hour)
			if v, set := b.get(nil, page); v.ClientID != first.ClientID || v.New || len(set) != 0 {
				t.Errorf("coming back: %+v %+v", v, set)
			}
		}
		time.Sleep(100 * 24 * time.Hour) // a browser that kept it beyond 13 months
		again, set := b.get(nil, page)
		if again.ClientID == first.ClientID || !again.New || len(set) != 1 || set[0].MaxAge != 395*86400 {
			t.Errorf("after 13 months: %+v %+v", again, set)
		}

		b.consent = sidetrack.Denied
		v, set = b.get(nil, page)
		if v != (sidetrack.Visitor{}) || len(set) != 1 || set[0].MaxAge != -1 || !set[0].Secure || len(b.jar) != 0 {
			t.Errorf("withdrawn: %+v %+v", v, set)
		}
		if v, set = b.get(nil, page); v != (sidetrack.Visitor{}) || len(set) != 0 {
			t.Errorf("still denied: %+v %+v", v, set)
		}
	})
}

func TestVisitorCookieForms(t *testing.T) {
	granted := func(c *VisitorCookie) *browser {
		b := newBrowser(t, c)
		b.consent = sidetrack.Granted
		return b
	}
	b := granted(cookieOf("s"))
	b.target = "http://shop.example/"
	if _, set := b.get(nil, page); len(set) != 1 || set[0].Name != "sidetrack" || set[0].Secure {
		t.Errorf("plain http: %+v", set)
	}
	b.target = "https://shop.example/" // the site moves to https
	if v, set := b.get(nil, page); len(set) != 1 || set[0].Name != "__Host-sidetrack" || v.New {
		t.Errorf("moved to https: %+v", set)
	}
	b = granted(&VisitorCookie{Secret: sidetrack.NewSecret("s"), Domain: "shop.example", Secure: true, Name: "id", MaxAge: 30 * 24 * time.Hour})
	b.target = "http://shop.example/"
	if _, set := b.get(nil, page); len(set) != 1 || set[0].Name != "__Secure-id" || set[0].Domain != "shop.example" || !set[0].Secure || set[0].MaxAge != 30*86400 {
		t.Errorf("for subdomains, https at a proxy: %+v", set)
	}
	b.consent = sidetrack.Denied
	if _, set := b.get(nil, page); len(set) != 2 || set[1].Domain != "shop.example" || set[0].Domain != "" {
		t.Errorf("for subdomains, withdrawn: %+v", set)
	}
	b = granted(&VisitorCookie{Secret: sidetrack.NewSecret("s"), MaxAge: 10_000 * time.Hour * 24})
	if _, set := b.get(nil, page); set[0].MaxAge != 395*86400 {
		t.Errorf("too long an age is not cut: %+v", set)
	}
	b = newBrowser(t, &VisitorCookie{Secret: sidetrack.NewSecret("s"), NothingBeforeConsent: true})
	if _, set := b.get(nil, page); len(set) != 0 {
		t.Errorf("before consent although nothing is wanted: %+v", set)
	}
	if v, set := granted(&VisitorCookie{}).get(nil, page); v.ClientID != "" || len(set) != 0 {
		t.Errorf("without a secret: %+v %+v", v, set)
	}
}

func TestVisitorKeyRotation(t *testing.T) {
	b := newBrowser(t, cookieOf("old"))
	b.consent = sidetrack.Granted
	first, _ := b.get(nil, page)
	old := b.jar["__Host-sidetrack"]
	b.cookie = &VisitorCookie{Secret: sidetrack.NewSecret("new"), OldSecrets: []sidetrack.Secret{sidetrack.NewSecret("old")}}
	v, set := b.get(nil, page)
	if v.ClientID != first.ClientID || v.New || len(set) != 1 || set[0].Value == old {
		t.Errorf("signed by the old key: %+v %+v", v, set)
	}
	if v, set = b.get(nil, page); v.ClientID != first.ClientID || len(set) != 0 {
		t.Errorf("signed anew: %+v %+v", v, set)
	}
	b.cookie = cookieOf("new") // the old one is retired
	if v, _ = b.get(nil, page); v.ClientID != first.ClientID {
		t.Errorf("after the old key is gone: %+v", v)
	}
	b.jar["__Host-sidetrack"] = old
	if v, set = b.get(nil, page); v.ClientID == first.ClientID || len(set) != 1 {
		t.Errorf("a cookie of the retired key: %+v", v)
	}
}

// TestVisitorBadCookies sends what somebody made up, cut, repeated or blew up.
func TestVisitorBadCookies(t *testing.T) {
	c := cookieOf("s")
	b := newBrowser(t, c)
	b.consent = sidetrack.Granted
	first, _ := b.get(nil, page)
	good := b.jar["__Host-sidetrack"]
	signer := visitor.NewSigner("s")
	for name, value := range map[string]string{
		"empty":             "",
		"not signed":        "v1.1.2.1700000000",
		"forged id":         strings.Replace(good, first.ClientID, "1.2", 1),
		"forged date":       strings.Replace(good, "v1", "p1", 1),
		"other key":         visitor.NewSigner("x").Sign(visitor.Stored{ClientID: "1.2", Issued: time.Now()}),
		"truncated":         good[:len(good)-3],
		"prolonged":         good + "AAAA",
		"giant":             good + strings.Repeat("A", 1<<20),
		"dots":              strings.Repeat(".", 200),
		"from the future":   signer.Sign(visitor.Stored{ClientID: "1.2", Issued: time.Now().Add(48 * time.Hour)}),
		"from before 1970":  signer.Sign(visitor.Stored{ClientID: "1.2", Issued: time.Unix(-5, 0)}),
		"14 months old":     signer.Sign(visitor.Stored{ClientID: "1.2", Issued: time.Now().Add(-425 * 24 * time.Hour)}),
		"signed, no id":     signer.Sign(visitor.Stored{ClientID: "x", Issued: time.Now()}),
		"signed, long id":   signer.Sign(visitor.Stored{ClientID: strings.Repeat("1", 30) + ".1", Issued: time.Now()}),
		"quotes and spaces": `"v1 . \\`,
	} {
		v, set := b.get(func(r *http.Request) { r.Header.Set("Cookie", "__Host-sidetrack="+value) }, page)
		if v.ClientID == "" || v.ClientID == "1.2" || v.ClientID == first.ClientID || !v.New || len(set) != 1 {
			t.Errorf("%s: %+v %+v, want a new visitor and no word about it", name, v, set)
		}
	}
	// A good one among bad ones of the same name counts; a replayed one is the same visitor and nothing worse.
	v, set := b.get(func(r *http.Request) {
		r.Header.Set("Cookie", "__Host-sidetrack=x.y; sidetrack=z; __Host-sidetrack="+good)
	}, page)
	if v.ClientID != first.ClientID || len(set) != 0 {
		t.Errorf("good among bad: %+v %+v", v, set)
	}
	v, _ = b.get(func(r *http.Request) { r.Header.Set("Cookie", strings.Repeat("__Host-sidetrack=v1.1.2.3.x; ", 20_000)) }, page)
	if !v.New {
		t.Errorf("many: %+v", v)
	}
}

func TestVisitorAdoptsGoogle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(26 * 365 * 24 * time.Hour) // synctest begins in 2000
		now := time.Now()
		ga := func(age time.Duration) string {
			return "GA1.1.1234567890." + strconv.FormatInt(now.Add(-age).Unix(), 10)
		}
		adopting := func() *VisitorCookie {
			return &VisitorCookie{Secret: sidetrack.NewSecret("s"), AdoptGoogle: true}
		}
		for name, tt := range map[string]struct {
			cookie  *VisitorCookie
			state   sidetrack.State
			ga      string
			adopted bool
			age     int
		}{
			"allowed":       {adopting(), sidetrack.Granted, ga(100 * 24 * time.Hour), true, 295 * 86400},
			"not asked for": {cookieOf("s"), sidetrack.Granted, ga(time.Hour), false, 395 * 86400},
			"no decision":   {adopting(), sidetrack.Unknown, ga(time.Hour), false, 0},
			"denied":        {adopting(), sidetrack.Denied, ga(time.Hour), false, -2},
			"too old":       {adopting(), sidetrack.Granted, ga(400 * 24 * time.Hour), false, 395 * 86400},
			"from tomorrow": {adopting(), sidetrack.Granted, ga(-24 * time.Hour), false, 395 * 86400},
			"not google's":  {adopting(), sidetrack.Granted, "GA9.x.y", false, 395 * 86400},
		} {
			b := newBrowser(t, tt.cookie)
			b.consent, b.jar["_ga"] = tt.state, tt.ga
			v, set := b.get(nil, page)
			if got := strings.HasPrefix(v.ClientID, "1234567890."); got != tt.adopted || got && v.New {
				t.Errorf("%s: %+v", name, v)
			}
			age := -2
			if len(set) == 1 {
				age = set[0].MaxAge
			}
			if age != tt.age {
				t.Errorf("%s: lasts %d s, want %d: %+v", name, age, tt.age, set)
			}
		}
	})
}

// TestVisitorCookieOnPagesOnly has one row for each kind of answer that must not carry the cookie.
func TestVisitorCookieOnPagesOnly(t *testing.T) {
	with := func(headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Add(headers[i], headers[i+1])
			}
			page(w, r)
		}
	}
	header := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }
	for name, tt := range map[string]struct {
		edit    func(*http.Request)
		handler http.HandlerFunc
		sets    bool
	}{
		"page":               {nil, page, true},
		"type by content":    {nil, respond(0, "", "<!doctype html>"), true},
		"private":            {nil, with("Cache-Control", "private, max-age=600"), true},
		"no-store":           {nil, with("Cache-Control", "No-Store"), true},
		"no-cache, modified": {nil, with("Cache-Control", "no-cache", "Last-Modified", "x"), true},
		"max-age 0":          {nil, with("Cache-Control", "max-age=0, must-revalidate"), true},
		"answered to POST":   {func(r *http.Request) { r.Method = "POST" }, page, true},

		"public":               {nil, with("Cache-Control", "public"), false},
		"max-age":              {nil, with("Cache-Control", "Max-Age=600"), false},
		"s-maxage":             {nil, with("Cache-Control", "max-age=0", "Cache-Control", `s-maxage="60"`), false},
		"CDN":                  {nil, with("CDN-Cache-Control", "max-age=60"), false},
		"surrogate":            {nil, with("Surrogate-Control", "max-age=60"), false},
		"expires":              {nil, with("Expires", "Thu, 01 Dec 2094 16:00:00 GMT"), false},
		"modified, no word":    {nil, with("Last-Modified", "Thu, 01 Dec 1994 16:00:00 GMT"), false},
		"json":                 {nil, respond(0, "application/json", "{}"), false},
		"error page":           {nil, respond(500, "text/html", "x"), false},
		"redirect":             {nil, respond(302, "text/html", "x"), false},
		"not modified":         {nil, respond(304, "", ""), false},
		"fetch":                {header("Sec-Fetch-Dest", "empty"), page, false},
		"frame":                {header("Sec-Fetch-Dest", "iframe"), page, false},
		"prefetch":             {header("Sec-Purpose", "prefetch"), page, false},
		"header went out bare": {nil, respond(200, "", "<!doctype html>"), false},
	} {
		b := newBrowser(t, cookieOf("s"))
		b.consent = sidetrack.Granted
		func() {
			defer func() {
				if recover() != nil {
					t.Errorf("%s: panic", name)
				}
			}()
			if name == "prefetch" || name == "frame" { // no event, look at the cookie alone
				w := httptest.NewRecorder()
				r := request("GET", b.target)
				tt.edit(r)
				Middleware(&fake{}, WithVisitorCookie(b.cookie), WithConsent(func(*http.Request) sidetrack.Consent { return sidetrack.GrantAll("x") }))(tt.handler).ServeHTTP(w, r)
				if len(w.Result().Cookies()) != 0 {
					t.Errorf("%s: cookie set", name)
				}
				return
			}
			v, set := b.get(tt.edit, tt.handler)
			if (len(set) == 1) != tt.sets {
				t.Errorf("%s: %+v", name, set)
			}
			if (v.ClientID != "") != tt.sets {
				t.Errorf("%s: the event says %q, but the browser will not", name, v.ClientID)
			}
		}()
	}
}

// TestVisitorIDStays checks that an id which an event has got stays with the other events of the request.
func TestVisitorIDStays(t *testing.T) {
	f := &fake{}
	h := Middleware(f, WithLogger(quiet()), WithVisitorCookie(cookieOf("s")), WithConsent(func(*http.Request) sidetrack.Consent { return sidetrack.GrantAll("x") }))(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = sidetrack.FromContext(r.Context()).Event("x", nil)
			w.Header().Set("Cache-Control", "public")
			page(w, r)
		}))
	h.ServeHTTP(httptest.NewRecorder(), request("GET", "https://shop.example/"))
	events := f.all()
	if len(events) != 2 || events[0].Visitor.ClientID == "" || events[0].Visitor.ClientID != events[1].Visitor.ClientID {
		t.Errorf("%d events, visitors %+v", len(events), events)
	}
}
