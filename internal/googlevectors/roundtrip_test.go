package googlevectors

import (
	"fmt"
	"net/url"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/sources/wire/gtag"
	"github.com/sidetrack-go/sidetrack/sources/wire/mp"
)

// word is a text that neither Google nor an event has anything against.
func word() *rapid.Generator[string] {
	return rapid.StringMatching(`[A-Za-z0-9äß漢 ~%&=+;|"'<>./-]{1,20}[a-z]`)
}

// paramName is a name that no recommended event gives a meaning to.
func paramName() *rapid.Generator[string] {
	return rapid.StringMatching(`own_[a-z]{1,8}`)
}

func numberText() *rapid.Generator[string] {
	return rapid.Map(rapid.Int64Range(1, 99_999_999), func(n int64) string { return sidetrack.Money(n * 10_000).String() })
}

// A hit of gtag.js comes out of the ga4 sink with its visitor, session, page, campaign, consent, user
// properties, items and own parameters.
func TestGtagToGA4(t *testing.T) {
	d, err := gtag.New(gtag.Config{})
	if err != nil {
		t.Fatal(err)
	}
	sink := ga4(t, nil)
	rapid.Check(t, func(rt *rapid.T) {
		text := func(label string) string { return word().Draw(rt, label) }
		query, want := url.Values{"v": {"2"}, "tid": {"G-TEST123456"}, "_p": {"17"}, "gtm": {"45je"}}, map[string]any{}
		say := func(key, value, param string) {
			query.Set(key, value)
			want[param] = value
		}
		client := fmt.Sprintf("%d.%d", rapid.Uint32().Draw(rt, "a"), rapid.Uint32().Draw(rt, "b"))
		query.Set("cid", client)
		user := ""
		if rapid.Bool().Draw(rt, "signed in") {
			user = text("uid")
			query.Set("uid", user)
		}
		name := rapid.SampledFrom([]string{"page_view", "purchase", "own_event", "view_item_list", "login"}).Draw(rt, "en")
		query.Set("en", name)
		session := strconv.Itoa(rapid.IntRange(1, 1<<40).Draw(rt, "sid"))
		say("sid", session, "session_id")
		number, engaged := rapid.IntRange(1, 1000).Draw(rt, "sct"), rapid.IntRange(1, 86_400_000).Draw(rt, "_et")
		query.Set("sct", strconv.Itoa(number))
		query.Set("_et", strconv.Itoa(engaged))
		want["session_number"], want["engagement_time_msec"] = number, engaged
		say("dl", "https://shop.example/"+url.PathEscape(text("path"))+"?q="+url.QueryEscape(text("q")), "page_location")
		say("dr", "https://ref.example/"+url.PathEscape(text("ref")), "page_referrer")
		say("dt", text("title"), "page_title")
		if rapid.Bool().Draw(rt, "campaign") {
			for key, param := range map[string]string{"cn": "campaign", "cs": "source", "cm": "medium", "ck": "term", "cc": "content", "ci": "campaign_id"} {
				say(key, text(key), param)
			}
		}
		say("ul", "de-at", "language")
		say("sr", "800x600", "screen_resolution")
		for range rapid.IntRange(0, 4).Draw(rt, "own") {
			p := paramName().Draw(rt, "name")
			say("ep."+p, text("value"), p)
			delete(query, "epn."+p)
		}
		if name == "purchase" || name == "view_item_list" {
			say("cu", "EUR", "currency")
			value := numberText().Draw(rt, "value")
			query.Set("epn.value", value)
			want["value"], _ = strconv.ParseFloat(value, 64)
			if name == "purchase" {
				say("ep.transaction_id", text("id"), "transaction_id")
			}
			items := []any{}
			for i := range rapid.IntRange(1, 5).Draw(rt, "items") {
				id, itemName, price := text("item_id"), text("item_name"), numberText().Draw(rt, "price")
				query.Set(fmt.Sprintf("pr%d", i+1), "id"+tilde(id)+"~nm"+tilde(itemName)+"~pr"+price+"~qt2~k0own_colour~v0"+tilde(id))
				f, _ := strconv.ParseFloat(price, 64)
				items = append(items, map[string]any{"item_id": id, "item_name": itemName, "price": f, "quantity": 2, "own_colour": id})
			}
			want["items"] = items
		}
		wantConsent := map[string]any{}
		if rapid.Bool().Draw(rt, "consent mode") {
			query.Set("gcs", "G111")
			query.Set("gcd", "13r3r3q2r5l1")
			wantConsent = map[string]any{"ad_user_data": "DENIED", "ad_personalization": "GRANTED"}
		}
		plan := text("plan")
		query.Set("up.plan", plan)

		out, err := d.Decode(request(map[string]any{"method": "GET", "path": "/g/collect", "query": query.Encode()}))
		if err != nil || len(out.Events) != 1 {
			rt.Fatal(err, out.Errors)
		}
		sent := send(t, sink, time.Now(), out.Events)
		if len(sent) != 1 || sent[0].err != nil {
			rt.Fatal(sent)
		}
		if notes := sent[0].req.Notes; len(notes) > 0 {
			rt.Fatalf("the sink had to change %v", notes)
		}
		body := object(sent[0].body(t))
		e := object(body["events"].([]any)[0])
		equal(rt, "client_id", client, body["client_id"])
		equal(rt, "user_id", user, str(body["user_id"]))
		equal(rt, "consent", wantConsent, orEmpty(body["consent"]))
		equal(rt, "user_properties", map[string]any{"plan": map[string]any{"value": plan}}, body["user_properties"])
		equal(rt, "name", name, e["name"])
		equal(rt, "params", want, e["params"])
	})
}

