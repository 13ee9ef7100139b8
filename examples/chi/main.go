// Command chi is a small shop whose pages and purchases reach Google Analytics from
// the server.
//
//	GA4_API_SECRET=… go run ./examples/chi
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"

	"github.com/go-chi/chi/v5"

	"github.com/sidetrack-go/sidetrack"
	sidetrackchi "github.com/sidetrack-go/sidetrack/chi"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/standard"
	"github.com/sidetrack-go/sidetrack/processors"
	"github.com/sidetrack-go/sidetrack/sinks/ga"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	google, err := ga.New(ga.Config{MeasurementID: "G-XXXXXXXXXX", APISecret: sidetrack.NewSecret(os.Getenv("GA4_API_SECRET"))})
	if err != nil {
		log.Fatal(err)
	}
	if err := serve(ctx, "127.0.0.1:8000", google); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, addr string, google *sidetrack.Sink) error {
	p, err := standard.Start(ctx, pipeline.Config{Sinks: []pipeline.SinkConfig{{Name: "google", Sink: google}}, Intake: intake()})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close(context.Background()) }()
	server := &http.Server{Addr: addr, Handler: shop(p)}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	log.Printf("shop on http://%s/product/42", addr)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// intake reads the decision of the site's cookie banner and says who the visitor is.
// Addresses are made anonymous without being asked.
func intake() []sidetrack.Processor {
	consent, err := processors.NewConsent(processors.ConsentConfig{Unknown: "denied", GPC: "honour", Cookie: "consent"})
	if err != nil {
		log.Fatal(err)
	}
	visitor, err := processors.NewVisitor(processors.VisitorDefaults())
	if err != nil {
		log.Fatal(err)
	}
	return []sidetrack.Processor{consent, visitor}
}

func shop(q sidetrack.Queue) http.Handler {
	r := chi.NewRouter()
	r.Use(sidetrackchi.Middleware(q)) // the one line: every page is counted
	r.Get("/product/{id}", func(w http.ResponseWriter, r *http.Request) {
		page(w, r, "Product "+chi.URLParam(r, "id"))
	})
	r.Post("/buy/{id}", func(w http.ResponseWriter, r *http.Request) {
		_ = sidetrack.FromContext(r.Context()).Purchase(sidetrack.Ecommerce{
			Currency:      "EUR",
			TransactionID: "T-1001",
			Items:         []sidetrack.Item{{ID: chi.URLParam(r, "id"), Name: "Walking boots", Price: sidetrack.MoneyOf(49.90), HasPrice: true, Quantity: 1}},
		})
		page(w, r, "Thank you")
	})
	return r
}

func page(w http.ResponseWriter, r *http.Request, title string) {
	sidetrack.FromContext(r.Context()).SetTitle(title)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte("<!doctype html><title>" + title + "</title><h1>" + title + "</h1>"))
}
