package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/sidetrack-go/sidetrack"
)

func withNonce(ctx context.Context, nonce string) context.Context {
	return context.WithValue(ctx, nonceKey{}, nonce)
}

func nonceOf(ctx context.Context) string {
	nonce, _ := ctx.Value(nonceKey{}).(string)
	return nonce
}

// list is the name of the only list of products.
const list = "Home"

func (s *shop) home(w http.ResponseWriter, r *http.Request) {
	goods := &sidetrack.Ecommerce{Currency: currency, ListName: list}
	for i, p := range catalogue {
		item := p.item(1)
		item.Index, item.HasIndex = int64(i), true
		goods.Items = append(goods.Items, item)
	}
	tell(r, "view_item_list", goods)
	s.render(w, r, "home", "Boots and lamps", catalogue)
}

func (s *shop) product(w http.ResponseWriter, r *http.Request) {
	p, ok := find(chi.URLParam(r, "slug"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	sidetrack.FromContext(r.Context()).SetPageProperty("category", p.Category)
	tell(r, "view_item", basket(line{p, 1}))
	s.render(w, r, "product", p.Name, p)
}

func (s *shop) add(w http.ResponseWriter, r *http.Request) {
	p, ok := find(chi.URLParam(r, "slug"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	s.sessions.start(w, r, s.https).add(p)
	tell(r, "add_to_cart", basket(line{p, 1}))
	http.Redirect(w, r, "/cart", http.StatusSeeOther)
}

func (s *shop) cart(w http.ResponseWriter, r *http.Request) {
	lines := s.sessions.of(r).lines()
	if len(lines) > 0 {
		tell(r, "view_cart", basket(lines...))
	}
	s.render(w, r, "cart", "Your cart", lines)
}

// checkout buys what is in the cart. The page after it can be loaded again and again: the purchase is
// tracked here, once, and its transaction id tells it from others.
func (s *shop) checkout(w http.ResponseWriter, r *http.Request) {
	order, ok := s.sessions.of(r).checkout(rand.Text()[:8])
	if !ok {
		http.Redirect(w, r, "/cart", http.StatusSeeOther)
		return
	}
	bought := basket(order.Lines...)
	bought.TransactionID, bought.Shipping = order.ID, shipping
	_ = sidetrack.FromContext(r.Context()).Purchase(*bought)
	http.Redirect(w, r, "/thanks/"+order.ID, http.StatusSeeOther)
}

func (s *shop) thanks(w http.ResponseWriter, r *http.Request) {
	for _, o := range s.sessions.of(r).orders() {
		if o.ID == chi.URLParam(r, "order") {
			s.render(w, r, "thanks", "Thank you", o)
			return
		}
	}
	http.NotFound(w, r)
}

func (s *shop) login(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimSpace(r.PostFormValue("name"))
	if name == "" || len(name) > 40 {
		http.Error(w, "who are you?", http.StatusBadRequest)
		return
	}
	s.sessions.start(w, r, s.https).signIn(name)
	_ = sidetrack.FromContext(r.Context()).Identify(userID(name), nil)
	http.Redirect(w, r, "/account", http.StatusSeeOther)
}

func (s *shop) logout(w http.ResponseWriter, r *http.Request) {
	s.sessions.end(w, r)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// userID stands for the key of a user table: what leaves is never a name or an address.
func userID(name string) string {
	sum := sha256.Sum256([]byte("shop user " + name))
	return hex.EncodeToString(sum[:8])
}

// signedIn says to the tracker who is signed in, for all events of the request.
func (s *shop) signedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := s.sessions.of(r).user(); name != "" {
			sidetrack.FromContext(r.Context()).SetUser(userID(name), nil)
		}
		next.ServeHTTP(w, r)
	})
}

// account is one page for everything below /account: its script shows the rest.
func (s *shop) account(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, "account", "Your account", nil)
}

func (s *shop) orders(w http.ResponseWriter, r *http.Request) {
	session := s.sessions.of(r)
	if session.user() == "" {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(session.orders())
}

// tell sends a shop event of the request. No page waits for it or fails with it.
func tell(r *http.Request, name string, goods *sidetrack.Ecommerce) {
	_ = sidetrack.FromContext(r.Context()).Send(name, func(e *sidetrack.Event) { e.Ecommerce = goods })
}

// basket is what an event says about lines of a cart.
func basket(lines ...line) *sidetrack.Ecommerce {
	goods := &sidetrack.Ecommerce{Currency: currency}
	for _, l := range lines {
		goods.Items = append(goods.Items, l.Product.item(l.Count))
	}
	goods.Value, goods.HasValue = goods.ItemsTotal()
	return goods
}
