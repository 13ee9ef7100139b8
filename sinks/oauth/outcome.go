package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/oauth2"

	"github.com/sidetrack-go/sidetrack"
)

// recorder remembers how the one request of a call ended. The libraries' errors print bodies, which may echo what was
// sent, and not all of them keep the cause.
type recorder struct {
	next   http.RoundTripper
	err    error
	status int
	header http.Header
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if r.err = err; err == nil {
		r.status, r.header = resp.StatusCode, resp.Header
	}
	return resp, err
}

// outcome gives a failed call its class. Its text holds the status and the error code of RFC 6749, section 5.2, and
// nothing else of the answer.
func (r *recorder) outcome(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.err != nil:
		return fmt.Errorf("oauth: the token endpoint does not answer: %w", r.err)
	case r.status == 0:
		return sidetrack.Misconfiguration(errors.New("oauth: no request for a token can be made"))
	}
	code := ""
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		code = errorCode(answer)
	}
	text := fmt.Errorf("oauth: no token: status %d", r.status)
	if code != "" {
		text = fmt.Errorf("oauth: no token: status %d, %s", r.status, code)
	}
	if code == "temporarily_unavailable" || code == "server_error" || code == "slow_down" {
		return text
	}
	class, after := sidetrack.ClassOf(sidetrack.DefaultClassify(sidetrack.Unit{}, &sidetrack.Response{Status: r.status, Header: r.header}))
	switch class {
	case sidetrack.Retry:
		return text
	case sidetrack.Throttled:
		return sidetrack.RetryAfter(text, after)
	}
	return sidetrack.Misconfiguration(text)
}

// errorCode is the code of an answer, if it looks like one.
func errorCode(e *oauth2.RetrieveError) string {
	code := e.ErrorCode
	if code == "" {
		var body struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(e.Body, &body) == nil {
			code = body.Error
		}
	}
	if len(code) > 40 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return ""
	}
	return code
}
