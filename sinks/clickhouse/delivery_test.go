package clickhouse

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/clickhousefake"
	"github.com/sidetrack-go/sidetrack/internal/columns"
	"github.com/sidetrack-go/sidetrack/internal/hostile"
	"github.com/sidetrack-go/sidetrack/internal/sinkrun"
	"github.com/sidetrack-go/sidetrack/sinks/sinktest"
)

const events = "web.events"

// some makes events that differ.
func some(n int) []*sidetrack.Event {
	out := make([]*sidetrack.Event, n)
	for i := range out {
		out[i] = &sidetrack.Event{
			MessageID: fmt.Sprint("e", i), Name: "page_view", Time: time.Date(2026, 1, 31, 12, 0, i%60, i, time.UTC), Visitor: sidetrack.Visitor{ClientID: fmt.Sprint(i, ".1"), SessionNumber: 1},
			Consent: sidetrack.GrantAll("test"),
		}
	}
	return out
}

func build(t testing.TB, cfg Config) *sidetrack.Sink {
	t.Helper()
	sink, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

// TestFaults delivers while the server throttles, breaks off and lies. Each event is there once for FINAL.
func TestFaults(t *testing.T) {
	for _, insert := range []string{"async", "sync"} {
		t.Run(insert, func(t *testing.T) {
			cfg := config()
			cfg.Insert, cfg.MaxEvents = insert, 10
			s, cfg := server(t, cfg)
			faults := map[int]*clickhousefake.Fault{
				0: {Code: 252, Text: "Too many parts (300)"}, 1: {Code: 241, Text: "Memory limit exceeded", Late: true}, 2: {Code: 202, Text: "Too many simultaneous queries", InBody: true},
				3: {Status: 502}, 4: {Reset: true}, 5: {Reset: true, Stored: true}, 6: {Code: 319, Text: "Unknown status", Stored: true}, 7: {Status: 504, Stored: true}, 8: {Code: 159, Text: "Timeout exceeded"},
				9: {Code: 210, Text: "Connection reset", Late: true, Stored: true},
			}
			s.Fault(func(n int) *clickhousefake.Fault { return faults[n] })
			r := sinkrun.Deliver(t, build(t, cfg), some(200)...)
			final, all := s.Final(events), s.Rows(events)
			if len(r.Delivered) != 200 || len(final) != 200 || len(slices.Compact(ids(final, "message_id"))) != 200 {
				t.Errorf("%d delivered, %d rows with FINAL: %v", len(r.Delivered), len(final), r.Errors)
			}
			// sync: the server knows the token of an insert that was stored and not confirmed. async: it asks for tokens in replicated
			// tables alone, as servers until 25 do, and such an insert lies there twice.
			if repeats := len(all) - len(final); insert == "sync" && repeats != 0 || insert == "async" && (repeats == 0 || repeats > 40) {
				t.Errorf("%d rows for %d events", len(all), len(final))
			}
			for i, in := range s.Inserts() {
				if in.Token == "" {
					t.Errorf("insert %d has no token", i)
				}
			}
			t.Logf("%d inserts, %d physical repeats", len(s.Inserts()), len(all)-len(final))
		})
	}
}

// TestReplicated shows that a replicated table needs no merge to know what it has: tokens hold for both ways of inserting.
func TestReplicated(t *testing.T) {
	cfg := config()
	cfg.MaxEvents = 10
	s, cfg := server(t, cfg, func(ddl string) string {
		return strings.Replace(ddl, "ENGINE = ReplacingMergeTree", "ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/events', '{replica}')", 1)
	})
	s.Fault(func(n int) *clickhousefake.Fault {
		if n < 4 { // few enough that no unit is halved, which gives it another token
			return &clickhousefake.Fault{Reset: true, Stored: true}
		}
		return nil
	})
	r := sinkrun.Deliver(t, build(t, cfg), some(100)...)
	if all := s.Rows(events); len(r.Delivered) != 100 || len(all) != 100 {
		t.Errorf("%d delivered, %d rows", len(r.Delivered), len(all))
	}
}

// TestTooManyParts has a server that merges more slowly than it is given parts.
func TestTooManyParts(t *testing.T) {
	cfg := config()
	cfg.MaxEvents, cfg.Insert = 10, "sync"
	s := clickhousefake.New(clickhousefake.Config{User: cfg.User, Password: cfg.Password.Reveal(), Databases: []string{cfg.Database}, PartsToThrow: 5})
	defer s.Close()
	if err := s.Exec(DDL(cfg.Database, cfg.Table)); err != nil {
		t.Fatal(err)
	}
	cfg.URL = s.URL
	r := sinkrun.Deliver(t, build(t, cfg), some(200)...)
	throttled := 0
	for _, in := range s.Inserts() {
		if in.Code == 252 {
			throttled++
		}
	}
	if len(r.Delivered) != 200 || len(s.Rows(events)) != 200 || throttled == 0 {
		t.Errorf("%d delivered, %d rows, %d times throttled", len(r.Delivered), len(s.Rows(events)), throttled)
	}
}

// TestOneBadRow finds the event that a column cannot hold: it alone becomes a dead letter.
func TestOneBadRow(t *testing.T) {
	s, cfg := server(t, config(), func(ddl string) string {
		return strings.Replace(ddl, "visitor_session_number Int64", "visitor_session_number UInt8", 1)
	})
	list := some(300)
	list[17].Visitor.SessionNumber, list[201].Visitor.SessionNumber = 256, 4711
	r := sinkrun.Deliver(t, build(t, cfg), list...)
	slices.Sort(r.Dead)
	if !slices.Equal(r.Dead, []string{"e17", "e201"}) || len(r.Delivered) != 298 || len(s.Rows(events)) != 298 {
		t.Errorf("dead %v, %d delivered, %d rows: %v", r.Dead, len(r.Delivered), len(s.Rows(events)), r.Errors)
	}
	if !strings.Contains(r.Errors["e17"], "in column visitor_session_number of row 1") {
		t.Errorf("%v", r.Errors)
	}
	if n := len(s.Inserts()); n > 60 {
		t.Errorf("%d inserts to find two of 300", n)
	}
}

// TestManyPartitions has more months in one unit than the server takes in one insert.
func TestManyPartitions(t *testing.T) {
	s, cfg := server(t, config())
	list := some(150)
	for i := range list {
		list[i].Time = time.Date(2010, time.Month(i), 1, 0, 0, 0, 0, time.UTC)
	}
	r := sinkrun.Deliver(t, build(t, cfg), list...)
	if len(r.Delivered) != 150 || len(s.Rows(events)) != 150 {
		t.Errorf("%d delivered, %d rows, dead %v: %v", len(r.Delivered), len(s.Rows(events)), r.Dead, r.Errors)
	}
}

// TestNothingIsLost reads the events back from the rows: equal to what was delivered, with all they have.
func TestNothingIsLost(t *testing.T) {
	s, cfg := server(t, config())
	full := some(1)[0]
	full.MessageID = "extremes"
	full.Time = time.Now().UTC().Truncate(time.Hour).Add(999_999_999)
	full.Page.Title, full.Page.URL = "\"\\ \t\n\x00\u2028 ü 🥾", "https://shop.example/?q='`"
	full.Visitor.SessionNumber = math.MaxInt64
	full.Ecommerce = &sidetrack.Ecommerce{Value: math.MaxInt64, HasValue: true, Tax: math.MaxInt64, Shipping: 1}
	full.Params = map[string]any{"n": int64(math.MinInt64), "f": 1e300, "deep": map[string]any{"a": []any{nil, true, "x"}}}
	zero := some(1)[0]
	zero.MessageID, zero.Ecommerce = "zeros", &sidetrack.Ecommerce{HasValue: true}
	zero.Timing = &sidetrack.Duration{}
	list := append(sinktest.Samples(), full, zero)
	want := map[string]string{}
	for _, e := range list {
		e.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte(e.MessageID)) // what intake would add is there
		e.Received, e.Source, e.Site = time.Now().UTC().Round(0), "web", "shop"
		b, err := e.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		want[e.MessageID] = string(b)
	}
	r := sinkrun.Deliver(t, build(t, cfg), list...)
	rows := s.Final(events)
	if len(r.Delivered) != len(list) || len(rows) != len(list) {
		t.Fatalf("%d delivered, %d rows: %v", len(r.Delivered), len(rows), r.Errors)
	}
	for _, row := range rows {
		e, err := eventOf(row)
		if err != nil {
			t.Fatal(err)
		}
		b, err := e.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		if string(b) != want[e.MessageID] {
			t.Errorf("%s is read back as\n%s, was\n%s", e.MessageID, b, want[e.MessageID])
		}
	}
}

