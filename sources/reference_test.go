package sources_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/sources"
	"github.com/sidetrack-go/sidetrack/sources/consent"
)

// memory is a queue that keeps what it gets.
type memory struct {
	mu     sync.Mutex
	events []*sidetrack.Event
	refuse error
}

func (q *memory) Enqueue(events ...*sidetrack.Event) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refuse != nil {
		return q.refuse
	}
	q.events = append(q.events, events...)
	return nil
}

// names are those of the events, in order.
func (q *memory) names() string {
	var names []string
	for _, e := range q.events {
		names = append(names, e.Name)
	}
	return strings.Join(names, " ")
}

func html(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<title>From the page</title>")
}

func serve(h http.Handler, method, target string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, "https://shop.example"+target, nil)
	r.RemoteAddr = "10.0.0.1:4711"
	for _, line := range headers {
		if k, v, ok := strings.Cut(line, ": "); ok {
			r.Header.Add(k, v)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// TestReferenceLibrary has one part for each row of what the library's Django integration did that
// this project grew from.
func TestReferenceLibrary(t *testing.T) {
	quiet := sources.WithSource("web")
	t.Run("page views and the four switches", func(t *testing.T) {
		const ajax = "X-Requested-With: XMLHttpRequest"
		all := sources.Rules{NotFound: true, NotFoundScripts: true, Errors: true, ErrorsScripts: true}
		for _, tt := range []struct {
			status int
			header string
			rules  sources.Rules
			want   string
		}{
			{200, "", sources.Rules{}, "page_view"},
			{200, ajax, sources.Rules{}, ""},
			{404, "", sources.Rules{}, ""},
			{500, "", sources.Rules{}, ""},
			{404, "", sources.Rules{NotFound: true}, "exception"},
			{404, ajax, sources.Rules{NotFound: true}, ""},
			{404, ajax, all, "exception"},
			{500, "", sources.Rules{Errors: true}, "exception"},
			{500, ajax, sources.Rules{Errors: true}, ""},
			{500, "Sec-Fetch-Dest: empty", all, "exception"},
			{500, ajax, all, "exception"},
		} {
			q := &memory{}
			h := sources.Middleware(q, sources.WithRules(tt.rules))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				w.WriteHeader(tt.status)
			}))
			serve(h, "GET", "/", tt.header)
			if got := q.names(); got != tt.want {
				t.Errorf("%d %q %+v: %q, want %q", tt.status, tt.header, tt.rules, got, tt.want)
			}
			for _, e := range q.events {
				if e.Exception != nil && e.Exception.Fatal != (tt.status != 404) {
					t.Errorf("%d: fatal %v", tt.status, e.Exception.Fatal)
				}
			}
		}
	})
	t.Run("one view only", func(t *testing.T) {
		q := &memory{}
		mux := http.NewServeMux()
		mux.Handle("/counted", sources.Middleware(q)(http.HandlerFunc(html)))
		mux.HandleFunc("/other", html)
		serve(mux, "GET", "/counted")
		serve(mux, "GET", "/other")
		if q.names() != "page_view" || q.events[0].Page.Path != "/counted" {
			t.Errorf("%s", q.names())
		}
	})
	t.Run("excluded paths", func(t *testing.T) {
		q := &memory{}
		h := sources.Middleware(q, sources.WithExclude("/admin/"))(http.HandlerFunc(html))
		serve(h, "GET", "/admin/users")
		serve(h, "GET", "/administration")
		if q.names() != "page_view" {
			t.Errorf("%s", q.names())
		}
	})
	t.Run("event around a handler", func(t *testing.T) {
		q := &memory{refuse: errors.New("tracking is broken")}
		params := map[string]any{"category": "shop", "action": "add", "label": "rope", "value": 1}
		h := sources.Middleware(q)(sources.Track("add_to_cart", params)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if q.names() != "" {
				t.Error("the event went out before the handler was done")
			}
			html(w, r)
		})))
		if res := serve(h, "GET", "/"); res.StatusCode != 200 {
			t.Errorf("an error of tracking reached the page: %d", res.StatusCode)
		}
		q.refuse = nil
		serve(h, "GET", "/")
		if q.names() != "add_to_cart page_view" || q.events[0].Param("label") != "rope" {
			t.Errorf("%s %v", q.names(), q.events)
		}
	})
	t.Run("parameters from the request", func(t *testing.T) {
		q := &memory{}
		h := sources.Middleware(q, sources.WithTrustedProxies(netip.MustParsePrefix("10.0.0.0/8")))(http.HandlerFunc(html))
		serve(h, "GET", "/lamp?utm_campaign=a&utm_source=b&utm_medium=c&utm_term=d&utm_content=e&gclid=f&dclid=g",
			"X-Forwarded-For: 198.51.100.1, 203.0.113.7", "User-Agent: Firefox", "Accept-Language: de-AT,en;q=0.5", "Referer: https://search.example/")
		e := q.events[0]
		c := e.Campaign
		got := strings.Join([]string{
			e.Origin().IP().String(), e.Device.UserAgent, e.Device.Language, e.Page.Referrer, e.Page.Path, e.Origin().Host(),
			c.Name, c.Source, c.Medium, c.Term, c.Content, c.ClickIDs["gclid"], c.ClickIDs["dclid"],
		}, " ")
		if want := "203.0.113.7 Firefox de-AT https://search.example/ /lamp shop.example a b c d e f g"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		q.events = nil
		h = sources.Middleware(q)(http.HandlerFunc(html)) // trusts nobody
		serve(h, "GET", "/", "X-Forwarded-For: 203.0.113.7")
		if ip := q.events[0].Origin().IP().String(); ip != "10.0.0.1" {
			t.Errorf("a header of anybody is believed: %s", ip)
		}
	})
	t.Run("titles", func(t *testing.T) {
		for name, tt := range map[string]struct {
			opts []sources.Option
			say  string
			want string
		}{
			"none":        {nil, "", ""},
			"said":        {[]sources.Option{sources.WithTitleFromHTML()}, "Said", "Said"},
			"by route":    {[]sources.Option{sources.WithTitles(map[string]string{"/lamp": "By route"})}, "", "By route"},
			"of the page": {[]sources.Option{sources.WithTitleFromHTML()}, "", "From the page"},
		} {
			q := &memory{}
			mux := http.NewServeMux()
			mux.HandleFunc("/lamp", func(w http.ResponseWriter, r *http.Request) {
				if tt.say != "" {
					sidetrack.FromContext(r.Context()).SetTitle(tt.say)
				}
				html(w, r)
			})
			serve(sources.Middleware(q, tt.opts...)(mux), "GET", "/lamp")
			if got := q.events[0].Page.Title; got != tt.want {
				t.Errorf("%s: %q, want %q", name, got, tt.want)
			}
		}
	})
	t.Run("client id and consent", func(t *testing.T) {
		own := &consent.Own{}
		cfg := consent.Defaults()
		cfg.Readers.Own = own
		resolver, err := consent.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		q := &memory{}
		tracked := sources.Middleware(q, quiet, sources.WithConsent(resolver.Resolve), sources.WithVisitorCookie(&sources.VisitorCookie{Secret: sidetrack.NewSecret("s")}))
		// Around: a decision that comes with a request counts for it already.
		h := consent.Banner{Own: *own}.Middleware(tracked(http.HandlerFunc(html)))
		jar := map[string]string{}
		visit := func() string {
			var cookies []string
			for k, v := range jar {
				cookies = append(cookies, k+"="+v)
			}
			var got []string
			for _, c := range serve(h, "GET", "/", "Cookie: "+strings.Join(cookies, "; ")).Cookies() {
				if c.Domain != "" { // deletions for parents
					continue
				}
				if c.MaxAge < 0 {
					delete(jar, c.Name)
				} else {
					jar[c.Name] = c.Value
				}
				got = append(got, fmt.Sprintf("%s:%d", c.Name, c.MaxAge))
			}
			return strings.Join(got, " ")
		}
		if got := visit(); got != "__Host-sidetrack:0" {
			t.Errorf("before the decision: %q, want a session cookie", got)
		}
		id := strings.SplitN(jar["__Host-sidetrack"], ".", 4)
		jar["cookie_action"] = "accept"
		if got := visit(); !strings.Contains(got, "cookie_action:-1") || !strings.Contains(got, "cookie_status:") || !strings.Contains(got, "__Host-sidetrack:341") {
			t.Errorf("accepted: %q", got)
		}
		last := q.events[len(q.events)-1]
		if want := id[1] + "." + id[2]; last.Visitor.ClientID != want || !last.Consent.Allows(sidetrack.AnalyticsStorage) {
			t.Errorf("accepted: client %q, want %q", last.Visitor.ClientID, want)
		}
		jar["cookie_action"] = "refuse"
		visit()
		last = q.events[len(q.events)-1]
		if last.Consent.Get(sidetrack.AnalyticsStorage) != sidetrack.Denied || last.Visitor.ClientID != "" || jar["__Host-sidetrack"] != "" || jar["cookie_status"] == "" {
			t.Errorf("refused: %+v, cookies %v", last.Visitor, jar)
		}
	})
	t.Run("own visits", func(t *testing.T) {
		q := &memory{}
		endpoints := sources.Endpoints(q, sources.EndpointsConfig{})
		c := serve(endpoints, "GET", "/sidetrack/own-visit").Cookies()[0]
		serve(sources.Middleware(q)(http.HandlerFunc(html)), "GET", "/", "Cookie: "+c.Name+"="+c.Value)
		if q.names() != "" {
			t.Errorf("%s", q.names())
		}
	})
	t.Run("ping", func(t *testing.T) {
		q := &memory{}
		endpoints := sources.Endpoints(q, sources.EndpointsConfig{})
		query := url.Values{"r": {"1920x1080"}, "v": {"1280x720"}, "c": {"24"}}.Encode()
		for _, headers := range [][]string{nil, {"Referer: https://shop.example/lamp"}} {
			if res := serve(endpoints, "GET", "/sidetrack/ping?"+query, headers...); res.StatusCode != 204 {
				t.Errorf("status %d", res.StatusCode)
			}
		}
		if q.names() != "ping" {
			t.Fatalf("%s, want one: without a referrer it is ignored", q.names())
		}
		e := q.events[0]
		if e.Device.Screen != "1920x1080" || e.Device.Viewport != "1280x720" || e.Device.Colors != 24 || e.Param("non_interaction") != true || e.Page.Path != "/lamp" {
			t.Errorf("%+v %+v", e.Device, e.Page)
		}
	})
}

// Handlers add to what the middleware knows of their request.
func ExampleMiddleware() {
	q := sidetrackQueue{}
	shop := sources.Middleware(q)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		track := sidetrack.FromContext(r.Context())
		track.SetTitle("Walking boots")
		_ = track.Event("view_item", map[string]any{"item": "boots"})
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<h1>Walking boots</h1>")
	}))
	shop.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "https://shop.example/boots", nil))
	// Output:
	// view_item https://shop.example/boots Walking boots
	// page_view https://shop.example/boots Walking boots
}

// sidetrackQueue prints what it gets; a program uses its *pipeline.Pipeline.
type sidetrackQueue struct{}

func (sidetrackQueue) Enqueue(events ...*sidetrack.Event) error {
	for _, e := range events {
		fmt.Println(e.Name, e.Page.URL, e.Page.Title)
	}
	return nil
}

// The event goes out once the handler has answered well.
func ExampleTrack() {
	addToCart := sources.Track("add_to_cart", map[string]any{"list": "home"})
	http.Handle("POST /cart/{item}", addToCart(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/cart", http.StatusSeeOther)
	})))
}
