package standard_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/bus/memory"
	"github.com/sidetrack-go/sidetrack/internal/faults"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/standard"
	"github.com/sidetrack-go/sidetrack/processors"
	"github.com/sidetrack-go/sidetrack/sinks/meta"
)

// Nobody is in plain in a request, an error, a log line or a dead letter: personal data that events came with is taken out in
// intake, and Meta gets hashes.
func TestMetaNobodyInPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(10 * 24 * time.Hour) // a bubble begins at midnight of 2000-01-01, before which events are not taken
		const jane, token = "86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d", "EAAGtoken1"
		var mu sync.Mutex
		var sent, said faults.Buffer
		answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(&sent, "%s %s\n", r.URL, body)
			if strings.Contains(string(body), "poison") { // and quotes what it does not like
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"error":{"message":"Invalid parameter jane.doe@example.com, token `+token+`","code":100,"error_subcode":2804048}}`)
				return
			}
			_, _ = io.WriteString(w, `{"events_received":`+fmt.Sprint(strings.Count(string(body), `"event_name"`))+`}`)
		})
		sink, err := meta.New(meta.Config{PixelID: "1234567890", AccessToken: sidetrack.NewSecret(token)})
		if err != nil {
			t.Fatal(err)
		}
		hash, err := processors.NewUserData(processors.UserDataConfig{
			Email: []string{"user_properties.email", "params.email", "page.url.email"}, Phone: []string{"user_properties.phone"},
			FirstName: []string{"user_properties.firstName"}, LastName: []string{"user_properties.lastName"},
		})
		if err != nil {
			t.Fatal(err)
		}
		bus := memory.New(memory.Config{})
		p, err := standard.Start(t.Context(), pipeline.Config{
			Bus: bus, Client: &http.Client{Transport: transport{answer}}, Intake: []sidetrack.Processor{hash},
			Sinks:  []pipeline.SinkConfig{{Name: "meta", Sink: sink}},
			Logger: slog.New(slog.NewJSONHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Observe: func(_ context.Context, f pipeline.Fate) {
				mu.Lock()
				defer mu.Unlock()
				fmt.Fprintf(&said, "%s %v\n", f.Column, f.Err)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		var events []*sidetrack.Event
		for i := range 20 {
			e := visit("page_view", time.Now())
			e.Page.URL, e.Device.UserAgent = "https://shop.example/?email=jane.doe%40example.com", "Mozilla/5.0"
			e.Params = map[string]any{"email": " Jane.Doe@Example.com ", "n": int64(i)}
			e.UserProperties = map[string]any{"email": "alt@example.com", "phone": "+1 (650) 555-0123", "firstName": "Janexq", "lastName": "Doexq"}
			switch {
			case i%5 == 1:
				e.Params["poison"] = true
			case i%5 == 2:
				e.Device.UserAgent = "" // the sink refuses it
			case i%5 == 3:
				e.Consent.Set(sidetrack.AdUserData, sidetrack.Denied)
			}
			events = append(events, e)
		}
		if err := p.Emit(t.Context(), events...); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := p.Drain(ctx); err != nil {
			t.Error(err)
		}
		letters := 0
		for r, err := range bus.Read(ctx, pipeline.TopicDead, 0) {
			if err != nil {
				t.Fatal(err)
			}
			letters++
			d, err := pipeline.ParseDeadLetter(r.Message.Payload)
			if err != nil || strings.Contains(string(r.Message.Payload), token) {
				t.Errorf("%s %v", r.Message.Payload, err)
			}
			fmt.Fprintf(&said, "%s\n", d.Error)
			for _, e := range d.Events {
				fmt.Fprintf(&said, "%s\n", e)
			}
		}
		row := p.Ledger().Sinks[0]
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if row.Delivered != 8 || row.Dead[sidetrack.ReasonRejected] != 4 || row.Dead[sidetrack.ReasonUnbuildable] != 4 || letters != 8 {
			t.Errorf("%+v, %d dead letters", row, letters)
		}
		all := strings.ToLower(sent.String() + said.String())
		for _, plain := range []string{"jane.doe", "alt@example", "janexq", "doexq", "555-0123", "5550123"} {
			if i := strings.Index(all, plain); i >= 0 {
				t.Errorf("%q: …%s…", plain, all[max(0, i-300):min(len(all), i+100)])
			}
		}
		if !strings.Contains(sent.String(), jane) || strings.Contains(said.String(), token) {
			t.Error("no hash was sent, or the token is shown")
		}
	})
}
