package sources

import (
	"context"
	"sync"
	"time"
)

// patience makes contexts that bound how long a request waits for storage. One timer serves all
// requests of an eighth of the time, because a timer for each costs more than
// decoding its event: the wait is at least as long as asked for and at most an eighth longer.
type patience struct {
	wait time.Duration

	mu     sync.Mutex
	made   time.Time
	until  context.Context
	cancel context.CancelFunc // of until
}

// bound returns a context with the values of ctx that ends after the wait. It does not
// end with ctx: a client that goes away does not take back what it has sent.
func (p *patience) bound(ctx context.Context) context.Context {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until == nil || now.Sub(p.made) > p.wait/8 {
		p.until, p.cancel = context.WithTimeout(context.Background(), p.wait+p.wait/8)
		p.made = now
	}
	return bounded{p.until, ctx}
}

// end ends all waiting.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		p.cancel()
	}
}

// bounded ends with its Context and has the values of another one.
type bounded struct {
	context.Context
	values context.Context
}

// Value implements context.Context.
func (b bounded) Value(key any) any { return b.values.Value(key) }
