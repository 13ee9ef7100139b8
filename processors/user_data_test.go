package processors

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/processors/processortest"
)

func userDataConfig() UserDataConfig {
	return UserDataConfig{
		Email: []string{"params.email", "user_properties.email"}, Phone: []string{"user_properties.contact.phone"}, FirstName: []string{"user_properties.first_name"},
		LastName: []string{"user_properties.last_name"}, Street: []string{"params.street"}, City: []string{"params.city"}, Region: []string{"params.region"},
		PostalCode: []string{"params.zip"}, Country: []string{"params.country"}, Gender: []string{"params.sex"}, Birthday: []string{"params.born"}, ExternalID: []string{"params.loyalty.card"}, MetaCookies: true,
	}
}

func TestUserDataContract(t *testing.T) {
	processortest.Run(t, func() (sidetrack.Processor, error) { return NewUserData(userDataConfig()) })
}

func TestUserDataConfig(t *testing.T) {
	for field, cfg := range map[string]UserDataConfig{
		"":       {},
		"email":  {Email: []string{"visitor.user_id"}},
		"phone":  {Phone: []string{"params."}},
		"street": {Street: []string{"params.a", "phone"}},
	} {
		_, err := NewUserData(cfg)
		if fe, ok := err.(*sidetrack.FieldError); !ok || fe.Field != field {
			t.Errorf("%q: %v", field, err)
		}
	}
}

// somebody is an event with plain personal data where userDataConfig says it is.
func somebody(states ...sidetrack.Purpose) *sidetrack.Event {
	e := request("203.0.113.77", "Cookie: _fbp=fb.1.1714557600123.1098115397; _fbc=fb.1.1714557600123.IwAR-x")
	e.Consent = sidetrack.Grant("test", states...)
	e.Params = map[string]any{
		"email": "Jane.Doe@gmail.com", "street": "1 Main St.", "city": "San Francisco", "region": "CA", "zip": int64(94105), "country": "US", "sex": "female", "born": "1990-12-31",
		"loyalty": map[string]any{"card": "C-1", "tier": "gold"}, "plan": "pro",
	}
	e.UserProperties = map[string]any{"email": []any{"alt@shop.example", " "}, "contact": map[string]any{"phone": "+1 (650) 555-0123"}, "first_name": "Jane", "last_name": "Doe-Müller"}
	return e
}

