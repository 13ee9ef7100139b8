package matomo

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/sinkrun"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

const auth = "0123456789abcdef0123456789abcdef"

func config() Config {
	return Config{Endpoint: "https://stats.example/matomo.php", SiteID: 7, Token: sidetrack.NewSecret(auth), Dimensions: map[string]int{"plan": 3}, Goals: map[string]int{"sign_up": 2}}
}

func TestContract(t *testing.T) {
	sinktest.Run(t, func() (*sidetrack.Sink, error) { return New(config()) }, sinktest.Golden("testdata/golden"))
}

func TestConfig(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"endpoint":        func(c *Config) { c.Endpoint = "" },
		"endpoint ":       func(c *Config) { c.Endpoint = "stats.example/matomo.php" },
		"endpoint  ":      func(c *Config) { c.Endpoint = "https://stats.example/" },
		"endpoint   ":     func(c *Config) { c.Endpoint = "https://stats.example/matomo.php?a=b" },
		"site_id":         func(c *Config) { c.SiteID = 0 },
		"token":           func(c *Config) { c.Token = sidetrack.NewSecret("short") },
		"batch":           func(c *Config) { c.Batch = 1001 },
		"dimensions.plan": func(c *Config) { c.Dimensions = map[string]int{"plan": 1000} },
		"dimensions.zeta": func(c *Config) { c.Dimensions = map[string]int{"plan": 1, "zeta": 1} },
		"goals.sign_up":   func(c *Config) { c.Goals = map[string]int{"sign_up": 0} },
	} {
		cfg := config()
		change(&cfg)
		_, err := New(cfg)
		if fe, ok := err.(*sidetrack.FieldError); !ok || fe.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	cfg := config()
	cfg.Token = sidetrack.Secret{}
	s, err := New(cfg)
	if err != nil || s.Spec().MaxAge != 24*time.Hour {
		t.Errorf("without a token events older than a day are sent, which Matomo dates now: %v", err)
	}
}

var now = time.Date(2026, 1, 31, 12, 0, 30, 0, time.UTC)

