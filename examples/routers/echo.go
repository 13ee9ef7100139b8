package routers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/sidetrack-go/sidetrack"
)

// Echo is a site on echo. As with gin the middleware goes around it.
func Echo(q sidetrack.Queue) http.Handler {
	e := echo.New()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if p, ok := c.Request().Context().Value(patternKey{}).(*string); ok {
				*p = c.Path()
			}
			return next(c)
		}
	})
	e.GET("/product/:id", func(c echo.Context) error {
		sidetrack.FromContext(c.Request().Context()).SetTitle("Product " + c.Param("id"))
		return c.HTML(http.StatusOK, "<!doctype html><h1>A product</h1>")
	})
	return withPattern(q, e)
}
