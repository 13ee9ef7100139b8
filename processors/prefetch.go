package processors

import (
	"context"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// ReasonPrefetch is why prefetch drops an event.
const ReasonPrefetch sidetrack.Reason = "prefetch"

// PrefetchConfig is the configuration of the prefetch processor: there is nothing to configure.
type PrefetchConfig struct{}

// NewPrefetch makes a processor that drops events of pages a browser fetched ahead and nobody
// has seen yet, by Sec-Purpose, Purpose, X-Purpose and X-Moz. Intake only.
func NewPrefetch(PrefetchConfig) (sidetrack.Processor, error) {
	return sidetrack.ProcessorFunc(prefetch), nil
}

func prefetch(_ context.Context, e *sidetrack.Event) error {
	o := e.Origin()
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		v := strings.ToLower(o.Header(name))
		if strings.Contains(v, "prefetch") || strings.Contains(v, "prerender") || strings.Contains(v, "preview") {
			return sidetrack.Drop(ReasonPrefetch)
		}
	}
	return nil
}
