package sources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sidetrack-go/sidetrack"
)

// respond is a handler with a fixed answer. An empty kind leaves the type to net/http.
func respond(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if kind != "" {
			w.Header().Set("Content-Type", kind)
		}
		if status != 0 {
			w.WriteHeader(status)
		}
		_, _ = io.WriteString(w, body)
	}
}

// TestRules has one row for each rule and its switch. A row says which events there are.
func TestRules(t *testing.T) {
	const view, soft, fatal = "page_view", "exception", "fatal exception"
	html := respond(0, "text/html", "x")
	tests := []struct {
		name    string
		method  string
		header  string // "Name: value", several by '|'
		opts    []Option
		handler http.HandlerFunc
		want    string // events by ','
	}{
		// Method.
		{"GET", "GET", "", nil, page, view},
		{"HEAD never", "HEAD", "", []Option{WithRules(Rules{AnyMethod: true, AnyStatus: true, AnyType: true, Scripts: true, NotFound: true, Errors: true})}, page, ""},
		{"HEAD of a failing page", "HEAD", "", []Option{WithRules(Rules{NotFound: true, Errors: true})}, respond(500, "text/html", ""), ""},
		{"OPTIONS", "OPTIONS", "", []Option{WithRules(Rules{AnyMethod: true})}, page, ""},
		{"POST", "POST", "", nil, page, ""},
		{"POST, any method", "POST", "", []Option{WithRules(Rules{AnyMethod: true})}, page, view},
		// Status.
		{"200 stated", "GET", "", nil, respond(200, "text/html", "x"), view},
		{"203", "GET", "", nil, respond(203, "text/html", "x"), view},
		{"early hints first", "GET", "", nil, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(103); page(w, r) }, view},
		{"redirect", "GET", "", nil, respond(302, "text/html", "x"), ""},
		{"not modified", "GET", "", nil, respond(304, "text/html", ""), ""},
		{"not found", "GET", "", nil, respond(404, "text/html", "x"), ""},
		{"server error", "GET", "", nil, respond(500, "text/html", "x"), ""},
		{"redirect, any status", "GET", "", []Option{WithRules(Rules{AnyStatus: true})}, respond(302, "text/html", "x"), view},
		{"superfluous second status", "GET", "", nil, func(w http.ResponseWriter, r *http.Request) { page(w, r); w.WriteHeader(500) }, view},
		// Type of the answer.
		{"xhtml", "GET", "", nil, respond(0, "application/xhtml+xml", "x"), view},
		{"type in capitals", "GET", "", nil, respond(0, "Text/HTML ;charset=utf-8", "x"), view},
		{"type found by content", "GET", "", nil, respond(0, "", "<!DOCTYPE html><html>"), view},
		{"type found after the status", "GET", "", nil, respond(200, "", "<!DOCTYPE html><html>"), view},
		{"text found by content", "GET", "", nil, respond(0, "", "hello"), ""},
		{"no type wanted", "GET", "", nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "<!doctype html>")
		}, ""},
		{"compressed without a type", "GET", "", nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, "<!doctype html>")
		}, ""},
		{"empty page with a type", "GET", "", nil, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/html") }, view},
		{"nothing at all", "GET", "", nil, func(http.ResponseWriter, *http.Request) {}, ""},
		{"type set too late", "GET", "", nil, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "plain")
			w.Header().Set("Content-Type", "text/html")
		}, ""},
		{"json", "GET", "", nil, respond(0, "application/json", "{}"), ""},
		{"image", "GET", "", nil, respond(0, "image/png", "x"), ""},
		{"json, any type", "GET", "", []Option{WithRules(Rules{AnyType: true})}, respond(0, "application/json", "{}"), view},
		// What the browser wants it for.
		{"navigation", "GET", "Sec-Fetch-Dest: document|Sec-Fetch-Mode: navigate", nil, html, view},
		{"image wanted", "GET", "Sec-Fetch-Dest: image", nil, html, ""},
		{"image wanted, all switches", "GET", "Sec-Fetch-Dest: image", []Option{WithRules(Rules{Scripts: true, Frames: true, Ahead: true})}, html, ""},
		{"frame", "GET", "Sec-Fetch-Dest: iframe", nil, html, ""},
		{"frame, frames counted", "GET", "Sec-Fetch-Dest: iframe", []Option{WithRules(Rules{Frames: true})}, html, view},
		{"XMLHttpRequest", "GET", "X-Requested-With: XMLHttpRequest", nil, html, ""},
		{"app's web view", "GET", "X-Requested-With: com.example.app", nil, html, view},
		{"fetch", "GET", "Sec-Fetch-Dest: empty|Sec-Fetch-Mode: cors", nil, html, ""},
		{"fetch without a destination", "GET", "Sec-Fetch-Mode: cors", nil, html, ""},
		{"fetch, scripts counted", "GET", "Sec-Fetch-Dest: empty", []Option{WithRules(Rules{Scripts: true})}, html, view},
		{"htmx", "GET", "HX-Request: true", nil, html, ""},
		{"React Server Components", "GET", "RSC: 1", nil, html, ""},
		{"Next.js action", "POST", "Next-Action: x", []Option{WithRules(Rules{AnyMethod: true})}, html, ""},
		{"Turbo frame", "GET", "Turbo-Frame: x", nil, html, ""},
		{"Inertia", "GET", "X-Inertia: true", nil, html, ""},
		{"Unpoly", "GET", "X-Up-Version: 3", nil, html, ""},
		{"PJAX", "GET", "X-PJAX: true", nil, html, ""},
		{"htmx, scripts counted", "GET", "HX-Request: true", []Option{WithRules(Rules{Scripts: true})}, html, view},
		// Before anybody sees it.
		{"prefetch", "GET", "Sec-Purpose: prefetch", nil, html, ""},
		{"anonymous prefetch", "GET", "Sec-Purpose: prefetch;anonymous-client-ip", nil, html, ""},
		{"prerender", "GET", "Sec-Purpose: prefetch;prerender|Sec-Fetch-Dest: document", nil, html, ""},
		{"old prefetch", "GET", "Purpose: Prefetch", nil, html, ""},
		{"Firefox prefetch", "GET", "X-Moz: prefetch", nil, html, ""},
		{"Safari preview", "GET", "X-Purpose: preview", nil, html, ""},
		{"Next.js prefetch", "GET", "Next-Router-Prefetch: 1", nil, html, ""},
		{"event of a prefetched page", "GET", "Sec-Purpose: prefetch", nil, func(w http.ResponseWriter, r *http.Request) {
			_ = sidetrack.FromContext(r.Context()).Event("view_item", nil)
			page(w, r)
		}, ""},
		{"prefetch, counted", "GET", "Sec-Purpose: prefetch", []Option{WithRules(Rules{Ahead: true})}, html, view},
		{"prefetch of nothing", "GET", "Sec-Purpose: prefetch", []Option{WithRules(Rules{NotFound: true, Errors: true})}, respond(404, "text/html", ""), ""},
		// Excluded.
		{"excluded prefix", "GET", "", []Option{WithExclude("/admin/", "/sho")}, html, view},
		{"excluded prefix matches", "GET", "", []Option{WithExclude("/admin/", "/shop/")}, html, ""},
		{"excluded path", "GET", "", []Option{WithExclude("/shop/lamp")}, html, ""},
		{"excluded glob", "GET", "", []Option{WithExclude("*/lamp")}, html, ""},
		{"skipped", "GET", "", []Option{WithSkip(func(r *http.Request) bool { return r.URL.Path != "/" })}, html, ""},
		{"own visit", "GET", "Cookie: a=b; sidetrack_own=1", nil, html, ""},
		{"own visit, counted", "GET", "Cookie: a=b; sidetrack_own=1", []Option{WithOwnVisits()}, html, view},
		{"opt-out", "GET", "Cookie: sidetrack_optout=1", []Option{WithOwnVisits()}, html, ""},
		{"a cookie like those", "GET", "Cookie: x=sidetrack_own=1; sidetrack_own=; sidetrack_owner=1", nil, html, view},
		// The handler's word.
		{"own page view", "GET", "", nil, func(w http.ResponseWriter, r *http.Request) {
			_ = sidetrack.FromContext(r.Context()).PageView("", "own")
			page(w, r)
		}, view},
		{"not wanted", "GET", "", nil, func(w http.ResponseWriter, r *http.Request) { NoPageView(r.Context()); page(w, r) }, ""},
		// The four switches for failures.
		{"404", "GET", "", []Option{WithRules(Rules{NotFound: true})}, respond(404, "text/html", "x"), soft},
		{"404 that is JSON", "GET", "", []Option{WithRules(Rules{NotFound: true})}, respond(404, "application/json", "{}"), soft},
		{"404 by script", "GET", "X-Requested-With: XMLHttpRequest", []Option{WithRules(Rules{NotFound: true})}, respond(404, "text/html", "x"), ""},
		{"404 by script, asked for", "GET", "X-Requested-With: XMLHttpRequest", []Option{WithRules(Rules{NotFound: true, NotFoundScripts: true})}, respond(404, "text/html", "x"), soft},
		{"404 of an image", "GET", "Sec-Fetch-Dest: image", []Option{WithRules(Rules{NotFound: true, NotFoundScripts: true})}, respond(404, "text/html", "x"), ""},
		{"404 is no error", "GET", "", []Option{WithRules(Rules{Errors: true})}, respond(404, "text/html", "x"), ""},
		{"400", "GET", "", []Option{WithRules(Rules{Errors: true})}, respond(400, "text/html", "x"), fatal},
		{"403", "POST", "", []Option{WithRules(Rules{Errors: true})}, respond(403, "text/html", "x"), fatal},
		{"500", "GET", "", []Option{WithRules(Rules{Errors: true})}, respond(500, "text/html", "x"), fatal},
		{"500 by script", "GET", "Sec-Fetch-Dest: empty", []Option{WithRules(Rules{Errors: true})}, respond(500, "text/html", "x"), ""},
		{"500 by script, asked for", "GET", "Sec-Fetch-Dest: empty", []Option{WithRules(Rules{Errors: true, ErrorsScripts: true})}, respond(500, "text/html", "x"), fatal},
		{"399", "GET", "", []Option{WithRules(Rules{Errors: true, NotFound: true})}, respond(399, "text/html", "x"), ""},
		// Strange headers cost nothing but themselves.
		{"hostile headers", "GET", "User-Agent: \x01\xff" + strings.Repeat("ü", 64<<10) + "|Referer: ht\x7ftp://\xff#|Accept-Language: \x00|Cookie: =;;=;\x00", nil, page, view},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{}
			r := request(tt.method, "http://shop.example/shop/lamp")
			for h := range strings.SplitSeq(tt.header, "|") {
				if k, v, ok := strings.Cut(h, ": "); ok {
					r.Header.Set(k, v)
				}
			}
			Middleware(f, append(tt.opts, WithLogger(quiet()))...)(tt.handler).ServeHTTP(httptest.NewRecorder(), r)
			var got []string
			for _, e := range f.all() {
				name := e.Name
				if e.Exception != nil && e.Exception.Fatal {
					name = "fatal " + name
				}
				got = append(got, name)
				if len(e.Device.UserAgent) > maxUserAgent || strings.ContainsAny(e.Device.UserAgent+e.Page.Referrer, "\x00\x01\x7f") || !utf8.ValidString(e.Device.UserAgent+e.Page.Referrer) {
					t.Errorf("unclean event %+v", e)
				}
			}
			if s := strings.Join(got, ","); s != tt.want {
				t.Errorf("events %q, want %q", s, tt.want)
			}
		})
	}
}