// eventOf makes the event of a row as a reader of the table would.
func eventOf(row clickhousefake.Row) (*sidetrack.Event, error) {
	r := columns.Row{Values: make([]columns.Value, len(layout))}
	for i, c := range layout {
		text := row[c.Name]
		v := &r.Values[i]
		v.Set = text != clickhousefake.Null && (c.Nullable || text != "" && text != "0" && text != "false" && text != uuid.Nil.String())
		if !v.Set {
			continue
		}
		var err error
		switch c.Kind {
		case columns.Text, columns.JSON:
			v.Text = text
		case columns.ID:
			v.ID, err = uuid.Parse(text)
		case columns.Bool:
			v.Int = 1
		case columns.Money:
			var m sidetrack.Money
			m, err = sidetrack.ParseMoney(text)
			v.Int = int64(m)
		case columns.Time:
			var at time.Time
			at, err = time.Parse("2006-01-02 15:04:05.000000", text)
			v.Int = at.UnixMicro()
		default:
			v.Int, err = strconv.ParseInt(text, 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	return r.Event()
}

// TestReplayReplaces delivers an event a second time with other contents: the later row is the event.
func TestReplayReplaces(t *testing.T) {
	s, cfg := server(t, config())
	sink := build(t, cfg)
	e := sinktest.Samples()[0]
	for i, name := range []string{"page_view", "product_view"} {
		c := e.Clone()
		c.Name = name
		u := sidetrack.Unit{ID: uuid.NewSHA1(uuid.Nil, []byte{byte(i)}), Events: []*sidetrack.Event{c}, At: e.Time, Attempt: 1}
		if err := send(t, sink, u); err != nil {
			t.Fatal(err)
		}
	}
	if got := ids(s.Final(events), "name"); !slices.Equal(got, []string{"product_view"}) || len(s.Rows(events)) != 2 {
		t.Errorf("with FINAL %v, %d rows", got, len(s.Rows(events)))
	}
}

func BenchmarkRequest(b *testing.B) {
	cfg := config()
	sink := build(b, cfg)
	var list []*sidetrack.Event
	for i := range 1000 {
		e := sinktest.Samples()[i%9]
		e.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte(strconv.Itoa(i)))
		list = append(list, e)
	}
	u := sidetrack.Unit{ID: uuid.NewSHA1(uuid.Nil, nil), Events: list, At: list[0].Time, Attempt: 1}
	g := sink.Spec().Generator
	r, err := g.Request(u)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(r.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Request(u); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}

// TestHostileRows sends what no well-meaning client would: whatever can be encoded at all is a row that the server
// can read, and from which the event is read back.
func TestHostileRows(t *testing.T) {
	s, cfg := server(t, config())
	sink := build(t, cfg)
	sent := 0
	for name, e := range hostile.Events() {
		b, err := e.AppendJSON(nil)
		if err != nil {
			continue // a dead letter
		}
		id := uuid.NewSHA1(uuid.Nil, []byte(name))
		if err := send(t, sink, sidetrack.Unit{ID: id, Events: []*sidetrack.Event{e}, At: e.Time, Attempt: 1}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sent++
		rows := s.Rows(events)
		want, err := sidetrack.ParseEvent(string(b))
		if err != nil {
			continue // nobody could read it back from its own JSON
		}
		got, err := eventOf(rows[len(rows)-1])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		x, _ := want.AppendJSON(nil)
		if y, _ := got.AppendJSON(nil); string(x) != string(y) {
			t.Errorf("%s is read back as\n%.300s, was\n%.300s", name, y, x)
		}
	}
	if sent < 8 {
		t.Errorf("only %d rows", sent)
	}
}
