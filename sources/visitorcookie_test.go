package sources

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

func TestVisitorCookie(t *testing.T) {
	yes := func(*http.Request) bool { return true }
	c := VisitorCookie{Secret: sidetrack.NewSecret("s3cret"), Allowed: yes}
	visit := func(c VisitorCookie, method string, cookies ...*http.Cookie) (sidetrack.Visitor, []*http.Cookie) {
		f := &fake{}
		var v sidetrack.Visitor
		h := Middleware(f, WithLogger(quiet()), WithVisitor(c.Identify))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = sidetrack.FromContext(r.Context()).Event("x", nil)
			page(w, r)
		}))
		r := request(method, "https://shop.example/")
		for _, k := range cookies {
			r.AddCookie(k)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		for _, e := range f.all() {
			v = e.Visitor
		}
		return v, w.Result().Cookies()
	}
	first, set := visit(c, "GET")
	if len(set) != 1 || !first.New || first.ClientID == "" || set[0].Name != "sidetrack" || !set[0].HttpOnly || !set[0].Secure || set[0].SameSite != http.SameSiteLaxMode || set[0].MaxAge != 395*86400 {
		t.Fatalf("%+v %+v", first, set)
	}
	if again, more := visit(c, "GET", &http.Cookie{Name: "sidetrack", Value: "v1.1.2.3.forged"}, set[0]); again.ClientID != first.ClientID || again.New || len(more) != 0 {
		t.Errorf("second visit: %+v %+v", again, more)
	}
	other := c
	other.Secret = sidetrack.NewSecret("other")
	if v, more := visit(other, "GET", set[0]); v.ClientID == first.ClientID || len(more) != 1 {
		t.Errorf("a cookie signed by somebody else: %+v", v)
	}
	if v, more := visit(c, "POST"); v != (sidetrack.Visitor{}) || len(more) != 0 {
		t.Errorf("not a page: %+v %+v", v, more)
	}
	for name, none := range map[string]VisitorCookie{
		"no secret":    {Allowed: yes},
		"nobody asked": {Secret: c.Secret},
		"refused":      {Secret: c.Secret, Allowed: func(*http.Request) bool { return false }},
	} {
		if v, more := visit(none, "GET", set[0]); v != (sidetrack.Visitor{}) || len(more) != 0 {
			t.Errorf("%s: %+v %+v", name, v, more)
		}
	}
}
