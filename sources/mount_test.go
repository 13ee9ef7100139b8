package sources

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

// echo answers with the path it sees and stores nothing.
func echo(name string) sidetrack.Decoder {
	return decoder(func(r *http.Request) (sidetrack.Decoded, error) {
		return sidetrack.Decoded{Reply: sidetrack.Reply{Status: 200, Body: []byte(name + " " + r.URL.Path)}}, nil
	})
}

func TestMounts(t *testing.T) {
	c := newCollector(t, &fake{}, CollectorConfig{Decoders: sidetrack.Mounts{
		{Name: "plain", Paths: []string{"/batch", "POST /v1/{call}"}, Decoder: echo("plain")},
		{Name: "moved", Paths: []string{"/batch", "POST /v1/{call}"}, At: "/a/b", Decoder: echo("moved")},
		{Name: "hosted", Paths: []string{"/batch"}, At: "t.example", Decoder: echo("hosted")},
		{Name: "both", Paths: []string{"/batch"}, At: "t.example/c", Decoder: echo("both")},
	}})
	for _, tt := range []struct {
		method, url, want string
		status            int
	}{
		{"POST", "http://x/batch", "plain /batch", 200},
		{"POST", "http://x/v1/track", "plain /v1/track", 200},
		{"GET", "http://x/v1/track", "", 405},
		{"POST", "http://x/a/b/v1/track", "moved /v1/track", 200},
		{"GET", "http://x/a/b/batch", "moved /batch", 200},
		{"GET", "http://x/a/batch", "", 404},
		{"GET", "http://t.example/batch", "hosted /batch", 200},
		{"GET", "http://t.example:8080/c/batch", "both /batch", 200},
		{"GET", "http://x/c/batch", "", 404},
		{"POST", "http://x/collect", "", 404}, // what is not listed is not served
		{"GET", "http://x/pixel.gif", "", 404},
		{"GET", "http://x/healthz", "ok", 200},
	} {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest(tt.method, tt.url, nil))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s %s: %d %q, want %d %q", tt.method, tt.url, w.Code, w.Body, tt.status, tt.want)
		}
	}
}

func TestMountProblems(t *testing.T) {
	mount := func(at string, paths ...string) sidetrack.Mount {
		return sidetrack.Mount{Name: "m", At: at, Paths: paths, Decoder: echo("m")}
	}
	for name, tt := range map[string]struct {
		mounts sidetrack.Mounts
		field  string
	}{
		"trailing slash": {sidetrack.Mounts{mount("/a/", "/x")}, "decoders.m.at"},
		"wildcard":       {sidetrack.Mounts{mount("/{a}", "/x")}, "decoders.m.at"},
		"dots":           {sidetrack.Mounts{mount("/a/../b", "/x")}, "decoders.m.at"},
		"dots at last":   {sidetrack.Mounts{mount("/a/..", "/x")}, "decoders.m.at"},
		"space":          {sidetrack.Mounts{mount("POST /a", "/x")}, "decoders.m.at"},
		"port":           {sidetrack.Mounts{mount("a:80", "/x")}, "decoders.m.at"},
		"no path":        {sidetrack.Mounts{mount("")}, "decoders.m"},
		"no decoder":     {sidetrack.Mounts{{Name: "m", Paths: []string{"/x"}}}, "decoders.m"},
		"no pattern":     {sidetrack.Mounts{mount("", "x")}, "decoders.m"},
		"twice":          {sidetrack.Mounts{mount("", "/x"), mount("", "/x")}, "decoders.m"},
		"health":         {sidetrack.Mounts{mount("", "GET /healthz")}, "decoders.m"},
	} {
		_, err := NewCollector(&fake{}, CollectorConfig{Decoders: tt.mounts})
		if f, ok := errors.AsType[*sidetrack.FieldError](err); !ok || f.Field != tt.field {
			t.Errorf("%s: %v, want a problem at %s", name, err, tt.field)
		}
	}
	_, err := NewCollector(&fake{}, CollectorConfig{Decoders: sidetrack.Mounts{mount("/a/", "/x"), mount("/b/", "/x")}})
	if many, ok := err.(interface{ Unwrap() []error }); !ok || len(many.Unwrap()) != 2 {
		t.Errorf("not every problem: %v", err)
	}
}
