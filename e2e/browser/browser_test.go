package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sidetrack-go/sidetrack/e2e/browser"
)

func TestBrowser(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<title>%s</title>", strings.Split(r.Host, ":")[0])
	}))
	defer srv.Close()
	ctx := browser.New(t, "shop.example")
	for _, host := range []string{"shop.example", "stats.localhost", "127.0.0.1"} {
		if err := chromedp.Do(ctx, chromedp.Navigate(strings.Replace(srv.URL, "127.0.0.1", host, 1))); err != nil {
			t.Fatal(err)
		}
		title, err := chromedp.Run(ctx, chromedp.Title())
		if err != nil {
			t.Fatal(err)
		}
		if title != host {
			t.Errorf("title %q at %s", title, host)
		}
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("http://elsewhere.example/")); err == nil {
		t.Error("a name that was not declared was found")
	}
}
