// Package customsink is a complete sink for a tracker of one's own. Queueing, units,
// retries, breaker, dead letters, explain and the ledger are the engine's.
package customsink

import (
	"errors"

	"github.com/sidetrack-go/sidetrack"
)

// Config is the configuration of the sink.
type Config struct {
	Endpoint string           `yaml:"endpoint"` // Endpoint of the tracker.
	Key      sidetrack.Secret `yaml:"key"`      // Key of the account.
}

// New makes the sink.
func New(cfg Config) (*sidetrack.Sink, error) {
	if cfg.Endpoint == "" {
		return nil, errors.New("counter: endpoint is missing")
	}
	request := func(e *sidetrack.Event) (*sidetrack.Request, error) {
		return sidetrack.PostJSON(cfg.Endpoint+"?key="+cfg.Key.Reveal(), map[string]any{
			"event": e.Name, "page": e.Page.URL, "visitor": e.Visitor.ClientID, "at": e.Time.UnixMilli(),
		})
	}
	return sidetrack.HTTPSink(sidetrack.Each(request), sidetrack.Secrets(cfg.Key)), nil
}