// action is what the sink makes of one event, without what every event has.
func action(t *testing.T, cfg Config, e *sidetrack.Event) (url.Values, error) {
	t.Helper()
	if e.Visitor.ClientID == "" {
		e.Visitor.ClientID = "1.2"
	}
	g := &generator{cfg: cfg}
	r, err := g.Request(sidetrack.Unit{Events: []*sidetrack.Event{e}, At: now})
	if err != nil {
		return nil, err
	}
	var bulk struct{ Requests []string }
	if err := json.Unmarshal(r.Body, &bulk); err != nil || len(bulk.Requests) != 1 {
		t.Fatalf("%s: %v", r.Body, err)
	}
	v, err := url.ParseQuery(strings.TrimPrefix(bulk.Requests[0], "?"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"idsite", "rec", "apiv", "_id", "cid", "ca"} {
		v.Del(k)
	}
	return v, nil
}

// TestMapping has the rows of the table in docs/sinks/matomo.md.
func TestMapping(t *testing.T) {
	shop := func(name string, c sidetrack.Ecommerce) *sidetrack.Event {
		return &sidetrack.Event{Name: name, Ecommerce: &c}
	}
	with := func(name string, params map[string]any) *sidetrack.Event {
		return &sidetrack.Event{Name: name, Params: params}
	}
	item := sidetrack.Item{ID: "A", Name: "Boots", Categories: []string{"1", "2", "3", "4", "5", "6"}, Price: sidetrack.MoneyOf(10), HasPrice: true, Quantity: 2, Discount: sidetrack.MoneyOf(1)}
	eur := sidetrack.MoneyOf
	for name, tt := range map[string]struct {
		e    *sidetrack.Event
		want string // query, or the error after !
	}{
		"page view":             {&sidetrack.Event{Name: "page_view", Page: sidetrack.Page{URL: "https://a.example/", Title: "T", Referrer: "https://b.example/"}}, "action_name=T&pv_id=t987zp&url=https://a.example/&urlref=https://b.example/"},
		"screen":                {&sidetrack.Event{Name: "screen_view", App: sidetrack.App{Name: "My Shop", Screen: "Cart"}}, "action_name=Cart&pv_id=t987zp&url=app://my-shop/Cart"},
		"page view of nothing":  {&sidetrack.Event{Name: "page_view"}, "!without an address"},
		"campaign":              {&sidetrack.Event{Name: "x", Campaign: sidetrack.Campaign{Name: "spring", Term: "boots"}}, "_rck=boots&_rcn=spring&e_a=x&e_c=event"},
		"custom":                {with("signed up", map[string]any{"event_category": "auth", "event_label": "google", "value": 12.5, "plan": "gold"}), "dimension3=gold&e_a=signed up&e_c=auth&e_n=google&e_v=12.5"},
		"value is text":         {with("x", map[string]any{"value": "12"}), "e_a=x&e_c=event"},
		"dimension of the user": {&sidetrack.Event{Name: "x", UserProperties: map[string]any{"plan": int64(3)}}, "dimension3=3&e_a=x&e_c=event"},
		"goal":                  {shop("sign_up", sidetrack.Ecommerce{Value: eur(5), HasValue: true}), "idgoal=2&revenue=5"},
		"no name":               {&sidetrack.Event{}, "!without a name"},
		"purchase": {shop("purchase", sidetrack.Ecommerce{TransactionID: "T-1", Value: eur(20), HasValue: true, Tax: eur(4), Shipping: eur(3.5), Items: []sidetrack.Item{item}}),
			`ec_dt=2&ec_id=T-1&ec_items=[["A","Boots",["1","2","3","4","5"],10,2]]&ec_sh=3.5&ec_st=20&ec_tx=4&idgoal=0&revenue=27.5`},
		"purchase without value": {shop("purchase", sidetrack.Ecommerce{TransactionID: "T-1", Items: []sidetrack.Item{{Name: "Socks", Price: eur(5)}}}),
			`ec_id=T-1&ec_items=[["Socks","Socks",[],5,1]]&ec_st=5&idgoal=0&revenue=5`},
		"purchase without id": {shop("purchase", sidetrack.Ecommerce{Value: eur(1), HasValue: true}), "!without a transaction id"},
		"nameless item":       {shop("purchase", sidetrack.Ecommerce{TransactionID: "T-1", Items: []sidetrack.Item{{}}}), "!neither id nor name"},
		"cart":                {shop("view_cart", sidetrack.Ecommerce{Items: []sidetrack.Item{item}}), `ec_items=[["A","Boots",["1","2","3","4","5"],10,2]]&idgoal=0&revenue=20`},
		"empty cart":          {shop("view_cart", sidetrack.Ecommerce{}), "e_a=view_cart&e_c=ecommerce"},
		"into the cart":       {shop("add_to_cart", sidetrack.Ecommerce{Value: eur(20), HasValue: true, Items: []sidetrack.Item{item, {Name: "Socks"}}}), "e_a=add_to_cart&e_c=ecommerce&e_n=A,Socks&e_v=20"},
		"product":             {shop("view_item", sidetrack.Ecommerce{Items: []sidetrack.Item{item}}), `_pkc=["1","2","3","4","5"]&_pkn=Boots&_pkp=10&_pks=A&e_a=view_item&e_c=ecommerce&e_n=A`},
		"refund":              {shop("refund", sidetrack.Ecommerce{TransactionID: "T-1", Value: eur(20), HasValue: true}), "e_a=refund&e_c=ecommerce&e_n=T-1&e_v=20"},
		"search":              {with("view_search_results", map[string]any{"search_term": "boots", "search_count": int64(3)}), "search=boots&search_count=3"},
		"outlink":             {with("click", map[string]any{"link_url": "https://out.example/"}), "link=https://out.example/&url=https://out.example/"},
		"download":            {with("file_download", map[string]any{"link_url": "https://a.example/x.pdf"}), "download=https://a.example/x.pdf&url=https://a.example/x.pdf"},
		"click on something":  {with("click", map[string]any{"link_url": "menu"}), "e_a=click&e_c=link&e_n=menu"},
		"engagement":          {with("engagement", nil), "ping=1"},
		"exception":           {&sidetrack.Event{Name: "exception", Exception: &sidetrack.Failure{Description: "timeout", Fatal: true}}, "e_a=timeout&e_c=exception&e_n=fatal"},
		"timing":              {&sidetrack.Event{Name: "timing_complete", Timing: &sidetrack.Duration{Category: "load", Variable: "page", Label: "cold", Value: 321 * time.Millisecond}}, "e_a=page&e_c=load&e_n=cold&e_v=321"},
		"share":               {&sidetrack.Event{Name: "share", Social: &sidetrack.Social{Network: "mastodon", Action: "boost", Target: "/p"}}, "e_a=mastodon boost&e_c=social&e_n=/p"},
		"place":               {&sidetrack.Event{Name: "x", Network: sidetrack.Network{IP: "203.0.113.0", Country: "AT", Region: "AT-9", City: "Wien"}}, "cip=203.0.113.0&city=Wien&country=at&e_a=x&e_c=event&region=9"},
		"no address":          {&sidetrack.Event{Name: "x", Network: sidetrack.Network{IP: "somewhere"}}, "e_a=x&e_c=event"},
		"time":                {&sidetrack.Event{Name: "x", Time: now.Add(-time.Hour)}, "cdt=1769857230&e_a=x&e_c=event"},
		"future":              {&sidetrack.Event{Name: "x", Time: now.Add(time.Hour)}, "e_a=x&e_c=event"},
		"prehistory":          {&sidetrack.Event{Name: "x", Time: now.AddDate(-21, 0, 0)}, "!20 years"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := action(t, config(), tt.e)
			if want, ok := strings.CutPrefix(tt.want, "!"); ok {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, %v; want an error with %q", v, err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, k := range sortedKeys(v) {
				got = append(got, k+"="+v.Get(k))
			}
			if s := strings.Join(got, "&"); s != tt.want {
				t.Errorf("\n%s, want\n%s", s, tt.want)
			}
		})
	}
	cfg := config()
	cfg.Token = sidetrack.Secret{}
	if v, err := action(t, cfg, &sidetrack.Event{Name: "x", Network: sidetrack.Network{IP: "203.0.113.0", Country: "AT"}}); err != nil || v.Has("cip") || v.Has("country") {
		t.Errorf("without a token: %v %v", v, err)
	}
}

