package faults

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// OK takes the events and says so.
func OK(x *Exchange) {
	x.Take(true, x.IDs...)
	x.WriteHeader(http.StatusNoContent)
}

// Status answers with a status and pairs of header name and value; a success takes the events.
func Status(code int, header ...string) Answer {
	return func(x *Exchange) {
		for i := 0; i+1 < len(header); i += 2 {
			x.Header().Set(header[i], header[i+1])
		}
		if code >= 200 && code < 300 {
			x.Take(true, x.IDs...)
		}
		x.WriteHeader(code)
	}
}

// Throttle asks to wait until a date, which has whole seconds.
func Throttle(wait time.Duration) Answer {
	return func(x *Exchange) {
		now := time.Now()
		x.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		x.Header().Set("Retry-After", now.Add(wait).UTC().Format(http.TimeFormat))
		x.WriteHeader(http.StatusTooManyRequests)
	}
}

// Lost takes the events and answers as then does, which is no success, or one that comes too late:
// the sender cannot know, and has to send them again. What then takes is taken already.
func Lost(then Answer) Answer {
	return func(x *Exchange) {
		x.Take(false, x.IDs...)
		x.lost = true
		then(x)
	}
}

// Late does what then does, after a while. When the sender has gone meanwhile, what
// then takes was not confirmed, but this cannot be seen from here: use it with Lost.
func Late(d time.Duration, then Answer) Answer {
	return func(x *Exchange) {
		select {
		case <-time.After(d):
			then(x)
		case <-x.Done:
		}
	}
}

// Hang never answers.
func Hang(x *Exchange) {
	select {
	case <-x.Request.Context().Done():
	case <-x.Done:
	}
}

// Reset ends the connection without an answer, by an RST where the system allows.
func Reset(x *Exchange) {
	conn := x.hijack()
	if conn == nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// Raw answers with bytes of which nobody says that they are HTTP, and ends the connection.
func Raw(text string) Answer {
	return func(x *Exchange) {
		if conn := x.hijack(); conn != nil {
			_, _ = conn.Write([]byte(text))
			_ = conn.Close()
		}
	}
}

// Garbage is what a misrouted port answers.
var Garbage = Raw("SSH-2.0-OpenSSH_9.9\r\n")

// CutStatus ends the connection in the middle of the status line.
var CutStatus = Raw("HTTP/1.1 20")

// EndlessHeader sends a header that never ends.
func EndlessHeader(x *Exchange) {
	conn := x.hijack()
	if conn == nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, err := conn.Write([]byte("HTTP/1.1 204 No Content\r\n"))
	line := []byte("X-More: " + strings.Repeat("x", 4<<10) + "\r\n")
	for err == nil {
		_, err = conn.Write(line)
	}
}

// ShortBody promises a longer body than it sends before it ends the connection. It takes nothing.
func ShortBody(status int, body string) Answer {
	return func(x *Exchange) {
		Raw(fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n\r\n%s", status, http.StatusText(status), 2*len(body)+1, body))(x)
	}
}

// Drip answers with a status at once, and with the body byte by byte.
func Drip(status int, body string, every time.Duration) Answer {
	return func(x *Exchange) {
		x.Header().Set("Content-Length", strconv.Itoa(len(body)))
		x.WriteHeader(status)
		c := http.NewResponseController(x.ResponseWriter)
		if c.Flush() != nil {
			return
		}
		for i := range len(body) {
			select {
			case <-time.After(every):
			case <-x.Request.Context().Done():
				return
			case <-x.Done:
				return
			}
			if _, err := x.Write([]byte{body[i]}); err != nil || c.Flush() != nil {
				return
			}
		}
	}
}

// EndlessBody answers with a status and a body without an end.
func EndlessBody(status int) Answer {
	return func(x *Exchange) {
		x.WriteHeader(status)
		block := bytes.Repeat([]byte("x"), 32<<10)
		for {
			if _, err := x.Write(block); err != nil {
				return
			}
		}
	}
}

// ErrorBody answers 200 with a body that says otherwise; it takes nothing.
func ErrorBody(body string) Answer {
	return func(x *Exchange) { _, _ = x.Write([]byte(body)) }
}

// PartialMark begins the lines by which Partial names what it refused.
const PartialMark = "refused "

// Partial takes the events that refuse does not choose, and answers 200 with a line
// "refused <index> <status>" for each of the others. refuse returns 0 for an event to take.
func Partial(refuse func(id string) (status int)) Answer {
	return func(x *Exchange) {
		var body strings.Builder
		var good []string
		for i, id := range x.IDs {
			if status := refuse(id); status != 0 {
				fmt.Fprintf(&body, "%s%d %d\n", PartialMark, i, status)
			} else {
				good = append(good, id)
			}
		}
		x.Take(true, good...)
		_, _ = x.Write([]byte(body.String()))
	}
}

// Poison answers as bad does when an event in the body is chosen, else as good does: a backend
// that refuses a whole batch for the sake of one.
func Poison(chosen func(id string) bool, bad, good Answer) Answer {
	return func(x *Exchange) {
		if slices.ContainsFunc(x.IDs, chosen) {
			bad(x)
			return
		}
		good(x)
	}
}

// Flap changes between two answers, each for its time.
func Flap(up time.Duration, good Answer, down time.Duration, bad Answer) Answer {
	began := time.Now()
	return func(x *Exchange) {
		if time.Since(began)%(up+down) < up {
			good(x)
		} else {
			bad(x)
		}
	}
}

// Sequence gives each answer once, in order, and then the last one always.
func Sequence(answers ...Answer) Answer {
	var n atomic.Int64
	return func(x *Exchange) { answers[min(int(n.Add(1)), len(answers))-1](x) }
}

// Weighted is an answer and how likely it is beside the others.
type Weighted struct {
	Weight int
	Answer Answer
}

// Mix chooses by weight for each request. It owns rng.
func Mix(rng *rand.Rand, answers ...Weighted) Answer {
	total := 0
	for _, a := range answers {
		total += a.Weight
	}
	var mu sync.Mutex
	return func(x *Exchange) {
		mu.Lock()
		n := rng.IntN(total)
		mu.Unlock()
		for _, a := range answers {
			if n -= a.Weight; n < 0 {
				a.Answer(x)
				return
			}
		}
	}
}

// hijack takes the connection over, nil when that does not work: then nothing was answered.
func (x *Exchange) hijack() net.Conn {
	conn, _, err := http.NewResponseController(x.ResponseWriter).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return conn
}