// TestLeftOutIsCounted checks that what is left out has a reason, if it would have counted.
func TestLeftOutIsCounted(t *testing.T) {
	f := &fake{}
	h := Middleware(f, WithExclude("/admin/"), WithLogger(quiet()))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sidetrack.FromContext(r.Context()) != nil {
			t.Error("a tracker for a request that is left out")
		}
	}))
	send := func(path, cookie, dest string) {
		r := request("GET", path)
		r.Header.Set("Cookie", cookie)
		r.Header.Set("Sec-Fetch-Dest", dest)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	send("/admin/", "", "document")
	send("/admin/logo.png", "", "image")
	send("/", "sidetrack_own=1", "")
	send("/", "sidetrack_optout=1", "")
	send("/", "sidetrack_optout=1", "empty")
	want := map[sidetrack.Reason]int{ReasonExcluded: 1, ReasonOwnVisit: 1, sidetrack.ReasonOptOut: 1}
	if fmt.Sprint(f.counts) != fmt.Sprint(want) || len(f.all()) != 0 {
		t.Errorf("counted %v and %d events, want %v", f.counts, len(f.all()), want)
	}
}

func TestPanics(t *testing.T) {
	secret := errors.New("visitor " + sentinel)
	for _, tt := range []struct {
		value  any
		rules  Rules
		header string
		want   string
	}{
		{"boom", Rules{}, "", "panic: string"},
		{secret, Rules{}, "", "panic: *errors.errorString"},
		{secret, Rules{}, "X-Requested-With", "panic: *errors.errorString"},
		{http.ErrAbortHandler, Rules{}, "", ""},
		{"boom", Rules{IgnorePanics: true}, "", ""},
	} {
		f := &fake{}
		var tracker *sidetrack.Tracker
		h := Middleware(f, WithRules(tt.rules), WithLogger(quiet()))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tracker = sidetrack.FromContext(r.Context())
			page(w, r)
			panics(tt.value)
		}))
		func() {
			defer func() {
				if p := recover(); p != tt.value {
					t.Errorf("recovered %v, want %v", p, tt.value)
				}
				if stack := debug.Stack(); !bytes.Contains(stack, []byte("sources.panics(")) {
					t.Errorf("the stack does not say where it happened any more:\n%s", stack)
				}
			}()
			r := request("GET", "http://shop.example/")
			if tt.header != "" {
				r.Header.Set(tt.header, "XMLHttpRequest")
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
		}()
		var got string
		for _, e := range f.all() {
			got += e.Exception.Description
			if !e.Exception.Fatal || e.Page.Status != 500 || e.Page.Path != "/" {
				t.Errorf("%v: %+v %+v", tt.value, e.Page, e.Exception)
			}
		}
		if got != tt.want {
			t.Errorf("%v: sent %q, want %q", tt.value, got, tt.want)
		}
		before := len(f.all())
		if err := tracker.Event("later", nil); err != nil || len(f.all()) != before+1 {
			t.Errorf("the tracker is dead after a panic: %v", err)
		}
	}
}

