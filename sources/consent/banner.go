package consent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// Banner keeps what visitors decide in a cookie of one's own, which the reader Own reads. There are two ways to
// decide: the page's script sets the action cookie to accept or refuse and the next request is
// answered with the status cookie (Middleware), or it posts the decision (Handler). The zero value is ready.
//
// A decision against analytics_storage deletes what was stored at the visitor's with the same answer.
type Banner struct {
	// Own names the cookies and says what accept grants. It has to be the same as the reader's.
	Own Own
	// MaxAge is how long a decision is kept. 0 means 182 days, after which the visitor is to be asked
	// again; 400 days is the most browsers keep.
	MaxAge time.Duration
	// Domain is that of the cookies; "" means this host only.
	Domain string
	// Secure says that https ends at a proxy in front. It is always on for https here.
	Secure bool
	// Delete are the cookies to delete on withdrawal, as names with * for any text. nil means
	// the visitor cookie of sidetrack and those of the usual analytics and advertising tags, see Tracking.
	Delete []string
	// Origins are origins of other sites, "https://www.shop.example", whose pages may post decisions. Those of this
	// host may always.
	Origins []string
	// Resolver is asked by GET what the state is; nil reads the banner's own cookies only.
	Resolver *Resolver
	// Changed is called for every new decision, before the answer. nil: nothing is.
	Changed func(ctx context.Context, r *http.Request, c sidetrack.Consent)
}

// Tracking returns the cookies that Banner deletes by default: sidetrack's own, and those that
// Google's, Meta's, Matomo's and Microsoft's tags set on a site.
func Tracking() []string {
	return []string{
		"sidetrack", "__Host-sidetrack", "__Secure-sidetrack", "_ga", "_ga_*", "_gid", "_gat*", "_gcl_*", "_gac_*", "FPID", "FPLC", "FPAU", "_fbp", "_fbc",
		"_pk_id.*", "_pk_ses.*", "_uetsid", "_uetvid", "_clck", "_clsk",
	}
}

// maxBody is how much of a posted decision is read.
const maxBody = 8 << 10

// Middleware answers a decision that the page's script left in the action cookie: it sets the status
// cookie, deletes the action cookie and, on withdrawal, what tracking stored. The request itself is already treated by the
// decision where the reader Own is used. An action that cannot be read is deleted and decides nothing.
func (b Banner) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.HandOver(w, r)
		next.ServeHTTP(w, r)
	})
}

// HandOver is what Middleware does before the handler; it reports the decision, if there was one. It must
// be called before the header of the answer is written.
func (b Banner) HandOver(w http.ResponseWriter, r *http.Request) (c sidetrack.Consent, decided bool) {
	action, _ := b.Own.Names()
	o := sidetrack.NewOrigin(netip.Addr{}, r)
	raw := o.Cookie(action)
	if raw == "" {
		return c, false
	}
	// Two action cookies: the stricter one counts, and reading only the action shows it.
	reader, err := New(Config{Unknown: "denied", GPC: "ignore", Readers: Readers{Own: &Own{Action: action, Status: action + "-none", Purposes: b.Own.Purposes}}})
	if err == nil {
		c = reader.Resolve(r)
	}
	b.expire(w, r, action)
	if err != nil || allUnknown(c) {
		return sidetrack.Consent{}, false
	}
	b.decide(w, r, c)
	return c, true
}

func allUnknown(c sidetrack.Consent) bool {
	return !slices.ContainsFunc(sidetrack.Purposes(), func(p sidetrack.Purpose) bool { return c.Get(p) != sidetrack.Unknown })
}

// Handler is the endpoint to mount, such as at /sidetrack/consent. POST takes a decision: action=accept or
// action=refuse, or purposes with granted or denied, as a form or as a JSON object. It answers 204, or sends a browser
// that posted a form back to the page it came from. GET answers with the state as a JSON object.
//
// A decision has to come from a page of this host or of Origins: nobody else can consent for the visitor.
func (b Banner) Handler() http.Handler {
	protect := http.NewCrossOriginProtection()
	var bad error
	for _, origin := range b.Origins {
		bad = errors.Join(bad, protect.AddTrustedOrigin(origin))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			b.show(w, r)
		case http.MethodPost:
			if err := cmp.Or(bad, protect.Check(r)); err != nil {
				http.Error(w, "a decision has to come from a page of this site", http.StatusForbidden)
				return
			}
			b.post(w, r)
		default:
			h.Set("Allow", "GET, HEAD, POST")
			http.Error(w, "use GET or POST", http.StatusMethodNotAllowed)
		}
	})
}

