package pipeline

import (
	"net"
	"net/http"
	"time"
)

// maxResponseHeader bounds the header of an answer, which is held in memory whole. The default of
// net/http, 10 MB, times the concurrency of every sink would be gigabytes.
const maxResponseHeader = 128 << 10

// newClient makes the client all HTTP sinks share. It follows no redirect, which
// could carry an event and its credentials elsewhere, and has no cookies. Attempts
// are bounded by their context.
func newClient(sinks []SinkConfig) *http.Client {
	idle := 2
	for _, s := range sinks {
		if s.Sink != nil && s.Sink.Spec().Generator != nil {
			idle = max(idle, s.Delivery.Concurrency)
		}
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           0,
			MaxIdleConnsPerHost:    idle,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    10 * time.Second,
			ExpectContinueTimeout:  time.Second,
			MaxResponseHeaderBytes: maxResponseHeader,
			DisableCompression:     true,
		},
	}
}
