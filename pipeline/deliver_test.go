package pipeline_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

// What explain shows is, byte for byte, what arrives when the same event is delivered.
func TestDeliverSendsWhatExplainShows(t *testing.T) {
	const secret = "classified-key"
	var got []string
	answer := http.StatusOK
	mock := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Content-Type")+" "+r.UserAgent()+" "+string(body))
		w.WriteHeader(answer)
		_, _ = io.WriteString(w, "heard "+r.URL.Query().Get("key"))
	}))
	defer mock.Close()
	sink := func() *sidetrack.Sink {
		return sidetrack.HTTPSink(sidetrack.Each(func(e *sidetrack.Event) (*sidetrack.Request, error) {
			return sidetrack.PostJSON(mock.URL+"/in?key="+secret, map[string]any{"n": e.Name, "at": e.Time})
		}), sidetrack.Secrets(sidetrack.NewSecret(secret)))
	}
	p, err := pipeline.New(pipeline.Config{Bus: memory.New(memory.Config{}), Sinks: []pipeline.SinkConfig{
		{Name: "a", Sink: sink()}, {Name: "b", Sink: sink()}, {Name: "needy", Sink: sink(), Needs: []sidetrack.Purpose{sidetrack.AdStorage}, NeedsSet: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close(t.Context()) }()
	event := func() *sidetrack.Event {
		return &sidetrack.Event{Name: "purchase", Consent: sidetrack.Grant("server", sidetrack.AnalyticsStorage)}
	}

	x := p.Deliver(t.Context(), event(), "b", "needy")
	if len(got) != 1 || len(x.Sinks) != 3 {
		t.Fatalf("%d requests, %+v", len(got), x)
	}
	if x.Sinks[0].Answer != nil || x.Sinks[2].Answer != nil || x.Sinks[2].Column != pipeline.Withheld {
		t.Errorf("sinks that were not asked or have no consent were sent something: %+v", x.Sinks)
	}
	b := x.Sinks[1]
	if a := b.Answer; a == nil || a.Outcome != "delivered" || a.Status != 200 || a.Body != "heard [secret]" {
		t.Errorf("answer %+v", b.Answer)
	}
	shown := b.Request.Method + " " + strings.TrimPrefix(b.Request.URL, mock.URL) + " " + b.Request.Header.Get("Content-Type") + " " + b.Request.Header.Get("User-Agent") + " " + b.Request.Body
	if want := strings.ReplaceAll(shown, "[secret]", secret); got[0] != want {
		t.Errorf("shown   %s\narrived %s", want, got[0])
	}

	answer = http.StatusBadRequest
	x = p.Deliver(t.Context(), event(), "a")
	if a := x.Sinks[0].Answer; a == nil || a.Outcome != "rejected" || a.Error == "" || strings.Contains(a.Error+a.Body, secret) {
		t.Errorf("answer %+v", a)
	}
	if l := p.Ledger(); l.Received != 0 {
		t.Errorf("the ledger counted it: %+v", l)
	}
}
