package sources

import (
	"log"
	"log/slog"
	"regexp"
	"strings"

	"github.com/sidetrack-go/sidetrack/internal/clientip"
)

// serverLog returns the error log for an http.Server. net/http prints the address of
// the peer, for example with every panic and every failed TLS handshake: addresses
// are replaced before anything reaches logger.
func serverLog(logger *slog.Logger) *log.Logger {
	return log.New(scrubbing{logger, regexp.MustCompile(`\[?[0-9a-fA-F.:]*[.:][0-9a-fA-F.:]*[0-9a-fA-F:](%\w+)?\]?(:\d+)?`)}, "", 0)
}

type scrubbing struct {
	logger *slog.Logger
	like   *regexp.Regexp // what may be an address
}

// Write logs one message of the server.
func (s scrubbing) Write(p []byte) (int, error) {
	s.logger.Warn("http server: " + s.scrub(strings.TrimSpace(string(p))))
	return len(p), nil
}

func (s scrubbing) scrub(msg string) string {
	return s.like.ReplaceAllStringFunc(msg, func(m string) string {
		if _, ok := clientip.Parse(m); ok {
			return "[address]"
		}
		// A colon of the sentence may stick to the address.
		if trimmed := strings.TrimRight(m, ":."); trimmed != m {
			if _, ok := clientip.Parse(trimmed); ok {
				return "[address]" + m[len(trimmed):]
			}
		}
		return m
	})
}
