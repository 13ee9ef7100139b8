// Package googlevectors holds the decoders and sinks of Google's protocols against test vectors:
// what goes in, and what must come out. It uses the same public API as any other program.
package googlevectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vector is one case of testdata/google.json, whose conventions explain the fields.
type vector struct {
	ID             string          `json:"id"`
	Protocol       string          `json:"protocol"`
	Direction      string          `json:"direction"`
	Description    string          `json:"description"`
	Input          map[string]any  `json:"input"`
	ExpectedWire   []wire          `json:"expected_wire"`
	WireOrder      string          `json:"wire_order"`
	ExpectedEvents []any           `json:"expected_events"`
	ExpectedResult json.RawMessage `json:"expected_result"`
	ExpectedForm   map[string]any  `json:"expected_form"`
	ExpectedError  *struct {
		Code  string `json:"code"`
		Field string `json:"field"`
	} `json:"expected_error"`
	Response map[string]any `json:"response"`
}

// wire is one expected request.
type wire struct {
	Method  string            `json:"method"`
	Host    string            `json:"host"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Query   any               `json:"query"` // text or pairs
	Body    any               `json:"body"`  // text or JSON
	Compare string            `json:"compare"`
	Count   map[string]any    `json:"count"`
}

// result decodes ExpectedResult.
func (v vector) result(t *testing.T) any {
	t.Helper()
	var out any
	if err := json.Unmarshal(v.ExpectedResult, &out); err != nil {
		t.Fatalf("expected_result: %v", err)
	}
	return out
}

// checks say by protocol and direction what a vector is held against.
var checks = map[string]func(*testing.T, vector){
	"gtag-g-collect decode": decodeGtag,
	"gtag-g-collect reject": decodeGtag,
	"gtag-g-collect encode": encodeGtag,
	"gtag-g-collect route":  route,
	"google-consent decode": consent,
	"ga-cookie decode":      cookie,
	"ua-mp-v1 decode":       decodeUA,
	"ua-mp-v1 encode":       encodeUA,
	"ua-mp-v1 reject":       encodeUA,
	"ua-mp-v1 response":     responseUA,
	"ua-to-ga4 map":         mapUA,
	"ga4-mp encode":         encodeGA4,
	"ga4-mp reject":         rejectGA4,
	"ga4-mp response":       responseGA4,
}

func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/google.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Counts map[string]int `json:"counts"`
		Cases  []vector       `json:"cases"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	ran := map[string]int{}
	for _, v := range file.Cases {
		ran[v.Protocol]++
		t.Run(v.ID, func(t *testing.T) {
			kind := v.Protocol + " " + v.Direction
			check, ok := checks[kind]
			if !ok {
				t.Fatalf("nothing is known about vectors of %s", kind)
			}
			check(t, v)
			if t.Failed() {
				t.Log(v.Description)
			}
		})
	}
	if diff := cmp.Diff(file.Counts, ran); diff != "" {
		t.Errorf("the file says how many cases it has: %s", diff)
	}
}

// same compares JSON values, numbers by value.
func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := difference(want, got); diff != "" {
		t.Errorf("%s: (-want +got)\n%s", what, diff)
	}
}

// within compares only what want has.
func within(t *testing.T, what string, want, got map[string]any) {
	t.Helper()
	for k, v := range want {
		same(t, what+"."+k, v, got[k])
	}
}

func str(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }

// difference compares by what JSON says.
func difference(want, got any) string {
	a, err1 := json.Marshal(want)
	b, err2 := json.Marshal(got)
	if err1 != nil || err2 != nil {
		return fmt.Sprint(err1, err2)
	}
	var x, y any
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		return err.Error()
	}
	return cmp.Diff(x, y)
}
