package sources

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

var twoSites = []sidetrack.Site{
	{Name: "shop", Hosts: []string{"shop.example"}, Origins: []string{"https://app.example"}, Keys: []string{"k-shop"}},
	{Name: "blog", Hosts: []string{"*.blog.example"}, Keys: []string{"k-blog"}},
}

func TestSites(t *testing.T) {
	for name, tt := range map[string]struct {
		body   string
		url    string // of the request
		header []string
		keys   string
		status int
		site   string // or what the answer says
	}{
		"page":                  {`{"name":"a","page":{"url":"https://x.blog.example/y"}}`, "/collect", []string{"Origin", "https://shop.example"}, "", 204, "blog"},
		"origin":                {`{"name":"a"}`, "/collect", []string{"Origin", "https://app.example"}, "", 204, "shop"},
		"host of the origin":    {`{"name":"a"}`, "/collect", []string{"Origin", "https://x.blog.example:81"}, "", 204, "blog"},
		"host of the request":   {`{"name":"a"}`, "http://t.blog.example/collect", nil, "", 204, "blog"},
		"nothing known":         {`{"name":"a"}`, "/collect", nil, "", 204, ""},
		"name":                  {`{"name":"a","site":"blog","page":{"url":"https://shop.example/"}}`, "/collect", nil, "", 204, "blog"},
		"unknown name":          {`{"name":"a","site":"shpo"}`, "/collect", nil, "", 400, "site"},
		"key":                   {`{"name":"a","page":{"url":"https://shop.example/"}}`, "/collect?key=k-blog", nil, "", 204, "blog"},
		"key in a header":       {`{"name":"a"}`, "/collect", []string{"X-Sidetrack-Key", "k-blog"}, "", 204, "blog"},
		"unknown key":           {`{"name":"a","page":{"url":"https://shop.example/"}}`, "/collect?key=other", nil, "", 204, "shop"},
		"key and name":          {`{"name":"a","site":"shop"}`, "/collect?key=k-shop", nil, "", 204, "shop"},
		"key and another name":  {`{"name":"a","site":"blog"}`, "/collect?key=k-shop", nil, "", 403, "site"},
		"required":              {`{"name":"a"}`, "/collect?key=k-shop", nil, "required", 204, "shop"},
		"required, missing":     {`{"name":"a","site":"shop","page":{"url":"https://shop.example/"}}`, "/collect", nil, "required", 403, "key"},
		"required, unknown":     {`{"name":"a"}`, "/collect?key=K-SHOP", nil, "required", 403, "key"},
		"required, in an array": {`[{"name":"a"},{"name":"b"}]`, "/collect", nil, "required", 403, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			c := newCollector(t, f, CollectorConfig{Sites: twoSites, Keys: tt.keys})
			r := httptest.NewRequest("POST", tt.url, strings.NewReader(tt.body))
			for i := 0; i < len(tt.header); i += 2 {
				r.Header.Set(tt.header[i], tt.header[i+1])
			}
			w := httptest.NewRecorder()
			c.ServeHTTP(w, r)
			if w.Code != tt.status {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if tt.status != 204 {
				if a := parseAnswer(t, w); a.Errors[0].Field != tt.site || len(f.all()) != 0 {
					t.Errorf("%s, %d events", w.Body, len(f.all()))
				}
			} else if got := f.one(t).Site; got != tt.site {
				t.Errorf("site %q", got)
			}
		})
	}
}

