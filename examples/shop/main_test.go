package main

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

// recorded is a queue that keeps what it gets.
type recorded struct {
	mu     sync.Mutex
	events []*sidetrack.Event
}

func (q *recorded) Enqueue(events ...*sidetrack.Event) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events = append(q.events, events...)
	return nil
}

// take returns the events since the last call as "name path", and them.
func (q *recorded) take() (names []string, events []*sidetrack.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.events {
		names = append(names, e.Name+" "+e.Page.Path)
	}
	events, q.events = q.events, nil
	return names, events
}

// visitor is a browser as far as net/http can be one.
type visitor struct {
	t      *testing.T
	client *http.Client
	base   string

	withdrawn []string // client ids whose events are held back
}

func newVisitor(t *testing.T, q sidetrack.Queue) *visitor {
	t.Helper()
	v := &visitor{t: t}
	h, err := newShop(q, settings{secret: sidetrack.NewSecret("s"), withdrawn: func(_ context.Context, id string) { v.withdrawn = append(v.withdrawn, id) }})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := srv.Client()
	client.Jar = jar
	v.client, v.base = client, srv.URL
	return v
}

func (v *visitor) do(method, path string, form url.Values, dest string) (int, string, http.Header) {
	v.t.Helper()
	r, err := http.NewRequest(method, v.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Dest", dest)
	r.Header.Set("Referer", v.base+path)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := v.client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return res.StatusCode, string(body), res.Header
}

func (v *visitor) page(path string) string {
	v.t.Helper()
	status, body, _ := v.do("GET", path, nil, "document")
	if status != 200 {
		v.t.Errorf("%s: status %d", path, status)
	}
	return body
}

func (v *visitor) cookies() (names []string) {
	u, _ := url.Parse(v.base)
	for _, c := range v.client.Jar.Cookies(u) {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return names
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAVisit(t *testing.T) {
	q := &recorded{}
	v := newVisitor(t, q)
	if body := v.page("/"); !strings.Contains(body, "Walking boots") || !strings.Contains(body, `data-consent="accept"`) {
		t.Error(body)
	}
	expect(t, v.cookies())
	names, events := q.take()
	expect(t, names, "view_item_list /", "page_view /")
	if events[1].Consent.Get(sidetrack.AnalyticsStorage) != sidetrack.Unknown || events[1].Page.Title != "Boots and lamps" || events[1].Visitor.ClientID != "" {
		t.Errorf("before the decision: %+v", events[1])
	}

	if status, _, _ := v.do("POST", "/sidetrack/consent", url.Values{"action": {"accept"}}, "empty"); status != 204 {
		t.Fatalf("consent: status %d", status)
	}
	v.page("/product/walking-boots")
	expect(t, v.cookies(), "cookie_status", "sidetrack")
	names, events = q.take()
	expect(t, names, "view_item /product/walking-boots", "page_view /product/walking-boots")
	client := events[1].Visitor.ClientID
	if client == "" || events[0].Visitor.ClientID != client || events[1].Page.Route != "/product/{slug}" || events[1].Param("category") != "Shoes" || !events[1].Consent.Allows(sidetrack.AnalyticsStorage) {
		t.Errorf("agreed: %+v", events[1])
	}

	v.do("POST", "/cart/walking-boots", url.Values{}, "document")
	v.do("POST", "/cart/rope", url.Values{}, "document")
	q.take()
	_, body, _ := v.do("POST", "/checkout", url.Values{}, "document")
	names, events = q.take()
	if len(names) != 2 || names[0] != "purchase /checkout" || !strings.HasPrefix(names[1], "page_view /thanks/") {
		t.Fatalf("bought: %q", names)
	}
	bought := events[0].Ecommerce
	if bought.Value != sidetrack.MoneyOf(153.50) || len(bought.Items) != 2 || bought.Shipping != sidetrack.MoneyOf(4.90) || !strings.Contains(body, bought.TransactionID) || events[0].Visitor.ClientID != client {
		t.Errorf("bought: %+v", bought)
	}
	v.page("/thanks/" + bought.TransactionID) // once more: no second purchase
	names, _ = q.take()
	expect(t, names, "page_view /thanks/"+bought.TransactionID)

	v.do("POST", "/login", url.Values{"name": {"Ada"}}, "document")
	names, events = q.take()
	expect(t, names, "login /login", "page_view /account")
	if id := events[1].Visitor.UserID; id == "" || id == "Ada" || events[0].Visitor.UserID != id {
		t.Errorf("user %q", id)
	}
	status, body, _ := v.do("GET", "/api/orders", nil, "empty")
	if status != 200 || !strings.Contains(body, bought.TransactionID) {
		t.Errorf("orders: %d %s", status, body)
	}
	names, _ = q.take()
	expect(t, names, "order_history /api/orders")

	v.page("/admin/stock")
	v.do("GET", "/nowhere", nil, "document")
	names, _ = q.take()
	expect(t, names, "exception /nowhere")

	expect(t, v.withdrawn)
	v.do("POST", "/sidetrack/consent", url.Values{"action": {"refuse"}}, "empty")
	expect(t, v.withdrawn, client)
	expect(t, v.cookies(), "cookie_status", "shop_session")
	v.page("/")
	if _, events = q.take(); events[1].Consent.Get(sidetrack.AnalyticsStorage) != sidetrack.Denied || events[1].Visitor.ClientID != "" {
		t.Errorf("withdrawn: %+v", events[1])
	}
	expect(t, v.cookies(), "cookie_status", "shop_session")
}

// TestPagesKeepTheirPolicy checks that no page needs what its Content-Security-Policy forbids.
func TestPagesKeepTheirPolicy(t *testing.T) {
	v := newVisitor(t, &recorded{})
	v.do("POST", "/login", url.Values{"name": {"<b>Ada"}}, "document")
	v.do("POST", "/cart/rope", url.Values{}, "document")
	for _, path := range []string{"/", "/product/rope", "/cart", "/privacy", "/account", "/account/orders"} {
		_, body, header := v.do("GET", path, nil, "document")
		nonce := regexp.MustCompile(`'nonce-([^']+)'`).FindStringSubmatch(header.Get("Content-Security-Policy"))
		if nonce == nil {
			t.Fatalf("%s: policy %q", path, header.Get("Content-Security-Policy"))
		}
		for _, tag := range regexp.MustCompile(`<script[^>]*>`).FindAllString(body, -1) {
			if !strings.Contains(tag, `nonce="`+nonce[1]+`"`) || !strings.Contains(tag, " src=") {
				t.Errorf("%s: %s", path, tag)
			}
		}
		if strings.Contains(body, "<style") || strings.Contains(body, " style=") || strings.Contains(body, " onclick=") || strings.Contains(body, "<b>Ada") {
			t.Errorf("%s: something inline:\n%s", path, body)
		}
	}
	for _, path := range []string{"/static/style.css", "/static/banner.js", "/static/account.js", "/sidetrack/s.js"} {
		v.page(path)
	}
}
