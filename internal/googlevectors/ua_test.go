package googlevectors

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack/sinks/ua"
)

// encodeUA builds the hits of an input by hand and compares what they are on the wire.
func encodeUA(t *testing.T, v vector) {
	inputs := []map[string]any{v.Input}
	if list, ok := v.Input["hits"].([]any); ok {
		inputs = nil
		for _, one := range list {
			inputs = append(inputs, object(one))
		}
	}
	var lines []string
	for _, in := range inputs {
		h := hitOf(t, in, v.ExpectedError == nil)
		line, err := h.Encode()
		if v.ExpectedError != nil {
			refused(t, v, err)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if len(v.ExpectedWire) != 1 {
		t.Fatalf("%d requests expected", len(v.ExpectedWire))
	}
	w := v.ExpectedWire[0]
	payload := str(w.Body)
	if w.Method == "GET" {
		payload = str(w.Query)
	}
	want := strings.Split(payload, "\n")
	if len(want) != len(lines) {
		t.Fatalf("%d hits, want %d", len(lines), len(want))
	}
	for i := range want {
		same(t, "hit", form(t, want[i]), form(t, lines[i]))
		if strings.Contains(lines[i], "+") {
			t.Errorf("blanks are not %%20: %s", lines[i])
		}
	}
	if z := v.Input["cache_buster"]; z != nil && !strings.HasSuffix(lines[0], "&z="+str(z)) {
		t.Errorf("z is not the last: %s", lines[0])
	}
	if v.ExpectedForm != nil {
		same(t, "form", v.ExpectedForm, form(t, lines[0]))
	}
}

// form is a payload as its pairs; a key that comes twice is an error.
func form(t *testing.T, payload string) map[string]any {
	t.Helper()
	values, err := url.ParseQuery(payload)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	for k, vs := range values {
		if len(vs) != 1 {
			t.Errorf("%s comes %d times", k, len(vs))
		}
		out[k] = vs[0]
	}
	return out
}

func refused(t *testing.T, v vector, err error) {
	t.Helper()
	invalid, ok := errors.AsType[*ua.InvalidError](err)
	if !ok {
		t.Fatalf("got %v, want an error about %s", err, v.ExpectedError.Field)
	}
	var problems []string
	for _, p := range invalid.Problems {
		problems = append(problems, p.Field)
	}
	list := problems
	if strings.HasSuffix(v.ExpectedError.Code, "_required") {
		list = invalid.Missing
	}
	if !slices.Contains(list, v.ExpectedError.Field) {
		t.Errorf("%v does not name %s as %s", err, v.ExpectedError.Field, v.ExpectedError.Code)
	}
}

// hitOf builds the hit of an input. With defaults it gets the client that inputs leave out.
func hitOf(t *testing.T, in map[string]any, defaults bool) *ua.Hit {
	t.Helper()
	h := &ua.Hit{Type: ua.Type(str(in["hit"]))}
	h.General.TrackingID, h.Content.AnyHost = "UA-12345-6", true
	if defaults {
		h.User.ClientID = "555"
	}
	for key, v := range in {
		s := str(v)
		switch key {
		case "hit", "transport", "batch":
		case "tracking_id":
			h.General.TrackingID = s
		case "client_id":
			h.User.ClientID = s
		case "user_id":
			h.User.UserID = s
		case "data_source":
			h.General.DataSource = s
		case "anonymize_ip":
			h.General.AnonymizeIP = v == true
		case "non_interaction":
			h.General.NonInteraction = v == true
		case "delay_ms":
			h.General.QueueTime = number(t, v)
		case "cache_buster":
			h.General.CacheBuster = s
		case "session":
			h.Session.Control = s
		case "ip":
			h.Session.IP = s
		case "user_agent":
			h.Session.UserAgent = s
		case "geo":
			h.Session.GeoID = s
		case "referrer":
			h.Traffic.Referrer = s
		case "campaign":
			c := object(v)
			r := h.Traffic.Referrer
			h.Traffic = ua.Traffic{Name: str(c["name"]), Source: str(c["source"]), Medium: str(c["medium"]), Keyword: str(c["keyword"]), Content: str(c["content"]), ID: str(c["id"]), GCLID: str(c["gclid"]), DCLID: str(c["dclid"])}
			h.Traffic.Referrer = r
		case "screen":
			h.System.Screen = s
		case "viewport":
			h.System.Viewport = s
		case "encoding":
			h.System.Encoding = s
		case "colors":
			h.System.Colors = s
		case "language":
			h.System.Language = s
		case "java":
			h.System.Java = new(v == true)
		case "flash":
			h.System.Flash = s
		case "location":
			h.Content.Location = s
		case "host":
			h.Content.Host = s
		case "path":
			h.Content.Path = s
		case "title":
			h.Content.Title = s
		case "screen_name":
			h.Content.Screen = s
		case "link_id":
			h.Content.LinkID = s
		case "content_groups":
			h.Content.Groups = map[int]string{}
			for n, g := range object(v) {
				h.Content.Groups[int(*number(t, n))] = str(g)
			}
		case "app_name":
			h.App.Name = s
		case "app_id":
			h.App.ID = s
		case "app_version":
			h.App.Version = s
		case "app_installer_id", "installer_id":
			h.App.InstallerID = s
		case "category":
			h.Event.Category, h.Timing.Category, h.Item.Category = s, s, s
		case "action":
			switch h.Type {
			case ua.Event:
				h.Event.Action = s
			case ua.Social:
				h.Social.Action = s
			default:
				h.Shop.Action = ua.Action(s)
			}
		case "label":
			h.Event.Label, h.Timing.Label = s, s
		case "value":
			h.Event.Value = number(t, v)
		case "network":
			h.Social.Network = s
		case "target":
			h.Social.Target = s
		case "description":
			h.Exception.Description = s
		case "fatal":
			h.Exception.Fatal = new(v == true)
		case "variable":
			h.Timing.Variable = s
		case "time_ms":
			h.Timing.Time = number(t, v)
		case "page_load":
			h.Timing.PageLoad = number(t, v)
		case "dns":
			h.Timing.DNS = number(t, v)
		case "page_download":
			h.Timing.PageDownload = number(t, v)
		case "redirect":
			h.Timing.Redirect = number(t, v)
		case "tcp":
			h.Timing.TCP = number(t, v)
		case "server":
			h.Timing.Server = number(t, v)
		case "dom_interactive":
			h.Timing.DOMInteractive = number(t, v)
		case "content_load":
			h.Timing.ContentLoad = number(t, v)
		case "transaction_id":
			h.Transaction.ID, h.Item.TransactionID = s, s
		case "affiliation":
			h.Transaction.Affiliation = s
		case "revenue":
			h.Transaction.Revenue = ua.Decimal(s)
		case "shipping":
			h.Transaction.Shipping = ua.Decimal(s)
		case "tax":
			h.Transaction.Tax = ua.Decimal(s)
		case "coupon":
			h.Transaction.Coupon = s
		case "currency":
			h.Transaction.Currency, h.Item.Currency = s, s
		case "name":
			h.Item.Name = s
		case "price":
			h.Item.Price = ua.Decimal(s)
		case "quantity":
			h.Item.Quantity = number(t, v)
		case "code":
			h.Item.Code = s
		case "product_action":
			h.Shop.Action = ua.Action(s)
		case "list":
			h.Shop.List = s
		case "step":
			h.Shop.Step = number(t, v)
		case "option":
			h.Shop.Option = s
		case "products":
			for _, one := range v.([]any) {
				h.Shop.Products = append(h.Shop.Products, productOf(t, object(one)))
			}
		case "products_generated":
			h.Shop.Action = ua.Detail
			for range int(v.(float64)) {
				h.Shop.Products = append(h.Shop.Products, ua.Product{ID: "x"})
			}
		case "impressions":
			for _, one := range v.([]any) {
				list := ua.List{Name: str(object(one)["list"])}
				switch products := object(one)["products"].(type) {
				case []any:
					for _, p := range products {
						list.Products = append(list.Products, productOf(t, object(p)))
					}
				case map[string]any:
					for n, p := range products {
						own := productOf(t, object(p))
						own.Index = int(*number(t, n))
						list.Products = append(list.Products, own)
					}
				}
				h.Shop.Impressions = append(h.Shop.Impressions, list)
			}
		case "promotion_action":
			h.Shop.Promotion = s
		case "promotions":
			for _, one := range v.([]any) {
				p := object(one)
				h.Shop.Promotions = append(h.Shop.Promotions, ua.Promotion{ID: str(p["id"]), Name: str(p["name"]), Creative: str(p["creative"]), Position: str(p["position"])})
			}
		case "dimensions":
			h.Dimensions = dimensionsOf(t, v)
		case "metrics":
			h.Metrics = metricsOf(t, v)
		case "experiment_id":
			h.ExperimentID = s
		case "experiment_variant":
			h.ExperimentVariant = s
		default:
			t.Fatalf("nothing is known about %s in an input", key)
		}
	}
	return h
}

func productOf(t *testing.T, in map[string]any) ua.Product {
	t.Helper()
	p := ua.Product{
		ID: str(in["id"]), Name: str(in["name"]), Brand: str(in["brand"]), Category: str(in["category"]), Variant: str(in["variant"]), Price: ua.Decimal(str(in["price"])),
		Quantity: ua.Decimal(str(in["quantity"])), Coupon: str(in["coupon"]), Dimensions: dimensionsOf(t, in["dimensions"]), Metrics: metricsOf(t, in["metrics"]),
	}
	if in["position"] != nil {
		p.Position = number(t, in["position"])
	}
	return p
}

func dimensionsOf(t *testing.T, v any) map[int]string {
	t.Helper()
	out := map[int]string{}
	for n, s := range object(v) {
		out[int(*number(t, n))] = str(s)
	}
	return out
}

func metricsOf(t *testing.T, v any) map[int]ua.Decimal {
	t.Helper()
	out := map[int]ua.Decimal{}
	for n, s := range object(v) {
		out[int(*number(t, n))] = ua.Decimal(str(s))
	}
	return out
}

func number(t *testing.T, v any) *int64 {
	t.Helper()
	n, err := strconv.ParseInt(str(v), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return &n
}

func responseUA(t *testing.T, v vector) {
	text, err := json.Marshal(v.Input["response_json"])
	if err != nil {
		t.Fatal(err)
	}
	p, err := ua.ReadParsing(text)
	if err != nil {
		t.Fatal(err)
	}
	errs := []any{}
	for _, h := range p.Hits {
		for _, m := range h.Messages {
			if m.Type == "ERROR" {
				errs = append(errs, map[string]any{"parameter": m.Parameter, "code": m.Code})
			}
		}
	}
	sort.SliceStable(errs, func(i, j int) bool { return str(object(errs[i])["parameter"]) < str(object(errs[j])["parameter"]) })
	within(t, "result", object(v.result(t)), map[string]any{"valid": p.Valid(), "errors": errs})
}
