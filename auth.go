package sidetrack

import (
	"context"
	"time"
)

// Token is a credential that a backend takes for some time.
type Token struct {
	Value  Secret
	Type   string    // before Value in the Authorization header; empty: Bearer
	Expiry time.Time // zero: it serves until the backend answers 401
}

// TokenSource gets tokens, as by OAuth 2.0. Package sinks/oauth has the common ones.
//
// Each call of Token gets a new one; it keeps none. The engine does: it gets a token when the first request
// needs it and again shortly before it expires, in one call however many requests wait for it, and after a backend has answered 401.
// Token must return when ctx ends, which is the last waiting attempt's.
//
// The class of an error decides what happens to the sink, never to its events: Misconfiguration for a grant that is
// refused, RetryAfter where the other side asks for it, any other error is tried again. What is Permanent
// counts as misconfigured. An error must not hold a secret.
type TokenSource interface {
	Token(ctx context.Context) (Token, error)
}

// TokenSourceFunc is a function as a TokenSource.
type TokenSourceFunc func(ctx context.Context) (Token, error)

// Token calls f.
func (f TokenSourceFunc) Token(ctx context.Context) (Token, error) { return f(ctx) }

// Authorize makes the engine set the Authorization header of each request when it is sent, with a token of
// source, so that Generators stay pure. An answer of 401 gets the request sent once more with a new token;
// only when that is refused too the classifier is asked. secrets are what the engine must never print of the source; the
// tokens themselves are masked as well.
func Authorize(source TokenSource, secrets ...Secret) SinkOption {
	return func(s *SinkSpec) { s.Tokens, s.Secrets = source, append(s.Secrets, secrets...) }
}
