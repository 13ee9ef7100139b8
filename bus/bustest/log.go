package bustest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/sidetrack-go/sidetrack/bus"
)

// read returns the payloads from a sequence number on, and their numbers.
func read(t *testing.T, b bus.Bus, from uint64) (payloads []string, seqs []uint64) {
	t.Helper()
	for r, err := range b.Read(t.Context(), topic, from) {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if r.At.IsZero() || r.Message.UUID == "" || r.Message.Metadata[bus.MetaEvents] != "1" {
			t.Errorf("record %d: at %v, id %q, metadata %v", r.Seq, r.At, r.Message.UUID, r.Message.Metadata)
		}
		payloads, seqs = append(payloads, string(r.Message.Payload)), append(seqs, r.Seq)
	}
	return payloads, seqs
}

func readAndRemove(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic})
	if got, _ := read(t, b, 0); len(got) != 0 {
		t.Fatalf("an empty topic has %q", got)
	}
	all := numbered(20)
	publish(t, b, all...)
	got, seqs := read(t, b, 0)
	if !slices.Equal(got, all) || !slices.IsSorted(seqs) || seqs[0] == 0 {
		t.Fatalf("read %q with numbers %d", got, seqs)
	}
	if rest, _ := read(t, b, seqs[15]); !slices.Equal(rest, all[15:]) {
		t.Errorf("read from the sixteenth on: %q", rest)
	}
	if rest, _ := read(t, b, seqs[19]+1); len(rest) != 0 {
		t.Errorf("read behind the end: %q", rest)
	}
	if err := b.Remove(t.Context(), topic, seqs[0], seqs[7], seqs[19]); err != nil {
		t.Fatalf("remove: %v", err)
	}
	if err := b.Remove(t.Context(), topic, seqs[7], seqs[19]+100); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
	if err := b.Remove(t.Context(), topic); err != nil {
		t.Errorf("removing nothing: %v", err)
	}
	want := slices.Concat(all[1:7], all[8:19])
	if got, _ := read(t, b, 0); !slices.Equal(got, want) {
		t.Errorf("after removing: %q, want %q", got, want)
	}
	if got, _ := read(t, b, seqs[7]); !slices.Equal(got, all[8:19]) {
		t.Errorf("from a removed one on: %q", got)
	}
	publish(t, b, "new")
	if got, again := read(t, b, seqs[18]+1); !slices.Equal(got, []string{"new"}) || again[0] <= seqs[19] {
		t.Errorf("numbers are given again: %q %d", got, again)
	}
	for range b.Read(t.Context(), topic, 0) { // stopping early is no harm
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	failed := false
	for _, err := range b.Read(ctx, topic, 0) {
		failed = err != nil
	}
	if !failed {
		t.Error("reading with an ended context says nothing")
	}
	if h.Reopen == nil {
		return
	}
	b = h.Reopen(t, b)
	defer func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	declare(t, b, bus.Topic{Name: topic})
	if got, _ := read(t, b, 0); !slices.Equal(got, append(want, "new")) {
		t.Errorf("after opening again: %q", got)
	}
}

func readOnlyLogs(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a"}})
	publish(t, b, "m")
	failed := false
	for _, err := range b.Read(t.Context(), topic, 0) {
		failed = err != nil && strings.Contains(err.Error(), "groups")
	}
	if !failed {
		t.Error("a topic with groups can be read")
	}
	if err := b.Remove(t.Context(), topic, 1); err == nil {
		t.Error("messages of groups can be removed")
	}
	if got := subscribe(t, b, "a", bus.Window{}).take(1); got[0] != "m" {
		t.Errorf("the group got %q", got)
	}
}

func usage(t *testing.T, h Harness) {
	const limit = 3 << 20
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a", "b"}, MaxBytes: limit})
	of := func() bus.Usage {
		u, err := b.Usage(t.Context(), topic)
		if err != nil {
			t.Fatalf("usage: %v", err)
		}
		return u
	}
	if u := of(); u != (bus.Usage{MaxBytes: limit}) {
		t.Errorf("an empty topic: %+v", u)
	}
	payload := strings.Repeat("x", 1000)
	publish(t, b, slices.Repeat([]string{payload}, 50)...)
	u := of()
	if u.Messages != 50 || u.Events != 50 || u.Bytes < 50_000 || u.Bytes > 150_000 {
		t.Errorf("after 50 messages of 1000 bytes: %+v", u)
	}
	if s := statsOf(t, b, "a"); s.StoredBytes < u.Bytes || s.StoredBytes > 2*u.Bytes {
		t.Errorf("a group that has them all before it: %d stored bytes, the topic has %d", s.StoredBytes, u.Bytes)
	}
	subscribe(t, b, "a", bus.Window{}).take(50)
	subscribe(t, b, "b", bus.Window{}).take(50)
	eventually(t, "a settled topic is empty", func() bool { u := of(); return u.Messages == 0 && u.Bytes == 0 && u.Events == 50 })
	if s := statsOf(t, b, "a"); s.StoredBytes != 0 {
		t.Errorf("%d stored bytes with nothing pending", s.StoredBytes)
	}
}

func attach(t *testing.T, h Harness) {
	b := open(t, h, bus.Topic{Name: topic, Groups: []string{"a", "b"}}, bus.Topic{Name: "other"})
	publish(t, b, "m")
	if err := b.Attach(t.Context(), bus.Topic{Name: topic, Groups: []string{"a"}}, bus.Topic{Name: "more"}); err != nil {
		t.Fatalf("attach: %v", err)
	}
	if _, err := b.Usage(t.Context(), "more"); err != nil {
		t.Errorf("an attached topic: %v", err)
	}
	removed := declare(t, b, bus.Topic{Name: topic, Groups: []string{"a", "b"}}, bus.Topic{Name: "other"})
	if len(removed) != 1 || removed[0] != (bus.Group{Topic: "more"}) {
		t.Errorf("declaring everything again removed %v", removed)
	}
	if s := statsOf(t, b, "b"); s.PendingEvents != 1 {
		t.Errorf("the group that was not named: %+v", s)
	}
}
