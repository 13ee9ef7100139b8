package matomo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/text"
)

// maxText is how long a text may be: the size of Matomo's log_action.name.
const maxText = 4096

// oldest is how far back Matomo dates an event; older ones it would date now.
const oldest = 20 * 365 * 24 * time.Hour

func clean(s string) string { return text.Clean(s, maxText) }

// action makes the parameters of one event.
func (g *generator) action(e *sidetrack.Event, at time.Time) (query, error) {
	q := query{url.Values{}}
	q.set("idsite", number(g.cfg.SiteID))
	q.set("rec", "1")
	q.set("apiv", "1")
	if err := g.visitor(q, e, at); err != nil {
		return q, err
	}
	g.page(q, e)
	g.dimensions(q, e)
	if goal, ok := g.cfg.Goals[e.Name]; ok {
		q.set("idgoal", number(goal))
		if c := e.Ecommerce; c != nil && c.HasValue {
			q.set("revenue", c.Value.String())
		}
		return q, nil
	}
	return q, g.kind(q, e)
}

var hex16 = regexp.MustCompile(`^[0-9a-f]{16}$`)

// visitorID makes Matomo's 16 hexadecimal digits of a client id.
func visitorID(client string) string {
	if hex16.MatchString(client) {
		return client
	}
	sum := sha256.Sum256([]byte(client))
	return hex.EncodeToString(sum[:8])
}

// visitor says who and when. cid beside _id makes Matomo look for the visitor by it alone: all
// requests come from one address, and its heuristics would take visitors with one browser for one.
func (g *generator) visitor(q query, e *sidetrack.Event, at time.Time) error {
	if e.Visitor.ClientID == "" {
		return errors.New("matomo: no client id: send one, or put the visitor processor into intake")
	}
	id := visitorID(e.Visitor.ClientID)
	q.set("_id", id)
	q.set("cid", id)
	q.set("uid", clean(e.Visitor.UserID))
	q.set("ua", clean(e.Device.UserAgent))
	q.set("lang", clean(e.Device.Language))
	q.set("res", clean(e.Device.Screen))
	if !e.Time.IsZero() && !e.Time.After(at) {
		if at.Sub(e.Time) > oldest {
			return fmt.Errorf("matomo: the time %s is more than 20 years ago, which Matomo would take for now", e.Time.Format(time.DateOnly))
		}
		q.set("cdt", number(e.Time.Unix()))
	}
	if g.cfg.Token.IsZero() {
		return nil
	}
	q.set("cip", address(e.Network.IP))
	q.set("country", strings.ToLower(clean(e.Network.Country)))
	_, region, _ := strings.Cut(clean(e.Network.Region), "-") // AT-9 is region 9 there
	q.set("region", region)
	q.set("city", clean(e.Network.City))
	return nil
}

// page says where. A screen gets an address that Matomo can group.
func (g *generator) page(q query, e *sidetrack.Event) {
	address, title := clean(e.Page.URL), clean(e.Page.Title)
	if address == "" && (e.App.Screen != "" || e.App.Name != "") {
		host := e.App.ID
		if host == "" {
			host = strings.ToLower(strings.ReplaceAll(e.App.Name, " ", "-"))
		}
		address = (&url.URL{Scheme: "app", Host: orApp(clean(host)), Path: "/" + clean(e.App.Screen)}).String()
	}
	if title == "" {
		title = clean(e.App.Screen)
	}
	q.set("url", address)
	q.set("action_name", title)
	q.set("urlref", clean(e.Page.Referrer))
	q.set("_rcn", clean(e.Campaign.Name))
	q.set("_rck", clean(e.Campaign.Term))
}

func orApp(host string) string {
	if host == "" {
		return "app"
	}
	return host
}

// dimensions takes params before user properties of the same name.
func (g *generator) dimensions(q query, e *sidetrack.Event) {
	for name, n := range g.cfg.Dimensions {
		v := scalar(e.Params[name])
		if v == "" {
			v = scalar(e.UserProperties[name])
		}
		q.set("dimension"+number(n), v)
	}
}

