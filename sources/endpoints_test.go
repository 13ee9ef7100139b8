package sources

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// ask sends a request to endpoints at /sidetrack of shop.example. Headers are "Name: value".
func ask(t *testing.T, h http.Handler, method, target, body string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "https://shop.example/sidetrack/"+target, strings.NewReader(body))
	r.RemoteAddr = sentinel + ":4711"
	for _, line := range headers {
		k, v, _ := strings.Cut(line, ": ")
		r.Header.Add(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestPing(t *testing.T) {
	const own = "Referer: https://shop.example/lamp?utm_source=n"
	for name, tt := range map[string]struct {
		query   string
		headers []string
		want    string // screen, viewport, colours and language; "-" no event
	}{
		"all":                 {"r=1920x1080&v=1280x720&c=24&l=de-AT", []string{own}, "1920x1080 1280x720 24 de-AT"},
		"nothing":             {"", []string{own}, "  0 "},
		"nonsense":            {"r=big&v=0x0&c=-1&l=%00", []string{own}, "  0 "},
		"too much":            {"r=99999999x1&v=1x2x3&c=1e9&l=" + strings.Repeat("a", 99), []string{own}, "  0 "},
		"no referrer":         {"r=1x1", nil, "-"},
		"of another site":     {"r=1x1", []string{"Referer: https://evil.example/"}, "-"},
		"of a host like ours": {"r=1x1", []string{"Referer: https://shop.example.evil.example/"}, "-"},
		"of the same site":    {"r=1x1", []string{"Referer: https://www.shop.example/"}, "1x1  0 "},
		"own visit":           {"r=1x1", []string{own, "Cookie: sidetrack_own=1"}, "-"},
		"opted out":           {"r=1x1", []string{own, "Cookie: sidetrack_optout=1"}, "-"},
	} {
		f := &fake{}
		h := Endpoints(f, EndpointsConfig{Hosts: []string{"*.shop.example"}}, WithLogger(quiet()))
		res := ask(t, h, "GET", "ping?"+tt.query, "", tt.headers...)
		if res.StatusCode != 204 || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: status %d, %v", name, res.StatusCode, res.Header)
		}
		got := "-"
		for _, e := range f.all() {
			d := e.Device
			got = fmt.Sprintf("%s %s %d %s", d.Screen, d.Viewport, d.Colors, d.Language)
			if e.Name != Ping || !strings.HasPrefix(e.Page.URL, "https://") || e.Page.Referrer != "" || e.Param("non_interaction") != true || e.Page.Route != "" {
				t.Errorf("%s: %+v %v", name, e.Page, e.Params)
			}
			if e.Origin().IP().String() != sentinel {
				t.Errorf("%s: origin %v", name, e.Origin().IP())
			}
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestScriptEvents(t *testing.T) {
	const own = "Sec-Fetch-Site: same-origin"
	event := func(name, url, more string) string {
		return fmt.Sprintf(`{"name":%q,"url":%q,"title":"A \u0000lamp","referrer":"https://shop.example/","engagement":1500.7,"screen":"1x2"%s}`, name, url, more)
	}
	page := event("page_view", "https://shop.example/lamp?utm_source=n#top", "")
	for name, tt := range map[string]struct {
		body    string
		headers []string
		status  int
		events  int
	}{
		"page view":            {page, []string{own}, 204, 1},
		"old browser, origin":  {page, []string{"Origin: https://shop.example"}, 204, 1},
		"old browser, referer": {page, []string{"Referer: https://shop.example/lamp"}, 204, 1},
		"another site":         {page, []string{"Sec-Fetch-Site: cross-site", "Origin: https://shop.example"}, 204, 0},
		"another origin":       {page, []string{"Origin: https://evil.example"}, 204, 0},
		"from nowhere":         {page, nil, 204, 0},
		"page of another site": {event("page_view", "https://evil.example/", ""), []string{own}, 204, 0},
		"page without a host":  {event("page_view", "javascript:alert(1)", ""), []string{own}, 204, 0},
		"engagement":           {event("engagement", "https://shop.example/lamp", ""), []string{own}, 204, 1},
		"own event":            {event("add_to_wishlist", "https://shop.example/lamp", ""), []string{own}, 204, 1},
		"event of nobody":      {event("purchase", "https://shop.example/lamp", ""), []string{own}, 400, 0},
		"no JSON":              {"x", []string{own}, 400, 0},
		"wrong type":           {`{"name":1}`, []string{own}, 400, 0},
		"not UTF-8":            {"{\"name\":\"page_view\",\"url\":\"https://shop.example/\xff\"}", []string{own}, 400, 0},
		"giant":                {event("page_view", "https://shop.example/"+strings.Repeat("x", 20_000), ""), []string{own}, 400, 0},
	} {
		f := &fake{}
		h := Endpoints(f, EndpointsConfig{Events: []string{"add_to_wishlist"}}, WithLogger(quiet()))
		if res := ask(t, h, "POST", "event", tt.body, tt.headers...); res.StatusCode != tt.status || len(f.all()) != tt.events {
			t.Errorf("%s: status %d, %d events", name, res.StatusCode, len(f.all()))
		}
		for _, e := range f.all() {
			if e.Page.Path != "/lamp" || strings.Contains(e.Page.URL, "#") || e.Page.Title != "A lamp" || e.Visitor.Engagement != 1500*time.Millisecond || e.Device.Screen != "1x2" || e.Page.Referrer != "https://shop.example/" {
				t.Errorf("%s: %+v %+v", name, e.Page, e.Visitor)
			}
		}
	}
	f := &fake{}
	h := Endpoints(f, EndpointsConfig{}, WithLogger(quiet()))
	params := `,"params":{"s":"a\u0001b","n":1.5,"b":true,"list":[1],"deep":{"a":1},"nil":null,"ip":"` + sentinel + `"}`
	ask(t, h, "POST", "event", event("click", "https://shop.example/", params), own)
	e := f.one(t)
	if got := fmt.Sprint(e.Params); got != "map[b:true n:1.5 s:ab]" {
		t.Errorf("parameters %s", got)
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf(`"p%d":1`, i))
	}
	f.events = nil
	ask(t, h, "POST", "event", event("click", "https://shop.example/", `,"params":{`+strings.Join(many, ",")+`}`), own)
	if n := len(f.one(t).Params); n != maxScriptParams {
		t.Errorf("%d parameters", n)
	}
}

// TestEndpointsVisitor checks that the visitor of pages and of the script are the same, and that
// the script alone makes one once there is consent.
func TestEndpointsVisitor(t *testing.T) {
	var state sidetrack.State
	opts := []Option{
		WithLogger(quiet()), WithVisitorCookie(cookieOf("s")),
		WithConsent(func(*http.Request) (c sidetrack.Consent) { c.Set(sidetrack.AnalyticsStorage, state); return c }),
	}
	f := &fake{}
	h := Endpoints(f, EndpointsConfig{}, opts...)
	body := `{"name":"page_view","url":"https://shop.example/"}`
	if res := ask(t, h, "POST", "event", body, "Sec-Fetch-Site: same-origin"); len(res.Cookies()) != 0 || f.one(t).Visitor.ClientID != "" {
		t.Errorf("before the decision: %v %+v", res.Cookies(), f.one(t).Visitor)
	}
	state, f.events = sidetrack.Granted, nil
	res := ask(t, h, "POST", "event", body, "Sec-Fetch-Site: same-origin")
	first := f.one(t).Visitor
	if len(res.Cookies()) != 1 || first.ClientID == "" || !first.New {
		t.Fatalf("agreed: %v %+v", res.Cookies(), first)
	}
	cookie := "Cookie: " + res.Cookies()[0].Name + "=" + res.Cookies()[0].Value
	f.events = nil
	if res = ask(t, h, "POST", "event", body, "Sec-Fetch-Site: same-origin", cookie); len(res.Cookies()) != 0 || f.one(t).Visitor.ClientID != first.ClientID {
		t.Errorf("again: %v %+v", res.Cookies(), f.one(t).Visitor)
	}
	state = sidetrack.Denied
	if res = ask(t, h, "POST", "event", body, "Sec-Fetch-Site: same-origin", cookie); len(res.Cookies()) != 1 || res.Cookies()[0].MaxAge != -1 {
		t.Errorf("withdrawn: %v", res.Cookies())
	}
}

func TestOwnVisitAndOptOut(t *testing.T) {
	c := cookieOf("s")
	h := Endpoints(&fake{}, EndpointsConfig{}, WithVisitorCookie(c), WithLogger(quiet()))
	const page, same = "Sec-Fetch-Dest: document", "Sec-Fetch-Site: same-origin"
	form := "Content-Type: application/x-www-form-urlencoded"
	for name, tt := range map[string]struct {
		method, target, body string
		headers              []string
		status               int
		cookies              string // name=max age, several by ' '
	}{
		"own visit":                 {"GET", "own-visit", "", []string{page}, 200, "sidetrack_own=34128000"},
		"own visit, off":            {"GET", "own-visit?off", "", []string{page}, 200, "sidetrack_own=-1"},
		"own visit by an image":     {"GET", "own-visit", "", []string{"Sec-Fetch-Dest: image"}, 403, ""},
		"own visit by a prefetch":   {"GET", "own-visit", "", []string{"Sec-Purpose: prefetch"}, 403, ""},
		"opt-out asks":              {"GET", "opt-out", "", []string{page}, 200, ""},
		"opt-out":                   {"POST", "opt-out", "opt=out", []string{page, same, form, "Cookie: __Host-sidetrack=x"}, 303, "sidetrack_optout=34128000 __Host-sidetrack=-1"},
		"opt-out by script":         {"POST", "opt-out", "opt=out", []string{same, form}, 204, "sidetrack_optout=34128000"},
		"opt in again":              {"POST", "opt-out", "opt=in", []string{same, form}, 204, "sidetrack_optout=-1"},
		"opt-out of another site":   {"POST", "opt-out", "opt=out", []string{"Sec-Fetch-Site: cross-site", form}, 403, ""},
		"opt-out without an answer": {"POST", "opt-out", "x=y", []string{same, form}, 400, ""},
		"wrong method":              {"PUT", "opt-out", "", nil, 405, ""},
		"event by GET":              {"GET", "event", "", nil, 405, ""},
		"no such endpoint":          {"GET", "x", "", nil, 404, ""},
		"no consent handler":        {"POST", "consent", "", nil, 404, ""},
	} {
		res := ask(t, h, tt.method, tt.target, tt.body, tt.headers...)
		var got []string
		for _, c := range res.Cookies() {
			got = append(got, fmt.Sprintf("%s=%d", c.Name, c.MaxAge))
			if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
				t.Errorf("%s: %+v", name, c)
			}
		}
		if s := strings.Join(got, " "); res.StatusCode != tt.status || s != tt.cookies {
			t.Errorf("%s: status %d, cookies %q, want %d, %q", name, res.StatusCode, s, tt.status, tt.cookies)
		}
	}
}

func TestEndpointPixel(t *testing.T) {
	f := &fake{}
	h := Endpoints(f, EndpointsConfig{}, WithLogger(quiet()))
	for target, want := range map[string]string{
		"pixel.gif?url=https://shop.example/a&title=T&client_id=1.2&user_id=u": "page_view https://shop.example/a T",
		"pixel.gif?url=https://evil.example/a":                                 "",
		"pixel.gif?name=%zz":                                                   "",
		"pixel.gif":                                                            "",
	} {
		f.events = nil
		res := ask(t, h, "GET", target, "")
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "image/gif" {
			t.Errorf("%s: %d %v", target, res.StatusCode, res.Header)
		}
		var got string
		for _, e := range f.all() {
			got = fmt.Sprintf("%s %s %s", e.Name, e.Page.URL, e.Page.Title)
			if e.Visitor != (sidetrack.Visitor{}) {
				t.Errorf("the pixel may say who the visitor is: %+v", e.Visitor)
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}

func TestEndpointConsent(t *testing.T) {
	h := Endpoints(&fake{}, EndpointsConfig{Consent: respond(204, "", "")}, WithLogger(quiet()))
	if res := ask(t, h, "POST", "consent", ""); res.StatusCode != 204 || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestScriptIsServed(t *testing.T) {
	h := Endpoints(&fake{}, EndpointsConfig{}, WithLogger(quiet()))
	res := ask(t, h, "GET", "s.js", "")
	var b, zipped bytes.Buffer
	_, _ = b.ReadFrom(res.Body)
	z, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	_, _ = z.Write(b.Bytes())
	_ = z.Close()
	t.Logf("script: %d bytes, %d gzipped", b.Len(), zipped.Len())
	if zipped.Len() >= 1500 || b.Len() < 1000 {
		t.Errorf("script: %d bytes, %d gzipped, want less than 1500", b.Len(), zipped.Len())
	}
	if s := b.String(); strings.Contains(s, "eval") || strings.Contains(s, "Storage") || strings.Contains(s, "innerHTML") {
		t.Error("the script evaluates, stores or writes markup")
	}
	if res.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || !strings.Contains(res.Header.Get("Cache-Control"), "max-age") {
		t.Errorf("%v", res.Header)
	}
	if res = ask(t, h, "GET", "s.js", "", "If-None-Match: "+res.Header.Get("ETag")); res.StatusCode != 304 {
		t.Errorf("same tag: %d", res.StatusCode)
	}
	tag := ScriptTag("/side&track/", `n"once`, map[string]string{"outbound": "", "consent": "server"})
	if want := `<script defer src="/side&amp;track/s.js" nonce="n&#34;once" data-consent="server" data-outbound=""></script>`; string(tag) != want {
		t.Errorf("tag %s, want %s", tag, want)
	}
}

// TestEndpointsBehindTheMiddleware mounts them where the middleware is used: they are no pages.
func TestEndpointsBehindTheMiddleware(t *testing.T) {
	f := &fake{}
	h := Middleware(f, WithRules(Rules{AnyType: true}), WithLogger(quiet()))(Endpoints(f, EndpointsConfig{}, WithLogger(quiet())))
	for _, target := range []string{"opt-out", "own-visit", "s.js", "pixel.gif"} {
		ask(t, h, "GET", target, "")
	}
	if n := len(f.all()); n != 0 {
		t.Errorf("%d page views of endpoints", n)
	}
}

func FuzzEndpoints(f *testing.F) {
	f.Add("ping?r=1x1", "", "https://shop.example/", "sidetrack_own=1")
	f.Add("event", `{"name":"page_view","url":"https://shop.example/","engagement":1e308,"params":{"a":"b"}}`, "https://shop.example/", "__Host-sidetrack=v1.1.2.3.x")
	f.Add("pixel.gif?url=https://shop.example/&p.x=y", "", "", "_ga=GA1.1.1.2")
	f.Add("opt-out", "opt=out", "\x00", ";;=;")
	f.Fuzz(func(t *testing.T, target, body, referer, cookie string) {
		q := &fake{}
		h := Endpoints(q, EndpointsConfig{}, WithLogger(quiet()), WithVisitorCookie(&VisitorCookie{Secret: sidetrack.NewSecret("s"), AdoptGoogle: true}),
			WithConsent(func(*http.Request) sidetrack.Consent { return sidetrack.GrantAll("x") }))
		path, query, _ := strings.Cut(target, "?")
		for _, method := range []string{"GET", "POST"} {
			r := httptest.NewRequest(method, "https://shop.example/", strings.NewReader(body))
			r.URL.Path, r.URL.RawQuery = "/"+path, query
			r.Header["Referer"], r.Header["Cookie"] = []string{referer}, []string{cookie}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code >= 500 {
				t.Errorf("status %d", w.Code)
			}
		}
		for _, e := range q.all() {
			now := time.Now()
			e.Received = now
			e.ID[0] = 1
			if err := e.Validate(now); err != nil {
				t.Errorf("not storable: %v", err)
			}
			if _, err := json.Marshal(e); err != nil {
				t.Error(err)
			}
			if !strings.Contains(e.Page.URL, "shop.example") {
				t.Errorf("page %q", e.Page.URL)
			}
		}
	})
}
