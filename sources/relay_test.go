package sources

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
)

// relaying speaks for a visitor whose address a server sent.
type relaying struct{}

func (relaying) Decode(r *http.Request) (sidetrack.Decoded, error) {
	e := &sidetrack.Event{Name: "relayed", Params: map[string]any{"note": "from " + sentinel}}
	e.SetOrigin(sidetrack.NewOrigin(netip.MustParseAddr(sentinel), &http.Request{Host: r.Host}))
	return sidetrack.Decoded{Events: []*sidetrack.Event{e, {Name: "direct"}}}, nil
}

// Nothing of the request of a server between is taken for the visitor's.
func TestRelayedEvents(t *testing.T) {
	var out fake
	c := newCollector(t, &out, CollectorConfig{})
	if err := c.Mount("POST /relay", relaying{}); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/relay", strings.NewReader("x"))
	r.Header.Set("User-Agent", "axios/1.18.1")
	r.Header.Set("Referer", "https://server.example/")
	r.Header.Set("Cookie", "_ga=GA1.1.9.9")
	c.ServeHTTP(httptest.NewRecorder(), r)
	events := out.all()
	if len(events) != 2 {
		t.Fatalf("%d events", len(events))
	}
	relayed, direct := events[0], events[1]
	if o := relayed.Origin(); o.IP().String() != sentinel || o.Header("Cookie") != "" || relayed.Device.UserAgent != "" || relayed.Page.URL != "" {
		t.Errorf("%v %q %+v %+v", o.IP(), o.Header("Cookie"), relayed.Device, relayed.Page)
	}
	if note := relayed.Params["note"]; note != "from [ip]" {
		t.Errorf("the visitor's address stays in a text: %q", note)
	}
	if o := direct.Origin(); o.Header("Cookie") == "" || direct.Device.UserAgent != "axios/1.18.1" || direct.Page.URL != "https://server.example/" {
		t.Errorf("%q %+v %+v", o.Header("Cookie"), direct.Device, direct.Page)
	}
}
