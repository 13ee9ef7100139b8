// Command shop is a small shop to start a project from: pages from templates, a consent banner, a
// cart with purchases, a signed-in part that loads no pages, and server-side tracking of all of it. See README.md.
//
//	go run ./examples/shop
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/standard"
	"github.com/sidetrack-go/sidetrack/processors"
	"github.com/sidetrack-go/sidetrack/processors/bots"
	"github.com/sidetrack-go/sidetrack/sinks/ga"
	"github.com/sidetrack-go/sidetrack/sinks/stdout"
)

// settings are the program's flags and environment.
type settings struct {
	listen        string
	https         bool             // browsers use https, which ends at a proxy in front
	bots          string           // drop or mark
	secret        sidetrack.Secret // signs the visitor cookie
	measurementID string
	apiSecret     sidetrack.Secret
	endpoint      string // instead of Google's

	withdrawn func(ctx context.Context, clientID string) // a visitor no longer agrees
}

func main() {
	var s settings
	flag.StringVar(&s.listen, "listen", "127.0.0.1:8000", "address to listen on")
	flag.BoolVar(&s.https, "https", false, "browsers use https, which ends at a proxy in front")
	flag.StringVar(&s.bots, "bots", "drop", "what becomes of visits of known bots: drop or mark")
	flag.StringVar(&s.measurementID, "ga4", os.Getenv("GA4_MEASUREMENT_ID"), "GA4 measurement id; without one events are printed only")
	flag.StringVar(&s.endpoint, "ga4-endpoint", "", "where to send instead of Google, for tests")
	flag.Parse()
	s.apiSecret = sidetrack.NewSecret(os.Getenv("GA4_API_SECRET"))
	s.secret = sidetrack.NewSecret(os.Getenv("SHOP_SECRET"))
	if s.secret.IsZero() {
		log.Print("SHOP_SECRET is not set: visitors are forgotten when the shop restarts")
		s.secret = sidetrack.NewSecret(rand.Text())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, s settings) error {
	p, err := track(ctx, s)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close(context.Background()) }()
	s.withdrawn = func(ctx context.Context, clientID string) { // what waits to be sent is held back too
		if err := p.Suppress(ctx, time.Now(), pipeline.Person{ClientID: clientID}); err != nil {
			log.Print(err)
		}
	}
	handler, err := newShop(p, s)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: s.listen, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() {
		bounded, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(bounded)
	})
	log.Printf("shop on http://%s/", s.listen)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// track starts the pipeline: what becomes of an event, and who gets it.
func track(ctx context.Context, s settings) (*pipeline.Pipeline, error) {
	visitors := processors.VisitorDefaults()
	visitors.Secret = s.secret
	visitor, err := processors.NewVisitor(visitors)
	if err != nil {
		return nil, err
	}
	known, err := bots.New(bots.Config{Action: s.bots})
	if err != nil {
		return nil, err
	}
	console, err := stdout.New(stdout.Defaults())
	if err != nil {
		return nil, err
	}
	sinks := []pipeline.SinkConfig{{Name: "console", Sink: console}}
	if s.measurementID != "" {
		google, err := ga.New(ga.Config{MeasurementID: s.measurementID, APISecret: s.apiSecret, Endpoint: s.endpoint})
		if err != nil {
			return nil, err
		}
		sinks = append(sinks, pipeline.SinkConfig{Name: "google", Sink: google})
	}
	return standard.Start(ctx, pipeline.Config{
		Intake:     []sidetrack.Processor{visitor},
		Processors: []sidetrack.Processor{known},
		Sinks:      sinks,
	})
}
