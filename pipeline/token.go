package pipeline

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sidetrack-go/sidetrack"
)

// tokens keeps one sink's token and gets new ones, one call at a time for all attempts that wait.
type tokens struct {
	source sidetrack.TokenSource
	text   func(error) string // what may be kept of an error

	mu      sync.Mutex
	current sidetrack.Token
	renew   time.Time // when a new one is due; zero: when it is refused
	call    *tokenCall
	values  []sidetrack.Secret // the last ones, to be masked
}

// tokenCall is one call of the source. It ends early when nobody waits for it any more.
type tokenCall struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int
	token   sidetrack.Token
	err     error
}

const (
	maxTokenValues = 8           // old tokens that may still be in flight or in an answer
	renewAgain     = time.Second // between calls of a source that fails while the token still serves
)

// get returns a token other than refused, which is zero when any will do. Its error, unless it is ctx's, has the class
// of the outcome and wraps nothing: what a source returns is never about a unit.
func (t *tokens) get(ctx context.Context, refused sidetrack.Secret) (sidetrack.Token, error) {
	t.mu.Lock()
	usable := !t.current.Value.IsZero() && t.current.Value != refused
	now := time.Now()
	if usable && (t.renew.IsZero() || now.Before(t.renew)) {
		defer t.mu.Unlock()
		return t.current, nil
	}
	c := t.call
	if c == nil {
		callCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c = &tokenCall{done: make(chan struct{}), cancel: cancel}
		t.call = c
		go t.run(callCtx, c)
	}
	c.waiting++
	t.mu.Unlock()
	select {
	case <-c.done:
	case <-ctx.Done():
		t.mu.Lock()
		defer t.mu.Unlock()
		if c.waiting--; c.waiting == 0 {
			c.cancel()
			if t.call == c {
				t.call = nil
			}
		}
		return sidetrack.Token{}, ctx.Err()
	}
	if c.err == nil {
		return c.token, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.Value != refused && !t.current.Value.IsZero() && time.Now().Before(t.current.Expiry) {
		return t.current, nil
	}
	return sidetrack.Token{}, c.err
}

func (t *tokens) run(ctx context.Context, c *tokenCall) {
	defer c.cancel()
	began := time.Now()
	token, err := t.fetch(ctx)
	if err != nil {
		err = t.outcome(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.call == c {
		t.call = nil
	}
	if c.token, c.err = token, err; err == nil {
		t.current, t.renew = token, time.Time{}
		if !token.Expiry.IsZero() {
			t.renew = token.Expiry.Add(-min(time.Minute, token.Expiry.Sub(began)/10))
		}
		if !slices.Contains(t.values, token.Value) {
			t.values = append(t.values, token.Value)
			t.values = t.values[max(0, len(t.values)-maxTokenValues):]
		}
	} else if now := time.Now(); now.Before(t.current.Expiry) {
		// Before the call is over for anybody: who asks next uses what there is and does not call again at once.
		t.renew = now.Add(min(renewAgain, t.current.Expiry.Sub(now)))
	}
	close(c.done)
}

func (t *tokens) fetch(ctx context.Context) (token sidetrack.Token, err error) {
	defer recoverTo(&err)
	if token, err = t.source.Token(ctx); err != nil {
		return token, err
	}
	unprintable := func(r rune) bool { return r <= ' ' || r > '~' }
	switch {
	case token.Value.IsZero():
		return token, sidetrack.Misconfiguration(errors.New("the source gave no token"))
	case strings.ContainsFunc(token.Value.Reveal(), unprintable), strings.ContainsFunc(token.Type, unprintable):
		return token, sidetrack.Misconfiguration(errors.New("the source gave a token that fits no header"))
	}
	return token, nil
}

// outcome is what an error of the source means for the sink. No event is to blame for it.
func (t *tokens) outcome(err error) error {
	err = classifyTransport(err)
	text := errors.New("token: " + t.text(err))
	switch class, after := sidetrack.ClassOf(err); class {
	case sidetrack.Throttled:
		return sidetrack.RetryAfter(text, after)
	case sidetrack.Misconfigured, sidetrack.Rejected:
		return sidetrack.Misconfiguration(text)
	}
	return text
}

// secrets are the tokens that may still show up somewhere.
func (t *tokens) secrets() []sidetrack.Secret {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.values)
}

// authorize sets the header.
func authorize(h http.Header, token sidetrack.Token) {
	kind := token.Type
	if kind == "" || strings.EqualFold(kind, bearer) {
		kind = bearer
	}
	h.Set("Authorization", kind+" "+token.Value.Reveal())
}

const bearer = "Bearer"