// TestSitesOfABatch: each event has its own key, and one that is wrong costs only itself.
func TestSitesOfABatch(t *testing.T) {
	f := &fake{}
	vendor := decoder(func(*http.Request) (sidetrack.Decoded, error) {
		return sidetrack.Decoded{
			Events:  []*sidetrack.Event{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}},
			Keys:    []string{"k-shop", "", "k-blog", "nobody"},
			Indexes: []int{0, 2, 3, 4},
			Errors:  []sidetrack.ElementError{{Index: 1, Err: &sidetrack.FieldError{Problem: "bad"}}},
		}, nil
	})
	c := newCollector(t, f, CollectorConfig{Sites: twoSites, Keys: "required", Decoders: sidetrack.Mounts{{Name: "v", Paths: []string{"/collect"}, Decoder: vendor}}})
	w := post(c, "")
	if w.Code != 200 || w.Body.String() != `{"accepted":2,"errors":[{"index":1,"message":"bad"},{"index":2,"field":"key","message":"is missing"},{"index":4,"field":"key","message":"belongs to no site"}]}`+"\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if e := f.all(); len(e) != 2 || e[0].Name+e[0].Site != "ashop" || e[1].Name+e[1].Site != "cblog" {
		t.Errorf("%+v", e)
	}
}

func TestAllowedHosts(t *testing.T) {
	c := newCollector(t, &fake{}, CollectorConfig{AllowedHosts: []string{"t.shop.example", "*.blog.example"}})
	for url, want := range map[string]int{
		"http://t.shop.example/collect": 204, "http://T.shop.example:8080/collect": 204, "http://a.blog.example/collect": 204,
		"http://shop.example/collect": 421, "http://192.0.2.1/collect": 421, "http://192.0.2.1/healthz": 405,
	} {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest("POST", url, strings.NewReader(`{"name":"a"}`)))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", url, w.Code, want)
		}
	}
}

func TestNamingProblems(t *testing.T) {
	for name, cfg := range map[string]CollectorConfig{
		"host with port":   {AllowedHosts: []string{"a:80"}},
		"host pattern":     {AllowedHosts: []string{"a.*"}},
		"empty host":       {AllowedHosts: []string{""}},
		"keys":             {Keys: "yes"},
		"no keys":          {Keys: "required"},
		"no keys of sites": {Keys: "required", Sites: []sidetrack.Site{{Name: "a"}}},
	} {
		if _, err := NewCollector(&fake{}, cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMethodsAndPaths(t *testing.T) {
	f := &fake{}
	c := newCollector(t, f, CollectorConfig{Decoders: sidetrack.Mounts{{Name: "x", Paths: []string{"/a/x"}, Decoder: echo("x")}}})
	for _, tt := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/a/x", 200, "x /a/x"}, {"POST", "//a///x", 200, "x /a/x"}, {"HEAD", "/a/x", 200, ""},
		{"PUT", "/a/x", 405, ""}, {"DELETE", "/a/x", 405, ""}, {"TRACE", "/a/x", 405, ""}, {"CONNECT", "/a/x", 405, ""}, {"X", "/healthz", 405, ""},
	} {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
		if w.Code != tt.status || tt.status == 200 && w.Body.String() != tt.body || tt.status == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: %d %q", tt.method, tt.path, w.Code, w.Body)
		}
	}
}

func TestStatusOfTheAnswer(t *testing.T) {
	if _, err := NewJSON(JSONConfig{Status: 201}); err == nil {
		t.Error("201")
	}
	if _, err := NewPixel(PixelConfig{Status: 302}); err == nil {
		t.Error("302")
	}
	json, err := NewJSON(JSONConfig{Status: 200})
	if err != nil {
		t.Fatal(err)
	}
	pixel, err := NewPixel(PixelConfig{Status: 204})
	if err != nil {
		t.Fatal(err)
	}
	c := newCollector(t, &fake{}, CollectorConfig{Decoders: sidetrack.Mounts{
		{Name: "json", Paths: []string{JSONPath}, Decoder: json}, {Name: "pixel", Paths: []string{PixelPath}, Decoder: pixel},
	}})
	if w := post(c, `{"name":"a"}`); w.Code != 200 || w.Body.String() != "{\"accepted\":1}\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest("GET", "/pixel.gif?url=https://a.example/", nil))
	if w.Code != 204 || w.Body.Len() != 0 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
}
