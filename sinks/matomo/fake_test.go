package matomo

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a strict Matomo: what its documentation requires is required, what it answers is answered.
type fake struct {
	t       *testing.T
	token   string
	super   bool           // the token is a super user's
	answers map[int]string // by number of the request, from 0: "500", "429", "500 after 2"

	mu       sync.Mutex
	requests int
	actions  []url.Values // counted
	orders   map[string]bool
}

func (f *fake) start() *httptest.Server {
	f.orders = map[string]bool{}
	s := httptest.NewServer(f)
	f.t.Cleanup(s.Close)
	return s
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := f.answers[f.requests]
	f.requests++
	if answer == "429" {
		w.Header().Set("Retry-After", "0.01")
		w.WriteHeader(429)
		return
	}
	body, err := io.ReadAll(r.Body)
	var bulk struct {
		Requests []string `json:"requests"`
		Token    string   `json:"token_auth"`
	}
	if err != nil || r.Method != http.MethodPost || json.Unmarshal(body, &bulk) != nil || len(bulk.Requests) == 0 {
		f.t.Errorf("%s %s: %v %s", r.Method, r.URL, err, body)
		w.WriteHeader(400)
		return
	}
	var counted []url.Values
	var invalid []int
	var last int64
	for i, q := range bulk.Requests {
		if answer == fmt.Sprintf("500 after %d", i) {
			w.WriteHeader(500)
			fmt.Fprintf(w, `{"status":"error","tracked":%d,"invalid":%d}`, i, len(invalid)) // rolled back
			return
		}
		v, err := url.ParseQuery(strings.TrimPrefix(q, "?"))
		if err != nil || !strings.HasPrefix(q, "?") {
			f.t.Errorf("no query string: %q", q)
		}
		at := time.Now().Unix()
		if cdt := v.Get("cdt"); cdt != "" {
			if at, err = strconv.ParseInt(cdt, 10, 64); err != nil || at > time.Now().Unix() {
				f.t.Errorf("cdt %q", cdt)
			}
		}
		if at < last {
			f.t.Error("not in chronological order")
		}
		last = at
		if problem := f.check(v, bulk.Token, at); problem != "" {
			invalid = append(invalid, i)
			continue
		}
		counted = append(counted, v)
	}
	if answer == "500" {
		w.WriteHeader(500)
		return
	}
	for _, v := range counted {
		f.orders[v.Get("ec_id")] = true
	}
	f.actions = append(f.actions, counted...)
	out := map[string]any{"status": "success", "tracked": len(counted), "invalid": len(invalid)}
	if f.super {
		out["invalid_indices"] = append([]int{}, invalid...)
	}
	_ = json.NewEncoder(w).Encode(out)
}

var hexID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// check returns what Matomo would find invalid.
func (f *fake) check(v url.Values, token string, at int64) string {
	authorized := token == f.token && token != ""
	switch {
	case v.Get("rec") != "1" || v.Get("idsite") != "7":
		return "rec or idsite"
	case v.Get("cid") != "" && !hexID.MatchString(v.Get("cid")):
		return "cid"
	case v.Get("cip") != "" && !authorized:
		return "cip without token"
	case time.Now().Unix()-at > 86400 && !authorized:
		return "old without token"
	case v.Has("e_c") != v.Has("e_a") || v.Has("e_c") && (v.Get("e_c") == "" || v.Get("e_a") == ""):
		return "event without category or action"
	case v.Get("ec_id") != "" && f.orders[v.Get("ec_id")]:
		return "Invalid non-unique idsite/idorder"
	case v.Get("dimension3") == "poison":
		return "poison"
	}
	if n := v.Get("e_v"); n != "" {
		if _, err := strconv.ParseFloat(n, 64); err != nil {
			return "e_v"
		}
	}
	if items := v.Get("ec_items"); items != "" {
		var list [][]any
		if json.Unmarshal([]byte(items), &list) != nil {
			return "ec_items"
		}
		for _, it := range list {
			if len(it) != 5 || it[0] == "" {
				return "ec_items"
			}
		}
	}
	return ""
}
