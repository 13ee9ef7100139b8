package sources

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// connections bounds the open connections of a server. When there are too many, the one that has been
// waiting for longest without a request is closed: idle clients, hostile or not, cannot keep others out.
type connections struct {
	max int

	mu      sync.Mutex
	open    int
	waiting list.List // of net.Conn, the oldest first
	place   map[net.Conn]*list.Element
}

func newConnections(max int) *connections {
	return &connections{max: max, place: make(map[net.Conn]*list.Element)}
}

// state serves http.Server.ConnState.
func (c *connections) state(conn net.Conn, s http.ConnState) {
	if victim := c.note(conn, s); victim != nil {
		if t, ok := victim.(*tls.Conn); ok {
			victim = t.NetConn() // whose Close does not wait for the peer
		}
		_ = victim.Close()
	}
}

// note follows one connection and returns one to close.
func (c *connections) note(conn net.Conn, s http.ConnState) (victim net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.place[conn]; at != nil {
		c.waiting.Remove(at)
		delete(c.place, conn)
	}
	switch s {
	case http.StateNew:
		c.open++
		if c.open > c.max {
			victim = conn // all the others are at work
			if oldest := c.waiting.Front(); oldest != nil {
				victim = oldest.Value.(net.Conn)
				c.waiting.Remove(oldest)
				delete(c.place, victim)
			}
		}
		if victim != conn {
			c.place[conn] = c.waiting.PushBack(conn)
		}
	case http.StateIdle:
		c.place[conn] = c.waiting.PushBack(conn)
	case http.StateClosed, http.StateHijacked:
		c.open--
	}
	return victim
}
