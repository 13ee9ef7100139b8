package routers

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/sidetrack-go/sidetrack"
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

func TestRouters(t *testing.T) {
	for name, tt := range map[string]struct {
		site  func(sidetrack.Queue) http.Handler
		route string
	}{
		"gorilla": {Gorilla, "/product/{id}"},
		"gin":     {Gin, "/product/:id"},
		"echo":    {Echo, "/product/:id"},
	} {
		q := &queue{}
		h := tt.site(q)
		for _, path := range []string{"/product/7?utm_source=news", "/nowhere", "/product/7?utm_source=news"} {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
		}
		if len(q.events) != 2 {
			t.Fatalf("%s: %d events, want the two pages", name, len(q.events))
		}
		for _, e := range q.events {
			if e.Name != sidetrack.PageView || e.Page.Route != tt.route || e.Page.Title != "Product 7" || e.Page.Status != 200 || e.Campaign.Source != "news" {
				t.Errorf("%s: %s %+v", name, e.Name, e.Page)
			}
		}
	}
}