//go:noinline
func panics(value any) { panic(value) }

// TestGoexit checks that a handler that ends its goroutine ends it.
func TestGoexit(t *testing.T) {
	f := &fake{}
	done := make(chan bool)
	go func() {
		defer close(done)
		Middleware(f, WithLogger(quiet()))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			runtime.Goexit()
		})).ServeHTTP(httptest.NewRecorder(), request("GET", "/"))
		done <- true
	}()
	if <-done {
		t.Error("the goroutine went on")
	}
	if len(f.all()) != 0 {
		t.Errorf("%d events", len(f.all()))
	}
}

// TestContextMayEnd checks that a request whose client is gone is still counted.
func TestContextMayEnd(t *testing.T) {
	f := &fake{}
	ctx, cancel := context.WithCancel(t.Context())
	h := Middleware(f, WithLogger(quiet()))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page(w, r)
		cancel()
		if err := sidetrack.FromContext(r.Context()).Event("after", nil); err != nil || r.Context().Err() == nil {
			t.Errorf("%v, context %v", err, r.Context().Err())
		}
	}))
	h.ServeHTTP(httptest.NewRecorder(), request("GET", "/").WithContext(ctx))
	if len(f.all()) != 2 {
		t.Errorf("%d events, want the handler's and the page view", len(f.all()))
	}
}

