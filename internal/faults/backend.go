// Package faults breaks things on purpose, for tests and measurements: a backend that
// misbehaves in every way an HTTP server can, processes that are killed, file systems that
// fill up, turn read-only or hold damaged files.
package faults

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Backend is an HTTP server whose answers are scripted. It knows which events it has taken,
// and how many of those it never confirmed: what a sender has to send again although it was
// taken. Methods are safe for concurrent use, but Down, Up
// and Close; Close ends it.
type Backend struct {
	URL string

	decode func(body []byte) []string
	answer atomic.Pointer[Answer]
	server *httptest.Server
	done   chan struct{}

	mu          sync.Mutex
	taken       map[string]int
	requests    int
	unconfirmed int
	onTake      func(ids []string)
}

// Answer plays the backend's part in one exchange. The request's body is read already.
type Answer func(x *Exchange)

// Exchange is one request and the way to answer it.
type Exchange struct {
	http.ResponseWriter
	Request *http.Request
	Body    []byte
	IDs     []string      // of the events in the body
	Done    chan struct{} // closed when the backend closes

	backend *Backend
	lost    bool // taken, and the sender is not going to know
}

// NewBackend starts a backend that answers as told. decode finds the ids of the events in a
// body; nil: one id a line.
func NewBackend(answer Answer, decode func(body []byte) []string) *Backend {
	if decode == nil {
		decode = lines
	}
	b := &Backend{decode: decode, taken: map[string]int{}, done: make(chan struct{})}
	b.Set(answer)
	b.server = httptest.NewServer(http.HandlerFunc(b.serve))
	b.URL = b.server.URL
	return b
}

// Down ends the backend as a crash of it would: connections break, new ones are refused until Up.
func (b *Backend) Down() {
	b.server.CloseClientConnections()
	b.server.Close()
}

// Up makes it listen again at the same address, after Down.
func (b *Backend) Up() error {
	addr := b.server.Listener.Addr().String()
	server := httptest.NewUnstartedServer(http.HandlerFunc(b.serve))
	_ = server.Listener.Close()
	// While nobody listened there, the system may have given the port to a client's connection.
	var err error
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if server.Listener, err = net.Listen("tcp", addr); err == nil {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("faults: listen again: %w", err)
		}
	}
	server.Start()
	b.server = server
	return nil
}

func lines(body []byte) []string { return strings.Fields(string(body)) }

// Set changes how the requests that come from now on are answered.
func (b *Backend) Set(answer Answer) { b.answer.Store(&answer) }

// OnTake replaces the backend's own record of ids, for runs with too many of them. f is
// called one call at a time.
func (b *Backend) OnTake(f func(ids []string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onTake = f
}

func (b *Backend) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender died: nothing was taken
	}
	b.mu.Lock()
	b.requests++
	b.mu.Unlock()
	(*b.answer.Load())(&Exchange{ResponseWriter: w, Request: r, Body: body, IDs: b.decode(body), Done: b.done, backend: b})
}

// Taken returns how often each event was taken.
func (b *Backend) Taken() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[string]int, len(b.taken))
	for id, n := range b.taken {
		out[id] = n
	}
	return out
}

// Counts returns the requests that came whole, and the events that were taken and not confirmed.
func (b *Backend) Counts() (requests, unconfirmed int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests, b.unconfirmed
}

// Close ends the backend and every exchange it holds.
func (b *Backend) Close() {
	close(b.done)
	b.server.CloseClientConnections()
	b.server.Close()
}

// Take records events as taken; confirmed says that the sender is going to be told.
func (x *Exchange) Take(confirmed bool, ids ...string) {
	if x.lost {
		return
	}
	b := x.backend
	b.mu.Lock()
	defer b.mu.Unlock()
	if !confirmed {
		b.unconfirmed += len(ids)
	}
	if b.onTake != nil {
		b.onTake(ids)
		return
	}
	for _, id := range ids {
		b.taken[id]++
	}
}
