// Command nethttp tracks the pages of a plain net/http server and prints the events.
//
//	go run ./examples/nethttp
//	curl -H 'Cookie: consent=granted' -A Mozilla/5.0 http://127.0.0.1:8000/hello/you
package main

import (
	"context"
	"html"
	"log"
	"net/http"
	"os"
	"os/signal"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline"
	"github.com/sidetrack-go/sidetrack/pipeline/standard"
	"github.com/sidetrack-go/sidetrack/processors"
	"github.com/sidetrack-go/sidetrack/sinks/stdout"
	"github.com/sidetrack-go/sidetrack/sources"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, "127.0.0.1:8000"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string) error {
	console, err := stdout.New(stdout.Defaults())
	if err != nil {
		return err
	}
	consent, err := processors.NewConsent(processors.ConsentConfig{Unknown: "denied", GPC: "honour", Cookie: "consent"})
	if err != nil {
		return err
	}
	p, err := standard.Start(ctx, pipeline.Config{
		Intake: []sidetrack.Processor{consent},
		Sinks:  []pipeline.SinkConfig{{Name: "console", Sink: console}},
	})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close(context.Background()) }()
	server := &http.Server{Addr: addr, Handler: sources.Middleware(p)(site())}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	log.Printf("http://%s/hello/you", addr)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func site() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		_ = sidetrack.FromContext(r.Context()).Event("greeting", map[string]any{"length": len(r.PathValue("name"))})
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<h1>Hello, " + html.EscapeString(r.PathValue("name")) + "</h1>"))
	})
	return mux
}
