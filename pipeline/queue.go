package pipeline

import (
	"sync"

	"github.com/sidetrack-go/sidetrack"
)

// encoded is one event on its way to the bus. It is reused: its owner is
// whoever took it from the queue until it is released.
type encoded struct {
	json  []byte
	event *sidetrack.Event // what decoding json gives; nil: that may be something else
	wait  *waiter          // nil: nobody waits
	index int              // in the arguments of Emit
	known bool             // the client gave it an id
	claim *claim           // of that id
}

// waiter collects the results of one Emit.
type waiter struct {
	mu         sync.Mutex
	left       int
	refused    []sidetrack.Refusal
	duplicates []int         // events that another one's being stored made duplicates
	done       chan struct{} // nil while nobody waits

	follows bool // something of it waits for what others store; only its own goroutine looks
}

// settle notes what became of one event: err says that it was not stored.
func (w *waiter) settle(index int, reason sidetrack.Reason, err error) {
	w.mu.Lock()
	if err != nil {
		w.refused = append(w.refused, sidetrack.Refusal{Index: index, Reason: reason, Err: err})
	}
	w.finish()
}

// repeated notes that one event is a duplicate.
func (w *waiter) repeated(index int) {
	w.mu.Lock()
	w.duplicates = append(w.duplicates, index)
	w.finish()
}

// finish unlocks w after one event settled.
func (w *waiter) finish() {
	w.left--
	done := w.done
	if w.left != 0 {
		done = nil
	}
	w.mu.Unlock()
	if done != nil {
		close(done)
	}
}

// wait makes the channel that is closed when n events and those that follow others have settled;
// nil when none is left.
func (w *waiter) wait(n int) <-chan struct{} {
	if w.follows {
		w.mu.Lock()
		defer w.mu.Unlock()
	}
	if w.left += n; w.left > 0 {
		w.done = make(chan struct{})
	}
	return w.done
}

// queue is the bounded FIFO between intake and the committer.
type queue struct {
	maxEvents int
	maxBytes  int64

	mu     sync.Mutex
	items  []*encoded
	bytes  int64
	taken  int64 // events handed to the committer and not committed yet
	closed bool
	wake   chan struct{} // capacity 1
	pool   sync.Pool
}

func newQueue(maxEvents int, maxBytes int64) *queue {
	return &queue{maxEvents: maxEvents, maxBytes: maxBytes, wake: make(chan struct{}, 1)}
}

func (q *queue) get() *encoded {
	if it, ok := q.pool.Get().(*encoded); ok {
		return it
	}
	return &encoded{json: make([]byte, 0, 1024)}
}

func (q *queue) release(it *encoded) {
	if cap(it.json) > 16<<10 {
		return
	}
	it.json, it.event, it.wait, it.known, it.claim = it.json[:0], nil, nil, false, nil
	q.pool.Put(it)
}

// push takes all of items or none. A push larger than the whole queue fits when it is empty.
func (q *queue) push(items []*encoded) error {
	var bytes int64
	for _, it := range items {
		bytes += int64(len(it.json))
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return sidetrack.ErrClosed
	}
	waiting := len(q.items) + int(q.taken)
	if waiting > 0 && (waiting+len(items) > q.maxEvents || q.bytes+bytes > q.maxBytes) {
		q.mu.Unlock()
		return sidetrack.ErrOverloaded
	}
	q.items = append(q.items, items...)
	q.bytes += bytes
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// take moves what fits into one message to batch; ok is false when the queue is
// closed and empty. It waits for the first event only: what gathers while a
// commit is under way makes the next batch.
func (q *queue) take(batch []*encoded) (_ []*encoded, ok bool) {
	for {
		q.mu.Lock()
		if len(q.items) > 0 {
			var bytes, n = 0, 0
			for n < len(q.items) && n < maxBatchEvents {
				size := len(q.items[n].json) + 1
				if n > 0 && bytes+size > maxBatchBytes {
					break
				}
				bytes += size
				n++
			}
			batch = append(batch, q.items[:n]...)
			rest := copy(q.items, q.items[n:])
			clear(q.items[rest:])
			q.items = q.items[:rest]
			q.taken += int64(n)
			q.mu.Unlock()
			return batch, true
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return nil, false
		}
		<-q.wake
	}
}

// committed frees the room of a batch that take returned.
func (q *queue) committed(batch []*encoded) {
	var bytes int64
	for _, it := range batch {
		bytes += int64(len(it.json))
	}
	q.mu.Lock()
	q.taken -= int64(len(batch))
	q.bytes -= bytes
	q.mu.Unlock()
}

// waiting is the number of events that a commit could take now.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

func (q *queue) pending() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int64(len(q.items)) + q.taken
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
