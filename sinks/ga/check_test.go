package ga

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

func TestCheckFindsEverythingAtOnce(t *testing.T) {
	c, err := NewChecker(Config{})
	if err != nil {
		t.Fatal(err)
	}
	e := ev("session_start", map[string]any{"_x": 1, "uid": "jane@shop.example", "long": strings.Repeat("x", 101), "value": int64(1), "list": []any{}})
	e.Visitor.ClientID = ""
	e.UserProperties = map[string]any{"user_id": "x", "sid": 1}
	e.UserData = &sidetrack.UserData{Emails: []string{strings.Repeat("a", 64)}}
	e.Time = now.Add(-50 * time.Hour)
	var got []string
	for _, p := range c.Check(e, now) {
		kind := string(p.Action)
		if p.Warning {
			kind = "advice"
		}
		got = append(got, fmt.Sprintf("%s %s %s", kind, p.Rule, p.Field))
	}
	want := []string{
		"reject client_id_required client_id", "drop name_reserved user_properties.user_id", "drop user_data_consent user_data", "drop name_reserved name",
		"drop name_reserved params._x", "drop value_invalid params.list", "clip value_too_long params.long",
		"advice no_dimension params.uid", "advice no_dimension user_properties.sid", "advice no_session params.session_id", "advice user_data_alone user_id",
		"advice late timestamp_micros", "advice personal_data params.uid",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAdviceOnShops(t *testing.T) {
	c, err := NewChecker(Config{})
	if err != nil {
		t.Fatal(err)
	}
	many := map[string]any{}
	for i := range 11 {
		many[fmt.Sprint("p", i)] = i
	}
	for want, e := range map[string]*sidetrack.Event{
		"no_value":          shopEvent("purchase", sidetrack.Ecommerce{TransactionID: "T", Items: []sidetrack.Item{{ID: "a"}}}),
		"value_not_the_sum": shopEvent("purchase", sidetrack.Ecommerce{TransactionID: "T", Currency: "EUR", Value: money("5"), Items: []sidetrack.Item{{ID: "a", Price: money("4")}}}),
		"only_first_item":   shopEvent("view_promotion", sidetrack.Ecommerce{Items: []sidetrack.Item{{ID: "a"}, {ID: "b"}}}),
		"many_item_params":  shopEvent("select_item", sidetrack.Ecommerce{Items: []sidetrack.Item{{ID: "a", Params: many}}}),
		"name_of_the_tag":   ev("scroll", nil),
		"":                  ev("login", map[string]any{"method": "sso"}),
	} {
		e.Visitor.SessionID = "1769860000"
		var got []string
		for _, p := range c.Check(e, now) {
			got = append(got, string(p.Rule))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %s", e.Name, got, want)
		}
	}
}

func TestCheckerMakesTheRequestForTheValidationServer(t *testing.T) {
	c, err := NewChecker(Config{Validate: "strict"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Request(ev("login", nil), now)
	if err != nil || !strings.HasPrefix(r.URL, "https://www.google-analytics.com/debug/mp/collect?") || !strings.Contains(string(r.Body), `"validation_behavior":"ENFORCE_RECOMMENDATIONS","events":[`) {
		t.Errorf("%v %s", err, r.Body)
	}
	if _, err := c.Request(ev("", nil), now); err == nil || err.Error() != "ga: name_required: name has no name" {
		t.Error(err)
	}
}
