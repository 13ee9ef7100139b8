package snowplow

import (
	"cmp"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/flat"
)

// snowplow is the vendor of Snowplow's schemas.
const snowplow = "iglu:com.snowplowanalytics.snowplow/"

// kind is what the event is to Snowplow: docs/sinks/snowplow.md has the table.
func (g *generator) kind(d *draft, e *sidetrack.Event) error {
	if schema, ok := g.cfg.Schemas[e.Name]; ok {
		p := flat.Properties{}
		p.Shop(e.Ecommerce)
		p.Special(e)
		p.Add(e.Params, nil)
		return g.describe(d, schema, p)
	}
	switch e.Name {
	case sidetrack.PageView:
		d.p["e"] = "pv"
		d.entity("web_page", "1-0-0", flat.Properties{"id": e.ID.String()})
		return nil
	case sidetrack.ScreenView:
		data := flat.Properties{"id": e.ID.String()}
		data.Set("name", e.App.Screen)
		return g.describe(d, snowplow+"screen_view/jsonschema/1-0-0", data)
	case "search", "view_search_results":
		if term := scalar(e.Params["search_term"]); term != "" {
			data := flat.Properties{"terms": []any{term}}
			if n, ok := e.Params["search_count"].(int64); ok && n >= 0 && n <= math.MaxInt32 {
				data["totalResults"] = n
			}
			return g.describe(d, snowplow+"site_search/jsonschema/1-0-0", data)
		}
	case "click", "file_download":
		if link := scalar(e.Params["link_url"]); link != "" {
			data := flat.Properties{"targetUrl": link}
			data.Set("elementId", scalar(e.Params["link_id"]))
			data.Set("elementContent", scalar(e.Params["link_text"]))
			if classes := strings.Fields(scalar(e.Params["link_classes"])); len(classes) > 0 {
				data["elementClasses"] = classes
			}
			return g.describe(d, snowplow+"link_click/jsonschema/1-0-1", data)
		}
	case sidetrack.Share:
		if s := e.Social; s != nil && flat.Clean(s.Network) != "" && flat.Clean(s.Action) != "" {
			data := flat.Properties{"network": flat.Clean(s.Network), "action": flat.Clean(s.Action)}
			data.Set("target", s.Target)
			return g.describe(d, snowplow+"social_interaction/jsonschema/1-0-0", data)
		}
	case sidetrack.Timing:
		if t := e.Timing; t != nil && flat.Clean(t.Category) != "" && flat.Clean(t.Variable) != "" {
			data := flat.Properties{"category": flat.Clean(t.Category), "variable": flat.Clean(t.Variable), "timing": t.Value.Milliseconds()}
			data.Set("label", t.Label)
			return g.describe(d, snowplow+"timing/jsonschema/1-0-0", data)
		}
	case sidetrack.Exception:
		// Snowplow's application_error wants the programming language, which an event does not say.
		if f := e.Exception; f != nil {
			fatal := "not fatal"
			if f.Fatal {
				fatal = "fatal"
			}
			return d.structured("exception", e.Name, f.Description, fatal, "")
		}
	case "engagement", "user_engagement", "ping":
		ms := ""
		if n := e.Visitor.Engagement.Milliseconds(); n > 0 {
			ms = number(n)
		}
		return d.structured("engagement", e.Name, "", "", ms)
	}
	if action, ok := actions[e.Name]; ok {
		return g.shop(d, e, action)
	}
	category, label, value := scalar(e.Params["event_category"]), scalar(e.Params["event_label"]), decimal(e.Params["value"])
	if c := e.Ecommerce; c != nil {
		d.products(c)
		category, label = cmp.Or(category, "ecommerce"), cmp.Or(label, c.TransactionID, c.ListName)
		if c.HasValue {
			value = c.Value.String()
		}
		if v := cents(c.Value); e.Name == sidetrack.ViewCart && c.HasValue && allowed(v) && len(c.Currency) == 3 {
			d.shopEntity("cart", flat.Properties{"total_value": v, "currency": c.Currency})
		}
	}
	return d.structured(cmp.Or(category, "event"), e.Name, label, scalar(e.Params["event_property"]), value)
}

// describe makes a self-describing event.
func (g *generator) describe(d *draft, schema string, data flat.Properties) error {
	d.p["e"] = "ue"
	return g.embed(d.p, "ue_pr", "ue_px", described{snowplow + "unstruct_event/jsonschema/1-0-0", described{schema, data}})
}

// structured makes a structured event, which needs a category and an action. value is a decimal number.
func (d *draft) structured(category, action, label, property, value string) error {
	d.p["e"] = "se"
	d.set("se_ca", category, maxCategory)
	if d.set("se_ac", action, maxAction); d.p["se_ac"] == "" {
		return errors.New("an event without a name")
	}
	d.set("se_la", label, maxLabel)
	d.set("se_pr", property, maxProperty)
	d.set("se_va", value, 64)
	return nil
}

// decimal is a number as text, "" for other values.
func decimal(v any) string {
	switch v.(type) {
	case int64, float64, sidetrack.Money:
		return scalar(v)
	}
	return ""
}

// scalar is a single value as text, "" for others.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return flat.Clean(v)
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return number(v)
	case sidetrack.Money:
		return v.String()
	case float64:
		if v-v == 0 { // neither infinite nor NaN
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	return ""
}
