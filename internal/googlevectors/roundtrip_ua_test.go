package googlevectors

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sidetrack-go/sidetrack"
	uasink "github.com/sidetrack-go/sidetrack/sinks/ua"
	"github.com/sidetrack-go/sidetrack/sources/wire/ua"
)

// A hit of Universal Analytics comes out of the ua sink as it came in, whatever it carries. Amounts
// may be written otherwise (5.00 and 5), and the cache buster is gone.
func TestUAToUA(t *testing.T) {
	d, err := ua.New(ua.Config{})
	if err != nil {
		t.Fatal(err)
	}
	sink, err := uasink.New(uasink.Config{Endpoint: "https://collector.example/collect", OmitAIP: true, UnknownConsent: "omit", TooLong: "reject"})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		hit := hitGenerator{rt, url.Values{"v": {"1"}, "tid": {"UA-12345-6"}, "cid": {"555.6"}}}
		hit.draw()
		want := hit.values.Encode()
		hit.values.Set("z", "1")
		out, err := d.Decode(request(map[string]any{"method": "POST", "path": "/collect", "body": hit.values.Encode()}))
		if err != nil || len(out.Events) != 1 {
			rt.Fatal(err, out.Errors)
		}
		e := out.Events[0]
		if err := e.Validate(time.Now()); err != nil {
			rt.Fatalf("the pipeline would refuse it: %v", err)
		}
		// What is stored is what the sink gets.
		line, err := e.MarshalJSON()
		if err != nil {
			rt.Fatal(err)
		}
		if e, err = sidetrack.ParseEvent(string(line)); err != nil {
			rt.Fatal(err)
		}
		at := time.Now()
		if !e.Time.IsZero() {
			at = e.Time.Add(560 * time.Millisecond) // the queue time of hits that have one
		}
		sent := send(t, sink, at, []*sidetrack.Event{e})
		if len(sent) != 1 || sent[0].err != nil {
			rt.Fatalf("%v\nof %s\nas %s", sent[0].err, want, line)
		}
		if notes := sent[0].req.Notes; len(notes) > 0 {
			rt.Fatalf("the sink had to change %v", notes)
		}
		if diff := difference(amounts(rt, want), amounts(rt, string(sent[0].req.Body))); diff != "" {
			rt.Fatalf("%s\nof %s\nas %s", diff, want, line)
		}
	})
}

// amounts is a payload with its numbers in one form.
func amounts(rt *rapid.T, payload string) map[string]string {
	values, err := url.ParseQuery(payload)
	if err != nil {
		rt.Fatal(err)
	}
	out := map[string]string{}
	for k, vs := range values {
		out[k] = vs[0]
		if m, err := sidetrack.ParseMoney(vs[0]); err == nil && (k == "tr" || k == "tt" || k == "ts" || k == "ip" || strings.HasSuffix(k, "pr") || strings.Contains(k, "cm")) {
			out[k] = m.String()
		}
		if len(vs) != 1 {
			rt.Errorf("%s comes %d times", k, len(vs))
		}
	}
	return out
}

type hitGenerator struct {
	rt     *rapid.T
	values url.Values
}

func (h hitGenerator) maybe(keys ...string) {
	for _, k := range keys {
		if rapid.Bool().Draw(h.rt, k) {
			h.set(k)
		}
	}
}

func (h hitGenerator) set(keys ...string) {
	for _, k := range keys {
		h.values.Set(k, word().Draw(h.rt, k))
	}
}

func (h hitGenerator) number(key string, least, most int) {
	h.values.Set(key, fmt.Sprint(rapid.IntRange(least, most).Draw(h.rt, key)))
}

func (h hitGenerator) money(keys ...string) {
	for _, k := range keys {
		if rapid.Bool().Draw(h.rt, k) {
			h.values.Set(k, numberText().Draw(h.rt, k))
		}
	}
}

func (h hitGenerator) choose(label string, values ...string) string {
	return rapid.SampledFrom(values).Draw(h.rt, label)
}

// product adds the fields of a product.
func (h hitGenerator) product(prefix string, sold bool) {
	h.set(prefix + "id")
	h.maybe(prefix+"nm", prefix+"br", prefix+"va")
	h.money(prefix + "pr")
	if rapid.Bool().Draw(h.rt, "category") {
		h.values.Set(prefix+"ca", h.choose("ca", "a", "a/b", "a/b/c/d/e"))
	}
	if rapid.Bool().Draw(h.rt, "more") {
		h.number(prefix+"ps", 0, 200)
		h.set(fmt.Sprintf("%scd%d", prefix, rapid.IntRange(1, 200).Draw(h.rt, "cd")))
		h.number(fmt.Sprintf("%scm%d", prefix, rapid.IntRange(1, 200).Draw(h.rt, "cm")), -9, 9)
	}
	if sold && rapid.Bool().Draw(h.rt, "sold") {
		h.number(prefix+"qt", 1, 99)
		h.set(prefix + "cc")
	}
}

