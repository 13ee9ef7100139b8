package meta

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/flat"
)

// answer is what the Graph API says: of a batch that was taken how many events, else the error (Graph API, "Handle Errors").
type answer struct {
	Received *int `json:"events_received"`
	Error    *struct {
		Type      string `json:"type"`
		Code      int    `json:"code"`
		Subcode   int    `json:"error_subcode"`
		Transient bool   `json:"is_transient"`
		Message   string `json:"message"`
		Title     string `json:"error_user_title"`
		Trace     string `json:"fbtrace_id"`
	} `json:"error"`
}

// Codes of the Graph API. Statuses say little: a limit may be 400 or 403, and a wrong token 400.
var (
	throttling    = []int{4, 17, 32, 341, 613}                       // limits of the app, the user, the page, calls
	transient     = []int{1, 2, 368, 5000}                           // unknown error, service, blocked for a while
	misconfigured = []int{3, 10, 12, 102, 104, 190, 270, 2500, 2635} // capability, permission, version that ended, session, proof, token, path
)

const (
	invalidParameter = 100
	noSuchObject     = 33 // subcode: no such pixel, or no permission for it
)

// classify reads the error's code, subcode and is_transient first, and the status where there is none.
//
// After an error Meta has taken nothing of the batch. It does not reliably say which event is to blame: the engine halves the batch, and repeats are harmless by
// event_id.
func classify(u sidetrack.Unit, r *sidetrack.Response) error {
	plain := sidetrack.DefaultClassify(u, r)
	var a answer
	if json.Unmarshal(r.Body, &a) != nil {
		return plain
	}
	if a.Error == nil {
		if plain == nil && a.Received != nil && *a.Received < len(u.Events) {
			// The generator may have left some out, which are no part of u then.
			return sidetrack.Permanent(fmt.Errorf("meta_capi: %d of %d events received", *a.Received, len(u.Events)))
		}
		return plain
	}
	e := a.Error
	err := fmt.Errorf("meta_capi: status %d, code %d, subcode %d%s", r.Status, e.Code, e.Subcode, said(e.Type, e.Title, e.Message, e.Trace))
	switch {
	case slices.Contains(throttling, e.Code) || e.Code >= 80000 && e.Code < 80100:
		return sidetrack.RetryAfter(err, wait(r.Header))
	case slices.Contains(misconfigured, e.Code) || e.Code >= 200 && e.Code < 300,
		e.Code == invalidParameter && e.Subcode == noSuchObject,
		strings.Contains(strings.ToLower(e.Message), "appsecret_proof"):
		return sidetrack.Misconfiguration(err)
	case e.Transient || slices.Contains(transient, e.Code):
		if after := sidetrack.ParseRetryAfter(r.Header); after > 0 {
			return sidetrack.RetryAfter(err, after)
		}
		return err
	case e.Code == invalidParameter:
		return sidetrack.Permanent(err)
	}
	switch class, after := sidetrack.ClassOf(plain); class {
	case sidetrack.Throttled:
		return sidetrack.RetryAfter(err, after)
	case sidetrack.Misconfigured:
		return sidetrack.Misconfiguration(err)
	case sidetrack.Rejected:
		return sidetrack.Permanent(err)
	}
	return err // an error is an error, whatever the status
}

// said is what Meta says of an error, without personal data that it might quote.
func said(texts ...string) string {
	var b strings.Builder
	for _, s := range texts {
		if s = redact(flat.Clean(s)); s == "" {
			continue
		}
		if len(s) > maxSaid {
			s = strings.ToValidUTF8(s[:maxSaid], "") + "…"
		}
		b.WriteString(", " + s)
	}
	return b.String()
}

const maxSaid = 200

// wait is how long the limits of the Graph API last: Retry-After, else what X-Business-Use-Case-Usage says in minutes ("Rate Limits"), else a
// minute, as limits are by the hour.
func wait(h http.Header) time.Duration {
	if after := sidetrack.ParseRetryAfter(h); after > 0 {
		return after
	}
	var usage map[string][]struct {
		Minutes float64 `json:"estimated_time_to_regain_access"`
	}
	longest := 0.0
	if json.Unmarshal([]byte(h.Get("X-Business-Use-Case-Usage")), &usage) == nil {
		for _, cases := range usage {
			for _, c := range cases {
				longest = max(longest, c.Minutes)
			}
		}
	}
	if longest <= 0 {
		return pause
	}
	return time.Duration(min(longest, maxWait.Minutes()) * float64(time.Minute))
}

const (
	pause   = time.Minute
	maxWait = time.Hour
)