// kind is what the event is to Matomo: docs/sinks/matomo.md has the table.
func (g *generator) kind(q query, e *sidetrack.Event) error {
	switch e.Name {
	case sidetrack.PageView, sidetrack.ScreenView:
		if q.Get("url") == "" {
			return errors.New("matomo: a page view without an address or a screen")
		}
		q.set("pv_id", pageViewID(e))
	case sidetrack.Purchase:
		return purchase(q, e)
	case "view_cart", "begin_checkout":
		if e.Ecommerce == nil || len(e.Ecommerce.Items) == 0 {
			return event(q, "ecommerce", e.Name, "", e)
		}
		q.set("idgoal", "0")
		q.set("revenue", value(e.Ecommerce).String())
		return items(q, e.Ecommerce)
	case "search", "view_search_results":
		term := scalar(e.Params["search_term"])
		if term == "" {
			return event(q, "search", e.Name, "", e)
		}
		q.set("search", term)
		q.set("search_cat", scalar(e.Params["search_category"]))
		q.set("search_count", scalar(e.Params["search_count"]))
	case "click", "file_download":
		link := scalar(e.Params["link_url"])
		if u, err := url.Parse(link); err != nil || u.Host == "" {
			return event(q, "link", e.Name, link, e)
		}
		if e.Name == "click" {
			q.set("link", link)
		} else {
			q.set("download", link)
		}
		q.set("url", link)
	case "engagement", "user_engagement", "ping":
		q.set("ping", "1")
	case sidetrack.Exception:
		f := e.Exception
		if f == nil {
			f = &sidetrack.Failure{Description: scalar(e.Params["description"])}
		}
		name := "not fatal"
		if f.Fatal {
			name = "fatal"
		}
		return event(q, "exception", or(clean(f.Description), "exception"), name, e)
	case sidetrack.Timing:
		if t := e.Timing; t != nil {
			if err := event(q, or(clean(t.Category), "timing"), or(clean(t.Variable), "time"), clean(t.Label), e); err != nil {
				return err
			}
			q.set("e_v", number(t.Value.Milliseconds()))
			return nil
		}
		return event(q, "timing", e.Name, "", e)
	case sidetrack.Share:
		if s := e.Social; s != nil {
			return event(q, "social", or(clean(strings.TrimSpace(s.Network+" "+s.Action)), e.Name), clean(s.Target), e)
		}
		return event(q, "social", e.Name, scalar(e.Params["method"]), e)
	default:
		return custom(q, e)
	}
	return nil
}

// custom makes a Matomo event; shop events that are no order are of the category ecommerce.
func custom(q query, e *sidetrack.Event) error {
	name := clean(e.Name)
	if name == "" {
		return errors.New("matomo: an event without a name")
	}
	category, label := or(scalar(e.Params["event_category"]), "event"), scalar(e.Params["event_label"])
	if c := e.Ecommerce; c != nil {
		category = "ecommerce"
		if label == "" {
			label = subject(c)
		}
		if e.Name == "view_item" && len(c.Items) > 0 {
			product(q, &c.Items[0])
		}
	}
	return event(q, category, name, label, e)
}

// event sets the four parts of a Matomo event. ca says that it is no page view.
func event(q query, category, action, name string, e *sidetrack.Event) error {
	q.set("ca", "1")
	q.set("e_c", category)
	q.set("e_a", action)
	q.set("e_n", name)
	switch v := e.Params["value"].(type) {
	case int64:
		q.set("e_v", number(v))
	case float64:
		if v-v == 0 { // neither infinite nor NaN
			q.set("e_v", strconv.FormatFloat(v, 'f', -1, 64))
		}
	default:
		if c := e.Ecommerce; c != nil && c.HasValue {
			q.set("e_v", c.Value.String())
		}
	}
	return nil
}

