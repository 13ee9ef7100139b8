package routers

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/sources"
)

// Gin is a site on gin. The middleware goes around the engine, where it sees the ResponseWriter before gin
// wraps it; gin leaves its pattern in the request's context.
func Gin(q sidetrack.Queue) http.Handler {
	r := gin.New()
	r.Use(func(c *gin.Context) { // what gin knows, for the middleware further out
		if p, ok := c.Request.Context().Value(patternKey{}).(*string); ok {
			*p = c.FullPath()
		}
	})
	r.GET("/product/:id", func(c *gin.Context) {
		sidetrack.FromContext(c.Request.Context()).SetTitle("Product " + c.Param("id"))
		c.Data(http.StatusOK, "text/html; charset=utf-8", []byte("<!doctype html><h1>A product</h1>"))
	})
	return withPattern(q, r)
}

// patternKey is the context key of the place where an inner router leaves its pattern.
type patternKey struct{}

// withPattern puts the middleware around a router that cannot be asked for its pattern from outside.
func withPattern(q sidetrack.Queue, router http.Handler) http.Handler {
	tracked := sources.Middleware(q, sources.WithRoute(func(r *http.Request) string {
		if p, ok := r.Context().Value(patternKey{}).(*string); ok {
			return *p
		}
		return ""
	}))(router)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tracked.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), patternKey{}, new(string))))
	})
}
