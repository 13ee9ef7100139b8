package consent

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

func request(method, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, "https://www.shop.example/sidetrack/consent", strings.NewReader(body))
	for _, h := range header {
		k, v, _ := strings.Cut(h, ": ")
		r.Header.Add(k, v)
	}
	return r
}

// cookies returns what an answer sets, as "name=value", and the names it deletes.
func cookies(w *httptest.ResponseRecorder) (set, deleted []string) {
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			deleted = append(deleted, c.Name+"@"+c.Domain)
		} else {
			set = append(set, c.Name+"="+c.Value)
		}
	}
	return set, deleted
}

func TestHandOver(t *testing.T) {
	const tracking = "; _ga=GA1.1.1.2; _ga_ABC=GS2.1.s1$o1; sidetrack=v1.1.2.3.x; session=keep"
	for name, tt := range map[string]struct {
		banner  Banner
		cookie  string
		decided bool
		set     string
		deleted []string // names, without domains
	}{
		"accept":                    {Banner{}, "cookie_action=accept" + tracking, true, "cookie_status=1", []string{"cookie_action"}},
		"refuse deletes":            {Banner{}, "cookie_action=refuse" + tracking, true, "cookie_status=0", []string{"_ga", "_ga_ABC", "cookie_action", "sidetrack"}},
		"withdrawal after consent":  {Banner{}, "cookie_status=1; cookie_action=refuse" + tracking, true, "cookie_status=0", []string{"_ga", "_ga_ABC", "cookie_action", "sidetrack"}},
		"part":                      {Banner{}, "cookie_action=analytics_storage:granted|ad_storage:denied" + tracking, true, "cookie_status=analytics_storage:granted|ad_storage:denied", []string{"cookie_action"}},
		"part without analytics":    {Banner{}, "cookie_action=analytics_storage%3Adenied" + tracking, true, "cookie_status=analytics_storage:denied", []string{"_ga", "_ga_ABC", "cookie_action", "sidetrack"}},
		"own names and list":        {Banner{Own: Own{Action: "a", Status: "s"}, Delete: []string{"session"}}, "a=refuse" + tracking, true, "s=0", []string{"a", "session"}},
		"two actions, one refuses":  {Banner{}, "cookie_action=accept; cookie_action=refuse", true, "cookie_status=0", []string{"cookie_action"}},
		"no action":                 {Banner{}, "cookie_status=1" + tracking, false, "", nil},
		"an action nobody can read": {Banner{}, "cookie_action=%zz" + tracking, false, "", []string{"cookie_action"}},
		"giant":                     {Banner{}, "cookie_action=" + strings.Repeat("x", 30000), false, "", []string{"cookie_action"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			var before bool
			tt.banner.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				before = len(w.Header()["Set-Cookie"]) > 0
				w.WriteHeader(http.StatusOK)
			})).ServeHTTP(w, request("GET", "", "Cookie: "+tt.cookie))
			if before != (len(tt.deleted) > 0) {
				t.Error("cookies are set after the handler, when it may be too late")
			}
			set, deleted := cookies(w)
			if strings.Join(set, " ") != tt.set {
				t.Errorf("set %v, want %s", set, tt.set)
			}
			var names []string
			for _, d := range deleted {
				n, domain, _ := strings.Cut(d, "@")
				names = append(names, n)
				if domain != "" && !strings.HasSuffix("www.shop.example", domain) {
					t.Errorf("deletes for %s", domain)
				}
			}
			slices.Sort(names)
			if names = slices.Compact(names); !slices.Equal(names, tt.deleted) {
				t.Errorf("deleted %v, want %v", names, tt.deleted)
			}
		})
	}
	w := httptest.NewRecorder()
	Banner{Domain: "shop.example"}.HandOver(w, request("GET", "", "Cookie: cookie_action=accept"))
	c := w.Result().Cookies()
	i := slices.IndexFunc(c, func(c *http.Cookie) bool { return c.Name == "cookie_status" })
	if s := c[i]; !s.Secure || s.HttpOnly || s.SameSite != http.SameSiteLaxMode || s.MaxAge != 182*24*3600 || s.Domain != "shop.example" || s.Path != "/" {
		t.Errorf("%+v", s)
	}
}

