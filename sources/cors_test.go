package sources

import (
	"net/http/httptest"
	"strings"
	"testing"
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
		{"preflight, any", []string{"*"}, "https://x.example", preflight, 204, "*", "", "content-type,x-key"},
		{"listed beside any", []string{"*", page}, page, preflight, 204, page, "true", "content-type,x-key"},
		{"preflight, other", []string{page}, "https://evil.example", preflight, 403, "", "", ""},
		{"preflight, odd headers", []string{page}, page, []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "a\r\nb"}, 204, page, "true", ""},
		{"post", []string{page}, page, nil, 204, page, "true", ""},
		{"post, other", []string{page}, "https://evil.example", nil, 403, "", "", ""},
		{"post, null", []string{page}, "null", nil, 403, "", "", ""},
		{"post, the collector's own", []string{page}, "http://t.shop.example", nil, 204, "", "", ""},
		{"post without origin", []string{page}, "", nil, 204, "", "", ""},
		{"nothing configured", nil, page, nil, 204, "", "", ""},
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
			newCollector(t, f, CollectorConfig{Origins: tt.origins}).ServeHTTP(w, r)
			h := w.Header()
			if w.Code != tt.status || h.Get("Access-Control-Allow-Origin") != tt.allow || h.Get("Access-Control-Allow-Credentials") != tt.creds || h.Get("Access-Control-Allow-Headers") != tt.headers {
				t.Errorf("%d %v", w.Code, h)
			}
			if stored := len(f.all()) == 1; stored != (tt.header == nil && tt.status == 204) {
				t.Errorf("stored: %v", stored)
			}
			if len(tt.origins) > 0 && h.Get("Vary") == "" {
				t.Error("no Vary")
			}
		})
	}
}
