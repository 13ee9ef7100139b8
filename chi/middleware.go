// Package sidetrackchi is sidetrack's page-view middleware for chi: the one of package
// sources, with chi's route patterns and chi's notion of the client's address.
package sidetrackchi

import (
	"net/http"
	"net/netip"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/sources"
)

// Middleware sends a page view for every page and puts a sidetrack.Tracker into the
// context, see sources.Middleware, whose options it takes.
//
//	r.Use(sidetrackchi.Middleware(p))
//
// The route of an event is the whole pattern through all mounted routers, such as
// /shop/product/{id}. The client's address is what one of chi's ClientIPFrom middlewares found, which then
// must come before this one; without it the address of the peer. Forwarding headers are not read here.
func Middleware(q sidetrack.Queue, opts ...sources.Option) func(http.Handler) http.Handler {
	all := append([]sources.Option{sources.WithRoute(route), sources.WithClientIP(clientIP)}, opts...)
	return sources.Middleware(q, all...)
}

// route returns the pattern of r, "" when no chi router serves it.
func route(r *http.Request) string {
	if ctx := chi.RouteContext(r.Context()); ctx != nil {
		return ctx.RoutePattern()
	}
	return ""
}

// clientIP returns what chi found; an invalid address means the peer.
func clientIP(r *http.Request) netip.Addr { return middleware.GetClientIPAddr(r.Context()) }