// A withdrawal counts for the very request that brings it, and for every later one.
func TestWithdrawalAtOnce(t *testing.T) {
	resolver, err := New(Config{Unknown: "denied", GPC: "honour", Readers: Readers{Own: &Own{}}})
	if err != nil {
		t.Fatal(err)
	}
	allowed := func(r *http.Request) bool { return resolver.Resolve(r).Allows(sidetrack.AnalyticsStorage) }
	if !allowed(request("GET", "", "Cookie: cookie_status=1")) {
		t.Fatal("a decision is not believed")
	}
	withdraws := request("GET", "", "Cookie: cookie_status=1; cookie_action=refuse")
	if allowed(withdraws) {
		t.Error("the request that withdraws is allowed")
	}
	w := httptest.NewRecorder()
	Banner{}.HandOver(w, withdraws)
	set, _ := cookies(w)
	if next := request("GET", "", "Cookie: "+strings.Join(set, "; ")); allowed(next) || resolver.Resolve(next).How != "own" {
		t.Errorf("the next request: %+v", resolver.Resolve(next))
	}
}

func TestHandlerPost(t *testing.T) {
	const form, js = "Content-Type: application/x-www-form-urlencoded", "Content-Type: application/json; charset=utf-8"
	for name, tt := range map[string]struct {
		body   string
		header []string
		status int
		set    string
	}{
		"accept":                  {"action=accept&csrf=x", []string{form}, 204, "cookie_status=1"},
		"refuse":                  {"action=refuse", []string{form}, 204, "cookie_status=0"},
		"JSON":                    {`{"action":"accept"}`, []string{js}, 204, "cookie_status=1"},
		"beacon":                  {`{"action":"refuse"}`, []string{"Content-Type: text/plain;charset=UTF-8"}, 204, "cookie_status=0"},
		"purposes":                {`{"analytics_storage":"granted","ad_storage":"denied"}`, []string{js}, 204, "cookie_status=analytics_storage:granted|ad_storage:denied"},
		"accept, but no ads":      {"action=accept&ad_storage=denied", []string{form}, 204, "cookie_status=analytics_storage:granted|ad_storage:denied"},
		"refuse wins":             {"action=refuse&analytics_storage=granted", []string{form}, 204, "cookie_status=0"},
		"same origin":             {"action=accept", []string{form, "Sec-Fetch-Site: same-origin"}, 204, "cookie_status=1"},
		"trusted origin":          {"action=accept", []string{form, "Sec-Fetch-Site: cross-site", "Origin: https://other.example"}, 204, "cookie_status=1"},
		"cross site":              {"action=accept", []string{form, "Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, 403, ""},
		"sibling site":            {"action=accept", []string{form, "Sec-Fetch-Site: same-site", "Origin: https://evil.shop.example"}, 403, ""},
		"old browser, cross site": {"action=accept", []string{form, "Origin: https://evil.example"}, 403, ""},
		"nothing":                 {"", []string{form}, 400, ""},
		"no decision":             {"a=b", []string{form}, 400, ""},
		"action twice":            {"action=accept&action=refuse", []string{form}, 400, ""},
		"strange action":          {"action=maybe", []string{form}, 400, ""},
		"strange state":           {"analytics_storage=yes", []string{form}, 400, ""},
		"empty state":             {"analytics_storage=", []string{form}, 400, ""},
		"only unknown":            {"analytics_storage=unknown", []string{form}, 400, ""},
		"broken form":             {"action=%zz", []string{form}, 400, ""},
		"broken JSON":             {`{"action":`, []string{js}, 400, ""},
		"JSON of something else":  {`["accept"]`, []string{js}, 400, ""},
		"no type":                 {"action=accept", nil, 400, ""},
		"too large":               {"action=accept&x=" + strings.Repeat("x", maxBody), []string{form}, 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var changed []sidetrack.Consent
			b := Banner{Origins: []string{"https://other.example"}, Changed: func(_ context.Context, _ *http.Request, c sidetrack.Consent) { changed = append(changed, c) }}
			w := httptest.NewRecorder()
			b.Handler().ServeHTTP(w, request("POST", tt.body, tt.header...))
			set, _ := cookies(w)
			if w.Code != tt.status || strings.Join(set, " ") != tt.set {
				t.Errorf("%d %v: %s; want %d %s", w.Code, set, w.Body, tt.status, tt.set)
			}
			if (len(changed) == 1) != (tt.set != "") || len(changed) == 1 && changed[0].How != "own" {
				t.Errorf("changed %v", changed)
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Error("may be cached")
			}
		})
	}
}

func TestHandlerBack(t *testing.T) {
	const form = "Content-Type: application/x-www-form-urlencoded"
	for referrer, want := range map[string]string{
		"https://www.shop.example/shoes?size=9#x": "/shoes?size=9", "https://evil.example/": "/", "": "/", "https://www.shop.example": "/",
		"https://www.shop.example//evil.example/": "/", `https://www.shop.example/\evil.example/`: "/", "javascript:alert(1)": "/", "%": "/",
	} {
		w := httptest.NewRecorder()
		Banner{}.Handler().ServeHTTP(w, request("POST", "action=accept", form, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Dest: document", "Referer: "+referrer))
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
			t.Errorf("%q: %d %q, want %q", referrer, w.Code, w.Header().Get("Location"), want)
		}
	}
	w := httptest.NewRecorder()
	Banner{}.Handler().ServeHTTP(w, request("POST", "action=accept", form, "Sec-Fetch-Dest: empty", "Accept: text/html"))
	if w.Code != http.StatusNoContent {
		t.Errorf("a script is sent to %q", w.Header().Get("Location"))
	}
}

func TestHandlerGet(t *testing.T) {
	w := httptest.NewRecorder()
	Banner{}.Handler().ServeHTTP(w, request("GET", "", "Cookie: cookie_status=1", "Sec-Gpc: 1"))
	want := `{"ad_personalization":"denied","ad_storage":"denied","ad_user_data":"denied","analytics_storage":"granted","functionality_storage":"unknown",` +
		`"how":"own+gpc","personalization_storage":"unknown","security_storage":"unknown"}`
	if got := strings.TrimSpace(w.Body.String()); got != want || len(w.Result().Cookies()) > 0 {
		t.Errorf("%s, want %s", got, want)
	}
	w = httptest.NewRecorder()
	Banner{}.Handler().ServeHTTP(w, request("DELETE", ""))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("%d", w.Code)
	}
}

func TestDomains(t *testing.T) {
	for host, want := range map[string][]string{
		"www.shop.example:8443": {"", "www.shop.example", "shop.example"}, "localhost": {""}, "127.0.0.1:80": {""}, "[::1]:80": {""}, "": {""},
		"a.b.c.d.e.f.example": {"", "a.b.c.d.e.f.example", "b.c.d.e.f.example", "c.d.e.f.example", "d.e.f.example"},
	} {
		if got := domains(host); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", host, got, want)
		}
	}
}

