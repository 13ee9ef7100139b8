package meta

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sidetrack-go/sidetrack"
)

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       "",
		"Boots – size 42":                        "Boots – size 42",
		"a+b, 1+1=2, +5 %":                       "a+b, 1+1=2, +5 %",
		"write to jane.doe@shop.example!":        "write to [email]!",
		"jäne@exämple.de":                        "[email]",
		"jane%40shop.example":                    "[email]",
		"jane%2540shop.example":                  "[email]",
		"o'neil+news@mail.shop.example":          "[email]",
		"@home":                                  "@home",
		"call +43 1 234567 or +1 (650) 555-0123": "call [phone] or [phone]",
		"%2B4312345678":                          "[phone]",
		"order 4312345678":                       "order 4312345678", // bare numbers cannot be told from others
	} {
		if got := redact(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestPersonalKeys(t *testing.T) {
	for _, k := range []string{"email", "E-Mail", "user[email]", "billing_first_name", "phone", "shipping-phone", "Customer Name", "fn", "date_of_birth", "zip_code", "password"} {
		if !isPersonalKey(k) {
			t.Errorf("%q is no name of personal data", k)
		}
	}
	for _, k := range []string{"", "name", "plan", "order_id", "content_name", "item_name", "iphone_model", "method", "city_guide"} {
		if isPersonalKey(k) {
			t.Errorf("%q is a name of personal data", k)
		}
	}
}

func TestWithoutPersonalData(t *testing.T) {
	for in, want := range map[string]string{
		"https://a.example/p?x=1&y=%20z;w":                                      "", // as it is
		"https://a.example/?q=a+b&q=c%2Bd":                                      "",
		"https://a.example/%C3%A4/b%2Fc":                                        "",
		"https://u:p@a.example/p#frag":                                          "https://a.example/p",
		"https://a.example/p?email=x&a=1&Phone=2":                               "https://a.example/p?a=1",
		"https://a.example/p?to=jane%40b.example":                               "https://a.example/p",
		"https://a.example/p?to=jane%2540b.example&a":                           "https://a.example/p?a",
		"https://a.example/p?next=%2Flogin%3Fa%3D1%26first_name%3DJane":         "https://a.example/p",
		"https://a.example/p?next=%252Flogin%253Fmail%253DJane":                 "https://a.example/p",
		"https://a.example/user/jane@b.example/x":                               "https://a.example/user/%5Bemail%5D/x",
		"https://a.example/user/jane%40b.example":                               "https://a.example/user/%5Bemail%5D",
		"https://a.example/p?user%5Bemail%5D=x":                                 "https://a.example/p",
		"https://a.example/p?tel=%2B43&call=%2B43%201%20234567&call=+431234567": "https://a.example/p",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		got, changed := withoutPersonalData(u)
		same := want == "" || !strings.Contains(in, "frag") && want == in
		if want == "" {
			want = in
		}
		if got != want || !strings.Contains(in, "u:p@") && changed == same {
			t.Errorf("%s: %s %v, want %s", in, got, changed, want)
		}
	}
}

func FuzzWithoutPersonalData(f *testing.F) {
	for _, s := range []string{"https://a.example/p?to=jane%40b.example&a=%zz", "https://a.example/j@b.example/%2540?;&&=", "http://[::1]/?%2B43123456789", "https://a.example/?a=%25%34%30", "https://a.example/x@/y.z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.Opaque != "" {
			return
		}
		got, _ := withoutPersonalData(u)
		again, err := url.Parse(got)
		if err != nil {
			if _, wasGood := url.Parse(u.String()); wasGood == nil {
				t.Errorf("%q became %q: %v", s, got, err)
			}
			return
		}
		if twice, changed := withoutPersonalData(again); changed {
			t.Errorf("%q became %q, and that %q", s, got, twice)
		}
		if again.Fragment != "" || again.User != nil {
			t.Errorf("%q became %q", s, got)
		}
		if path := again.Path; email.MatchString(path) {
			t.Errorf("%q: an e-mail address in %q", s, path)
		}
	})
}

