package snowplow

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/google/uuid"
)

// fake is a collector with Enrich behind it: like them it answers 200 whatever is in a payload, and counts what
// Enrich could not read among the failed events.
type fake struct {
	t       *testing.T
	path    string
	answers map[int]int // status of a request by its number, before anything is stored
	limit   int         // of a body, in bytes, from a proxy in front that answers 413

	mu       sync.Mutex
	requests int
	rows     map[string]string // fingerprint by eid
	repeats  int
	failed   []string
	lose     bool // the next batch is stored and answered 500
}

func (f *fake) start() *httptest.Server {
	f.rows = map[string]string{}
	s := httptest.NewServer(f)
	f.t.Cleanup(s.Close)
	return s
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	status := f.answers[f.requests]
	f.requests++
	body, _ := io.ReadAll(r.Body)
	if want := "/com.snowplowanalytics.snowplow/tp2"; r.Method != http.MethodPost || r.URL.Path != want && r.URL.Path != f.path {
		f.t.Errorf("%s %s", r.Method, r.URL)
	}
	if r.Header.Get("SP-Anonymous") != "*" || r.Header.Get("Content-Type") != "application/json; charset=UTF-8" {
		f.t.Errorf("headers %v", r.Header)
	}
	switch {
	case f.limit > 0 && len(body) > f.limit, len(body) > 2_000_000:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	case len(body) > 1_000_000:
		f.failed = append(f.failed, "a payload over 1 MB: size violation")
		fmt.Fprint(w, "ok")
		return
	case strings.Contains(string(body), "poison"):
		w.WriteHeader(http.StatusBadRequest) // of a firewall in front
		fmt.Fprint(w, "<html>Request blocked</html>")
		return
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "0.01")
		w.WriteHeader(status)
		return
	case status != 0:
		w.WriteHeader(status)
		return
	}
	f.store(body)
	if f.lose {
		f.lose = false
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, "ok")
}

// store keeps one row for each event id.
func (f *fake) store(body []byte) {
	data, problems := enrich(body)
	f.failed = append(f.failed, problems...)
	for _, p := range data {
		id := p["eid"]
		for _, k := range []string{"stm", "nuid", "cv", "eid"} {
			delete(p, k) // what the event fingerprint leaves out, by Snowplow's default
		}
		print, _ := json.Marshal(p)
		if was, ok := f.rows[id]; ok {
			if f.repeats++; was != string(print) {
				f.t.Errorf("one id, two events:\n%s\n%s", was, print)
			}
		}
		f.rows[id] = string(print)
	}
}

// params are those of payload_data 1-0-4, with the most characters of the atomic schema, or what their form must be.
var params = map[string]string{
	"e": "pv|pp|se|ue|tr|ti", "p": "web|mob|pc|srv|app|tv|cnsl|iot|headset", "eid": "uuid", "sid": "uuid", "tv": "100", "tna": "128", "aid": "255",
	"dtm": "int", "ttm": "int", "stm": "int", "uid": "255", "duid": "128", "vid": "int32", "ip": "128", "ua": "1000", "lang": "255", "cs": "128", "cd": "12",
	"res": "size", "vp": "size", "url": "4096", "refr": "4096", "page": "2000", "co": "json", "cx": "json", "ue_pr": "json", "ue_px": "json",
	"se_ca": "1000", "se_ac": "1000", "se_la": "4096", "se_pr": "1000", "se_va": "decimal", "tr_id": "255", "tr_af": "255", "tr_tt": "decimal", "tr_tx": "decimal",
	"tr_sh": "decimal", "tr_cu": "3", "ti_id": "255", "ti_sk": "255", "ti_nm": "255", "ti_ca": "255", "ti_pr": "decimal", "ti_qu": "int32", "ti_cu": "3",
}

// required are the parameters without which an event says nothing.
var required = map[string][]string{"pv": nil, "se": {"se_ca", "se_ac"}, "ue": {"ue"}, "tr": {"tr_id", "tr_tt"}, "ti": {"ti_id", "ti_sk", "ti_pr", "ti_qu"}}

var (
	size    = regexp.MustCompile(`^\d+x\d+$`)
	integer = regexp.MustCompile(`^-?\d+$`)
	dec     = regexp.MustCompile(`^-?\d+(\.\d+)?$`)
)

// enrich reads a body as Enrich does and says what is wrong with it.
func enrich(body []byte) (data []map[string]string, problems []string) {
	var b struct {
		Schema string              `json:"schema"`
		Data   []map[string]string `json:"data"`
	}
	if err := json.Unmarshal(body, &b); err != nil || b.Schema != "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4" || len(b.Data) == 0 {
		return nil, []string{fmt.Sprintf("no payload_data: %v", err)}
	}
	for _, p := range b.Data {
		problem := func(format string, args ...any) {
			problems = append(problems, p["eid"]+": "+fmt.Sprintf(format, args...))
		}
		for _, k := range append([]string{"e", "p", "tv", "eid", "stm"}, required[p["e"]]...) {
			if p[k] == "" && (k != "ue" || p["ue_pr"]+p["ue_px"] == "") {
				problem("no %s", k)
			}
		}
		if _, ok := required[p["e"]]; !ok {
			problem("e is %q", p["e"])
		}
		for k, v := range p {
			rule, known := params[k]
			most, limited := strconv.Atoi(rule)
			_, noUUID := uuid.Parse(v)
			_, noInt := strconv.ParseInt(v, 10, 32)
			switch {
			case !known:
				problem("%s is not of the protocol", k)
			case limited == nil && len(utf16.Encode([]rune(v))) > most:
				problem("%s is longer than %d", k, most)
			case rule == "uuid" && noUUID != nil, rule == "int32" && noInt != nil, rule == "int" && !integer.MatchString(v), rule == "size" && !size.MatchString(v), rule == "decimal" && !dec.MatchString(v),
				strings.Contains(rule, "|") && !slices.Contains(strings.Split(rule, "|"), v):
				problem("%s is %q", k, v)
			}
		}
		var event struct{ Data selfDescribing }
		var entities struct{ Data []selfDescribing }
		if !selfDescribed(p["ue_pr"], p["ue_px"], "unstruct_event", &event) || !selfDescribed(p["co"], p["cx"], "contexts", &entities) {
			problem("no self-describing JSON")
		}
		for _, d := range append(entities.Data, event.Data) {
			if err := d.check(); err != nil {
				problem("%v", err)
			}
		}
	}
	return b.Data, problems
}

