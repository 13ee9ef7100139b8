package sidetrack

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// DefaultClassify reads an answer by RFC 9110: 2xx delivered; 408, 425 and 5xx
// retry; 429 throttled, as is 503 with Retry-After; 401, 403, 404, 405, 407, 410 and
// redirects misconfigured; every other 4xx rejected.
func DefaultClassify(_ Unit, r *Response) error {
	if r.Status >= 200 && r.Status < 300 {
		return nil
	}
	err := fmt.Errorf("status %d", r.Status)
	switch r.Status {
	case http.StatusTooManyRequests:
		return RetryAfter(err, ParseRetryAfter(r.Header))
	case http.StatusServiceUnavailable:
		if d := ParseRetryAfter(r.Header); d > 0 {
			return RetryAfter(err, d)
		}
		return err
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return err
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusGone:
		return Misconfiguration(err)
	}
	switch {
	case r.Status >= 300 && r.Status < 400:
		return Misconfiguration(err)
	case r.Status >= 400 && r.Status < 500:
		return Permanent(err)
	}
	return err
}

// maxRetryAfter bounds how long a backend can silence its sink with one answer.
const maxRetryAfter = time.Hour

// ParseRetryAfter reads a Retry-After header in seconds or as a date relative to
// the answer's own Date header. It returns 0 when absent or unreadable and at most an hour.
func ParseRetryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		if !(s > 0) {
			return 0
		}
		return time.Duration(min(s, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(0, at.Sub(now)), maxRetryAfter)
}