// FuzzParams: whatever is in an event's params, the request is JSON that a strict Meta takes, without e-mail addresses.
func FuzzParams(f *testing.F) {
	for _, s := range []string{
		`{"value":"1,5","currency":"eur","contents":[{"id":"A","quantity":0.5}]}`, `{"num_items":1e300,"content_ids":[1,null]}`, `{"a":{"email":"x","b":["jane@shop.example"]}}`,
		`{"contents":[{"id":"","item_price":-1}],"predicted_ltv":"x","status":[]}`, `{"event_id":"x","search_term":"+43 1 234567","jane@shop.example":1,"delivery_category":"x"}`,
	} {
		f.Add(s, "page_view", "https://a.example/p")
	}
	g, err := newGenerator(config())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, params, name, page string) {
		m, err := sidetrack.ParseValue(params)
		p, ok := m.(map[string]any)
		if err != nil || !ok {
			return
		}
		e := visit(name, func(e *sidetrack.Event) { e.Params, e.Page.URL, e.ID, e.Time = p, page, uuid.Max, now })
		if e.Validate(now) != nil {
			return
		}
		r, err := g.Request(sidetrack.Unit{Events: []*sidetrack.Event{e}, At: now})
		if err != nil {
			return
		}
		var b struct {
			Data []json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(r.Body, &b); err != nil || len(b.Data) != 1 {
			t.Fatalf("%s: %v", r.Body, err)
		}
		if _, subcode, problem := (&graph{t: t, now: now}).check(b.Data[0]); subcode != 0 && p["poison"] == nil {
			t.Errorf("Meta refuses %s: %s", b.Data[0], problem)
		}
		var v any
		if err := json.Unmarshal(r.Body, &v); err != nil {
			t.Fatal(err)
		}
		walk(v, func(s string) {
			if strings.ContainsRune(s, '@') && email.MatchString(s) {
				t.Errorf("an e-mail address is sent: %q", s)
			}
		})
	})
}