// The journey of the captured SDK, made by sidetrack: what Matomo documents as required is the same.
func TestAgreesWithSDK(t *testing.T) {
	b, err := os.ReadFile("testdata/matomo-tracker-2.2.4.json")
	if err != nil {
		t.Fatal(err)
	}
	var captured []map[string]string
	if err := json.Unmarshal(b, &captured); err != nil {
		t.Fatal(err)
	}
	const page = "https://shop.example.com/products?utm_source=news&utm_medium=email&gclid=TeSt"
	at := time.Date(2024, 5, 1, 10, 0, 0, 0, time.UTC)
	m := sidetrack.MoneyOf
	base := func(name string, params map[string]any) *sidetrack.Event {
		return &sidetrack.Event{
			Name: name, Time: at, Params: params, Visitor: sidetrack.Visitor{ClientID: "0123456789abcdef"}, Page: sidetrack.Page{URL: page},
			Network: sidetrack.Network{IP: "203.0.113.9"}, Device: sidetrack.Device{Language: "de-DE", Screen: "1920x1080", UserAgent: captured[0]["ua"]},
		}
	}
	view := base("page_view", nil)
	view.Page.Title, view.Page.Referrer = "Products – Ünïcode", "https://www.example.org/"
	view.UserProperties = map[string]any{"plan": "pro"}
	signup := base("signup", map[string]any{"event_category": "auth", "event_label": "google", "value": 12.5})
	signup.Visitor.UserID = "user-42"
	purchase := base("purchase", nil)
	purchase.Ecommerce = &sidetrack.Ecommerce{TransactionID: "T-1001", Value: m(49.97), HasValue: true, Tax: m(5), Shipping: m(5), Items: []sidetrack.Item{
		{ID: "SKU-1", Name: "T-shirt, blue", Categories: []string{"Apparel"}, Price: m(19.99), Quantity: 2}, {ID: "SKU-2", Name: `Cap & "hat"`, Categories: []string{"Accessories"}, Price: m(9.99), Quantity: 1},
	}}
	cfg := Config{Endpoint: "https://stats.example/matomo.php", SiteID: 1, Token: sidetrack.NewSecret(strings.Repeat("a", 32)), Dimensions: map[string]int{"plan": 1}}
	for i, e := range []*sidetrack.Event{
		view, signup, base("search", map[string]any{"search_term": "shirt", "search_category": "apparel", "search_count": int64(7)}),
		base("click", map[string]any{"link_url": "https://out.example.net/"}), purchase,
	} {
		got, err := (&generator{cfg: cfg}).action(e, now)
		if err != nil {
			t.Fatal(err)
		}
		// Listed as differences in docs/sinks/matomo.md: how time, token and the page view's id are written, local time, and an
		// outlink's address, which Matomo recommends to be the page's too. ec_st and ec_dt: the SDK's caller took the discount off.
		apart := []string{"rand", "token_auth", "h", "m", "s", "send_image", "cdt", "gt_ms", "pv_id", "ec_st", "ec_dt"}
		if e.Name == "click" {
			apart = append(apart, "url")
		}
		for k, want := range captured[i] {
			if !slices.Contains(apart, k) && got.Get(k) != want {
				t.Errorf("%s: %s is %q, the SDK sends %q", e.Name, k, got.Get(k), want)
			}
		}
	}
}

