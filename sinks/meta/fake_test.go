package meta

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// graph is a strict stand-in for the Graph API: it takes a batch whole or not at all, by the documented rules, and an event once by its
// name and id.
type graph struct {
	t     *testing.T
	now   time.Time                         // zero: the wall clock
	first map[int]func(http.ResponseWriter) // what the n-th request is answered instead

	mu       sync.Mutex
	requests int
	sizes    []int
	bodies   []string
	taken    map[string]int // by name and id: how often it came
	refused  map[int]int    // by subcode
	lost     bool           // the answer to the next batch that is taken gets lost
}

func fail(w http.ResponseWriter, status, code, subcode int, transient bool, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"message":%q,"type":"OAuthException","code":%d,"error_subcode":%d,"is_transient":%v,"error_user_title":"Title","error_user_msg":"Message","fbtrace_id":"AbC"}}`, message, code, subcode, transient)
}

func (g *graph) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.requests
	g.requests++
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		g.t.Error(err)
	}
	g.bodies = append(g.bodies, string(raw))
	if r.Method != http.MethodPost || r.URL.Path != "/v24.0/1234567890/events" || r.URL.RawQuery != "" || r.Header.Get("Content-Type") != "application/json" {
		g.t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
	}
	var b struct {
		Token string            `json:"access_token"`
		Data  []json.RawMessage `json:"data"`
		Code  string            `json:"test_event_code"`
		Agent string            `json:"partner_agent"`
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		g.t.Errorf("%v", err)
	}
	g.sizes = append(g.sizes, len(b.Data))
	switch answer := g.first[n]; {
	case answer != nil:
		answer(w)
		return
	case b.Token != token:
		fail(w, 400, 190, 0, false, "Invalid OAuth access token - Cannot parse access token")
		return
	case len(b.Data) == 0 || len(b.Data) > 1000 || len(raw) > 1_000_000:
		fail(w, 400, 100, 2804000, false, "Invalid parameter")
		return
	}
	var keys []string
	for _, e := range b.Data {
		key, subcode, problem := g.check(e)
		if subcode != 0 {
			if g.refused != nil {
				g.refused[subcode]++
			}
			fail(w, 400, 100, subcode, false, "Invalid parameter: "+problem)
			return
		}
		keys = append(keys, key)
	}
	if g.taken != nil {
		for _, k := range keys {
			g.taken[k]++
		}
	}
	if g.lost {
		g.lost = false
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	fmt.Fprintf(w, `{"events_received":%d,"messages":[],"fbtrace_id":"AbC"}`, len(b.Data))
}

var (
	hash64     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	metaCookie = regexp.MustCompile(`^fb\.[0-2]\.[0-9]{13}\.[A-Za-z0-9_.-]+$`)
)

// check returns by what an event is known, or a subcode and what is wrong with it.
func (g *graph) check(raw json.RawMessage) (key string, subcode int, problem string) {
	var e struct {
		Name     string                     `json:"event_name"`
		Time     *float64                   `json:"event_time"`
		ID       string                     `json:"event_id"`
		Action   string                     `json:"action_source"`
		URL      string                     `json:"event_source_url"`
		Referrer string                     `json:"referrer_url"`
		OptOut   bool                       `json:"opt_out"`
		Options  []string                   `json:"data_processing_options"`
		Country  int                        `json:"data_processing_options_country"`
		State    int                        `json:"data_processing_options_state"`
		User     map[string]json.RawMessage `json:"user_data"`
		Custom   map[string]any             `json:"custom_data"`
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return "", 2804007, "cannot be read"
	}
	now := g.now
	if now.IsZero() {
		now = time.Now()
	}
	switch {
	case e.Name == "":
		return "", 2804001, "event_name"
	case e.Time == nil || *e.Time != math.Trunc(*e.Time) || *e.Time > float64(now.Unix()+60):
		return "", 2804003, "event_time"
	case *e.Time < float64(now.Add(-7*24*time.Hour).Unix()):
		return "", 2804003, "event_time is too old"
	case e.ID == "":
		return "", 2804007, "event_id"
	case !slices.Contains([]string{"email", "website", "app", "phone_call", "chat", "physical_store", "system_generated", "business_messaging", "other"}, e.Action):
		return "", 2804016, "action_source"
	case e.Action == "website" && (e.User["client_user_agent"] == nil || !strings.HasPrefix(e.URL, "http")):
		return "", 2804019, "a website event without client_user_agent or event_source_url"
	case e.Custom["poison"] != nil:
		return "", 2804048, "poison"
	case e.Name == "Purchase" && !isNumber(e.Custom["value"]):
		return "", 2804009, "value"
	case e.Name == "Purchase" && !iso4217.MatchString(fmt.Sprint(e.Custom["currency"])):
		return "", 2804009, "currency"
	}
	if contents, ok := e.Custom["contents"].([]any); ok {
		for _, c := range contents {
			m, _ := c.(map[string]any)
			q, _ := m["quantity"].(float64)
			if m["id"] == nil || q < 1 || q != math.Trunc(q) || m["item_price"] != nil && !isNumber(m["item_price"]) {
				return "", 2804008, "contents"
			}
		}
	}
	if problem := checkUser(e.User); problem != "" {
		return "", 2804050, problem
	}
	return e.Name + " " + e.ID, 0, ""
}

func isNumber(v any) bool {
	_, ok := v.(float64)
	return ok
}

func checkUser(user map[string]json.RawMessage) string {
	strong := false
	for k, raw := range user {
		switch k {
		case "client_ip_address", "client_user_agent", "fbp", "fbc", "dobd", "dobm", "doby":
			var s string
			if json.Unmarshal(raw, &s) != nil || s == "" {
				return k
			}
			_, err := netip.ParseAddr(s)
			if k == "client_ip_address" && err != nil || strings.HasPrefix(k, "fb") && !metaCookie.MatchString(s) || strings.HasPrefix(k, "dob") && !hash64.MatchString(s) {
				return k
			}
		case "em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country", "external_id":
			var list []string
			if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
				return k
			}
			for _, h := range list {
				if !hash64.MatchString(h) {
					return k + " is no hash"
				}
			}
		default:
			return "unknown " + k
		}
		strong = strong || slices.Contains([]string{"em", "ph", "external_id", "fbp", "fbc", "client_ip_address"}, k)
	}
	if !strong && (user["fn"] == nil || user["ln"] == nil) {
		return "too little"
	}
	return ""
}
