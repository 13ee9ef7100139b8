package sources

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPixel(t *testing.T) {
	get := func(f *fake, method, query string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://t.example/pixel.gif?"+query, nil)
		r.RemoteAddr = sentinel + ":1"
		r.Header.Set("Referer", "https://shop.example/caller")
		w := httptest.NewRecorder()
		newCollector(t, f, CollectorConfig{}).ServeHTTP(w, r)
		return w
	}
	f := &fake{}
	w := get(f, "GET", "url=https%3A%2F%2Fshop.example%2Fa%3Futm_source%3Dx&title=T%C3%A4+x&referrer=https%3A%2F%2Fr.example%2F&client_id=1.2&user_id=u&site=shop&message_id=m&p.color=red&p.=no&utm_x=1&empty=")
	if w.Code != 200 || w.Header().Get("Content-Type") != "image/gif" || w.Header().Get("Cache-Control") != "no-store" || w.Body.String() != gif {
		t.Errorf("%d %v %q", w.Code, w.Header(), w.Body)
	}
	e := f.one(t)
	if e.Name != "page_view" || e.Page.URL != "https://shop.example/a?utm_source=x" || e.Page.Title != "Tä x" || e.Page.Referrer != "https://r.example/" ||
		e.Visitor.ClientID != "1.2" || e.Visitor.UserID != "u" || e.Site != "shop" || e.MessageID != "m" || e.Campaign.Source != "x" || len(e.Params) != 1 || e.Param("color") != "red" {
		t.Errorf("%+v", e)
	}
	f = &fake{}
	if get(f, "GET", ""); f.one(t).Page.URL != "https://shop.example/caller" {
		t.Errorf("page = %q", f.one(t).Page.URL)
	}
	f = &fake{}
	if w := get(f, "HEAD", ""); w.Code != 200 || len(f.all()) != 0 {
		t.Errorf("HEAD: %d, %d events", w.Code, len(f.all()))
	}
	var many strings.Builder
	for i := range maxPixelParams + 1 {
		fmt.Fprintf(&many, "p.k%d=v&", i)
	}
	for query, field := range map[string]string{"title=%zz": "title", "p.x=%ff": "p.x", "%zz=1": "query", many.String(): "p.k100"} {
		f := &fake{}
		w := get(f, "GET", query)
		if a := parseAnswer(t, w); w.Code != 400 || a.Errors[0].Field != field || len(f.all()) != 0 {
			t.Errorf("%.20s: %d %s", query, w.Code, w.Body)
		}
	}
}
