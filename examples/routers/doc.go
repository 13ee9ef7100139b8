// Package routers shows the middleware under gorilla/mux, gin and echo. It is a module of its own, so
// that the library does not depend on any of them.
//
// net/http middleware fits each of them; what differs is where the route's pattern is found, and how a
// handler gets at the request's context.
package routers