// events are ordinary ones, one a second up to now.
func events(n int) []*sidetrack.Event {
	out := make([]*sidetrack.Event, n)
	for i := range out {
		out[i] = &sidetrack.Event{
			MessageID: fmt.Sprint("e", i), Name: "page_view", Time: time.Now().Add(time.Duration(i-n) * time.Second), Page: sidetrack.Page{URL: fmt.Sprint("https://a.example/", i)},
			Visitor: sidetrack.Visitor{ClientID: fmt.Sprint(i, ".1")}, Consent: sidetrack.GrantAll("test"),
		}
	}
	return out
}

func deliver(t *testing.T, f *fake, change func(*Config), e ...*sidetrack.Event) sinkrun.Result {
	t.Helper()
	cfg := config()
	cfg.Endpoint = f.start().URL + "/matomo.php"
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sinkrun.Deliver(t, s, e...)
}

func TestDelivery(t *testing.T) {
	t.Run("all", func(t *testing.T) {
		f := &fake{t: t, token: auth}
		if r := deliver(t, f, nil, events(450)...); len(r.Delivered) != 450 || len(f.actions) != 450 || f.requests < 3 {
			t.Errorf("%d delivered, %d counted in %d requests", len(r.Delivered), len(f.actions), f.requests)
		}
	})
	t.Run("failures are repeated, and nothing is counted twice", func(t *testing.T) {
		f := &fake{t: t, token: auth, answers: map[int]string{0: "500", 1: "429", 2: "500 after 5"}}
		if r := deliver(t, f, nil, events(20)...); len(r.Delivered) != 20 || len(f.actions) != 20 {
			t.Errorf("%d delivered, %d counted: %v", len(r.Delivered), len(f.actions), r.Errors)
		}
	})
	poisoned := func() []*sidetrack.Event {
		e := events(10)
		e[4].Params = map[string]any{"plan": "poison"}
		return e
	}
	t.Run("a named invalid event is alone", func(t *testing.T) {
		f := &fake{t: t, token: auth, super: true}
		r := deliver(t, f, nil, poisoned()...)
		if !slices.Equal(r.Dead, []string{"e4"}) || len(f.actions) != 9 || len(r.Delivered) != 9 {
			t.Errorf("dead %v, %d counted: %v", r.Dead, len(f.actions), r.Errors)
		}
	})
	t.Run("an invalid event nobody names is never counted twice", func(t *testing.T) {
		f := &fake{t: t, token: auth}
		r := deliver(t, f, nil, poisoned()...)
		if len(f.actions) != 9 || len(r.Dead)+len(r.Delivered) != 10 || !slices.Contains(r.Dead, "e4") {
			t.Errorf("dead %v, %d counted: %v", r.Dead, len(f.actions), r.Errors)
		}
	})
	t.Run("unbuildable events cost only themselves", func(t *testing.T) {
		f := &fake{t: t, token: auth}
		e := events(10)
		e[3].Name, e[3].Page.URL = "purchase", "" // without an order
		if r := deliver(t, f, nil, e...); !slices.Equal(r.Dead, []string{"e3"}) || len(f.actions) != 9 {
			t.Errorf("dead %v, %d counted: %v", r.Dead, len(f.actions), r.Errors)
		}
	})
	t.Run("an order is counted once", func(t *testing.T) {
		f := &fake{t: t, token: auth, super: true}
		e := events(2)
		for i := range e {
			e[i].Name, e[i].Ecommerce = "purchase", &sidetrack.Ecommerce{TransactionID: "T-1", Value: 1, HasValue: true}
		}
		e[1].Time = e[0].Time
		deliver(t, f, func(c *Config) { c.Batch = 1 }, e...)
		if len(f.actions) != 1 {
			t.Errorf("%d orders counted", len(f.actions))
		}
	})
	t.Run("without a token", func(t *testing.T) {
		f := &fake{t: t}
		e := events(3)
		e[0].Time = time.Now().Add(-25 * time.Hour)
		r := deliver(t, f, func(c *Config) { c.Token = sidetrack.Secret{} }, e...)
		if !slices.Equal(r.Expired, []string{"e0"}) || len(f.actions) != 2 {
			t.Errorf("expired %v, %d counted: %v", r.Expired, len(f.actions), r.Errors)
		}
	})
}