func (h hitGenerator) draw() {
	v := h.values
	t := h.choose("t", "pageview", "screenview", "event", "transaction", "item", "social", "exception", "timing")
	v.Set("t", t)
	h.maybe("uid", "ua", "cn", "cs", "cm", "ck", "cc", "ci", "gclid", "dclid", "dt", "linkid", "xvar", "el", "tcc", "an", "_unknown")
	if v.Has("an") {
		h.maybe("aid", "av", "aiid")
	}
	for key, choices := range map[string][]string{
		"sc": {"start", "end"}, "geoid": {"DE", "21137"}, "ds": {"web", "call center"}, "ni": {"1", "0"}, "npa": {"1"}, "aip": {"1"}, "je": {"1", "0"}, "sr": {"800x600"}, "vp": {"123x456"},
		"sd": {"24-bits", "24-bit", "true"}, "ul": {"en-us"}, "de": {"UTF-8"}, "fl": {"10 1"}, "qt": {"560"}, "dr": {"https://ref.example/?a=%20b", "nonsense"}, "cg1": {"news/sports"}, "cg7": {"x"},
	} {
		if rapid.Bool().Draw(h.rt, key) {
			v.Set(key, h.choose(key, choices...))
		}
	}
	for range rapid.IntRange(0, 3).Draw(h.rt, "custom") {
		h.set(fmt.Sprintf("cd%d", rapid.IntRange(1, 200).Draw(h.rt, "cd")))
		h.number(fmt.Sprintf("cm%d", rapid.IntRange(1, 200).Draw(h.rt, "cm")), -99, 99)
	}
	switch h.choose("page", "dl", "dh", "both") {
	case "dl":
		v.Set("dl", "https://shop.example/a?b=c")
	case "dh":
		v.Set("dh", "shop.example")
		v.Set("dp", "/virtual?x")
	case "both":
		v.Set("dl", "http://other.example/a")
		v.Set("dp", "/b")
	}
	switch t {
	case "screenview":
		h.set("cd")
	case "event":
		h.set("ec", "ea")
		if rapid.Bool().Draw(h.rt, "named") {
			v.Set("ea", h.choose("ea", "play", "Add to cart", "purchase", "session_start"))
		}
		if rapid.Bool().Draw(h.rt, "ev") {
			h.number("ev", 0, 9999)
		}
	case "transaction":
		h.set("ti")
		h.maybe("ta")
		h.money("tr", "tt", "ts")
	case "item":
		h.set("ti", "in")
		h.maybe("ic")
		h.money("ip")
		h.number("iq", 1, 9)
	case "social":
		h.set("sn", "sa", "st")
	case "exception":
		h.maybe("exd")
		v.Set("exf", h.choose("exf", "0", "1"))
	case "timing":
		h.set("utc", "utv")
		h.number("utt", 0, 99999)
		h.maybe("utl")
		if rapid.Bool().Draw(h.rt, "plt") {
			h.number("plt", 0, 9999)
		}
	}
	if t == "transaction" || t == "item" || rapid.Bool().Draw(h.rt, "currency") {
		v.Set("cu", h.choose("cu", "EUR", "SEK"))
	}
	if t != "transaction" && t != "item" {
		h.enhanced()
	}
}

// enhanced adds a product action, impressions and promotions, one or all of them.
func (h hitGenerator) enhanced() {
	v := h.values
	if rapid.Bool().Draw(h.rt, "action") {
		pa := h.choose("pa", "detail", "click", "add", "remove", "checkout", "checkout_option", "purchase", "refund")
		v.Set("pa", pa)
		switch pa {
		case "detail", "click":
			h.maybe("pal")
		case "checkout", "checkout_option":
			h.number("cos", 1, 5)
			h.maybe("col")
		case "purchase", "refund":
			h.set("ti")
			h.maybe("ta", "tcc")
			v.Set("tr", numberText().Draw(h.rt, "tr"))
			h.money("tt", "ts")
		}
		for _, n := range h.numbers("products") {
			h.product(fmt.Sprintf("pr%d", n), true)
		}
	}
	if rapid.Bool().Draw(h.rt, "lists") {
		for _, l := range h.numbers("list") {
			if rapid.Bool().Draw(h.rt, "named list") {
				h.set(fmt.Sprintf("il%dnm", l))
			}
			for _, n := range h.numbers("impressions") {
				h.product(fmt.Sprintf("il%dpi%d", l, n), false)
			}
		}
	}
	if rapid.Bool().Draw(h.rt, "promotions") {
		for _, n := range h.numbers("promotion") {
			p := fmt.Sprintf("promo%d", n)
			h.set(p + "id")
			h.maybe(p+"nm", p+"cr", p+"ps")
		}
		if rapid.Bool().Draw(h.rt, "clicked") {
			v.Set("promoa", "click")
		}
	}
}

// numbers are some numbers of products, with or without gaps.
func (h hitGenerator) numbers(label string) []int {
	return rapid.SliceOfNDistinct(rapid.IntRange(1, 9), 1, 3, rapid.ID[int]).Draw(h.rt, label)
}
