// Package columns is how an event lies in a table: which columns there are, what each holds, and how an
// event is read back. It knows no database; the sinks that write tables share it.
//
// The names are those of the event's JSON form, flattened: visitor.client_id is visitor_client_id. What has no column,
// or does not fit the one it has, is kept as JSON in the last column, rest, so that nothing is lost.
package columns

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// Kind says what the values of a column are.
type Kind uint8

// The kinds. A value that is absent is Set false, whatever its kind.
const (
	Text  Kind = iota // UTF-8 text, never empty
	Int               // signed, 64 bits, never 0
	Bool              // true; see Column.Nullable for false
	Time              // UTC in whole microseconds since 1970, the remainder cut off; years 1900 to 2299
	Nanos             // 1 to 999: the nanoseconds that Time cut off
	Money             // millionths
	ID                // UUID
	JSON              // one JSON value (RFC 8259) as text
)

// Column is one column of the table.
type Column struct {
	Name string // in lower case, [a-z0-9_]
	Path string // of what it holds in the event's JSON form, "visitor.client_id"; empty for rest
	Kind Kind
	// Nullable says that the zero value means something other than absent: a table must be able to tell them
	// apart. In other columns a table may hold the zero value, or empty text, for what is absent.
	Nullable bool

	group, key string // the two parts of Path
}

// Value is what one column holds of one event.
type Value struct {
	Set  bool
	Text string // of Text and JSON
	Int  int64  // of Int, Time, Nanos and Money; Bool: 1 is true
	ID   uuid.UUID
}

// Layout returns the columns in their order, which is that of the values of a Row. New ones come before rest, the last one.
func Layout() []Column { return append([]Column(nil), layout...) }

var layout = build(
	"v:int id:id message_id name time:time received:time source site",
	"visitor: client_id user_id session_id session_number:int engagement_msec:int new:bool cookieless:bool new_session:bool app_instance_id anonymous_profile:bool",
	"page: url path route title referrer status:int",
	"device: user_agent language screen viewport colors:int encoding category os os_version browser browser_version brand model hints:json",
	"network: ip country region city continent subcontinent",
	"campaign: id source medium name term content platform format tactic click_ids:json",
	"consent: analytics_storage ad_storage ad_user_data ad_personalization functionality_storage personalization_storage security_storage how",
	"app: name id version installer_id screen",
	"ecommerce: currency value:money? transaction_id affiliation tax:money shipping:money coupon payment_type shipping_tier item_list_id item_list_name items:json",
	"ecommerce.promotion: promotion_id promotion_name creative_name creative_slot",
	"exception: description fatal:bool",
	"timing: category variable label value_msec:int?",
	"social: network action target",
	"user_data:json params:json user_properties:json marks:json",
)

var kinds = map[string]Kind{"": Text, "int": Int, "bool": Bool, "time": Time, "money": Money, "id": ID, "json": JSON}

// build reads lines of "group: key:kind? …".
func build(lines ...string) (out []Column) {
	for _, line := range lines {
		fields := strings.Fields(line)
		group := ""
		if g, ok := strings.CutSuffix(fields[0], ":"); ok {
			group, fields = g, fields[1:]
		}
		for _, f := range fields {
			key, kind, _ := strings.Cut(f, ":")
			kind, nullable := strings.CutSuffix(kind, "?")
			path := key
			if group != "" {
				path = group + "." + key
			}
			c := Column{Name: strings.ReplaceAll(path, ".", "_"), Path: path, Kind: kinds[kind], Nullable: nullable, group: group, key: key}
			if group == "ecommerce.promotion" { // its keys say so already
				c.Name = "ecommerce_" + key
			}
			out = append(out, c)
			if c.Kind == Time {
				c.Name, c.Kind = c.Name+"_nsec", Nanos
				out = append(out, c)
			}
		}
	}
	return append(out, Column{Name: "rest", Kind: JSON})
}

// positions is where the columns of each group of the JSON form are, by key. A group without columns is none.
var positions = func() map[string]map[string]int {
	out := map[string]map[string]int{}
	for i, c := range layout[:len(layout)-1] {
		if out[c.group] == nil {
			out[c.group] = map[string]int{}
		}
		if c.Kind != Nanos {
			out[c.group][c.key] = i
		}
	}
	return out
}()

// under is the path of a member of a group.
func under(group, key string) string {
	if group == "" {
		return key
	}
	return group + "." + key
}

// The times that a column of kind Time holds: what every database can.
var (
	firstTime = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	endOfTime = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)
)
