package pipeline

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/sent"
)

// errUnbuildable marks a unit of which no request can be made, errTooLarge one
// whose request exceeds what the backend takes.
var (
	errUnbuildable = errors.New("no request can be made of it")
	errTooLarge    = errors.New("request too large")
)

// userAgent is what backends see unless a generator says otherwise.
const userAgent = "sidetrack (+https://github.com/sidetrack-go/sidetrack)"

// answer is how an attempt ended.
type answer struct {
	status int
	// err has the class of the outcome, errUnbuildable and errTooLarge aside; nothing in it is secret.
	err   error
	body  []byte // what the backend said, for people
	notes []sidetrack.Note
	// out are the events that the generator left out for good, by index in the unit. All else is
	// about the others.
	out map[int]error
}

// outcome names the end of an attempt in one word.
func (a *answer) outcome() string {
	if _, partial := errors.AsType[*sidetrack.PartialError](a.err); partial {
		return "partial"
	}
	if errors.Is(a.err, errUnbuildable) || errors.Is(a.err, errTooLarge) || len(a.out) > 0 && a.err == nil && a.status == 0 {
		return "unbuildable"
	}
	class, _ := sidetrack.ClassOf(a.err)
	return class.String()
}

// attempt delivers u once: build, send, read the answer.
func (s *sink) attempt(ctx context.Context, u sidetrack.Unit) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Delivery.Timeout)
	defer cancel()
	if s.spec.Writer != nil {
		a.err = s.write(ctx, u)
	} else {
		s.send(ctx, u, &a)
	}
	if errors.Is(a.err, context.DeadlineExceeded) && ctx.Err() != nil {
		a.err = fmt.Errorf("no answer within %s", s.cfg.Delivery.Timeout)
	}
	a.err = s.redact(a.err)
	return a
}

func (s *sink) write(ctx context.Context, u sidetrack.Unit) (err error) {
	defer recoverTo(&err)
	return s.spec.Writer.Write(ctx, u)
}

func (s *sink) send(ctx context.Context, u sidetrack.Unit, a *answer) {
	made, err := s.generate(u)
	if partial, ok := errors.AsType[*sidetrack.PartialError](err); ok {
		a.out = partial.Failed
		if made == nil {
			return // nothing is left to send
		}
	} else if err != nil {
		a.err = err
		return
	}
	a.notes = made.Notes
	resp, err := s.exchange(ctx, made)
	if err != nil {
		a.err = err
		return
	}
	a.status, a.body = resp.Status, resp.Body
	u, resp.Records = sent.Of(u, made, a.out)
	a.err = s.classify(u, resp)
}

func (s *sink) classify(u sidetrack.Unit, r *sidetrack.Response) (err error) {
	defer recoverTo(&err)
	return s.spec.Classify(u, r)
}

// classifyTransport gives a request that got no answer its class. Most of what can happen to
// one passes by itself. What does not is an address or a certificate that a person has to look at: then
// the sink waits loudly instead of trying for days in silence.
func classifyTransport(err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return sidetrack.Misconfiguration(err)
	}
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		invalid     x509.CertificateInvalidError
		record      tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid),
		errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return sidetrack.Misconfiguration(err)
	}
	return err
}

// generate calls the generator and checks what it made against the sink's limits. A
// *sidetrack.PartialError comes with a request unless every event of the unit is left out.
func (s *sink) generate(u sidetrack.Unit) (req *sidetrack.Request, err error) {
	defer func() {
		_, partial := errors.AsType[*sidetrack.PartialError](err)
		if err != nil && !partial && !errors.Is(err, errTooLarge) {
			err = fmt.Errorf("%w: %w", errUnbuildable, err)
		}
	}()
	defer recoverTo(&err)
	req, err = s.spec.Generator.Request(u)
	left := len(u.Events)
	if partial, ok := errors.AsType[*sidetrack.PartialError](err); ok {
		left = sent.Left(u, partial.Failed)
		if left == len(u.Events) {
			return nil, errors.New("generator returned an empty partial error")
		}
	} else if err != nil {
		return nil, err
	}
	switch {
	case req == nil && left == 0:
		return nil, err
	case req == nil || left == 0:
		return nil, errors.New("generator returned no request")
	case s.spec.MaxBytes > 0 && len(req.Body) > s.spec.MaxBytes:
		return nil, fmt.Errorf("%w: body is %d bytes, at most %d", errTooLarge, len(req.Body), s.spec.MaxBytes)
	}
	return req, err
}

// redacted is an error whose text is safe to keep; class and identity stay.
type redacted struct {
	error
	text string
}

func (e *redacted) Error() string { return e.text }
func (e *redacted) Unwrap() error { return e.error }

// redact cuts the URL out of an error of the HTTP client, which prints query and
// credentials, and masks the sink's secrets in whatever is left.
func (s *sink) redact(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if ue, ok := errors.AsType[*url.Error](err); ok {
		text = strings.Replace(text, ue.Error(), ue.Op+": "+ue.Err.Error(), 1)
	}
	text = s.mask(text)
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "…"
	}
	return &redacted{err, text}
}

// maxErrorText bounds what is kept of an error, in bytes.
const maxErrorText = 1000

func (s *sink) mask(text string) string {
	for _, secret := range slices.Concat(s.spec.Secrets, s.tokens.secrets()) {
		v := secret.Reveal()
		if v == "" {
			continue
		}
		text = strings.ReplaceAll(text, v, secret.String())
		if q := url.QueryEscape(v); q != v {
			text = strings.ReplaceAll(text, q, secret.String())
		}
	}
	return text
}

// view is what components see of a unit.
func (u *unit) view(at time.Time) sidetrack.Unit {
	return sidetrack.Unit{ID: u.id, Events: u.events(), At: at, Attempt: u.attempts + 1}
}
