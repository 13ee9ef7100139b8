// Package sources turns what visitors do into events: a middleware for net/http, an HTTP
// collector that can be mounted in any mux or listen by itself, and access logs.
//
// Every source copies an allow-list of fields and never keeps a request. The
// visitor's address goes into the event's Origin and nowhere else.
package sources
