package sources

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

func TestCORS(t *testing.T) {
	const page = "https://shop.example"
	preflight := []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,x-key"}
	tests := []struct {
		name    string
		origins []string
		origin  string
		header  []string
		status  int
		allow   string
		creds   string
		headers string
	}{
		{"preflight", []string{page}, page, preflight, 204, page, "true", "content-type,x-key"},
		{"preflight, any", []string{"*"}, "https://x.example", preflight, 204, "https://x.example", "true", "content-type,x-key"},
		{"other beside any", []string{page, "*"}, "https://x.example", nil, 204, "https://x.example", "true", ""},
		{"a file or sandbox, any", []string{"*"}, "null", nil, 204, "null", "true", ""},
		{"any, too long", []string{"*"}, "https://" + strings.Repeat("x", 300), nil, 403, "", "", ""},
		{"below", []string{"https://*.shop.example"}, "https://a.b.shop.example", preflight, 204, "https://a.b.shop.example", "true", "content-type,x-key"},
		{"below, itself", []string{"https://*.shop.example"}, page, nil, 403, "", "", ""},
		{"below, other scheme", []string{"https://*.shop.example"}, "http://a.shop.example", nil, 403, "", "", ""},
		{"below, other domain", []string{"https://*.shop.example"}, "https://ashop.example", nil, 403, "", "", ""},
		{"below, hidden", []string{"https://*.shop.example"}, "https://evil.example/.shop.example.x", nil, 403, "", "", ""},
		{"capitals", []string{"https://Shop.example"}, page, nil, 204, page, "true", ""},
		{"preflight, other", []string{page}, "https://evil.example", preflight, 403, "", "", ""},
		{"preflight, odd headers", []string{page}, page, []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "a\r\nb"}, 204, page, "true", ""},
		{"post", []string{page}, page, nil, 204, page, "true", ""},
		{"post, other", []string{page}, "https://evil.example", nil, 403, "", "", ""},
		{"post, null", []string{page}, "null", nil, 403, "", "", ""},
		{"post, the collector's own", []string{page}, "http://t.shop.example", nil, 204, "", "", ""},
		{"post without origin", []string{page}, "", nil, 204, "", "", ""},
		{"nothing configured", nil, page, nil, 204, page, "true", ""},
		{"nothing configured, preflight", nil, page, preflight, 204, page, "true", "content-type,x-key"},
		{"a site's page", []string{page}, "https://www.blog.example:8443", nil, 204, "https://www.blog.example:8443", "true", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{}
			r := httptest.NewRequest("POST", "http://t.shop.example/collect", strings.NewReader(`{"name":"a"}`))
			if tt.header != nil {
				r = httptest.NewRequest("OPTIONS", "http://t.shop.example/collect", nil)
				for i := 0; i < len(tt.header); i += 2 {
					r.Header.Set(tt.header[i], tt.header[i+1])
				}
			}
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			w := httptest.NewRecorder()
			newCollector(t, f, CollectorConfig{Origins: tt.origins, Sites: []sidetrack.Site{{Name: "blog", Hosts: []string{"*.blog.example"}}}}).ServeHTTP(w, r)
			h := w.Header()
			if w.Code != tt.status || h.Get("Access-Control-Allow-Origin") != tt.allow || h.Get("Access-Control-Allow-Credentials") != tt.creds || h.Get("Access-Control-Allow-Headers") != tt.headers {
				t.Errorf("%d %v", w.Code, h)
			}
			if stored := len(f.all()) == 1; stored != (tt.header == nil && tt.status == 204) {
				t.Errorf("stored: %v", stored)
			}
			if tt.origin != "" && h.Get("Vary") == "" {
				t.Error("no Vary")
			}
			if got := h.Get("Access-Control-Expose-Headers"); tt.allow != "" && got != "Retry-After" {
				t.Errorf("exposed: %q", got)
			}
		})
	}
}

// TestOptions: OPTIONS is answered at every path, preflight or not, and never reaches a decoder.
func TestOptions(t *testing.T) {
	c := newCollector(t, &fake{}, CollectorConfig{Decoders: sidetrack.Mounts{{Name: "x", Paths: []string{"/x"}, Decoder: echo("x")}}})
	for _, path := range []string{"/x", "/nowhere", "*"} {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest("OPTIONS", path, nil))
		if h := w.Header(); w.Code != 204 || w.Body.Len() > 0 || h.Get("Allow") == "" || h.Get("Access-Control-Allow-Origin") != "" || h.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s: %d %v %s", path, w.Code, w.Header(), w.Body)
		}
	}
}