func TestUserDataIsHashedAndTakenOut(t *testing.T) {
	p := must[sidetrack.Processor](t)(NewUserData(userDataConfig()))
	e := somebody(sidetrack.AdUserData, sidetrack.AdStorage)
	if err := p.Process(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	var want sidetrack.UserData
	for _, v := range []string{"Jane.Doe@gmail.com", "alt@shop.example"} {
		if err := want.AddEmail(v); err != nil {
			t.Fatal(err)
		}
	}
	if err := want.AddPhone("+16505550123"); err != nil {
		t.Fatal(err)
	}
	for _, m := range [][2]string{
		{"fn", "jane"}, {"ln", "doe-müller"}, {"ct", "sanfrancisco"}, {"st", "ca"}, {"zp", "94105"}, {"country", "us"}, {"ge", "f"}, {"db", "19901231"}, {"external_id", "c-1"},
		{"fbp", "fb.1.1714557600123.1098115397"}, {"fbc", "fb.1.1714557600123.IwAR-x"},
	} {
		if err := want.AddMatch(m[0], m[1]); err != nil {
			t.Fatal(err)
		}
	}
	want.AddAddress(sidetrack.PostalAddress{FirstName: "Jane", LastName: "Doe-Müller", Street: "1 Main St.", City: "San Francisco", Region: "CA", PostalCode: "94105", Country: "US"})
	got, _ := json.Marshal(e)
	e.UserData = &want
	if all, _ := json.Marshal(e); string(got) != string(all) {
		t.Errorf("\n%s\nwant\n%s", got, all)
	}
	if e.Validate(time.Unix(1_700_000_000, 0)) != nil || e.Marks != nil {
		t.Errorf("%v %v", e.Validate(time.Unix(1_700_000_000, 0)), e.Marks)
	}
	if left, _ := json.Marshal([]any{e.Params, e.UserProperties}); string(left) != `[{"loyalty":{"tier":"gold"},"plan":"pro"},{"contact":{}}]` {
		t.Errorf("left %s", left)
	}
}

// Where the visitor did not agree, plain data is taken out too, and nothing is kept of it.
func TestUserDataWithoutConsent(t *testing.T) {
	p := must[sidetrack.Processor](t)(NewUserData(userDataConfig()))
	for _, granted := range [][]sidetrack.Purpose{nil, {sidetrack.AnalyticsStorage, sidetrack.AdStorage}} {
		e := somebody(granted...)
		if err := p.Process(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if b, _ := json.Marshal(e); e.UserData != nil || strings.Contains(strings.ToLower(string(b)), "jane") || strings.Contains(string(b), "555") || strings.Contains(string(b), "fb.1") {
			t.Errorf("%v: %s", granted, b)
		}
	}
	e := somebody(sidetrack.AdUserData)
	if err := p.Process(t.Context(), e); err != nil || e.UserData == nil || e.UserData.Match["fbp"] != nil {
		t.Errorf("cookies without ad_storage: %v %v", e.UserData, err)
	}
	denied := request("", "X: y")
	denied.UserData = &sidetrack.UserData{Emails: []string{strings.Repeat("a", 64)}}
	denied.Consent.Set(sidetrack.AdUserData, sidetrack.Denied)
	consent := must[sidetrack.Processor](t)(NewConsent(ConsentDefaults()))
	if err := consent.Process(t.Context(), denied); err != nil || denied.UserData != nil {
		t.Errorf("hashes are stored although ad_user_data is denied: %v %v", denied.UserData, err)
	}
}

// What the client hashed stays as it is, and what is of another kind goes and leaves a mark.
func TestUserDataOfOtherKinds(t *testing.T) {
	p := must[sidetrack.Processor](t)(NewUserData(userDataConfig()))
	hash := strings.Repeat("ab", 32)
	e := somebody(sidetrack.AdUserData)
	e.Params = map[string]any{"email": strings.ToUpper(hash)}
	e.UserProperties = map[string]any{"first_name": hash, "contact": map[string]any{"phone": hash}}
	e.UserData = &sidetrack.UserData{Emails: []string{hash}}
	if err := p.Process(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if b, _ := json.Marshal(e.UserData); len(e.UserData.Match) != 3 || e.UserData.Addresses != nil || len(e.UserData.Emails) != 1 || strings.Count(string(b)+asText(e), hash) < 4 || e.Marks != nil {
		t.Errorf("%s %v", asText(e), e.Marks)
	}
	for _, odd := range []any{"jane", 1.5, true, map[string]any{"x": "jane@shop.example"}, []any{"alt@shop.example", false}} {
		e := somebody(sidetrack.AdUserData)
		e.Params, e.UserProperties = map[string]any{"email": odd}, nil
		if err := p.Process(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if len(e.Params) != 0 || !slices.Equal(e.Marks, []string{MarkUserData}) {
			t.Errorf("%v: %s", odd, asText(e))
		}
	}
	many := somebody(sidetrack.AdUserData)
	many.UserProperties["email"] = slices.Repeat([]any{"alt@shop.example"}, 50)
	if err := p.Process(t.Context(), many); err != nil || len(many.UserData.Emails) != 2 || many.Marks != nil {
		t.Errorf("the same address fifty times: %s %v", asText(many), err)
	}
	for i := range 20 {
		many.SetParam("email", fmt.Sprintf("jane%d@shop.example", i))
		if err := p.Process(t.Context(), many); err != nil {
			t.Fatal(err)
		}
	}
	if err := many.Validate(time.Unix(1_700_000_000, 0)); err != nil || len(many.UserData.Emails) != sidetrack.MaxUserData || many.Marks == nil {
		t.Errorf("too many: %s %v", asText(many), err)
	}
}

func TestUserDataInAddresses(t *testing.T) {
	p := must[sidetrack.Processor](t)(NewUserData(UserDataConfig{Email: []string{"page.url.e-mail", "page.referrer.e-mail"}, Phone: []string{"page.url.tel"}}))
	for in, want := range map[string]string{
		"https://a.example/p?e-mail=jane%40shop.example&x=%20y&tel=%2B43+1+234567": "https://a.example/p?x=%20y",
		"https://a.example/p?e%2Dmail=jane%40shop.example#f":                       "https://a.example/p#f",
		"https://a.example/p?x":       "https://a.example/p?x",
		"https://a.example/p?e-mail=": "https://a.example/p",
		"https://a.example/p?%zz=1":   "https://a.example/p?%zz=1",
		"":                            "",
	} {
		e := &sidetrack.Event{Name: "x", Page: sidetrack.Page{URL: in, Referrer: in}, Consent: sidetrack.GrantAll("t")}
		if err := p.Process(t.Context(), e); err != nil || e.Page.URL != want {
			t.Errorf("%s: %s, want %s, %v", in, e.Page.URL, want, err)
		}
		if (e.UserData != nil) != strings.Contains(in, "jane") || e.UserData != nil && len(e.UserData.Emails) != 1 {
			t.Errorf("%s: %s", in, asText(e))
		}
		if strings.Contains(e.Page.Referrer, "jane") {
			t.Errorf("%s", e.Page.Referrer)
		}
	}
}

func asText(e *sidetrack.Event) string {
	b, err := json.Marshal(e)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