func walk(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case []any:
		for _, e := range v {
			walk(e, f)
		}
	case map[string]any:
		for k, e := range v {
			f(k)
			walk(e, f)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(400, `{"error":{"message":"m","code":100,"error_subcode":2804003}}`, `{"1":[{"estimated_time_to_regain_access":5}]}`)
	f.Add(200, `{"events_received":-1}`, "")
	f.Add(403, `{"error":{"code":4,"message":"\u0000jane@shop.example"}}`, `{"1":[{"estimated_time_to_regain_access":1e999}]}`)
	f.Fuzz(func(t *testing.T, status int, body, usage string) {
		u := sidetrack.Unit{Events: []*sidetrack.Event{visit("a", nil)}}
		err := classify(u, &sidetrack.Response{Status: status, Header: map[string][]string{"X-Business-Use-Case-Usage": {usage}}, Body: []byte(body)})
		class, after := sidetrack.ClassOf(err)
		if after < 0 || after > maxWait || (class == sidetrack.Delivered) != (err == nil) {
			t.Errorf("%s after %s: %v", class, after, err)
		}
		if err != nil && (email.MatchString(err.Error()) || len(err.Error()) > 2000) {
			t.Errorf("%q", err)
		}
		if err == nil && (status < 200 || status > 299) {
			t.Errorf("status %d counts as delivered", status)
		}
	})
}

// person is somebody who must not be found in plain anywhere.
type person struct{ email, phone, first, last string }

func drawPerson(t *rapid.T) person {
	word := rapid.StringMatching(`[A-Z][a-zäöüé]{4,9}xq`) // nothing else in a request looks like this
	p := person{first: word.Draw(t, "first"), last: word.Draw(t, "last")}
	p.email = rapid.SampledFrom([]string{"%s.%s@shop.example", "%s_%s@mail.example.org", "%s+%s@gmail.com"}).Draw(t, "form")
	p.email = fmt.Sprintf(p.email, p.first, p.last)
	p.phone = "+" + rapid.StringMatching(`[1-9][0-9]{0,2} \(?[0-9]{3}\)? [0-9]{3}-[0-9]{4}`).Draw(t, "phone")
	return p
}

// in reports what of the person s has in plain, in whatever encoding.
func (p person) in(s string) string {
	for range 4 {
		low := strings.ToLower(s)
		for _, part := range []string{p.email, p.phone, p.first, p.last, strings.Map(digits, p.phone)} {
			if strings.Contains(low, strings.ToLower(part)) {
				return part
			}
		}
		decoded, err := url.PathUnescape(s)
		if err != nil || decoded == s {
			return ""
		}
		s = decoded
	}
	return ""
}

func digits(r rune) rune {
	if r >= '0' && r <= '9' {
		return r
	}
	return -1
}

// plant puts a person wherever an event may have one.
func plant(t *rapid.T, p person, e *sidetrack.Event) {
	u := new(sidetrack.UserData)
	e.UserData = u
	must := func(err error) {
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
	}
	must(u.AddEmail(p.email))
	must(u.AddPhone(p.phone))
	u.AddAddress(sidetrack.PostalAddress{FirstName: p.first, LastName: p.last, City: "Wien"})
	must(u.AddMatch("em", p.email))
	must(u.AddMatch("ph", p.phone))
	must(u.AddMatch("fn", p.first))
	must(u.AddMatch("ln", p.last))
	e.UserProperties = map[string]any{"email": p.email, "name": p.first + " " + p.last, "phone": p.phone}
	e.Visitor.UserID = p.email
	contact := func(label string) string { return rapid.SampledFrom([]string{p.email, p.phone}).Draw(t, label) }
	e.Params = map[string]any{
		"billing_first_name": p.first, "last_name": p.last, "customer": map[string]any{"surname": p.last, "ways": []any{contact("way"), int64(1)}},
		"note": "please write to " + contact("note") + "!", contact("key"): "x", "search_term": contact("term"), "content_name": contact("name"),
		"event_id": contact("id"), "content_ids": []any{contact("content")}, "contents": []any{map[string]any{"id": contact("content 2"), "email": p.email}},
	}
	e.Page.Title, e.Page.Referrer = p.email, "https://b.example/"+url.PathEscape(contact("path"))+"?first_name="+url.QueryEscape(p.first)
	e.Page.URL = "https://a.example/?a=1&to=" + url.PathEscape(contact("query")) + "&lname=" + url.QueryEscape(p.last) + "&next=" + url.QueryEscape("/x?email="+url.QueryEscape(p.email))
	e.MessageID, e.Campaign.ClickIDs = contact("message"), map[string]string{"fbclid": contact("click")}
	e.Ecommerce = &sidetrack.Ecommerce{
		TransactionID: contact("order"), Coupon: contact("coupon"), ListName: contact("list"), Affiliation: contact("affiliation"),
		Items: []sidetrack.Item{{ID: contact("item"), Name: contact("item name"), Brand: contact("brand"), Categories: []string{contact("category")}}},
	}
	e.Exception = &sidetrack.Failure{Description: "no mail to " + contact("failure")}
	e.Social, e.Timing = &sidetrack.Social{Target: contact("target")}, &sidetrack.Duration{Label: contact("label")}
}

// No plain e-mail address, telephone number or name is in a request, a note or an error, wherever in an event it was.
func TestNobodyInPlain(t *testing.T) {
	cfg := config()
	cfg.EventID = "message_id"
	g, err := newGenerator(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPerson(t)
		name := rapid.SampledFrom([]string{"page_view", "purchase", "own event", "mail " + p.email}).Draw(t, "event")
		e := visit(name, func(e *sidetrack.Event) { plant(t, p, e) })
		e.ID, e.Time = uuid.Max, now
		if rapid.Bool().Draw(t, "refused") {
			e.Device.UserAgent = "" // for the error
		}
		r, err := g.Request(sidetrack.Unit{Events: []*sidetrack.Event{e}, At: now})
		said := fmt.Sprintf("%v %+v", err, err)
		if partial, ok := errors.AsType[*sidetrack.PartialError](err); ok {
			said += fmt.Sprint(partial.Failed)
		}
		if r != nil {
			var plain any // JSON escapes what it likes
			if err := json.Unmarshal(r.Body, &plain); err != nil {
				t.Fatal(err)
			}
			walk(plain, func(s string) { said += "\n" + s })
			said += r.URL + fmt.Sprint(r.Header, r.Notes)
		}
		if found := p.in(said); found != "" {
			t.Errorf("%q is in %s", found, said)
		}
		answer := sidetrack.Response{Status: 400, Body: []byte(`{"error":{"code":100,"message":"bad em ` + p.email + ` or ph ` + p.phone + `"}}`)}
		if found := (person{p.email, p.phone, p.email, p.email}).in(classify(sidetrack.Unit{Events: []*sidetrack.Event{e}}, &answer).Error()); found != "" {
			t.Errorf("%q is in an error", found)
		}
	})
}
