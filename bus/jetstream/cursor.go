package jetstream

import (
	"context"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// cursor is a declared group of a topic: where it stands, and what is held for it.
type cursor struct {
	b     *Bus
	topic *topic
	group string
	pos   *position

	mu    sync.Mutex // guards what follows
	held  map[uint64]*held
	bytes int64 // payload bytes in held
	live  *subscription

	// The settlement of the newest message of the topic waits until there is a
	// newer one, for lateness at most. A stream that becomes empty starts a new
	// file with the next message: without this, a group that keeps up would cost a file
	// for each message.
	late  way
	timer *time.Timer // flushes late; nil when it does not run

	latest way // of the message that came last
}

// lateness bounds how long the settlement of the newest message waits. It adds to what may be
// handed out again after a crash: that one message.
const lateness = 50 * time.Millisecond

// way is the subject on which the server takes the settlement of one message. It is
// kept instead of the message, whose payload its receiver may be done with.
type way string

// Answers to the server, from its protocol of acknowledgement.
var (
	answerAck      = []byte("+ACK")
	answerNak      = []byte("-NAK")
	answerProgress = []byte("+WPI")
)

// answer tells the server. One that gets lost is repeated: the server hands the message out
// again, and it is recognized.
func (c *cursor) answer(w way, answer []byte) { _ = c.b.nc.Publish(string(w), answer) }

// ack settles a message with the server, or leaves that for a moment. c.mu is held.
func (c *cursor) ack(seq uint64, w way) {
	if c.topic.sweep != nil && c.topic.sweep.take(c, seq, w) {
		return
	}
	c.flushLate()
	if seq < c.topic.last().seq {
		c.answer(w, answerAck)
		return
	}
	c.late = w
	if c.timer == nil {
		c.timer = time.AfterFunc(lateness, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.timer = nil
			c.flushLate()
		})
	}
}

// flushLate sends the settlement that waits. c.mu is held.
func (c *cursor) flushLate() {
	if c.late != "" {
		c.answer(c.late, answerAck)
		c.late = ""
	}
}

// held is a message in somebody's hands, or about to be.
type held struct {
	seq   uint64
	bytes int64
	msg   *message.Message
	done  context.CancelFunc // of the message's context: it is settled
	way   way                // to settle it; replaced when the server hands it out again; guarded by cursor.mu
}

// keep enters h.
func (c *cursor) keep(h *held) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[h.seq] = h
	c.bytes += h.bytes
	c.latest = h.way
}

// replace notes a newer way to settle what is held already.
func (c *cursor) replace(seq uint64, way way) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.held[seq]; h != nil {
		h.way = way
	}
}

// room reports how many messages and bytes fit beside what is held.
func (c *cursor) room(messages int, bytes int64) (int, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.held) == 0 {
		return messages, bytes
	}
	return messages - len(c.held), bytes - c.bytes
}

func (c *cursor) empty() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.held) == 0
}

// settle ends the hold of h by its answer; without one it stays held. It reports
// whether there was one.
func (c *cursor) settle(h *held) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[h.seq] != h {
		return true
	}
	select {
	case <-h.msg.Acked():
		c.pos.settle(h.seq)
		c.ack(h.seq, h.way)
	case <-h.msg.Nacked():
		c.pos.giveBack(h.seq, true)
		c.answer(h.way, answerNak)
	default:
		return false
	}
	c.let(h)
	return true
}

// giveBack returns h to the server at once.
func (c *cursor) giveBack(h *held, handedOut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[h.seq] != h {
		return
	}
	c.pos.giveBack(h.seq, handedOut)
	c.answer(h.way, answerNak)
	c.let(h)
}

// let forgets h and tells the subscription that there is room. c.mu is held.
func (c *cursor) let(h *held) {
	h.done()
	delete(c.held, h.seq)
	c.bytes -= h.bytes
	if c.live != nil {
		c.live.poke()
	}
}

// giveBackAll applies the answers that have come and returns everything else.
func (c *cursor) giveBackAll() {
	c.mu.Lock()
	list := make([]*held, 0, len(c.held))
	for _, h := range c.held {
		list = append(list, h)
	}
	c.mu.Unlock()
	for _, h := range list {
		if !c.settle(h) {
			c.giveBack(h, true)
		}
	}
	c.mu.Lock()
	c.flushLate()
	latest := c.latest
	c.mu.Unlock()
	if c.topic.sweep != nil {
		c.topic.sweep.finish()
	}
	// The server takes settlements in order, and when it stops forgets those it has not come to. It
	// has come to all once it replies to one more.
	if latest != "" && c.b.nc.IsConnected() {
		_, _ = c.b.nc.Request(string(latest), answerProgress, time.Second)
	}
}

// drop ends the subscription of a group that is not declared any more.
func (c *cursor) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live != nil {
		c.live.end()
	}
}

// inProgress tells the server that everything held is being worked on.
func (c *cursor) inProgress() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.held {
		c.answer(h.way, answerProgress)
	}
}

// keepHeld keeps the server from handing out to others what is held here, however
// long that takes.
func (b *Bus) keepHeld() {
	tick := time.NewTicker(b.ackWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, c := range b.allCursors() {
				c.inProgress()
			}
		case <-b.ctx.Done():
			return
		}
	}
}

// resumePulls makes all subscriptions ask anew: a server that was replaced knows
// nothing of what was asked of the old one.
func (b *Bus) resumePulls() {
	for _, c := range b.allCursors() {
		c.mu.Lock()
		if c.live != nil {
			c.live.again()
		}
		c.mu.Unlock()
	}
}
