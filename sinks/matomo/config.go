// Package matomo delivers events to Matomo by the bulk form of its Tracking HTTP API.
//
// Facts of the protocol are from Matomo's Tracking HTTP API reference (developer.matomo.org/api-reference/tracking-api) and
// the answers of its BulkTracking plugin.
package matomo

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// Config is the configuration of the matomo sink.
type Config struct {
	// Endpoint is the address of the tracker, such as https://stats.example/matomo.php.
	Endpoint string `yaml:"endpoint"`
	// SiteID is the number of the site in Matomo.
	SiteID int `yaml:"site_id"`
	// Token is a token_auth with write access. Without one Matomo takes no address, no place and no event older than a day.
	Token sidetrack.Secret `yaml:"token"`
	// Dimensions gives params and user properties the numbers of Matomo's custom dimensions.
	Dimensions map[string]int `yaml:"dimensions"`
	// Goals makes events conversions of goals, by name of the event.
	Goals map[string]int `yaml:"goals"`
	// Batch is how many events share a request, at most 1000. 0 means 200.
	Batch int `yaml:"batch"`
	// NoTransaction says that Matomo's bulk_requests_use_transaction is off: what it took before an error stays.
	NoTransaction bool `yaml:"no_transaction"`
}

const (
	defaultBatch = 200
	maxBatch     = 1000
	maxBytes     = 1 << 20 // PHP's post_max_size is 8 MB unless it was made smaller
)

// tokenless is how old an event may be that is dated without a token: reference, "cdt".
const tokenless = 24 * time.Hour

var token = regexp.MustCompile(`^[0-9A-Fa-f]{32}$`)

// New makes the sink. It needs analytics_storage.
func New(cfg Config) (*sidetrack.Sink, error) {
	u, err := url.Parse(cfg.Endpoint)
	switch {
	case cfg.Endpoint == "":
		return nil, &sidetrack.FieldError{Field: "endpoint", Problem: "is missing: the address of matomo.php, such as https://stats.example/matomo.php"}
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, &sidetrack.FieldError{Field: "endpoint", Problem: "must be an absolute http or https URL"}
	case u.RawQuery != "" || u.Fragment != "" || !strings.HasSuffix(u.Path, ".php"):
		return nil, &sidetrack.FieldError{Field: "endpoint", Problem: "must end with the tracker's file, such as /matomo.php"}
	case cfg.SiteID < 1:
		return nil, &sidetrack.FieldError{Field: "site_id", Problem: "is missing: the number of the site in Matomo"}
	case !cfg.Token.IsZero() && !token.MatchString(cfg.Token.Reveal()):
		return nil, &sidetrack.FieldError{Field: "token", Problem: "has not the form of a token_auth, 32 hexadecimal digits"}
	case cfg.Batch < 0 || cfg.Batch > maxBatch:
		return nil, &sidetrack.FieldError{Field: "batch", Problem: fmt.Sprintf("must be between 1 and %d", maxBatch)}
	}
	seen := map[int]string{}
	for _, name := range sortedKeys(cfg.Dimensions) {
		n := cfg.Dimensions[name]
		if n < 1 || n > 999 {
			return nil, &sidetrack.FieldError{Field: "dimensions." + name, Problem: "must be between 1 and 999"}
		}
		if other, ok := seen[n]; ok {
			return nil, &sidetrack.FieldError{Field: "dimensions." + name, Problem: fmt.Sprintf("is dimension %d, which %s is too", n, other)}
		}
		seen[n] = name
	}
	for name, n := range cfg.Goals {
		if n < 1 {
			return nil, &sidetrack.FieldError{Field: "goals." + name, Problem: "must be the number of a goal; 0 is Matomo's own for orders"}
		}
	}
	batch := cfg.Batch
	if batch == 0 {
		batch = defaultBatch
	}
	g := &generator{cfg: cfg}
	opts := []sidetrack.SinkOption{
		sidetrack.MaxEvents(batch), sidetrack.MaxBytes(maxBytes), sidetrack.Classify(g.classify), sidetrack.Secrets(cfg.Token),
	}
	if cfg.Token.IsZero() {
		opts = append(opts, sidetrack.MaxAge(tokenless))
	}
	return sidetrack.HTTPSink(g, opts...), nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
