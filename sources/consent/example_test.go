package consent_test

import (
	"fmt"
	"net/http"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/sources"
	"github.com/sidetrack-go/sidetrack/sources/consent"
)

// What the visitor decided in OneTrust's banner, for the middleware: sources.WithConsent(resolver.Resolve).
func ExampleResolver() {
	resolver, err := consent.New(consent.Config{Unknown: "denied", GPC: "honour", Readers: consent.Readers{OneTrust: &consent.OneTrust{}}})
	if err != nil {
		panic(err)
	}
	_ = sources.WithConsent(resolver.Resolve)

	r, _ := http.NewRequest("GET", "https://shop.example/", nil)
	r.Header.Set("Cookie", "OptanonConsent=interactionCount=1&groups=C0001%3A1%2CC0002%3A1%2CC0004%3A0")
	r.Header.Set("Sec-Gpc", "1")
	state := resolver.Resolve(r)
	fmt.Println(state.Get(sidetrack.AnalyticsStorage), state.Get(sidetrack.AdStorage), state.How)
	// Output: granted denied onetrust+gpc
}

// The endpoint of a banner of one's own, and the hand-over by cookie for pages without it.
func ExampleBanner() {
	banner := consent.Banner{Own: consent.Own{Purposes: []sidetrack.Purpose{sidetrack.AnalyticsStorage, sidetrack.AdStorage}}}
	mux := http.NewServeMux()
	mux.Handle("/sidetrack/consent", banner.Handler()) // or EndpointsConfig{Consent: banner.Handler()}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "a page") })
	http.Handle("/", banner.Middleware(mux))
}
