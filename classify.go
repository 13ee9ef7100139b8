package sidetrack

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DefaultClassify reads an answer by its status, as RFC 9110 and RFC 6585 define them:
//
//   - delivered: 2xx
//   - throttled: 429, and any 5xx with Retry-After
//   - misconfigured, because every request of the sink would be answered like that until a person
//     acts: redirects and 1xx; 401, 402, 403, 404, 405, 406, 407, 410, 411, 415, 426, 451; 501, 505, 511
//   - retry: 408, 421, 423, 424, 425, 499 and every other status from 500
//   - rejected, because of what is in this unit: every other 4xx
func DefaultClassify(_ Unit, r *Response) error {
	if r.Status >= 200 && r.Status < 300 {
		return nil
	}
	err := fmt.Errorf("status %d", r.Status)
	switch r.Status {
	case http.StatusTooManyRequests:
		return RetryAfter(err, ParseRetryAfter(r.Header))
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusProxyAuthRequired, http.StatusGone,
		http.StatusLengthRequired, http.StatusUnsupportedMediaType, http.StatusUpgradeRequired,
		http.StatusUnavailableForLegalReasons, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported,
		http.StatusNetworkAuthenticationRequired:
		return Misconfiguration(err)
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusLocked, http.StatusFailedDependency,
		http.StatusTooEarly, statusClientClosedRequest:
		return err
	}
	switch {
	case r.Status < 400:
		return Misconfiguration(err)
	case r.Status < 500:
		return Permanent(err)
	case ParseRetryAfter(r.Header) > 0:
		return RetryAfter(err, ParseRetryAfter(r.Header))
	}
	return err
}

// statusClientClosedRequest is what nginx in front of a backend logs and some
// proxies pass on when the connection went away first.
const statusClientClosedRequest = 499

// maxRetryAfter bounds how long a backend can silence its sink with one answer.
const maxRetryAfter = time.Hour

// ParseRetryAfter reads a Retry-After header in seconds or as a date relative to
// the answer's own Date header. It returns 0 when absent or unreadable and at most an hour.
func ParseRetryAfter(h http.Header) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
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

// ResponseRule says how to read answers that a sink's own classifier would read
// otherwise. Its conditions must all hold; one that is zero always does.
type ResponseRule struct {
	Status StatusRange   // of the answer
	Body   string        // contained in the answer, whatever its case
	As     Class         // what the answer means
	After  time.Duration // for Throttled: how long to wait where the answer has no Retry-After; 0: the engine's backoff
}

// Validate reports a rule that could not do what it says.
func (r ResponseRule) Validate() error {
	switch {
	case r.Status.zero() && r.Body == "":
		return &FieldError{Problem: "neither status nor body: it would match every answer"}
	case r.As > Misconfigured:
		return &FieldError{Field: "as", Problem: "is not a class"}
	case r.After < 0:
		return &FieldError{Field: "after", Problem: "must not be negative"}
	case r.After > 0 && r.As != Throttled:
		return &FieldError{Field: "after", Problem: "is for throttled alone: write as: throttled, or remove it"}
	}
	return nil
}

// matches reports whether the rule speaks of r. body is r's in lower case.
func (r ResponseRule) matches(status int, body string) bool {
	return (r.Status.zero() || r.Status.contains(status)) && (r.Body == "" || strings.Contains(body, strings.ToLower(r.Body)))
}

// ClassifyBy returns a classifier that asks rules first, in their order, and otherwise where
// none matches. It is safe for concurrent use if otherwise is.
func ClassifyBy(rules []ResponseRule, otherwise Classifier) Classifier {
	if otherwise == nil {
		otherwise = DefaultClassify
	}
	if len(rules) == 0 {
		return otherwise
	}
	asksBody := false
	for _, r := range rules {
		asksBody = asksBody || r.Body != ""
	}
	return func(u Unit, resp *Response) error {
		body := ""
		if asksBody {
			body = strings.ToLower(string(resp.Body))
		}
		for i, r := range rules {
			if !r.matches(resp.Status, body) {
				continue
			}
			err := fmt.Errorf("status %d, read as %s by response rule %d", resp.Status, r.As, i+1)
			switch r.As {
			case Delivered:
				return nil
			case Throttled:
				after := ParseRetryAfter(resp.Header)
				if after == 0 {
					after = r.After
				}
				return RetryAfter(err, after)
			case Rejected:
				return Permanent(err)
			case Misconfigured:
				return Misconfiguration(err)
			}
			return err
		}
		if asksBody && resp.Cut && resp.Status >= 200 && resp.Status < 300 {
			return fmt.Errorf("status %d, and the body that response rules ask for was cut short", resp.Status)
		}
		return otherwise(u, resp)
	}
}

// StatusRange is some statuses of answers: one, a hundred, or from one to another. Its
// text is 409, 5xx or 500-503. The zero value is no status.
type StatusRange struct{ From, To int }

func (s StatusRange) zero() bool { return s == StatusRange{} }

func (s StatusRange) contains(status int) bool { return s.From <= status && status <= s.To }

// String returns the text form.
func (s StatusRange) String() string {
	switch {
	case s.zero():
		return ""
	case s.From == s.To:
		return strconv.Itoa(s.From)
	case s.From%100 == 0 && s.To == s.From+99:
		return strconv.Itoa(s.From/100) + "xx"
	}
	return strconv.Itoa(s.From) + "-" + strconv.Itoa(s.To)
}

// MarshalText writes the text form.
func (s StatusRange) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the text form.
func (s *StatusRange) UnmarshalText(text []byte) error {
	t := strings.TrimSpace(string(text))
	var out StatusRange
	var err error
	if hundred, ok := strings.CutSuffix(strings.ToLower(t), "xx"); ok {
		if out.From, err = strconv.Atoi(hundred); err == nil {
			out.From, out.To = out.From*100, out.From*100+99
		}
	} else {
		from, to, isRange := strings.Cut(t, "-")
		out.From, err = strconv.Atoi(strings.TrimSpace(from))
		if out.To = out.From; isRange && err == nil {
			out.To, err = strconv.Atoi(strings.TrimSpace(to))
		}
	}
	if err != nil || out.From < 100 || out.To > 999 || out.From > out.To {
		return fmt.Errorf("is not a status: write 409, 5xx or 500-503")
	}
	*s = out
	return nil
}

// UnmarshalText reads a class by its name.
func (c *Class) UnmarshalText(text []byte) error {
	for k := Delivered; k <= Misconfigured; k++ {
		if k.String() == string(text) {
			*c = k
			return nil
		}
	}
	return fmt.Errorf("is not a class: write delivered, retry, throttled, rejected or misconfigured")
}

// MarshalText writes the name of the class.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