func tilde(s string) string {
	out := ""
	for _, r := range s {
		if r == '~' {
			out += "~"
		}
		out += string(r)
	}
	return out
}

func orEmpty(v any) any {
	if v == nil {
		return map[string]any{}
	}
	return v
}

func equal(rt *rapid.T, what string, want, got any) {
	rt.Helper()
	if diff := difference(want, got); diff != "" {
		rt.Fatalf("%s: %s", what, diff)
	}
}

// What the ga4 sink sends, the mp decoder reads as the same event.
func TestGA4ToGA4(t *testing.T) {
	d, err := mp.New(mp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	sink := ga4(t, nil)
	now := time.Now()
	rapid.Check(t, func(rt *rapid.T) {
		text := func(label string) string { return word().Draw(rt, label) }
		e := &sidetrack.Event{
			Name: rapid.SampledFrom([]string{"page_view", "purchase", "own_event", "exception", "share"}).Draw(rt, "name"), Time: now.Add(-time.Hour).Truncate(time.Microsecond).UTC(),
			Visitor: sidetrack.Visitor{
				ClientID: "1.2", UserID: text("user"), SessionID: "1700000000", SessionNumber: rapid.Int64Range(1, 99).Draw(rt, "n"),
				Engagement: time.Duration(rapid.IntRange(1, 9999).Draw(rt, "ms")) * time.Millisecond,
			},
			Page:           sidetrack.Page{URL: "https://shop.example/", Title: text("title"), Referrer: "https://r.example/"},
			Device:         sidetrack.Device{UserAgent: "Mozilla/5.0"},
			Network:        sidetrack.Network{Country: "AT", Region: "AT-9", City: "Wien"},
			UserProperties: map[string]any{"plan": text("plan"), "seats": rapid.Int64Range(-9, 9).Draw(rt, "seats")},
			Params:         map[string]any{"own_text": text("own"), "own_number": rapid.Int64().Draw(rt, "number") >> 12, "own_flag": rapid.Bool().Draw(rt, "flag")},
		}
		e.Consent.Set(sidetrack.AdUserData, sidetrack.Granted)
		e.Consent.Set(sidetrack.AdPersonalization, sidetrack.Denied)
		switch e.Name {
		case "purchase":
			price := sidetrack.Money(rapid.Int64Range(1, 1e12).Draw(rt, "price"))
			e.Ecommerce = &sidetrack.Ecommerce{
				Currency: "EUR", Value: price, HasValue: true, TransactionID: text("id"), Tax: price / 5, Shipping: 990_000, Coupon: text("coupon"),
				Items: []sidetrack.Item{{ID: text("sku"), Name: text("item"), Price: price, HasPrice: true, Quantity: 1, HasIndex: true, Categories: []string{text("a"), text("b")}}},
			}
			if e.Ecommerce.Tax == 0 {
				e.Ecommerce.Tax = 1
			}
		case "exception":
			e.Exception = &sidetrack.Failure{Description: text("what"), Fatal: rapid.Bool().Draw(rt, "fatal")}
		case "share":
			e.Social = &sidetrack.Social{Network: text("network"), Action: text("action"), Target: text("target")}
		}
		sent := send(t, sink, now, []*sidetrack.Event{e})
		if len(sent) != 1 || sent[0].err != nil {
			rt.Fatal(sent)
		}
		u, err := url.Parse(sent[0].req.URL)
		if err != nil {
			rt.Fatal(err)
		}
		out, err := d.Decode(request(map[string]any{"method": "POST", "path": u.Path, "query": u.RawQuery, "body": string(sent[0].req.Body)}))
		if err != nil || len(out.Events) != 1 {
			rt.Fatal(err, out.Errors)
		}
		got := out.Events[0]
		delete(got.Params, "mp.measurement_id")
		got.Consent.How = ""
		got.SetOrigin(nil)
		equal(rt, "event", e, got)
	})
}