func TestTrack(t *testing.T) {
	f := &fake{}
	params := map[string]any{"list": []any{"a"}}
	mux := http.NewServeMux()
	handle := func(pattern string, h http.HandlerFunc) {
		mux.Handle(pattern, Track("add_to_cart", params)(h))
	}
	handle("POST /ok", respond(303, "", ""))
	handle("GET /page", page)
	handle("POST /bad", respond(422, "text/html", "x"))
	handle("POST /panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	h := Middleware(f, WithLogger(quiet()))(mux)
	for _, r := range []string{"POST /ok", "GET /page", "POST /bad", "POST /panic"} {
		method, path, _ := strings.Cut(r, " ")
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(httptest.NewRecorder(), request(method, path))
		}()
	}
	var got []string
	for _, e := range f.all() {
		got = append(got, e.Name+" "+e.Page.Path)
		if e.Name == "add_to_cart" {
			if e.Param("list").([]any)[0] != "a" || e.Page.Route == "" {
				t.Errorf("%+v", e)
			}
			e.Param("list").([]any)[0] = "changed"
		}
	}
	if want := []string{"add_to_cart /ok", "add_to_cart /page", "page_view /page"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	w := httptest.NewRecorder()
	Track("x", nil)(http.HandlerFunc(page)).ServeHTTP(w, request("GET", "/")) // without the middleware
	if w.Code != 200 {
		t.Errorf("status %d", w.Code)
	}
}

// TestEventsShareTheRequest checks that all events of a request have its page and visitor, and what the
// handler said about them.
func TestEventsShareTheRequest(t *testing.T) {
	f := &fake{}
	h := Middleware(f, WithLogger(quiet()), WithTitles(map[string]string{"/lamp": "by route"}), WithRoute(func(r *http.Request) string { return r.URL.Path }),
		WithConsent(func(*http.Request) sidetrack.Consent { return sidetrack.Grant("test", sidetrack.AnalyticsStorage) }),
		WithVisitor(func(*http.Request) sidetrack.Visitor { return sidetrack.Visitor{ClientID: "1.2"} }))(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tr := sidetrack.FromContext(r.Context())
			_ = tr.Event("first", nil)
			tr.SetTitle("said")
			tr.SetUser("u-7", map[string]any{"plan": "gold"})
			tr.SetPageProperty("category", "lamps")
			tr.SetPageProperty("author", "somebody")
			_ = tr.Event("second", map[string]any{"category": "own"})
			_ = tr.Purchase(sidetrack.Ecommerce{Currency: "EUR", Value: 1, HasValue: true})
			page(w, r)
		}))
	h.ServeHTTP(httptest.NewRecorder(), request("GET", "http://shop.example/lamp?utm_source=n"))
	var got []string
	for _, e := range f.all() {
		got = append(got, fmt.Sprintf("%s|%s|%s|%v|%v|%v", e.Name, e.Page.Title, e.Visitor.UserID, e.UserProperties["plan"], e.Param("category"), e.Param("author")))
		if e.Visitor.ClientID != "1.2" || e.Page.URL != "http://shop.example/lamp?utm_source=n" || e.Campaign.Source != "n" || !e.Consent.Allows(sidetrack.AnalyticsStorage) {
			t.Errorf("%+v", e)
		}
	}
	want := []string{
		"first|by route||<nil>|<nil>|<nil>", "second|said|u-7|gold|own|somebody",
		"purchase|said|u-7|gold|lamps|somebody", "page_view|said|u-7|gold|lamps|somebody",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestHeadersMayChange sends events from another goroutine while the handler changes the
// request's headers: with the race detector, a map read and written at once shows.
func TestHeadersMayChange(t *testing.T) {
	f := &fake{}
	h := Middleware(f, WithLogger(quiet()))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tr := sidetrack.FromContext(r.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = tr.Event("x", nil) }()
		for i := range 100 {
			r.Header.Set("User-Agent", fmt.Sprint(i))
			r.Header.Set(fmt.Sprint("X-", i), "")
			r.URL.Path = "/other"
		}
		<-done
		page(w, r)
	}))
	h.ServeHTTP(httptest.NewRecorder(), request("GET", "/path"))
	for _, e := range f.all() {
		if !strings.HasPrefix(e.Device.UserAgent, "Mozilla") || e.Page.Path != "/path" {
			t.Errorf("%+v %+v", e.Page, e.Device)
		}
	}
}
