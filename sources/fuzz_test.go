package sources

import (
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/size"
)

// FuzzCollect: whatever is sent, the answer is one of the documented ones, says
// something, agrees with what was stored, and no address gets in.
func FuzzCollect(f *testing.F) {
	for _, s := range []string{
		`{"name":"a"}`, `[{"name":"a"},7]`, `{"batch":[{"name":"a"}]}`, "{\"name\":\"a\"}\n{\"name\":\"b\"}", sample,
		`{"name":"a","network":{"ip":"203.0.113.77"},"params":{"ip":"203.0.113.77","x":[{"y":"203.0.113.77"}]}}`,
		gzipped(`{"name":"a"}`), `{"name":"\u0000\ud800"}`, `[[[[`, `{"batch":[}`, "\x1f\x8b\x08", `{"name":"a","time":-1}`,
	} {
		f.Add(s, "")
		f.Add(s, "gzip")
		f.Add(s, "deflate")
		for coding, encode := range codings {
			f.Add(encode(s), coding)
		}
	}
	f.Fuzz(func(t *testing.T, body, encoding string) {
		if strings.Contains(body, sentinel) && !strings.Contains(body, `"`+sentinel) {
			return // an address cut up by the fuzzer into keys and the like
		}
		out := &fake{}
		w := post(newCollector(t, out, CollectorConfig{MaxBody: 64 * size.KiB}), body, "Content-Encoding", encoding)
		switch w.Code {
		case 204:
			out.one(t)
		case 200:
			if a := parseAnswer(t, w); a.Accepted == 0 || a.Accepted != len(out.all()) {
				t.Errorf("%s for %d events", w.Body, len(out.all()))
			}
		case 400, 413, 415:
			if a := parseAnswer(t, w); len(a.Errors) == 0 || a.Errors[0].Message == "" || len(out.all()) != 0 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		default:
			t.Errorf("status %d %s", w.Code, w.Body)
		}
		for _, e := range out.all() {
			if e.Network.IP != "" || e.Origin().IP().String() != sentinel || !e.Received.IsZero() || e.Source != "" || !utf8.ValidString(e.Page.URL) {
				t.Errorf("%+v", e)
			}
		}
	})
}

// FuzzSplit: splitting never loses or invents a byte of an element.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"[]", "[1,2]", `[{"a":"]"},[[]],"\"",null]`, `[,]`, `[1`, `[{]}]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !strings.HasPrefix(s, "[") {
			return
		}
		elements, err := wholeArray(s)
		if err != nil {
			return
		}
		again, err := wholeArray("[" + strings.Join(elements, ",") + "]")
		if err != nil || strings.Join(again, "\x00") != strings.Join(elements, "\x00") {
			t.Errorf("%q: %q, then %q, %v", s, elements, again, err)
		}
	})
}

func FuzzPixel(f *testing.F) {
	f.Add("url=https%3A%2F%2Fshop.example%2F&title=x&p.a=1")
	f.Add("p.ip=203.0.113.77&url=203.0.113.77&client_id=%zz&%&==&p.%00=")
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest("GET", "/pixel.gif", nil)
		r.RemoteAddr = sentinel + ":1"
		r.URL.RawQuery = query
		out := &fake{}
		w := httptest.NewRecorder()
		newCollector(t, out, CollectorConfig{}).ServeHTTP(w, r)
		switch {
		case w.Code == 200 && w.Body.String() == gif:
			e := out.one(t)
			for k, v := range e.Params {
				if s := v.(string); !utf8.ValidString(k+s) || strings.Contains(s, sentinel) {
					t.Errorf("%q: %q", k, v)
				}
			}
			if strings.Contains(e.Page.URL+e.Page.Title+e.Visitor.ClientID+e.Name, sentinel) {
				t.Errorf("%+v", e)
			}
		case w.Code == 400 && len(out.all()) == 0:
		default:
			t.Errorf("%d %q", w.Code, w.Body)
		}
	})
}

func FuzzPage(f *testing.F) {
	f.Add("https://u:p@shop.example/a?utm_source=x%20y&gclid=1;2#f")
	f.Add("http://a@b@c/?#@")
	f.Add("\x01 x # ")
	f.Fuzz(func(t *testing.T, address string) {
		var e sidetrack.Event
		setPage(&e, address)
		if strings.Contains(e.Page.URL, "#") || len(e.Page.URL) > maxURL || !utf8.ValidString(e.Page.URL+e.Page.Path+e.Campaign.Source) {
			t.Errorf("%q becomes %q", address, e.Page.URL)
		}
		if isWebURL(e.Page.URL) {
			host, _, _ := strings.Cut(e.Page.URL[strings.Index(e.Page.URL, "://")+3:], "/")
			if host, _, _ = strings.Cut(host, "?"); strings.Contains(host, "@") {
				t.Errorf("%q keeps user info: %q", address, e.Page.URL)
			}
		}
		once := e.Page.URL
		if again := cleanURL(once); again != once {
			t.Errorf("cleanURL is not idempotent: %q, %q", once, again)
		}
	})
}