func selfDescribed(plain, encoded, name string, into any) bool {
	if plain == "" && encoded == "" {
		return true
	}
	text := []byte(plain)
	if encoded != "" {
		text, _ = base64.RawURLEncoding.DecodeString(encoded)
	}
	var schema struct{ Schema string }
	return (plain == "" || encoded == "") && json.Unmarshal(text, &schema) == nil &&
		schema.Schema == "iglu:com.snowplowanalytics.snowplow/"+name+"/jsonschema/1-0-0" && json.Unmarshal(text, into) == nil
}

type selfDescribing struct {
	Schema string
	Data   map[string]any
}

// iglucentral has the properties of Snowplow's schemas: type, most characters or highest value, ! where required. They
// allow no others.
var iglucentral = map[string]string{
	"snowplow/web_page/1-0-0":                            "id:uuid!",
	"snowplow/application/1-0-0":                         "version:text255!",
	"snowplow/screen_view/1-0-0":                         "name:text id:text",
	"snowplow/site_search/1-0-0":                         "terms:list! filters:any totalResults:int2147483647 pageResults:int2147483647",
	"snowplow/link_click/1-0-1":                          "elementId:text elementClasses:list elementContent:text elementTarget:text targetUrl:text!",
	"snowplow/social_interaction/1-0-0":                  "action:text! network:text! target:text",
	"snowplow/timing/1-0-0":                              "category:text! variable:text! timing:number! label:text",
	"snowplow.ecommerce/snowplow_ecommerce_action/1-0-2": "type:action! name:text128",
	"snowplow.ecommerce/product/1-0-0": "id:text4096! name:text4096 category:text4096! price:amount! list_price:amount quantity:int9999999 size:text256 variant:text256 brand:text256 " +
		"inventory_status:text256 position:int9999999 currency:currency! creative_id:text256",
	"snowplow.ecommerce/transaction/1-0-0": "transaction_id:text4096! revenue:amount! currency:currency! payment_method:text128! total_quantity:int9999999! tax:amount shipping:amount " +
		"discount_code:text99 discount_amount:amount credit_order:any",
	"snowplow.ecommerce/refund/1-0-0":        "transaction_id:text4096! currency:currency! refund_amount:amount! refund_reason:text4096",
	"snowplow.ecommerce/cart/1-0-0":          "cart_id:text4096 total_value:amount! currency:currency!",
	"snowplow.ecommerce/promotion/1-0-0":     "id:text4096! name:text256 product_ids:list position:int9999999 creative_id:text4096 type:text256 slot:text256",
	"snowplow.ecommerce/checkout_step/1-0-0": "step:int90! delivery_provider:text128 delivery_method:text128 coupon_code:text128 payment_method:text128",
}

var property = regexp.MustCompile(`^(\w+):([a-z]+)(\d*)(!?)$`)

// check holds data against its schema, if that is one of Snowplow's.
func (d selfDescribing) check() error {
	name, ours := strings.CutPrefix(d.Schema, "iglu:com.snowplowanalytics.")
	if !ours {
		if d.Schema != "" && !iglu.MatchString(d.Schema) {
			return fmt.Errorf("schema %q", d.Schema)
		}
		return nil
	}
	rules, ok := iglucentral[strings.Replace(name, "/jsonschema/", "/", 1)]
	if !ok {
		return fmt.Errorf("no such schema: %s", d.Schema)
	}
	left := maps.Clone(d.Data)
	for _, rule := range strings.Fields(rules) {
		m := property.FindStringSubmatch(rule)
		v, has := left[m[1]]
		delete(left, m[1])
		if !has && m[4] == "" {
			continue
		}
		if most, _ := strconv.Atoi(m[3]); !conforms(v, m[2], most) {
			return fmt.Errorf("%s: %s is %v", name, m[1], v)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%s does not know %v", name, left)
	}
	return nil
}

func conforms(v any, kind string, most int) bool {
	text, isText := v.(string)
	n, isNumber := v.(float64)
	list, isList := v.([]any)
	switch kind {
	case "text":
		return isText && (most == 0 || len(utf16.Encode([]rune(text))) <= most)
	case "uuid":
		_, err := uuid.Parse(text)
		return err == nil
	case "currency":
		return isText && len(text) == 3
	case "int":
		return isNumber && n >= 0 && n <= float64(most) && n == float64(int64(n))
	case "number":
		return isNumber
	case "amount":
		s := strconv.FormatFloat(n, 'f', -1, 64)
		_, decimals, _ := strings.Cut(s, ".")
		return isNumber && n >= 0 && n <= 9_999_999 && len(decimals) <= 2
	case "list":
		return isList && !slices.ContainsFunc(list, func(v any) bool { _, ok := v.(string); return !ok })
	case "action":
		return slices.Contains(strings.Fields("add_to_cart remove_from_cart product_view list_click list_view promo_click promo_view checkout_step transaction refund trns_error"), text)
	}
	return kind == "any"
}
