package sidetrackchi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/sidetrack-go/sidetrack"
	sidetrackchi "github.com/sidetrack-go/sidetrack/chi"
	"github.com/sidetrack-go/sidetrack/sources"
)

type queue struct {
	mu     sync.Mutex
	events []*sidetrack.Event
}

func (q *queue) Enqueue(events ...*sidetrack.Event) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events = append(q.events, events...)
	return nil
}

func page(w http.ResponseWriter, r *http.Request) {
	_ = sidetrack.FromContext(r.Context()).Event("seen", nil)
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<html>")
}

func router(q sidetrack.Queue, before ...func(http.Handler) http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Use(before...)
	r.Use(sidetrackchi.Middleware(q), middleware.Compress(5))
	r.Get("/", page)
	r.Route("/shop", func(r chi.Router) {
		r.Get("/product/{id}", page)
		r.Mount("/cart", func() http.Handler {
			sub := chi.NewRouter()
			sub.With(middleware.NoCache).Get("/{user}/items", page)
			return sub
		}())
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /legacy/{page}", page)
	r.Handle("/legacy/*", mux)
	return r
}

func TestRoutes(t *testing.T) {
	for target, want := range map[string]string{
		"/":                   "/",
		"/shop/product/7?x=y": "/shop/product/{id}",
		"/shop/cart/42/items": "/shop/cart/{user}/items",
		"/legacy/about":       "/legacy/*",
	} {
		q := &queue{}
		h := router(q)
		for range 2 { // chi reuses its contexts
			q.events = nil
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", target, nil))
			if len(q.events) != 2 || q.events[0].Name != "seen" || q.events[1].Name != sidetrack.PageView {
				t.Fatalf("%s: %d events", target, len(q.events))
			}
			for _, e := range q.events {
				if e.Page.Route != want {
					t.Errorf("%s: route of %s = %q, want %q", target, e.Name, e.Page.Route, want)
				}
			}
		}
	}
}

func TestNotFoundIsNoPage(t *testing.T) {
	q := &queue{}
	router(q).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/nowhere", nil))
	if len(q.events) != 0 {
		t.Errorf("%d events", len(q.events))
	}
}

// TestTrackerAfterTheRequest uses trackers when chi has given their routing contexts
// to other requests.
func TestTrackerAfterTheRequest(t *testing.T) {
	q := &queue{}
	var trackers []*sidetrack.Tracker
	r := chi.NewRouter()
	r.Use(sidetrackchi.Middleware(q))
	r.Get("/a/{x}", func(_ http.ResponseWriter, r *http.Request) {
		trackers = append(trackers, sidetrack.FromContext(r.Context()))
	})
	r.Get("/b/{x}", func(http.ResponseWriter, *http.Request) {})
	for range 10 {
		r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/a/1", nil))
	}
	var wg sync.WaitGroup
	for _, tr := range trackers {
		wg.Go(func() { _ = tr.Event("later", nil) })
		wg.Go(func() { r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/b/1", nil)) })
	}
	wg.Wait()
	if len(q.events) != 10 {
		t.Fatalf("%d events", len(q.events))
	}
	for _, e := range q.events {
		if e.Page.Route != "/a/{x}" {
			t.Errorf("route = %q", e.Page.Route)
		}
	}
}

func TestClientAddress(t *testing.T) {
	for name, tt := range map[string]struct {
		before []func(http.Handler) http.Handler
		want   string
	}{
		"peer":        {nil, "10.0.0.1"},
		"chi's own":   {[]func(http.Handler) http.Handler{middleware.ClientIPFromXFF("10.0.0.0/8")}, "203.0.113.77"},
		"not trusted": {[]func(http.Handler) http.Handler{middleware.ClientIPFromXFF("192.0.2.0/24")}, "10.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			q := &queue{}
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = "10.0.0.1:9"
			r.Header.Set("X-Forwarded-For", "198.51.100.5, 203.0.113.77")
			router(q, tt.before...).ServeHTTP(httptest.NewRecorder(), r)
			if got := q.events[0].Origin().IP().String(); got != tt.want {
				t.Errorf("client = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestOutsideOfChi(t *testing.T) {
	q := &queue{}
	h := sidetrackchi.Middleware(q, sources.WithSource("front"))(http.HandlerFunc(page))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil))
	if len(q.events) != 2 || q.events[1].Page.Route != "" || q.events[1].Source != "front" {
		t.Errorf("%+v", q.events)
	}
}
