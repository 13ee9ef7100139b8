package gtag

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// batch is what gtag.js sends for ten events of a shop in one request.
func batch() (query, body string) {
	query = "v=2&tid=G-TEST123456&gtm=45je5640v9&_p=1700000000500&cid=1111111111.1700000000&ul=en-us&sr=1728x1117&gcs=G111&gcd=13r3r3r2r5l1" +
		"&uaa=arm&uab=64&uafvl=Chromium%3B136.0.7103.114%7CGoogle%2520Chrome%3B136.0.7103.114&uamb=0&uam=&uap=macOS&uapv=15.5.0&uaw=0&dma=1&npa=0" +
		"&sid=1700000000&sct=4&seg=1&dl=https%3A%2F%2Fshop.example%2Fproducts%3Fid%3D7&dr=https%3A%2F%2Fref.example%2F&dt=Blue%20T-shirt&_s=2"
	lines := make([]string, 10)
	for i := range lines {
		lines[i] = fmt.Sprintf("en=add_to_cart&_ee=1&cu=EUR&pr1=idSKU-%d~nmT-shirt%%20blue~brAcme~caApparel~vablue~pr19.99~qt2~k0size~v0L&epn.value=39.98&ep.source_of_click=list&_et=%d", i, 100+i)
	}
	return query, strings.Join(lines, "\r\n")
}

func BenchmarkDecodeBatch(b *testing.B) {
	query, body := batch()
	d, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/g/collect?"+query, http.NoBody)
	in := strings.NewReader(body)
	r.Body = io.NopCloser(in)
	b.SetBytes(int64(len(query) + len(body)))
	b.ReportAllocs()
	for b.Loop() {
		in.Reset(body)
		out, err := d.Decode(r)
		if err != nil || len(out.Events) != 10 {
			b.Fatal(len(out.Events), err)
		}
	}
}

// BenchmarkEncodingJSON decodes the same ten events from sidetrack's JSON into maps, what a
// decoder of JSON bodies would have to do at least.
func BenchmarkEncodingJSON(b *testing.B) {
	query, body := batch()
	d, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	out, err := d.Decode(request(query, body))
	if err != nil {
		b.Fatal(err)
	}
	payload, err := json.Marshal(out.Events)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		var v []map[string]any
		if err := json.Unmarshal(payload, &v); err != nil || len(v) != 10 {
			b.Fatal(len(v), err)
		}
	}
}
