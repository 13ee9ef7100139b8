package sources

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// cors lets browser pages of certain origins send and read the answers.
type cors struct {
	any     bool
	origins map[string]bool
}

func newCORS(origins []string) (cors, error) {
	c := cors{origins: make(map[string]bool, len(origins))}
	for _, o := range origins {
		if o == "*" {
			c.any = true
			continue
		}
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return cors{}, fmt.Errorf("origin %q: want scheme and host only, like https://shop.example", o)
		}
		c.origins[strings.ToLower(o)] = true
	}
	return c, nil
}

// handle sets the CORS headers, answers preflights and turns away pages of other
// origins. It returns false when the request is answered.
func (c cors) handle(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	if !c.any && len(c.origins) == 0 {
		return true
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if origin == "" {
		return true
	}
	listed := c.origins[strings.ToLower(origin)]
	if !listed && !c.any {
		if _, host, ok := strings.Cut(origin, "://"); ok && strings.EqualFold(host, r.Host) {
			return true // the collector's own pages need no permission
		}
		writeJSON(w, http.StatusForbidden, answer{Errors: []answerError{{Field: "Origin", Message: "is not allowed to send"}}})
		return false
	}
	h.Set("Access-Control-Allow-Origin", "*")
	if listed {
		// Cookies only for origins that were named: an answer to "*" with
		// credentials would let any page act for the visitor.
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	if !preflight {
		return true
	}
	h.Add("Vary", "Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	if asked := r.Header.Get("Access-Control-Request-Headers"); isTokenList(asked) {
		h.Set("Access-Control-Allow-Headers", asked)
	}
	h.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
	return false
}

// isTokenList reports whether s is a bounded list of header names.
func isTokenList(s string) bool {
	if s == "" || len(s) > 1024 {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == ',' || c == ' ') {
			return false
		}
	}
	return true
}