// subject names what a shop event is about: the order, the list, or the products.
func subject(c *sidetrack.Ecommerce) string {
	for _, s := range []string{c.TransactionID, c.Promotion.Name, c.Promotion.ID} {
		if s != "" {
			return clean(s)
		}
	}
	ids := make([]string, 0, len(c.Items))
	for i := range c.Items {
		ids = append(ids, or(c.Items[i].ID, c.Items[i].Name))
	}
	if len(ids) > 0 {
		return clean(strings.Join(ids, ","))
	}
	return clean(or(c.ListName, c.ListID))
}

// purchase is an order. Matomo takes an order of the same id once, which makes repeats harmless.
func purchase(q query, e *sidetrack.Event) error {
	c := e.Ecommerce
	if c == nil || c.TransactionID == "" {
		return errors.New("matomo: a purchase without a transaction id")
	}
	sum := value(c)
	q.set("idgoal", "0")
	q.set("ec_id", clean(c.TransactionID))
	q.set("ec_st", sum.String())
	q.set("revenue", (sum + c.Tax + c.Shipping).String())
	if c.Tax != 0 {
		q.set("ec_tx", c.Tax.String())
	}
	if c.Shipping != 0 {
		q.set("ec_sh", c.Shipping.String())
	}
	var discount sidetrack.Money
	for i := range c.Items {
		discount += c.Items[i].Discount.Times(quantity(&c.Items[i]))
	}
	if discount > 0 {
		q.set("ec_dt", discount.String())
	}
	return items(q, c)
}

// value is the sum of the order without tax and shipping: as stated, or of the items.
func value(c *sidetrack.Ecommerce) sidetrack.Money {
	if c.HasValue {
		return c.Value
	}
	var sum sidetrack.Money
	for i := range c.Items {
		sum += c.Items[i].Price.Times(quantity(&c.Items[i]))
	}
	return sum
}

// quantity is at least what Matomo can count.
func quantity(it *sidetrack.Item) float64 {
	if !(it.Quantity > 0) || it.Quantity > 1e9 {
		return 1
	}
	return it.Quantity
}

// maxCategories is how many categories a product has at Matomo.
const maxCategories = 5

func categories(it *sidetrack.Item) []string {
	out := make([]string, 0, maxCategories)
	for _, c := range it.Categories[:min(len(it.Categories), maxCategories)] {
		out = append(out, clean(c))
	}
	return out
}

// items sets the list of [sku, name, categories, price, quantity]. A product without a SKU is known by its name.
func items(q query, c *sidetrack.Ecommerce) error {
	if len(c.Items) == 0 {
		return nil
	}
	list := make([][]any, 0, len(c.Items))
	for i := range c.Items {
		it := &c.Items[i]
		sku := clean(or(it.ID, it.Name))
		if sku == "" {
			return fmt.Errorf("matomo: item %d has neither id nor name", i)
		}
		list = append(list, []any{sku, clean(it.Name), categories(it), json.Number(it.Price.String()), quantity(it)})
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // it is not for a page, and would grow threefold in a query
	if err := enc.Encode(list); err != nil {
		return fmt.Errorf("matomo: encode items: %w", err)
	}
	q.set("ec_items", strings.TrimSuffix(b.String(), "\n"))
	return nil
}

// product sets what is looked at.
func product(q query, it *sidetrack.Item) {
	q.set("_pks", clean(it.ID))
	q.set("_pkn", clean(it.Name))
	if len(it.Categories) > 0 {
		b, _ := json.Marshal(categories(it)) // strings always encode
		q.set("_pkc", string(b))
	}
	if it.HasPrice {
		q.set("_pkp", it.Price.String())
	}
}

// pageViewID is six letters and digits that stay the same for the same event.
func pageViewID(e *sidetrack.Event) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256(e.ID[:])
	var b [6]byte
	for i := range b {
		b[i] = alphabet[int(sum[i])%len(alphabet)]
	}
	return string(b[:])
}

// scalar is the text of a single value, "" for anything else.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return clean(v)
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return number(v)
	case int:
		return number(v)
	case float64:
		if v-v == 0 {
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	return ""
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// address is the anonymized address, if it is one.
func address(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String()
	}
	return ""
}
