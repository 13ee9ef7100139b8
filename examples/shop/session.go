package main

import (
	"crypto/rand"
	"net/http"
	"sync"
)

// sessions are the visitors' carts and names. They live in memory; a real shop has a database. The
// zero value is ready.
type sessions struct{ byID sync.Map }

const sessionCookie = "shop_session"

// session is safe for concurrent use; nil is one without anything.
type session struct {
	mu    sync.Mutex
	name  string
	goods []line
	past  []order
}

type line struct {
	Product product
	Count   int
}

type order struct {
	ID    string
	Lines []line
}

// of returns the session of r, nil when there is none.
func (s *sessions) of(r *http.Request) *session {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	v, _ := s.byID.Load(c.Value)
	found, _ := v.(*session)
	return found
}

// start returns the session of r, a new one if need be.
func (s *sessions) start(w http.ResponseWriter, r *http.Request, secure bool) *session {
	if found := s.of(r); found != nil {
		return found
	}
	id, fresh := rand.Text(), &session{}
	s.byID.Store(id, fresh)
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: id, Path: "/", HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode})
	return fresh
}

func (s *sessions) end(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(sessionCookie); err == nil {
		s.byID.Delete(c.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1})
}

func (s *session) add(p product) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.goods {
		if s.goods[i].Product == p {
			s.goods[i].Count++
			return
		}
	}
	s.goods = append(s.goods, line{p, 1})
}

func (s *session) lines() []line {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]line(nil), s.goods...)
}

func (s *session) count() (n int) {
	for _, l := range s.lines() {
		n += l.Count
	}
	return n
}

// checkout makes an order of the cart; ok is false when it is empty.
func (s *session) checkout(id string) (o order, ok bool) {
	if s == nil {
		return o, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.goods) == 0 {
		return o, false
	}
	o = order{id, s.goods}
	s.past, s.goods = append(s.past, o), nil
	return o, true
}

func (s *session) orders() []order {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]order{}, s.past...)
}

func (s *session) signIn(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.name = name
}

func (s *session) user() string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name
}
