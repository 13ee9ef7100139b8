package gtag

import (
	"testing"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

func FuzzDecode(f *testing.F) {
	f.Add(base+"&en=purchase&cu=EUR&epn.value=5&pr1=idA~nmB~~C~k0a~v0b&uafvl=A%253B;1&gcd=13r3r3r2r5l1&richsstsse", "")
	f.Add(base, "en=a&dl=https%3A%2F%2Fx.example%2F\r\nen=b&up.x=%zz&upn.y=1e9\n")
	f.Add("v=2&tid=G-1&cid=1.2&en=%ff%00&_uip=198.51.100.7", "")
	d, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query, body string) {
		r := request("", body)
		r.URL.RawQuery = query
		out, err := d.Decode(r)
		if err != nil {
			return
		}
		if len(out.Indexes) != 0 && len(out.Indexes) != len(out.Events) {
			t.Fatalf("%d events, %d indexes", len(out.Events), len(out.Indexes))
		}
		now := time.Now()
		for _, e := range out.Events {
			if err := e.Validate(now); err != nil {
				t.Fatalf("a decoded event is refused: %v", err)
			}
			line, err := e.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sidetrack.ParseEvent(string(line)); err != nil && len(line) <= sidetrack.MaxEventBytes {
				t.Fatalf("does not survive storage: %v\n%s", err, line)
			}
		}
	})
}
