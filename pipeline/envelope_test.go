package pipeline

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/sidetrack-go/sidetrack/bus"
)

// Whatever bytes are in a message of the event topic, each line is an event or a bad line, in order and
// unchanged, and none costs another one.
func FuzzDecodeBatch(f *testing.F) {
	good := `{"v":1,"id":"01a212c7-f59b-75eb-8118-86e9d70460a8","name":"x","time":"2026-01-31T12:00:00Z","received":"2026-01-31T12:00:00Z"}`
	f.Add([]byte(good + "\n" + good + "\n"))
	f.Add([]byte(good + "\n{\n\n" + good))
	f.Add([]byte("\n\x00\xff\n{}\nnull\n[]"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		b := decodeBatch(slices.Clone(payload))
		var want []string
		for line := range strings.SplitSeq(string(payload), "\n") {
			if line != "" {
				want = append(want, line)
			}
		}
		var events, bad []string
		for _, v := range b.events {
			if v.event == nil {
				t.Fatal("an event that is none")
			}
			events = append(events, v.line)
		}
		for _, l := range b.bad {
			if l.err == nil {
				t.Fatalf("%q is bad without an error", l.line)
			}
			bad = append(bad, l.line)
		}
		if len(events)+len(bad) != len(want) {
			t.Fatalf("%d lines, %d events and %d bad ones", len(want), len(events), len(bad))
		}
		for _, line := range want { // both lists keep the order of the message
			switch {
			case len(events) > 0 && events[0] == line:
				events = events[1:]
			case len(bad) > 0 && bad[0] == line:
				bad = bad[1:]
			default:
				t.Fatalf("line %q is lost or moved", line)
			}
		}
	})
}

// Whatever is in the metadata of a message on a retry topic, it gives a unit that can be worked on.
func FuzzRetryMetadata(f *testing.F) {
	f.Add("3", "1767182400000", "1767182400000", "500")
	f.Add("-1", "x", "9223372036854775807", "-5")
	f.Add("", "", "-9223372036854775808", "99999999999999999999")
	f.Fuzz(func(t *testing.T, attempt, notBefore, firstFail, events string) {
		m := message.NewMessage("id", nil)
		m.Metadata = message.Metadata{metaAttempt: attempt, metaNotBefore: notBefore, metaFirstFail: firstFail, metaWait: events, bus.MetaEvents: events}
		w := &window{s: &sink{p: &Pipeline{cfg: Config{Now: time.Now}}}}
		u := w.isolatedUnit(m)
		if u.attempts < 0 || u.due.IsZero() || !u.isolated || !u.suspect {
			t.Fatalf("%+v", u)
		}
		if n := eventsIn(m); n < 0 {
			t.Fatalf("%d events", n)
		}
		for _, at := range []time.Time{fromMillis(notBefore), u.firstFail} {
			if !at.IsZero() && at.UnixMilli() <= 0 {
				t.Fatalf("a time before 1970: %v", at)
			}
			if at.UnixMilli() > 0 && !fromMillis(millis(at)).Equal(at) {
				t.Fatalf("%v is not written as it was read", at)
			}
		}
	})
}
