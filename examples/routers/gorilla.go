package routers

import (
	"fmt"
	"net/http"

	"github.com/gorilla/mux"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/sources"
)

// Gorilla is a site on gorilla/mux, whose middleware is that of net/http and runs once the route is known.
func Gorilla(q sidetrack.Queue) http.Handler {
	r := mux.NewRouter()
	r.Use(sources.Middleware(q, sources.WithRoute(func(r *http.Request) string {
		if route := mux.CurrentRoute(r); route != nil {
			pattern, _ := route.GetPathTemplate() // an error means that there is none
			return pattern
		}
		return ""
	})))
	r.HandleFunc("/product/{id}", func(w http.ResponseWriter, r *http.Request) {
		sidetrack.FromContext(r.Context()).SetTitle("Product " + mux.Vars(r)["id"])
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, "<!doctype html><h1>A product</h1>")
	})
	return r
}