// What Matomo took before it stopped stays only without transactions.
func TestStoppedHalfway(t *testing.T) {
	u := sidetrack.Unit{Events: events(4), At: time.Now()}
	answer := func(status int, body string) *sidetrack.Response {
		return &sidetrack.Response{Status: status, Body: []byte(body), Records: []int{0, 1, 2, 3}}
	}
	classes := func(g *generator, r *sidetrack.Response) string {
		err := g.classify(u, r)
		if p, ok := err.(*sidetrack.PartialError); ok {
			var s []string
			for i := range u.Events {
				c, _ := sidetrack.ClassOf(p.Failed[i])
				s = append(s, c.String())
			}
			return strings.Join(s, " ")
		}
		c, _ := sidetrack.ClassOf(err)
		return c.String()
	}
	plain := &generator{cfg: config()}
	kept := &generator{cfg: config()}
	kept.cfg.NoTransaction = true
	for _, tt := range []struct {
		g    *generator
		r    *sidetrack.Response
		want string
	}{
		{plain, answer(500, `{"status":"error","tracked":2,"invalid":0}`), "retry"},
		{plain, answer(400, `{"status":"error","tracked":2,"invalid":0}`), "rejected"},
		{kept, answer(500, `{"status":"error","tracked":2,"invalid":0}`), "delivered delivered retry retry"},
		{kept, answer(400, `{"status":"error","tracked":2,"invalid":0}`), "delivered delivered rejected retry"},
		{kept, answer(500, `{"status":"error","tracked":0,"invalid":0}`), "retry"},
		{plain, answer(200, `{"status":"success","tracked":3,"invalid":1,"invalid_indices":[2]}`), "delivered delivered rejected delivered"},
		{plain, answer(200, `{"status":"success","tracked":3,"invalid":1,"invalid_indices":[9]}`), "rejected"},
		{plain, answer(200, `{"status":"success","tracked":4,"invalid":0}`), "delivered"},
	} {
		if got := classes(tt.g, tt.r); got != tt.want {
			t.Errorf("%d %s: %s, want %s", tt.r.Status, tt.r.Body, got, tt.want)
		}
	}
}
