package main

import (
	"context"
	"crypto/rand"
	"embed"
	"html/template"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/sidetrack-go/sidetrack"
	sidetrackchi "github.com/sidetrack-go/sidetrack/chi"
	"github.com/sidetrack-go/sidetrack/sources"
	"github.com/sidetrack-go/sidetrack/sources/consent"
)

//go:embed templates
var templateFiles embed.FS

//go:embed static
var static embed.FS

type shop struct {
	https    bool
	pages    map[string]*template.Template
	sessions sessions
}

// newShop is the whole site. q gets its events.
func newShop(q sidetrack.Queue, s settings) (http.Handler, error) {
	shop := &shop{https: s.https, pages: map[string]*template.Template{}}
	for _, name := range []string{"home", "product", "cart", "thanks", "account", "privacy"} {
		t, err := template.ParseFS(templateFiles, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, err
		}
		shop.pages[name] = t
	}

	// What the visitor decided: the banner's cookie, and the browser's Global Privacy Control.
	own := consent.Own{}
	decisions := consent.Defaults()
	decisions.Readers.Own = &own
	resolver, err := consent.New(decisions)
	if err != nil {
		return nil, err
	}
	visitors := &sources.VisitorCookie{Secret: s.secret, Secure: s.https, NothingBeforeConsent: true, AdoptGoogle: true}
	banner := consent.Banner{Own: own, Secure: s.https, Resolver: resolver, Changed: func(ctx context.Context, r *http.Request, c sidetrack.Consent) {
		if id := visitors.ClientID(r); id != "" && s.withdrawn != nil && c.Get(sidetrack.AnalyticsStorage) == sidetrack.Denied {
			s.withdrawn(ctx, id)
		}
	}}
	tracking := []sources.Option{
		sources.WithConsent(resolver.Resolve),
		sources.WithVisitorCookie(visitors),
		sources.WithExclude("/admin/", "/static/"),
		sources.WithRules(sources.Rules{NotFound: true, Errors: true}),
	}

	r := chi.NewRouter()
	r.Use(sidetrackchi.Middleware(q, tracking...)) // outside of Recoverer: a panic it turned into a 500 is an error page
	r.Use(middleware.Recoverer, http.NewCrossOriginProtection().Handler, secure, shop.signedIn)
	r.Mount("/sidetrack", sources.Endpoints(q, sources.EndpointsConfig{Consent: banner.Handler()}, tracking...))
	r.Handle("/static/*", http.FileServerFS(static))

	r.Get("/", shop.home)
	r.Get("/product/{slug}", shop.product)
	r.Get("/cart", shop.cart)
	r.Post("/cart/{slug}", shop.add)
	r.Post("/checkout", shop.checkout)
	r.Get("/thanks/{order}", shop.thanks)
	r.Get("/privacy", shop.page("privacy", "Privacy"))
	r.Post("/login", shop.login)
	r.Post("/logout", shop.logout)
	r.Get("/account", shop.account)
	r.Get("/account/*", shop.account)
	r.With(sources.Track("order_history", nil)).Get("/api/orders", shop.orders)
	r.Get("/admin/stock", shop.page("privacy", "Stock")) // not tracked
	return r, nil
}

// nonceKey is the context key of the page's script nonce.
type nonceKey struct{}

// secure sets a strict Content-Security-Policy: no inline script, nothing from elsewhere.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nonce := rand.Text()
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-"+nonce+"'; style-src 'self'; img-src 'self'; "+
			"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
		next.ServeHTTP(w, r.WithContext(withNonce(r.Context(), nonce)))
	})
}

// data is what every template gets.
type data struct {
	Title  string
	Nonce  string
	Script template.HTML
	User   string
	Count  int // of items in the cart
	Body   any
}

// render writes a page. Its title is the one that is tracked.
func (s *shop) render(w http.ResponseWriter, r *http.Request, name, title string, body any) {
	sidetrack.FromContext(r.Context()).SetTitle(title)
	nonce := nonceOf(r.Context())
	session := s.sessions.of(r)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "private, no-cache")
	_ = s.pages[name].ExecuteTemplate(w, "layout.html", data{ // an error means that the visitor is gone
		Title: title, Nonce: nonce, User: session.user(), Count: session.count(), Body: body,
		Script: sources.ScriptTag("/sidetrack", nonce, map[string]string{"outbound": "", "downloads": ""}),
	})
}

func (s *shop) page(name, title string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.render(w, r, name, title, nil) }
}