func (b Banner) show(w http.ResponseWriter, r *http.Request) {
	resolver := b.Resolver
	if resolver == nil {
		own := b.Own
		var err error
		if resolver, err = New(Config{Unknown: "denied", GPC: "honour", Readers: Readers{Own: &own}}); err != nil {
			http.Error(w, "the banner's cookies are not usable", http.StatusInternalServerError)
			return
		}
	}
	c := resolver.Resolve(r)
	state := map[string]string{"how": c.How}
	for _, p := range sidetrack.Purposes() {
		state[string(p)] = c.Get(p).String()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(state) // the visitor is gone, and it was only a question
}

func (b Banner) post(w http.ResponseWriter, r *http.Request) {
	c, err := b.read(w, r)
	if err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, err.Error(), status)
		return
	}
	b.decide(w, r, c)
	if back := b.back(r); back != "" {
		http.Redirect(w, r, back, http.StatusSeeOther)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

var (
	errDecision = errors.New("want action=accept, action=refuse or purposes with granted or denied")
	errType     = errors.New("want application/x-www-form-urlencoded or application/json")
)

// read takes the decision out of the body.
func (b Banner) read(w http.ResponseWriter, r *http.Request) (c sidetrack.Consent, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	stated := map[string]string{}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "application/x-www-form-urlencoded", "multipart/form-data":
		if kind == "multipart/form-data" {
			err = r.ParseMultipartForm(maxBody)
		} else {
			err = r.ParseForm()
		}
		if err != nil {
			return c, limit(err, errDecision)
		}
		for k, v := range r.PostForm {
			if len(v) != 1 {
				return c, errDecision
			}
			stated[k] = v[0]
		}
	case "application/json", "text/plain": // navigator.sendBeacon sends a string as text
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return c, limit(err, errDecision)
		}
		if json.Unmarshal(body, &stated) != nil {
			return c, errDecision
		}
	default:
		return c, errType
	}
	if action, ok := stated["action"]; ok {
		if action != "accept" && action != "refuse" {
			return c, errDecision
		}
		c, _ = b.Own.Decision(action)
	}
	for k, v := range stated {
		p, err := sidetrack.ParsePurpose(k)
		if err != nil {
			continue // a button's name, a token of the page
		}
		s, ok := sidetrack.ParseState(v)
		if !ok || v == "" {
			return sidetrack.Consent{}, errDecision
		}
		if c.Get(p) != sidetrack.Denied {
			c.Set(p, s)
		}
	}
	if allUnknown(c) {
		return sidetrack.Consent{}, errDecision
	}
	return c, nil
}

// limit keeps the error that says the body is too large, for its status.
func limit(err, otherwise error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge
	}
	return otherwise
}

// decide stores a decision at the visitor's, and deletes what a withdrawal no longer allows.
func (b Banner) decide(w http.ResponseWriter, r *http.Request, c sidetrack.Consent) {
	c.How = "own"
	_, status := b.Own.Names()
	// Scripts read it: the banner shows itself when it is missing.
	http.SetCookie(w, &http.Cookie{
		Name: status, Value: b.encode(c), Path: "/", Domain: b.Domain, MaxAge: int(cmp.Or(b.MaxAge, 182*24*time.Hour) / time.Second),
		SameSite: http.SameSiteLaxMode, Secure: b.Secure || r.TLS != nil,
	})
	if c.Get(sidetrack.AnalyticsStorage) == sidetrack.Denied {
		b.withdraw(w, r)
	}
	if b.Changed != nil {
		b.Changed(r.Context(), r, c)
	}
}

// encode writes 1 for what accept grants, 0 for a refusal of everything, else purpose:state joined by |.
func (b Banner) encode(c sidetrack.Consent) string {
	for value, action := range map[string]string{"1": "accept", "0": "refuse"} {
		whole, _ := b.Own.Decision(action)
		whole.How = c.How
		if whole == c {
			return value
		}
	}
	var parts []string
	for _, p := range sidetrack.Purposes() {
		if s := c.Get(p); s != sidetrack.Unknown {
			parts = append(parts, string(p)+":"+s.String())
		}
	}
	return strings.Join(parts, "|")
}

// maxDeleted bounds how many cookies one answer deletes.
const maxDeleted = 20

// withdraw deletes the tracking cookies the request came with.
func (b Banner) withdraw(w http.ResponseWriter, r *http.Request) {
	patterns := b.Delete
	if patterns == nil {
		patterns = Tracking()
	}
	names := sidetrack.NewOrigin(netip.Addr{}, r).CookieNames()
	slices.Sort(names)
	deleted := 0
	for _, name := range slices.Compact(names) {
		if deleted == maxDeleted {
			return
		}
		if slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, name); return ok }) {
			b.expire(w, r, name)
			deleted++
		}
	}
}

// expire deletes a cookie: for this host, and for each domain above that it may have been set
// for, as the request does not tell. Browsers ignore those that are a public suffix.
func (b Banner) expire(w http.ResponseWriter, r *http.Request, name string) {
	secure := b.Secure || r.TLS != nil || strings.HasPrefix(name, "__")
	for _, domain := range domains(r.Host) {
		if domain != "" && strings.HasPrefix(name, "__Host-") {
			return
		}
		http.SetCookie(w, &http.Cookie{Name: name, Value: "", Path: "/", Domain: domain, MaxAge: -1, SameSite: http.SameSiteLaxMode, Secure: secure})
	}
}

// domains returns "" for the host alone, and the host and its parents of at least two labels, at most four.
func domains(host string) []string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, ".[]"))
	out := []string{""}
	if _, err := netip.ParseAddr(host); err == nil {
		return out
	}
	for ; strings.Count(host, ".") >= 1 && len(out) < 5; _, host, _ = strings.Cut(host, ".") {
		out = append(out, host)
	}
	return out
}

// back is where a browser that posted a form is sent: the page it came from if that is of this host, "" for requests
// of scripts.
func (b Banner) back(r *http.Request) string {
	if r.Header.Get("Sec-Fetch-Dest") != "document" && (r.Header.Get("Sec-Fetch-Dest") != "" || !strings.Contains(r.Header.Get("Accept"), "text/html")) {
		return ""
	}
	u, err := url.Parse(r.Referer())
	if err != nil || u.Host != r.Host || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") || strings.HasPrefix(u.Path, `/\`) {
		return "/" // also for paths that would lead to another host
	}
	return (&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}).String()
}