// However many cookies a request brings, the answer stays small; __Host- cookies are deleted without a domain.
func TestWithdrawBounds(t *testing.T) {
	var many strings.Builder
	for i := range 300 {
		many.WriteString("; _ga_" + strings.Repeat("A", i%50) + string(rune('a'+i%26)) + "=1")
	}
	w := httptest.NewRecorder()
	Banner{}.HandOver(w, request("GET", "", "Cookie: cookie_action=refuse; __Host-sidetrack=x"+many.String()))
	_, deleted := cookies(w)
	if len(deleted) > (maxDeleted+1)*3 {
		t.Errorf("%d deletions", len(deleted))
	}
	if !slices.Contains(deleted, "__Host-sidetrack@") || slices.Contains(deleted, "__Host-sidetrack@shop.example") {
		t.Errorf("%v", deleted)
	}
}

func FuzzHandler(f *testing.F) {
	f.Add("action=accept", "application/x-www-form-urlencoded", "cookie_action=refuse")
	f.Add(`{"ad_storage":"denied"}`, "application/json", "cookie_status=1")
	f.Add("--x\r\nContent-Disposition: form-data; name=action\r\n\r\naccept\r\n--x--", "multipart/form-data; boundary=x", "a=b")
	f.Fuzz(func(t *testing.T, body, kind, cookie string) {
		r := request("POST", body)
		r.Header = http.Header{"Content-Type": {kind}, "Cookie": {cookie}}
		w := httptest.NewRecorder()
		Banner{}.Middleware(Banner{}.Handler()).ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
	})
}
