package jetstream

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"github.com/sidetrack-go/sidetrack/bus"
)

// headerUUID is the one that Watermill's own adapter for NATS uses.
const headerUUID = "_watermill_message_uuid"

// encode makes the stored form of a message that ends at end.
func encode(subject string, msg *message.Message, end mark) (*nats.Msg, error) {
	m := &nats.Msg{Subject: subject, Data: msg.Payload, Header: make(nats.Header, len(msg.Metadata)+4)}
	for k, v := range msg.Metadata {
		if !validKey(k) {
			return nil, fmt.Errorf("metadata key %q cannot be stored", k)
		}
		m.Header[k] = []string{escape(v)}
	}
	m.Header[headerUUID] = []string{escape(msg.UUID)}
	m.Header[bus.MetaCumEvents] = []string{strconv.FormatInt(end.events, 10)}
	m.Header[bus.MetaCumBytes] = []string{strconv.FormatInt(end.bytes, 10)}
	return m, nil
}

// decode is the reverse of encode.
func decode(h nats.Header, payload []byte) *message.Message {
	var uuid string
	md := make(message.Metadata, len(h))
	for k, v := range h {
		switch {
		case len(v) == 0:
		case k == headerUUID:
			uuid = unescape(v[0])
		case !strings.HasPrefix(k, "Nats-"):
			md[k] = unescape(v[0])
		}
	}
	msg := message.NewMessage(uuid, payload)
	msg.Metadata = md
	return msg
}

// weigh reads a message's own weight and where it ends, as far as its headers say.
func weigh(h nats.Header, payload []byte, seq uint64) (weight, mark, bool) {
	events, err := strconv.ParseInt(h.Get(bus.MetaEvents), 10, 64)
	cumEvents, err2 := strconv.ParseInt(h.Get(bus.MetaCumEvents), 10, 64)
	cumBytes, err3 := strconv.ParseInt(h.Get(bus.MetaCumBytes), 10, 64)
	ok := err == nil && err2 == nil && err3 == nil
	return weight{events, int64(len(payload))}, mark{seq, cumEvents, cumBytes}, ok
}

// validKey reports whether k can be the name of a header that is no order to
// the server.
func validKey(k string) bool {
	if k == "" || k == headerUUID || len(k) >= 5 && strings.EqualFold(k[:5], "nats-") {
		return false
	}
	for i := range len(k) {
		if c := k[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return false
		}
	}
	return true
}

// escape makes a value that comes back from a header unchanged.
func escape(v string) string {
	n := 0
	for i := range len(v) {
		if mustEscape(v, i) {
			n++
		}
	}
	if n == 0 {
		return v
	}
	b := make([]byte, 0, len(v)+2*n)
	for i := range len(v) {
		if mustEscape(v, i) {
			b = append(b, '%', "0123456789ABCDEF"[v[i]>>4], "0123456789ABCDEF"[v[i]&15])
		} else {
			b = append(b, v[i])
		}
	}
	return string(b)
}

func mustEscape(v string, i int) bool {
	c := v[i]
	return c < ' ' || c == 0x7f || c == '%' || c == ' ' && (i == 0 || i == len(v)-1)
}

// unescape is the reverse of escape; what it cannot read it leaves alone.
func unescape(v string) string {
	if strings.IndexByte(v, '%') < 0 {
		return v
	}
	u, err := url.PathUnescape(v)
	if err != nil {
		return v
	}
	return u
}
