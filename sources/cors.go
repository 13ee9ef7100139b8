package sources

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/sites"
)

// cors lets browser pages of other origins send and read the answers.
//
// The page's origin is echoed and credentials are allowed, because that is the one form every
// tracker's requests get through with: some send cookies, and then "*" is not enough. It opens nothing that is
// shut otherwise. A page may send simple requests with cookies to anybody without asking, and the answers tell
// how many events were taken and nothing about the visitor.
type cors struct {
	listed map[string]bool // empty: all
	wild   []string        // "https://*.shop.example" as "https://" and ".shop.example"
	sites  *sites.Index    // whose pages may always send
}

// newCORS checks the origins. Problems are *sidetrack.FieldErrors.
func newCORS(origins []string) (c cors, problems []error) {
	c.listed = make(map[string]bool, len(origins))
	anyOrigin := false
	for i, o := range origins {
		if o == "*" {
			anyOrigin = true
			continue
		}
		scheme, host, ok := strings.Cut(strings.ToLower(o), "://")
		suffix, wild := strings.CutPrefix(host, "*")
		u, err := url.Parse(scheme + "://" + strings.TrimPrefix(suffix, "."))
		if !ok || err != nil || u.Scheme == "" || u.Host == "" || u.Host != strings.TrimPrefix(suffix, ".") || wild && !strings.HasPrefix(suffix, ".") || strings.Contains(suffix, "*") {
			problems = append(problems, &sidetrack.FieldError{Field: "origins[" + strconv.Itoa(i) + "]",
				Problem: strconv.Quote(o) + ` is no origin: write scheme and host only, such as https://shop.example or https://*.shop.example`})
			continue
		}
		if wild {
			c.wild = append(c.wild, scheme+"://", suffix)
		} else {
			c.listed[scheme+"://"+host] = true
		}
	}
	if anyOrigin {
		c = cors{}
	}
	return c, problems
}

// maxOrigin is longer than any origin: a host has at most 253 bytes.
const maxOrigin = 300

func (c *cors) allows(origin string) bool {
	if len(c.listed) == 0 && len(c.wild) == 0 {
		return true
	}
	if c.sites.ByOrigin(origin) != "" {
		return true
	}
	origin = strings.ToLower(origin)
	if c.listed[origin] {
		return true
	}
	for i := 0; i < len(c.wild); i += 2 {
		if host, ok := strings.CutPrefix(origin, c.wild[i]); ok && len(host) > len(c.wild[i+1]) && strings.HasSuffix(host, c.wild[i+1]) {
			return true
		}
	}
	return false
}

// handle sets the CORS headers, answers OPTIONS and turns away pages of other
// origins. It returns false when the request is answered.
func (c *cors) handle(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodOptions {
		return c.options(w, r)
	}
	origin := r.Header["Origin"]
	if len(origin) == 0 {
		return true // no page of another origin: browsers say so when there is one
	}
	return c.share(w, r, origin[0])
}

// share lets a page of origin read the answer. It returns false when the request is answered.
func (c *cors) share(w http.ResponseWriter, r *http.Request, origin string) bool {
	h := w.Header()
	h["Vary"] = varyOrigin
	if len(origin) > maxOrigin || !c.allows(origin) {
		if _, host, ok := strings.Cut(origin, "://"); ok && strings.EqualFold(host, r.Host) {
			return true // the collector's own pages need no permission
		}
		writeJSON(w, http.StatusForbidden, answer{Errors: []answerError{{Field: "Origin", Message: "is not allowed to send"}}})
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h["Access-Control-Allow-Credentials"] = allowCredentials
	h["Access-Control-Expose-Headers"] = exposeHeaders
	return true
}

// Header values that are the same for everybody. net/http does not change them.
var (
	varyOrigin       = []string{"Origin"}
	allowCredentials = []string{"true"}
	exposeHeaders    = []string{"Retry-After"}
)

const methods = "GET, HEAD, POST, OPTIONS"

// options answers what a browser asks before it sends, and everybody else who asks what may be sent.
func (c *cors) options(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	if origin := r.Header.Get("Origin"); origin != "" && !c.share(w, r, origin) {
		return false
	}
	h.Set("Allow", methods)
	if r.Header.Get("Access-Control-Request-Method") != "" {
		h["Vary"] = []string{"Origin, Access-Control-Request-Headers"}
		h.Set("Access-Control-Allow-Methods", methods)
		if asked := strings.Join(r.Header.Values("Access-Control-Request-Headers"), ","); isTokenList(asked) {
			h.Set("Access-Control-Allow-Headers", asked)
		}
		h.Set("Access-Control-Max-Age", "7200") // the most that Chromium keeps
	}
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
